//! Changes to a JSON value and to its text, drawn from a fuzzer's bytes.

use serde_json::{Map, Value, json};

use crate::bytes::Bytes;

/// Names that mean something somewhere in a document, and some that only look like it.
const NAMES: &[&str] = &[
    "path",
    "limit",
    "",
    "Path",
    "pаth",
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
    "arguments",
    "definition",
    "max_invocations",
    "tool_name",
    "tool_server",
    "constraint_type",
    "root",
    "optional",
    "body",
    "action_hash",
    "agent_key",
    "capability_id",
    "nonce",
    "/path",
    "*",
];

/// Values that mean something somewhere in a document.
const VALUES: &[&str] = &[
    "/srv/docs/a.md",
    "/srv/docs/../a",
    "/",
    "read_file",
    "search",
    "files",
    "kernel-a",
    "kernel-b",
    "wildcard",
    "path_containment",
    "exact",
    "chio.capability_token.v1",
    "chio.dpop_proof.v1",
    "chio.dpop_proof.v2",
    "nonce-1",
    "",
];

/// Makes one change somewhere in a value.
pub fn value(bytes: &mut Bytes<'_>, value: &mut Value) {
    let what = bytes.byte();
    let copied = if what % 8 == 7 { walk(bytes, value).clone() } else { Value::Null };
    let node = walk(bytes, value);
    match (what % 8, node) {
        (0, node) => *node = scalar(bytes),
        (1, Value::String(text)) => letter(bytes, text),
        (1, Value::Number(number)) => {
            let changed =
                number.as_u64().map(|number| number.wrapping_add(bytes.number()).wrapping_sub(bytes.number()));
            *number = changed.unwrap_or_default().into();
        }
        (2, Value::Object(object)) => {
            let name = object.keys().nth(bytes.below(object.len())).cloned();
            object.remove(&name.unwrap_or_default());
        }
        (2, Value::Array(items)) if !items.is_empty() => drop(items.remove(bytes.below(items.len()))),
        (3 | 4, Value::Object(object)) => drop(object.insert((*bytes.choose(NAMES)).to_owned(), scalar(bytes))),
        (3, Value::Array(items)) => items.insert(bytes.below(items.len() + 1), scalar(bytes)),
        (4, Value::Array(items)) if !items.is_empty() => {
            let (a, b) = (bytes.below(items.len()), bytes.below(items.len()));
            items.swap(a, b);
        }
        (5, Value::Array(items)) if !items.is_empty() => items.push(items[bytes.below(items.len())].clone()),
        (6, node) => *node = json!([node]),
        (7, node) => *node = copied,
        _ => {}
    }
}

/// Walks down to any place in a value.
fn walk<'v>(bytes: &mut Bytes<'_>, value: &'v mut Value) -> &'v mut Value {
    let mut node = value;
    loop {
        let children = match &*node {
            Value::Array(items) => items.len(),
            Value::Object(object) => object.len(),
            _ => 0,
        };
        // One more, for this very place.
        let at = bytes.below(children + 1);
        if at == children {
            return node;
        }
        node = match node {
            Value::Array(items) => &mut items[at],
            Value::Object(object) => object.values_mut().nth(at).unwrap(),
            _ => return node,
        };
    }
}

fn scalar(bytes: &mut Bytes<'_>) -> Value {
    match bytes.byte() % 8 {
        0 => Value::Null,
        1 => bytes.byte().is_multiple_of(2).into(),
        2 => bytes.number().into(),
        3 => i64::from_ne_bytes(bytes.number().to_ne_bytes()).into(),
        4 => json!({}),
        5 => json!([]),
        6 => String::from_utf8_lossy(bytes.take(8)).into(),
        _ => (*bytes.choose(VALUES)).into(),
    }
}

/// Changes, adds or removes one letter.
fn letter(bytes: &mut Bytes<'_>, text: &mut String) {
    let mut letters: Vec<char> = text.chars().collect();
    let at = bytes.below(letters.len().max(1));
    match (bytes.byte(), letters.get_mut(at)) {
        (0..=63, Some(letter)) => *letter = bytes.byte().into(),
        (64..=127, Some(letter)) => *letter = letter.to_ascii_uppercase(),
        (128..=191, Some(_)) => drop(letters.remove(at)),
        _ => letters.insert(at, bytes.byte().into()),
    }
    *text = letters.into_iter().collect();
}

/// Changes a few bytes of a text.
pub fn text(bytes: &mut Bytes<'_>, text: &mut Vec<u8>) {
    for _ in 0..bytes.below(4) {
        let at = bytes.below(text.len().max(1));
        match (bytes.byte() % 4, text.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << (bytes.byte() % 8),
            (1, Some(byte)) => *byte = bytes.byte(),
            (2, Some(_)) => drop(text.remove(at)),
            _ => text.insert(at.min(text.len()), bytes.byte()),
        }
    }
}

/// How a text is written. None of these but the last changes what it says.
const SPACED: u8 = 1;
const REVERSED: u8 = 2;
const ESCAPED: u8 = 4;
const EXPONENTS: u8 = 8;
const TWICE: u8 = 16;

/// Writes a value as a text that is canonical for style 0 alone.
pub fn write(value: &Value, style: u8) -> Vec<u8> {
    if style.is_multiple_of(32) {
        return serde_json_canonicalizer::to_vec(value).unwrap();
    }
    let mut out = String::new();
    part(value, style, &mut out);
    out.into_bytes()
}

fn part(value: &Value, style: u8, out: &mut String) {
    let space = if style & SPACED != 0 { " \r\n\t" } else { "" };
    out.push_str(space);
    match value {
        Value::String(text) => string(text, style, out),
        Value::Number(number) if style & EXPONENTS != 0 && number.is_u64() => out.push_str(&format!("{number}0.0E-1")),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                part(item, style, out);
            }
            out.push(']');
        }
        Value::Object(object) => members(object, style, out),
        other => out.push_str(&other.to_string()),
    }
    out.push_str(space);
}

fn members(object: &Map<String, Value>, style: u8, out: &mut String) {
    let mut members: Vec<_> = object.iter().collect();
    if style & REVERSED != 0 {
        members.reverse();
    }
    if style & TWICE != 0 {
        members.extend(members.first().copied());
    }
    out.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        string(name, style, out);
        out.push(':');
        part(value, style, out);
    }
    out.push('}');
}

fn string(text: &str, style: u8, out: &mut String) {
    if style & ESCAPED == 0 {
        out.push_str(&Value::from(text).to_string());
        return;
    }
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
    out.push_str(&format!("\"{}\"", units.collect::<String>()));
}
