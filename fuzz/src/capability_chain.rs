//! Capability chains: any text, and chains that hold with anything done to them, by a thief or by a holder who cheats.

use chio_core::canonical::{self, Limits};
use chio_core::capability::{CAPABILITY_SCHEMA, CapabilityChain, MAX_CHAIN_BYTES, MAX_CHAIN_TOKENS};
use chio_core::digest::Digest;
use chio_core::error::FormatError;
use chio_kernel::{Kernel, SignedCall, Step};
use chio_tests::world::{self, ARGUMENTS, NOW, SERVER, TOOL};
use serde_json::Value;

use crate::bytes::Bytes;
use crate::genuine::{self, CHAINS, THIEF};
use crate::{edit, reading};

/// A text; or, where the first byte is one that starts no JSON, what to do to a chain.
pub fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0..=8, program)) => {
            let (text, by_a_holder) = edited(&mut Bytes::new(program));
            laws(&text);
            let allowed = decide(&text);
            // Where nobody with a right to it has signed anything, what is allowed is what was signed before.
            let is_genuine = reading::canonical(&text).is_some_and(|read| CHAINS.iter().any(|one| one.text == read));
            let is_strict = canonical::canonicalize(&text, Limits::bytes(MAX_CHAIN_BYTES)).is_ok();
            assert!(by_a_holder || allowed == (is_genuine && is_strict));
        }
        _ => {
            laws(bytes);
            decide(bytes);
        }
    }
}

/// What holds of a text, whoever wrote it.
pub fn laws(text: &[u8]) {
    let parsed = CapabilityChain::parse(text);
    let json = canonical::parse(text, Limits::bytes(MAX_CHAIN_BYTES)).map_err(FormatError::Json);
    assert_eq!(json.and_then(|json| CapabilityChain::from_json(&json)), parsed);
    let Ok(chain) = parsed else { return };

    // Nothing is lost, nothing is added: what is written is what was read.
    let written = world::chain_bytes(&chain);
    assert_eq!(reading::canonical(text).as_ref(), Some(&written), "another document than the text");
    assert!(canonical::is_canonical(&written, Limits::bytes(MAX_CHAIN_BYTES)));
    assert_eq!(CapabilityChain::parse(&written).as_ref(), Ok(&chain));

    let value: Value = serde_json::from_slice(&written).unwrap();
    let tokens = value.as_array().unwrap();
    assert!((1..=MAX_CHAIN_TOKENS).contains(&chain.len()) && chain.len() == tokens.len());
    assert_eq!(chain.tokens().last(), Some(chain.leaf()));
    for (token, value) in chain.tokens().zip(tokens) {
        assert!(reading::has_only(value, TOKEN) && value["schema"] == CAPABILITY_SCHEMA);
        for grant in value["grants"].as_array().unwrap() {
            assert!(reading::has_only(grant, GRANT));
            let rules = grant.get("arguments").and_then(Value::as_object);
            let is_rule = |rule: &Value| rule.get("constraint_type").is_some_and(Value::is_string);
            assert!(rules.is_none_or(|rules| rules.values().all(is_rule)));
        }
        assert!(token.issued_at < token.expires_at && reading::is_hex(&value["serial"], 32));
        // The id and what is signed, computed by nobody's code here.
        assert_eq!(token.contents_id().unwrap().to_string(), genuine::contents_id(value));
        let mut signed = value.clone();
        signed.as_object_mut().unwrap().remove("signature");
        assert_eq!(token.signed_bytes().unwrap(), serde_json_canonicalizer::to_vec(&signed).unwrap());
    }
}

const TOKEN: &[&str] = &[
    "audience",
    "expires_at",
    "grants",
    "id",
    "issued_at",
    "issuer",
    "max_depth",
    "parent",
    "schema",
    "serial",
    "signature",
    "subject",
];
const GRANT: &[&str] = &["arguments", "definition", "max_invocations", "tool_name", "tool_server"];

/// Presents a text to a kernel, twice: it has authority if, and only if, it holds in the second opinion too.
/// Returns whether the usual call was allowed.
fn decide(text: &[u8]) -> bool {
    let holds = genuine::holds(text, NOW);
    let proof = match &holds {
        Some(leaf) => {
            let arguments = Digest::of(ARGUMENTS.as_bytes()).to_string();
            genuine::proof(leaf, (SERVER, TOOL), &arguments, "nonce-1")
        }
        // It will not come so far.
        None => None,
    };
    let call = SignedCall {
        tool_server: SERVER.to_owned(),
        tool_name: TOOL.to_owned(),
        arguments: ARGUMENTS.as_bytes().to_vec(),
        capability: text.to_vec(),
        proof: proof.map(|proof| proof.to_bytes().unwrap()),
    };
    let (kernel, ..) = genuine::kernel(0);
    let (allowed, step, code) = answer(&kernel, call.clone());
    // A call that presents nothing at all is told that it has no proof.
    let has_authority = step > Some(Step::Standing) && !text.is_empty();
    assert_eq!(allowed || has_authority, holds.is_some(), "{code}");

    // The second time from the cache, or as it was the first time.
    let (again, _, code_again) = answer(&kernel, call);
    assert!(!again);
    let spent = allowed || step > Some(Step::ProofNonce);
    assert_eq!(code_again, if spent { "nonce_replayed" } else { code });
    allowed
}

fn answer(kernel: &Kernel, call: SignedCall) -> (bool, Option<Step>, &'static str) {
    match pollster::block_on(kernel.authorize(call)) {
        Ok(_) => (true, None, ""),
        Err(denied) => (false, Some(denied.denial.step()), denied.denial.code()),
    }
}

/// A chain with a few things done to it, and whether a holder had a hand in it.
fn edited(bytes: &mut Bytes<'_>) -> (Vec<u8>, bool) {
    let mut chain = bytes.choose(&*CHAINS).value.clone();
    let mut by_a_holder = false;
    for _ in 0..bytes.below(7) {
        let what = bytes.byte();
        let Some(tokens) = chain.as_array_mut().filter(|tokens| !tokens.is_empty()) else { break };
        let at = bytes.below(tokens.len());
        let other = &bytes.choose(&*CHAINS).value;
        let other = &other[bytes.below(other.as_array().unwrap().len())];
        match what % 8 {
            0 | 1 => edit::value(bytes, &mut chain),
            2 => edit::value(bytes, &mut tokens[at]),
            // Splice: put in, take the place of, leave out.
            3 => tokens.insert(at, other.clone()),
            4 if what & 8 == 0 => drop(tokens.remove(at)),
            4 => tokens[at] = other.clone(),
            // One member of a genuine token in the place of this one's.
            5 => {
                let names = ["signature", "id", "subject", "issuer", "grants", "parent", "expires_at", "max_depth"];
                let name = *bytes.choose(&names);
                if let (Some(token), Some(member)) = (tokens[at].as_object_mut(), other.get(name)) {
                    token.insert(name.to_owned(), member.clone());
                }
            }
            // Ids and parents made to fit, which needs no key.
            6 => {
                let mut parent = None;
                for token in &mut tokens[at..] {
                    let Some(object) = token.as_object_mut() else { break };
                    if let Some(parent) = parent.take() {
                        object.insert("parent".to_owned(), parent);
                    }
                    let id = genuine::contents_id(token);
                    token["id"] = id.clone().into();
                    parent = Some(id.into());
                }
            }
            // A good signature: of the wrong key, or of the issuer that it names.
            _ => {
                let Some(object) = tokens[at].as_object_mut() else { continue };
                if what & 8 != 0 {
                    object.insert("issuer".to_owned(), THIEF.public_key().to_string().into());
                }
                let holder = if what & 16 != 0 { object.get("issuer").and_then(genuine::key) } else { None };
                by_a_holder |= holder.is_some();
                if what & 32 == 0 {
                    let id = genuine::contents_id(&Value::Object(object.clone()));
                    object.insert("id".to_owned(), id.into());
                }
                object.remove("signature");
                let signature = genuine::sign(holder.unwrap_or(&THIEF), &Value::Object(object.clone()));
                object.insert("signature".to_owned(), signature.to_string().into());
            }
        }
    }
    let mut text = edit::write(&chain, bytes.byte());
    edit::text(bytes, &mut text);
    (text, by_a_holder)
}
