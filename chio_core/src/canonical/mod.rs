//! Strict JSON in, RFC 8785 bytes out.
//!
//! Two programs that read one text must read the same thing, or what was signed is not what is done.
//! So everything on which JSON readers differ is refused: duplicate members, lone surrogates, integers
//! beyond ±(2^53−1), numbers that a double cannot hold, deep nesting, anything after the value. What
//! is left has exactly one meaning and, by RFC 8785, exactly one canonical text.
//!
//! Reading is iterative, so a hostile text cannot exhaust the stack. A [`Json`] value holds the rules
//! by construction: its numbers are finite, its objects are sorted and free of duplicates.

mod number;

mod value;

pub mod lexer;

mod parse;

mod write;

mod serialize;

use std::borrow::Cow;

use serde::Serialize;

use crate::error::JsonError;

pub(crate) use self::serialize::to_text as ordered_json_bytes;
pub use self::value::{Json, Number, Object};

/// The largest integer that is read, in magnitude: 2^53−1.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// The deepest nesting of arrays and objects that is read by default.
pub const MAX_DEPTH: usize = 64;

/// How much of a text is read before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub bytes: usize,
    /// The deepest nesting of arrays and objects. A scalar has depth 0, `[]` depth 1. At most
    /// [`MAX_DEPTH`]: a higher limit is taken for that one, so that no value can exhaust the stack later.
    pub depth: usize,
}

impl Limits {
    /// A limit of `bytes` and the default depth.
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, depth: MAX_DEPTH }
    }
}

/// Reads one strict JSON value.
/// Fails with a [`JsonError`] that names the byte at which the text stops being strict JSON.
pub fn parse(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    parse::parse(text, limits).map(|(value, _)| value)
}

/// Reads one strict JSON value, and gives its RFC 8785 form too, as [`canonicalize`] does.
/// Fails as [`parse()`].
pub fn parse_canonical(text: &[u8], limits: Limits) -> Result<(Json, Cow<'_, [u8]>), JsonError> {
    let (value, is_canonical) = parse::parse(text, limits)?;
    let canonical = if is_canonical { Cow::Borrowed(text) } else { Cow::Owned(value.to_canonical_bytes()) };
    Ok((value, canonical))
}

/// The RFC 8785 form of a strict JSON text. A text that already is in that form is returned as it is.
/// Fails with a [`JsonError`] that names the byte at which the text stops being strict JSON.
pub fn canonicalize(text: &[u8], limits: Limits) -> Result<Cow<'_, [u8]>, JsonError> {
    if is_canonical(text, limits) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(parse(text, limits)?.to_canonical_bytes()))
}

/// Whether a text is strict JSON, within the limits and already in RFC 8785 form: one pass, nothing built.
pub fn is_canonical(text: &[u8], limits: Limits) -> bool {
    parse::is_canonical(text, limits)
}

/// The RFC 8785 bytes of any serialisable value.
/// Fails where a value has no strict JSON form: a NaN or an infinity, an integer beyond ±(2^53−1), a
/// map key that is no string, a member named twice, nesting deeper than [`MAX_DEPTH`].
pub fn canonical_json_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let text = serialize::to_text(value)?;
    Ok(if is_canonical(&text, UNLIMITED) { text } else { read_back(&text)?.to_canonical_bytes() })
}

/// Any serialisable value as strict JSON.
/// Fails as [`canonical_json_bytes`].
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Json, JsonError> {
    read_back(&serialize::to_text(value)?)
}

const UNLIMITED: Limits = Limits::bytes(usize::MAX);

/// Nobody has seen this text, so an error names no place in it.
fn read_back(text: &[u8]) -> Result<Json, JsonError> {
    parse(text, UNLIMITED).map_err(|error| JsonError::new(0, error.kind))
}
