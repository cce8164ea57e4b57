//! `chio inspect`

use std::fmt::Write as _;

use chio_core::canonical::{self, Json, Limits};
use chio_core::capability::{CAPABILITY_SCHEMA, CapabilityChain, CapabilityToken};
use chio_core::crypto::{Keypair, PublicKey};
use chio_core::digest::Arguments;
use chio_core::dpop::{DPOP_SCHEMA, DpopProof};
use chio_core::error::{FormatError, excerpt};
use chio_core::receipt::{RECEIPT_SCHEMA, Receipt};
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::exit::{Exit, Failure, printable};
use crate::files;
use crate::print::{BOLD, Printer, RESET, YELLOW, time, width};
use crate::review::{self, Review};
use crate::source::Source;

/// As much as the longest document: a whole signed call.
const LIMIT: usize = Arguments::MAX_BYTES + (1 << 19);

pub(crate) fn run(args: &Inspect, printer: &Printer) -> Result<Exit, Failure> {
    const WHAT: &str = "the document";
    const HELP: &str = "it shows capabilities, proofs, signed calls, receipts and keys";
    let bytes = args.file.read(WHAT, LIMIT)?;
    let pem = std::str::from_utf8(&bytes).ok().filter(|text| text.contains("-----BEGIN"));
    let (kind, value, text, capability) = if let Some(pem) = pem {
        if let Source::File(path) = &args.file {
            files::check_private(path)?;
        }
        let key = Keypair::from_pkcs8_pem(pem);
        let key = key.map_err(|error| files::format_failure("the key", &args.file, &bytes, &error))?;
        shown_key("private key", &key.public_key())
    } else if let Some(key) = public_key(&bytes) {
        shown_key("public key", &key)
    } else {
        let wrong = |error: FormatError| Failure {
            help: HELP.into(),
            ..files::format_failure(WHAT, &args.file, &bytes, &error)
        };
        if let Some(shown) = receipts(&bytes) {
            shown
        } else {
            let json = canonical::parse(&bytes, Limits::bytes(LIMIT)).map_err(|error| wrong(error.into()))?;
            document(&json).map_err(wrong)?
        }
    };
    let warned = format!(
        "{YELLOW}{BOLD}NOT VERIFIED{RESET}{YELLOW}: this is what the file says, not what is true.{RESET}\n{kind}\n{text}"
    );
    let mut answer = json!({"verified": false, "kind": kind, "document": value});
    if let (Some(chain), Some(answer)) = (capability, answer.as_object_mut()) {
        answer.insert("allows".to_owned(), Review::of(&chain).to_json());
    }
    printer.answer(&answer, &warned)?;
    Ok(Exit::Done)
}

/// What it is, itself, as text, and the capability in it.
type Shown = (&'static str, Value, String, Option<CapabilityChain>);

fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

fn shown_key(kind: &'static str, public_key: &PublicKey) -> Shown {
    let algorithm = public_key.algorithm().to_string();
    let text = format!("  algorithm   {algorithm}\n  public key  {public_key}\n");
    (kind, json!({"algorithm": algorithm, "public_key": public_key}), text, None)
}

/// Receipts, one a line, if that is what it is.
fn receipts(bytes: &[u8]) -> Option<Shown> {
    let mut text = String::new();
    let mut values = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        Receipt::parse(line).ok()?;
        let json = canonical::parse(line, Limits::bytes(line.len())).ok()?;
        text.push_str(&members(json.as_object()?.get("body")?.as_object()?.iter()));
        text.push('\n');
        values.push(json!(json));
    }
    (values.len() > 1).then_some(("receipts", Value::Array(values), text, None))
}

fn document(json: &Json) -> Result<Shown, FormatError> {
    let shown = |kind, text| Ok((kind, json!(json), text, None));
    let with_chain = |kind, chain: CapabilityChain| Ok((kind, json!(json), self::chain(&chain), Some(chain)));
    if json.as_array().is_some() {
        return with_chain("capability chain", CapabilityChain::from_json(json)?);
    }
    let object = json.as_object().ok_or_else(|| FormatError::Document("it is no object or array".into()))?;
    let body = object.get("body").and_then(Json::as_object).unwrap_or(object);
    let bytes = json.to_canonical_bytes();
    match body.get("schema").and_then(Json::as_str) {
        Some(CAPABILITY_SCHEMA) => {
            with_chain("capability token", CapabilityChain::root(CapabilityToken::from_json(json)?))
        }
        Some(DPOP_SCHEMA) => shown("proof of possession", proof(&DpopProof::parse(&bytes)?)),
        Some(RECEIPT_SCHEMA) => {
            Receipt::parse(&bytes)?;
            shown("receipt", members(body.iter()))
        }
        Some(other) => Err(FormatError::Schema { expected: "chio.….v1", found: excerpt(other) }),
        None => signed_call(object, json),
    }
}

fn signed_call(object: &canonical::Object, json: &Json) -> Result<Shown, FormatError> {
    let unknown = || FormatError::Document("it is no document of this protocol: it has no `schema`".into());
    let capability = object.get("capability").ok_or_else(unknown)?;
    let name = |member: &str| object.get(member).and_then(Json::as_str).map(excerpt).unwrap_or_default();
    let mut text = format!("  calls       {}/{}\n", name("tool_server"), name("tool_name"));
    let capability = CapabilityChain::from_json(capability)?;
    text.push_str(&chain(&capability));
    if let Some(presented) = object.get("proof") {
        text.push_str(&proof(&DpopProof::parse(&presented.to_canonical_bytes())?));
    }
    Ok(("signed call", json!(json), text, Some(capability)))
}

/// A chain hop by hop, and what is left at its end.
fn chain(chain: &CapabilityChain) -> String {
    format!("{}\n{}", review::chain(chain, width()), review::allows(&Review::of(chain), width()))
}

fn proof(proof: &DpopProof) -> String {
    let body = &proof.body;
    let mut text = format!("{BOLD}proof{RESET}\n");
    for (name, value) in [
        ("calls", format!("{}/{}", excerpt(&body.tool_server), excerpt(&body.tool_name))),
        ("capability", excerpt(&body.capability_id)),
        ("arguments", excerpt(&body.action_hash)),
        ("signed at", time(body.issued_at)),
        ("signed by", body.agent_key.to_string()),
        ("nonce", excerpt(&body.nonce)),
    ] {
        let _ = writeln!(text, "  {name:<11} {value}");
    }
    text
}

pub(super) fn members<'a>(members: impl Iterator<Item = (&'a str, &'a Json)>) -> String {
    let mut text = String::new();
    for (name, value) in members {
        let value = match value {
            Json::String(value) => printable(value),
            Json::Number(number) if name == "at" => {
                let seconds = number.to_integer().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
                format!("{seconds}, {}", time(seconds))
            }
            other => printable(&String::from_utf8_lossy(&other.to_canonical_bytes())),
        };
        let _ = writeln!(text, "  {name:<13} {value}");
    }
    text
}
