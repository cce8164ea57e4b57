//! A call as it is sent, and as it is read: the first file that a stranger's bytes reach.

use chio_core::canonical::{self, Json, Limits};
use chio_core::capability::{CapabilityChain, MAX_NAME_BYTES};
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, MAX_PROOF_BYTES};
use chio_core::error::{JsonError, JsonErrorKind, excerpt};

use crate::config::Settings;
use crate::denial::Denial;

/// A tool call with its capability and its proof, as they were sent: nothing of it is read yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCall {
    /// The tool server that is called.
    pub tool_server: String,
    /// The tool that is called.
    pub tool_name: String,
    /// The arguments: a JSON object.
    pub arguments: Vec<u8>,
    /// The capability chain: a JSON array, root first.
    pub capability: Vec<u8>,
    /// The proof of possession: a JSON object.
    pub proof: Option<Vec<u8>>,
}

impl SignedCall {
    /// A call as its caller sends it.
    /// Fails where the chain or the proof has no canonical form.
    pub fn new(
        capability: &CapabilityChain,
        proof: &DpopProof,
        (tool_server, tool_name): (&str, &str),
        arguments: &Arguments,
    ) -> Result<Self, JsonError> {
        Ok(Self {
            tool_server: tool_server.to_owned(),
            tool_name: tool_name.to_owned(),
            arguments: arguments.canonical().to_vec(),
            capability: capability.to_json()?.to_canonical_bytes(),
            proof: Some(proof.to_bytes()?),
        })
    }

    /// Reads a call from one JSON object with the members `tool_server`, `tool_name`, `arguments`, `capability` and
    /// `proof`; each part is held to its own limit later.
    /// Fails with `call_too_large`, or `malformed_call` where the text is not strict JSON or has other members.
    pub fn parse(text: &[u8], settings: &Settings) -> Result<Self, Denial> {
        let bytes = [settings.chain_bytes, MAX_PROOF_BYTES, MAX_NAME_BYTES, MAX_NAME_BYTES, 1024];
        let bytes = bytes.into_iter().fold(settings.arguments.bytes, usize::saturating_add);
        // The nesting limit holds for the whole, so each part has one level less.
        let json = canonical::parse(text, Limits::bytes(bytes)).map_err(|error| json_denial(&error))?;
        let malformed = |reason: &str| Denial::MalformedCall { reason: reason.to_owned() };
        let Json::Object(mut object) = json else { return Err(malformed("it is not an object")) };
        let mut name = |member: &str| match object.take(member) {
            Some(Json::String(name)) => Ok(name),
            _ => Err(malformed(&format!("`{member}` is a string"))),
        };
        let (tool_server, tool_name) = (name("tool_server")?, name("tool_name")?);
        let mut part = |member: &str| object.take(member).map(|json| json.to_canonical_bytes());
        let arguments = part("arguments").ok_or_else(|| malformed("`arguments` is missing"))?;
        let capability = part("capability").ok_or_else(|| malformed("`capability` is missing"))?;
        let proof = part("proof").filter(|proof| proof != b"null");
        match object.iter().next() {
            None => Ok(Self { tool_server, tool_name, arguments, capability, proof }),
            Some((name, _)) => Err(malformed(&format!("a call has no member `{}`", excerpt(name)))),
        }
    }
}

impl std::fmt::Debug for SignedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedCall({}/{})", excerpt(&self.tool_server), excerpt(&self.tool_name))
    }
}

/// What is called, read within the limits. Nothing says yet that it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    tool_server: String,
    tool_name: String,
    arguments: Arguments,
}

impl ToolCall {
    /// Reads what is called.
    /// Fails with `call_too_large` or `malformed_call`.
    pub fn parse(tool_server: &str, tool_name: &str, arguments: &[u8], limits: Limits) -> Result<Self, Denial> {
        for name in [tool_server, tool_name] {
            if name.len() > MAX_NAME_BYTES {
                return Err(Denial::CallTooLarge { limit: MAX_NAME_BYTES });
            }
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Denial::MalformedCall { reason: "a name is empty or has control characters".into() });
            }
        }
        let arguments = Arguments::parse(arguments, limits).map_err(|error| json_denial(&error))?;
        Ok(Self { tool_server: tool_server.to_owned(), tool_name: tool_name.to_owned(), arguments })
    }

    /// The tool server that is called.
    pub fn tool_server(&self) -> &str {
        &self.tool_server
    }

    /// The tool that is called.
    pub fn tool_name(&self) -> &str {
        &self.tool_name
    }

    /// The arguments.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }
}

fn json_denial(error: &JsonError) -> Denial {
    match error.kind {
        JsonErrorKind::TooLarge { limit } | JsonErrorKind::TooDeep { limit } => Denial::CallTooLarge { limit },
        _ => Denial::MalformedCall { reason: error.to_string() },
    }
}
