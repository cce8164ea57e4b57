//! The proof of possession that accompanies a call: who calls, what, with which arguments, and a nonce that is
//! spent with it. Normative: `docs/protocol.md`. A kernel verifies it; an agent needs only this module to sign.

use serde::{Deserialize, Serialize};

use crate::canonical::{self, Limits};
use crate::capability::CapabilityToken;
use crate::crypto::{Keypair, PublicKey, Signature, SigningBackend};
use crate::digest::Arguments;
use crate::error::{FormatError, JsonError, SignError, document_error};

/// The schema of a proof.
pub const DPOP_SCHEMA: &str = "chio.dpop_proof.v1";

/// The longest nonce, in bytes.
pub const MAX_NONCE_BYTES: usize = 256;

/// The longest proof that is read, in bytes.
pub const MAX_PROOF_BYTES: usize = 8 << 10;

/// Whether proofs of this schema are understood.
pub fn is_supported_dpop_schema(schema: &str) -> bool {
    schema == DPOP_SCHEMA
}

/// What a proof says. The members stand in canonical order, so that writing them out is RFC 8785 already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpopProofBody {
    /// The digest of the call's arguments: [`crate::digest::Arguments::digest`].
    pub action_hash: String,
    /// The key that signs: the subject of the leaf capability.
    pub agent_key: PublicKey,
    /// The id of the leaf capability.
    pub capability_id: String,
    /// When it was signed, in Unix seconds.
    pub issued_at: u64,
    /// 1 to 256 bytes that this key never used with this capability before.
    pub nonce: String,
    /// [`DPOP_SCHEMA`].
    pub schema: String,
    /// The tool that is called.
    pub tool_name: String,
    /// The tool server that is called.
    pub tool_server: String,
}

impl DpopProofBody {
    /// What the subject of a capability says when it calls a tool by it.
    pub fn new(
        capability: &CapabilityToken,
        (tool_server, tool_name): (&str, &str),
        arguments: &Arguments,
        nonce: impl Into<String>,
        issued_at: u64,
    ) -> Self {
        Self {
            action_hash: arguments.digest().to_string(),
            agent_key: capability.subject.clone(),
            capability_id: capability.id.clone(),
            issued_at,
            nonce: nonce.into(),
            schema: DPOP_SCHEMA.to_owned(),
            tool_name: tool_name.to_owned(),
            tool_server: tool_server.to_owned(),
        }
    }

    /// The RFC 8785 bytes, which the signature covers.
    pub fn canonical(&self) -> Result<Vec<u8>, JsonError> {
        canonical::ordered_json_bytes(self)
    }
}

/// A signed proof. **Unverified**: only a kernel says whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpopProof {
    /// What it says.
    pub body: DpopProofBody,
    /// The signature of `agent_key` over the body.
    pub signature: Signature,
}

impl DpopProof {
    /// Signs a body with a key in memory.
    /// Fails where the body has no canonical form or the key refuses.
    pub fn sign(body: DpopProofBody, agent: &Keypair) -> Result<Self, SignError> {
        Self::sign_with_backend(body, agent)
    }

    /// Signs a body with a key that may live elsewhere.
    /// Fails where the body has no canonical form or the key refuses.
    pub fn sign_with_backend(body: DpopProofBody, agent: &dyn SigningBackend) -> Result<Self, SignError> {
        let signature = agent.sign(&body.canonical()?)?;
        Ok(Self { body, signature })
    }

    /// Reads a proof.
    /// Fails where the text is not strict JSON, longer than [`MAX_PROOF_BYTES`], or a member is missing, unknown or of the
    /// wrong type. The schema and the length of the nonce are for the six steps of verification.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        Self::parse_signed(text).map(|(proof, _)| proof)
    }

    /// Reads a proof, and the bytes that its signature covers.
    /// Fails as [`Self::parse`].
    pub fn parse_signed(text: &[u8]) -> Result<(Self, Vec<u8>), FormatError> {
        // What is written as it was read is canonical, and so strict: the usual text needs no other look.
        if text.len() <= MAX_PROOF_BYTES
            && let Ok(proof) = serde_json::from_slice::<Self>(text)
            && let Some(signed) = proof.signed_if_written(text)
        {
            return Ok((proof, signed));
        }
        let text = canonical::canonicalize(text, Limits::bytes(MAX_PROOF_BYTES))?;
        let proof: Self = serde_json::from_slice(&text).map_err(|error| document_error(&error))?;
        let signed = proof.signed_if_written(&text);
        let signed = signed.ok_or_else(|| FormatError::Document("it is not written as a proof is".into()))?;
        Ok((proof, signed))
    }

    /// What the signature covers, if the proof is written as this text.
    fn signed_if_written(&self, text: &[u8]) -> Option<Vec<u8>> {
        let signed = self.body.canonical().ok()?;
        let rest = text.strip_prefix(br#"{"body":"#)?.strip_prefix(signed.as_slice())?;
        let signature = rest.strip_prefix(br#","signature":""#)?.strip_suffix(br#""}"#)?;
        (*signature == *self.signature.to_string().as_bytes()).then_some(signed)
    }

    /// The proof as RFC 8785 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        canonical::canonical_json_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "its random texts take minutes under Miri")]
        fn writing_a_body_is_rfc8785(nonce: String, schema: String, server in "\\PC{0,9}", issued_at in 0..=crate::time::MAX_UNIX_SECONDS) {
            let body = DpopProofBody {
                action_hash: String::new(),
                agent_key: Keypair::from_seed(&[7; 32]).public_key(),
                capability_id: nonce.clone(),
                issued_at,
                nonce,
                schema,
                tool_name: server.clone(),
                tool_server: server,
            };
            let plain = body.canonical().unwrap();
            prop_assert_eq!(&plain, &canonical::canonical_json_bytes(&body).unwrap());
            prop_assert_eq!(plain, serde_json_canonicalizer::to_vec(&body).unwrap());
        }
    }

    #[test]
    fn a_proof_is_read_in_any_form_up_to_its_limit_and_signed_for_as_canonical() {
        let agent = Keypair::from_seed(&[7; 32]);
        let proof = |tool_name: usize| {
            let body = DpopProofBody {
                action_hash: "a".repeat(64),
                agent_key: agent.public_key(),
                capability_id: "b".repeat(64),
                issued_at: 7,
                nonce: "n".into(),
                schema: DPOP_SCHEMA.to_owned(),
                tool_name: "t".repeat(tool_name),
                tool_server: "s".into(),
            };
            DpopProof::sign(body, &agent).unwrap()
        };
        let short = proof(1);
        let text = short.to_bytes().unwrap();
        let signed = short.body.canonical().unwrap();
        assert!(agent.public_key().verify(&signed, &short.signature));
        let loose = [b" ".as_slice(), &text, b"\n"].concat();
        for text in [&text, &loose] {
            assert_eq!(DpopProof::parse_signed(text), Ok((short.clone(), signed.clone())));
        }
        let room = MAX_PROOF_BYTES - text.len();
        assert_eq!(proof(room + 1).to_bytes().unwrap().len(), 8192);
        assert!(DpopProof::parse(&proof(room + 1).to_bytes().unwrap()).is_ok());
        assert!(DpopProof::parse(&proof(room + 2).to_bytes().unwrap()).is_err());
        assert!(is_supported_dpop_schema(DPOP_SCHEMA) && !is_supported_dpop_schema("chio.dpop_proof.v2"));
    }
}
