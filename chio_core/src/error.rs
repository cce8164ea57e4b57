//! What is wrong with a text, and where.

use std::fmt;

/// A text that is not the strict JSON this protocol reads.
///
/// Neither the text nor any part of it is kept: the error may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte offset at which reading stopped, counted from 0.
    pub at: usize,
    /// What was found there.
    pub kind: JsonErrorKind,
}

/// The ways in which a text fails to be strict JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text is longer than `limit` bytes.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Arrays and objects are nested deeper than `limit`.
    TooDeep {
        /// The deepest nesting that is read.
        limit: usize,
    },
    /// The text is not UTF-8.
    NotUtf8,
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A byte that no JSON text has here.
    UnexpectedByte,
    /// Something follows the value.
    TrailingData,
    /// A control character stands unescaped in a string.
    ControlCharacter,
    /// A backslash is followed by something that is not an escape.
    InvalidEscape,
    /// A `\u` escape names half of a surrogate pair.
    LoneSurrogate,
    /// A number is not written as JSON writes numbers.
    InvalidNumber,
    /// An integer lies beyond ±(2^53−1), where doubles skip integers.
    IntegerOutOfRange,
    /// A number is too large for a double.
    NumberOverflow,
    /// A number has digits that a double cannot keep.
    NumberLosesDigits,
    /// An object names a member twice.
    DuplicateMember,
    /// A value has no JSON form: a NaN, bytes as a map key, and the like.
    NotJson(String),
}

impl JsonError {
    pub(crate) fn new(at: usize, kind: JsonErrorKind) -> Self {
        Self { at, kind }
    }

    /// The line and column of the error in `text`, both counted from 1, the column in bytes.
    pub fn line_column(&self, text: &[u8]) -> (usize, usize) {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
        (line, column)
    }
}

impl fmt::Display for JsonErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the text is longer than {limit} bytes"),
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::UnexpectedEnd => f.write_str("the text ends inside a value"),
            Self::UnexpectedByte => f.write_str("this is not JSON"),
            Self::TrailingData => f.write_str("something follows the value"),
            Self::ControlCharacter => f.write_str("an unescaped control character in a string"),
            Self::InvalidEscape => f.write_str("a backslash that starts no JSON escape"),
            Self::LoneSurrogate => f.write_str("half of a surrogate pair"),
            Self::InvalidNumber => f.write_str("not a JSON number"),
            Self::IntegerOutOfRange => f.write_str("an integer beyond ±9007199254740991 (2^53−1)"),
            Self::NumberOverflow => f.write_str("a number too large for a double"),
            Self::NumberLosesDigits => f.write_str("a number with digits that a double cannot keep"),
            Self::DuplicateMember => f.write_str("a member is named twice"),
            Self::NotJson(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.kind)
    }
}

impl std::error::Error for JsonError {}

/// A text that is JSON but not the document it should be, or not the text of a key or a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The text is not strict JSON.
    Json(JsonError),
    /// A member is missing, unknown, of the wrong type or out of range.
    Document(String),
    /// The document has another schema than the one that is read here.
    Schema {
        /// The schema that is read here.
        expected: &'static str,
        /// What the document says, cut to 64 bytes.
        found: String,
    },
    /// Not the text of a public key.
    PublicKey(&'static str),
    /// Not the text of a signature.
    Signature(&'static str),
    /// Not the text of a digest.
    Digest,
    /// Not a private key that can be read.
    PrivateKey(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Document(what) => f.write_str(what),
            Self::Schema { expected, found } => write!(f, "schema `{found}` where `{expected}` is read"),
            Self::PublicKey(why) => write!(f, "not a public key: {why}"),
            Self::Signature(why) => write!(f, "not a signature: {why}"),
            Self::Digest => f.write_str("not a digest: 64 lower-case hex digits are expected"),
            Self::PrivateKey(why) => write!(f, "not a private key: {why}"),
        }
    }
}

impl std::error::Error for FormatError {}

impl From<JsonError> for FormatError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// A signature could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// What was to be signed has no canonical form.
    Json(JsonError),
    /// What was to be signed breaks a rule of its document.
    Document(String),
    /// The key, or the device that holds it, refused.
    Backend(String),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "cannot be signed: {error}"),
            Self::Document(what) => write!(f, "cannot be signed: {what}"),
            Self::Backend(why) => write!(f, "the signing key failed: {why}"),
        }
    }
}

impl std::error::Error for SignError {}

impl From<JsonError> for SignError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// At most the first 64 bytes of a text that a stranger wrote, printable, for messages and receipts.
///
/// Control characters become `?`, so that no log line or terminal can be written to through it.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_control() { '?' } else { c };
        if out.len().saturating_add(c.len_utf8()) > LONGEST {
            break;
        }
        out.push(c);
    }
    out
}

/// What `serde_json` says of a document, without the values it would repeat.
pub(crate) fn document_error(error: &serde_json::Error) -> FormatError {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let told = match what.rsplit_once(", expected ") {
        Some((told, expected)) if told.starts_with("invalid ") => format!("expected {expected}"),
        _ => what.to_owned(),
    };
    let place = if error.line() == 0 { String::new() } else { format!(" (byte {})", error.column()) };
    FormatError::Document(format!("{}{place}", excerpt(&told)))
}
