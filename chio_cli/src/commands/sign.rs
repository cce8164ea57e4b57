//! `chio sign`

use chio_core::canonical::{self, Limits};
use chio_core::capability::CapabilityChain;
use chio_core::crypto::Keypair;
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use serde_json::json;

use crate::args::{CallArgs, Sign, ToolName};
use crate::commands::{at, random};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print;
use crate::source;

pub(crate) fn run(args: &Sign) -> Result<Exit, Failure> {
    let CallArgs { capability, arguments, .. } = &args.action;
    source::read_once([args.key.is_standard_input(), capability.is_standard_input(), arguments == "-"])?;
    let key = files::read_key(&args.key)?;
    let (bytes, chain) = files::read_chain(&args.action.capability)?;
    let arguments = files::read_arguments(&args.action.arguments)?;
    let proof = sign(&key, &chain, &args.action.tool, &arguments, random()?, at(args.at)?)?;
    if !args.whole {
        print::document(&format!("{}\n", text(&proof)?))?;
        return Ok(Exit::Done);
    }
    let limits = Limits::bytes(Arguments::MAX_BYTES);
    let strict = |bytes: &[u8]| canonical::parse(bytes, limits).map_err(|error| Failure::new(error, "report this"));
    let call = json!({
        "arguments": strict(arguments.canonical())?,
        "capability": strict(&bytes)?,
        "proof": proof,
        "tool_name": args.action.tool.tool,
        "tool_server": args.action.tool.server,
    });
    print::document(&format!("{call}\n"))?;
    Ok(Exit::Done)
}

/// Signs a call with the key of the leaf's subject, and with no other.
pub(crate) fn sign(
    key: &Keypair,
    chain: &CapabilityChain,
    tool: &ToolName,
    arguments: &Arguments,
    nonce: String,
    issued_at: u64,
) -> Result<DpopProof, Failure> {
    check_holder(key, chain)?;
    let body = DpopProofBody::new(chain.leaf(), (&tool.server, &tool.tool), arguments, nonce, issued_at);
    DpopProof::sign(body, key).map_err(|error| Failure::new(error, "check the key"))
}

/// The leaf's subject is whose key this is.
pub(crate) fn check_holder(key: &Keypair, chain: &CapabilityChain) -> Result<(), Failure> {
    let (subject, key) = (&chain.leaf().subject, key.public_key());
    if key == *subject {
        return Ok(());
    }
    let what = format!("the capability is for the key {subject}, and this is {key}");
    Err(Failure::new(what, "use the key it was issued to, or have one issued to this key"))
}

/// The proof as it is sent.
pub(crate) fn text(proof: &DpopProof) -> Result<String, Failure> {
    let bytes = proof.to_bytes().map_err(|error| Failure::new(error, "check the time"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
