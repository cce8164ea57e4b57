//! Any text, against serde_json and serde_json_canonicalizer.

use std::borrow::Cow;

use chio_core::canonical::{self, Json, Limits};
use chio_core::digest::{Arguments, Digest};
use chio_core::error::{JsonError, JsonErrorKind};
use serde_json::Value;

use crate::reading::Reading;

const LIMITS: Limits = Limits::bytes(1 << 20);

pub fn check(text: &[u8]) {
    let theirs = Reading::of(text);
    let parsed = canonical::parse(text, LIMITS);
    match (&parsed, theirs) {
        (Ok(json), Some(theirs)) => accepted(text, json, &theirs),
        (Ok(_), None) => panic!("accepted, and serde_json refuses it"),
        (Err(error), theirs) => refused(text, error, theirs.as_ref()),
    }

    // White space before and after it changes nothing; only the place of an error moves.
    let moved = canonical::parse(&[b" ", text].concat(), LIMITS);
    assert_eq!(moved, parsed.clone().map_err(|error| JsonError { at: error.at + 1, ..error }), "a space before it");
    let after = canonical::parse(&[text, b"\n"].concat(), LIMITS);
    assert_eq!(after.ok(), parsed.ok(), "a newline after it");
}

fn accepted(text: &[u8], json: &Json, theirs: &Reading) {
    let written = json.to_canonical_bytes();

    // Everybody reads the same value, and writes the same text.
    assert!(!theirs.duplicate && !theirs.vague, "accepted: {theirs:?}");
    assert!(is_same(json, &theirs.value), "another value than serde_json's");
    assert_eq!(theirs.canonical(), written, "serde_json_canonicalizer writes another text");
    assert_eq!(canonical::to_json(&theirs.value).as_ref(), Ok(json));
    assert_eq!(canonical::canonical_json_bytes(json).as_ref(), Ok(&written));
    let plain = serde_json::to_vec(json).unwrap();
    assert_eq!(canonical::parse(&plain, LIMITS).as_ref(), Ok(json), "as serde_json writes it");

    if let (Json::Number(number), Ok(text)) = (json, std::str::from_utf8(text)) {
        keeps_its_digits(text.trim(), number.get(), std::str::from_utf8(&written).unwrap());
    }

    // The text is a fixpoint, and the recogniser knows exactly the fixpoints.
    assert_eq!(canonical::parse(&written, LIMITS).as_ref(), Ok(json), "the canonical text is another value");
    for text in [text, &written] {
        assert_eq!(canonical::is_canonical(text, LIMITS), text == written);
        match canonical::canonicalize(text, LIMITS).unwrap() {
            Cow::Borrowed(same) => assert!(same == written && text == written),
            Cow::Owned(made) => assert!(made == written && text != written),
        }
    }

    // The limits are exact.
    assert!(theirs.depth <= canonical::MAX_DEPTH);
    let with = |bytes, depth| {
        let limits = Limits { bytes, depth };
        (canonical::parse(text, limits).map(drop).map_err(|error| error.kind), canonical::is_canonical(text, limits))
    };
    let is_canonical = text == written;
    assert_eq!(with(text.len(), theirs.depth), (Ok(()), is_canonical));
    if let Some(limit) = theirs.depth.checked_sub(1) {
        assert_eq!(with(text.len(), limit), (Err(JsonErrorKind::TooDeep { limit }), false));
    }
    let limit = text.len() - 1;
    assert_eq!(with(limit, theirs.depth), (Err(JsonErrorKind::TooLarge { limit }), false));

    // As the arguments of a call.
    match Arguments::parse(text, LIMITS) {
        Ok(arguments) => {
            assert!(matches!(json, Json::Object(_)));
            assert_eq!(arguments.canonical(), written);
            assert_eq!(arguments.digest(), Digest::of(&written));
            assert_eq!(&*arguments.to_json(), json);
            let private = written.windows(21).any(|window| window == b"$serde_json::private:");
            match arguments.deserialize::<Value>() {
                Ok(value) => assert!(is_same(json, &value) && !private),
                Err(_) => assert!(private),
            }
        }
        Err(error) => {
            // A number may be written longer than it came; nothing else grows.
            let too_large = matches!(error.kind, JsonErrorKind::TooLarge { .. }) && written.len() > LIMITS.bytes;
            assert!(too_large || !matches!(json, Json::Object(_)), "{error}");
        }
    }
}

/// A literal says nothing that the double does not: beyond seventeen digits, or below the normal doubles, it is written
/// with the same ones; and no fraction is rounded away.
fn keeps_its_digits(literal: &str, number: f64, written: &str) {
    let (digits, same) = (digits(literal), digits(literal) == digits(written));
    assert!(digits.len() <= 17 || same, "{literal} is {written}");
    assert!(number.abs() >= f64::MIN_POSITIVE || same, "{literal} is {written}");
    let has_fraction =
        literal.split_once('.').is_some_and(|(_, fraction)| fraction.contains(|c| matches!(c, '1'..='9')));
    assert!(literal.contains(['e', 'E']) || has_fraction == (number.fract() != 0.0), "{literal} is {written}");
}

/// The significant digits of a literal.
fn digits(literal: &str) -> String {
    let mantissa = literal.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

fn refused(text: &[u8], error: &JsonError, theirs: Option<&Reading>) {
    assert_eq!(canonical::canonicalize(text, LIMITS).as_ref(), Err(error));
    assert!(!canonical::is_canonical(text, LIMITS));
    assert_eq!(Arguments::parse(text, LIMITS).as_ref(), Err(error));
    assert!(error.at <= text.len());
    let (line, column) = error.line_column(text);
    assert!(line >= 1 && column >= 1 && line + column <= error.at + 2);

    // What serde_json takes is refused for a reason, and this is it.
    let Some(theirs) = theirs else { return };
    match error.kind {
        JsonErrorKind::DuplicateMember => assert!(theirs.duplicate),
        JsonErrorKind::IntegerOutOfRange => assert!(theirs.large),
        JsonErrorKind::TooDeep { limit } => assert!(theirs.depth > limit && limit == canonical::MAX_DEPTH),
        JsonErrorKind::NumberLosesDigits => assert!(text[error.at..].iter().any(u8::is_ascii_digit)),
        JsonErrorKind::TooLarge { limit } => assert!(text.len() > limit),
        ref other => panic!("refused for `{other}`, and serde_json takes it"),
    }
}

/// Compared member by member, by no code of either side.
fn is_same(json: &Json, value: &Value) -> bool {
    match (json, value) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::Number(a), Value::Number(b)) => Some(a.get()) == b.as_f64(),
        (Json::String(a), Value::String(b)) => a == b,
        (Json::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Json::Object(a), Value::Object(b)) => {
            a.iter().count() == b.len() && b.iter().all(|(name, b)| a.get(name).is_some_and(|a| is_same(a, b)))
        }
        _ => false,
    }
}
