//! Proofs of possession: any text, and proofs made by the right key or the wrong one with anything done to them.

use std::sync::LazyLock;
use std::time::Duration;

use chio_core::canonical::{self, Limits};
use chio_core::digest::Digest;
use chio_core::dpop::{DpopProof, MAX_PROOF_BYTES};
use chio_kernel::dpop::{DpopConfig, verify_dpop_proof};
use chio_kernel::store::DpopNonceStore;
use chio_kernel::{Kernel, SignedCall, Step};
use chio_tests::world::{ARGUMENTS, NOW, SERVER, TOOL};
use serde_json::Value;

use crate::bytes::Bytes;
use crate::genuine::{self, CHAINS, Genuine, Nonces, THIEF};
use crate::{edit, reading};

/// What is called, and by which chain.
pub struct Seen<'a> {
    chain: &'a Genuine,
    tool: (&'a str, &'a str),
    arguments: &'a str,
}

const USUAL: (&str, &str, &str) = (SERVER, TOOL, ARGUMENTS);
const ACTIONS: &[(&str, &str, &str)] =
    &[USUAL, (SERVER, "search", "{}"), ("file", "sread_file", ARGUMENTS), (SERVER, TOOL, r#"{"path":"/etc/passwd"}"#)];

/// Without the one that ends before the proofs do.
const LONG_LIVED: &[usize] = &[0, 1, 2, 4];

/// A text; or, where the first byte is one that starts no JSON, what to do to a proof.
pub fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0..=8, program)) => {
            let mut bytes = Bytes::new(program);
            let chain = &CHAINS[*bytes.choose(LONG_LIVED)];
            // Mostly the usual action.
            let (server, tool, arguments) = *ACTIONS.get(bytes.below(8)).unwrap_or(&USUAL);
            let seen = Seen { chain, tool: (server, tool), arguments };
            let text = edited(&mut bytes, &seen);
            laws(&text);
            decide(&text, &seen);
        }
        _ => {
            laws(bytes);
            let read = reading::canonical(bytes).and_then(|read| serde_json::from_slice::<Value>(&read).ok());
            let id = read.map(|read| read["body"]["capability_id"].clone()).unwrap_or_default();
            let chain = CHAINS.iter().find(|chain| id == chain.leaf_id()).unwrap_or(&CHAINS[0]);
            decide(bytes, &Seen { chain, tool: (SERVER, TOOL), arguments: ARGUMENTS });
        }
    }
}

/// What holds of a text, whoever wrote it.
pub fn laws(text: &[u8]) {
    let parsed = DpopProof::parse(text);
    let read = read(text);
    assert_eq!(parsed.is_ok(), read.is_some(), "{:?}", parsed.err());
    let (Ok(proof), Some(read)) = (parsed, read) else { return };

    let written = proof.to_bytes().unwrap();
    assert_eq!(written, serde_json_canonicalizer::to_vec(&read).unwrap(), "another document than the text");
    assert_eq!(DpopProof::parse(&written).as_ref(), Ok(&proof));
    assert_eq!(proof.body.canonical().unwrap(), serde_json_canonicalizer::to_vec(&read["body"]).unwrap());
    assert_eq!(proof.body.canonical().unwrap(), canonical::canonical_json_bytes(&proof.body).unwrap());
}

/// The proof in a text, by a reader that is not ours; none where it is not strict JSON or not exactly a proof.
pub fn read(text: &[u8]) -> Option<Value> {
    canonical::canonicalize(text, Limits::bytes(MAX_PROOF_BYTES)).ok()?;
    let read: Value = serde_json::from_slice(&reading::canonical(text)?).ok()?;
    let body = &read["body"];
    let texts = ["action_hash", "capability_id", "nonce", "schema", "tool_name", "tool_server"];
    let members: Vec<&str> = texts.into_iter().chain(["agent_key", "issued_at"]).collect();
    let is_proof = reading::has_exactly(&read, &["body", "signature"])
        && reading::has_exactly(body, &members)
        && texts.iter().all(|name| body[name].is_string())
        && body["issued_at"].is_u64()
        && is_key(&body["agent_key"])
        && is_signature(&read["signature"]);
    is_proof.then_some(read)
}

fn is_key(value: &Value) -> bool {
    let point = |prefix: &str, digits| {
        let hex = value.as_str().and_then(|text| text.strip_prefix(prefix)).filter(|hex| hex.starts_with("04"));
        hex.is_some_and(|hex| reading::is_hex(&hex.into(), digits))
    };
    reading::is_hex(value, 64) || point("p256:", 130) || point("p384:", 194)
}

fn is_signature(value: &Value) -> bool {
    let der = |prefix: &str| {
        let hex = value.as_str().and_then(|text| text.strip_prefix(prefix));
        hex.is_some_and(|hex| (8..=104).any(|bytes| reading::is_hex(&hex.into(), bytes * 2)))
    };
    reading::is_hex(value, 128) || der("p256:") || der("p384:")
}

/// The six steps but for the nonce's past, told naively; empty where they hold.
pub fn steps(
    read: &Value,
    leaf: &Value,
    tool: (&str, &str),
    action_hash: &str,
    age: Option<(u64, u64, u64)>,
) -> &'static str {
    let body = &read["body"];
    let said = |member: &str, is: &str| body[member] == is;
    let issued_at = body["issued_at"].as_u64().unwrap();
    let bound = body["capability_id"] == leaf["id"]
        && said("tool_server", tool.0)
        && said("tool_name", tool.1)
        && said("action_hash", action_hash);
    let (now, ttl, skew) = age.unwrap_or((issued_at, 0, 0));
    let signed =
        || genuine::key(&body["agent_key"]).is_some_and(|key| genuine::is_signed(key, body, &read["signature"]));
    match () {
        () if !said("schema", "chio.dpop_proof.v1") => "proof_schema_unsupported",
        () if body["agent_key"] != leaf["subject"] => "proof_sender_mismatch",
        () if !bound => "proof_binding_mismatch",
        () if issued_at > now + skew => "proof_from_future",
        () if now > issued_at + ttl => "proof_expired",
        () if !signed() => "proof_signature_invalid",
        () if !(1..=256).contains(&body["nonce"].as_str().unwrap().len()) => "nonce_malformed",
        () => "",
    }
}

/// One kernel for every run, which knows the chains already: proofs are what is at issue here.
static KERNEL: LazyLock<(Kernel, Nonces)> = LazyLock::new(|| {
    let (kernel, _, nonces, _) = genuine::kernel(0);
    for chain in &*CHAINS {
        let capability = chain.text.clone();
        let [tool_server, tool_name] = [SERVER, TOOL].map(str::to_owned);
        let call = SignedCall { tool_server, tool_name, arguments: b"{}".to_vec(), capability, proof: None };
        assert_eq!(answer(&kernel, call), "proof_missing");
    }
    (kernel, nonces)
});

/// Presents a proof to a kernel and at the synchronous door: the answers are those of the naive steps, and once it was
/// accepted it is a replay.
fn decide(text: &[u8], seen: &Seen<'_>) {
    let read = read(text);
    let leaf = seen.chain.value.as_array().unwrap().last().unwrap();
    let action_hash = Digest::of(seen.arguments.as_bytes()).to_string();
    let expected = match &read {
        Some(read) => steps(read, leaf, seen.tool, &action_hash, Some((NOW, 300, 30))),
        None => "proof_malformed",
    };
    let call = |proof: &[u8]| SignedCall {
        tool_server: seen.tool.0.to_owned(),
        tool_name: seen.tool.1.to_owned(),
        arguments: seen.arguments.as_bytes().to_vec(),
        capability: seen.chain.text.clone(),
        proof: Some(proof.to_vec()),
    };
    let (kernel, nonces) = &*KERNEL;
    nonces.forget();
    assert_eq!(answer(kernel, call(text)), expected);

    let Some(read) = read else { return };
    let again = if expected.is_empty() { "nonce_replayed" } else { expected };
    if expected.is_empty() {
        assert_eq!(answer(kernel, call(text)), again);
    }

    // The other door, which takes proofs of any age here because it reads the clock of the operating system.
    let proof = DpopProof::parse(text).unwrap();
    let store = DpopNonceStore::new(16, Duration::from_secs(330));
    let any_age = DpopConfig { proof_ttl_secs: u64::MAX, max_clock_skew_secs: u64::MAX, ..DpopConfig::default() };
    let door = |proof: &DpopProof| {
        let token = seen.chain.chain.leaf();
        verify_dpop_proof(proof, token, seen.tool.0, seen.tool.1, &action_hash, &store, &any_age)
    };
    let code = |answer: Result<(), chio_kernel::Denial>| answer.err().map_or("", |denial| denial.code());
    let expected = steps(&read, leaf, seen.tool, &action_hash, None);
    assert_eq!(code(door(&proof)), expected);
    if !expected.is_empty() {
        return;
    }
    assert_eq!(code(door(&proof)), "nonce_replayed");
    // Another signature of the same body is no other proof.
    if let Some(signature) = genuine::twin(&proof.signature) {
        let twin = DpopProof { signature, ..proof };
        assert_eq!(code(door(&twin)), "nonce_replayed");
        assert_eq!(answer(kernel, call(&twin.to_bytes().unwrap())), again);
    }
}

/// The code of the kernel where the proof was not accepted.
fn answer(kernel: &Kernel, call: SignedCall) -> &'static str {
    match pollster::block_on(kernel.authorize(call)) {
        Err(denied) if denied.denial.step() <= Step::ProofNonce => denied.denial.code(),
        _ => "",
    }
}

/// A proof of the call with a few things done to it.
fn edited(bytes: &mut Bytes<'_>, seen: &Seen<'_>) -> Vec<u8> {
    let leaf = seen.chain.value.as_array().unwrap().last().unwrap();
    let action_hash = Digest::of(seen.arguments.as_bytes()).to_string();
    let honest = genuine::proof(leaf, seen.tool, &action_hash, "nonce-1").unwrap();
    let mut proof: Value = serde_json::from_slice(&honest.to_bytes().unwrap()).unwrap();
    for _ in 0..bytes.below(5) {
        let what = bytes.byte();
        let other = bytes.choose(&*CHAINS);
        match what % 8 {
            0 | 1 => edit::value(bytes, &mut proof["body"]),
            2 => edit::value(bytes, &mut proof),
            3 => proof["body"]["nonce"] = "n".repeat(bytes.below(260)).into(),
            4 => proof["body"]["capability_id"] = other.leaf_id().into(),
            5 => proof["body"]["agent_key"] = other.chain.leaf().subject.to_string().into(),
            // At the edges of freshness, and anywhere near.
            6 => {
                let at = [NOW - 301, NOW - 300, NOW + 30, NOW + 31, NOW - 310 + u64::from(bytes.byte()) * 2];
                proof["body"]["issued_at"] = (*bytes.choose(&at)).into();
            }
            _ => edit::value(bytes, &mut proof["signature"]),
        }
        if !proof.is_object() || !proof["body"].is_object() {
            break;
        }
    }
    // Who signs what it became, if anybody.
    let signer = match bytes.byte() % 8 {
        0..=2 => None,
        3 => Some(&*THIEF),
        4 => {
            if proof["body"].is_object() {
                proof["body"]["agent_key"] = THIEF.public_key().to_string().into();
            }
            Some(&*THIEF)
        }
        5 => proof.get("body").and_then(|body| genuine::key(body.get("agent_key")?)),
        _ => Some(seen.chain.holder()),
    };
    if let (Some(signer), true) = (signer, proof.is_object()) {
        let signature = genuine::sign(signer, &proof["body"]);
        let twin = if bytes.byte().is_multiple_of(2) { genuine::twin(&signature) } else { None };
        proof["signature"] = twin.unwrap_or(signature).to_string().into();
    }
    let mut text = edit::write(&proof, bytes.byte());
    edit::text(bytes, &mut text);
    text
}
