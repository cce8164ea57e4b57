//! What is wrong with a text, and where.

use std::fmt;

/// A text that is not the strict JSON this protocol reads.
/// Neither the text nor any part of it is kept: the error may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte offset at which reading stopped, counted from 0.
    pub at: usize,
    /// What was found there.
    pub kind: JsonErrorKind,
}

macro_rules! told {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident $(($inner:ident: $type:ty))? $({ $($field:ident: $of:ty),* })? = $($told:expr),+;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = concat!($($told, " "),+)]
                #[allow(missing_docs)] // a field is named for what it is, and shown by Display
                $variant $(($type))? $({ $($field: $of),* })?,
            )*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant $(($inner))? $({ $($field),* })? => write!(f, $($told),+),)* }
            }
        }

        impl std::error::Error for $name {}
    };
}

told! {
    /// The ways in which a text fails to be strict JSON.
    pub enum JsonErrorKind {
        TooLarge { limit: usize } = "the text is longer than {limit} bytes";
        TooDeep { limit: usize } = "nested deeper than {limit} levels";
        NotUtf8 = "the text is not UTF-8";
        UnexpectedEnd = "the text ends inside a value";
        UnexpectedByte = "this is not JSON";
        TrailingData = "something follows the value";
        ControlCharacter = "an unescaped control character in a string";
        InvalidEscape = "a backslash that starts no JSON escape";
        LoneSurrogate = "half of a surrogate pair";
        InvalidNumber = "not a JSON number";
        IntegerOutOfRange = "an integer beyond ±9007199254740991 (2^53−1)";
        NumberOverflow = "a number too large for a double";
        NumberLosesDigits = "a number with digits that a double cannot keep";
        DuplicateMember = "a member is named twice";
        NotJson(what: String) = "{what}";
    }
}

told! {
    /// A text that is JSON but not the document it should be, or not the text of a key or a signature.
    pub enum FormatError {
        Json(error: JsonError) = "{error}";
        Document(what: String) = "{what}";
        Schema { expected: &'static str, found: String } = "schema `{found}` where `{expected}` is read";
        PublicKey(why: &'static str) = "not a public key: {why}";
        Signature(why: &'static str) = "not a signature: {why}";
        Digest = "not a digest: 64 lower-case hex digits are expected";
        PrivateKey(why: &'static str) = "not a private key: {why}";
    }
}

told! {
    /// A signature could not be made.
    pub enum SignError {
        Json(error: JsonError) = "cannot be signed: {error}";
        Document(what: String) = "cannot be signed: {what}";
        Backend(why: String) = "the signing key failed: {why}";
    }
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

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.kind)
    }
}

impl std::error::Error for JsonError {}

impl From<JsonError> for FormatError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl From<JsonError> for SignError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// At most the first 64 bytes of a text that a stranger wrote, printable, for messages and receipts.
///
/// Control characters, and those that change how a line is shown, become `?`: nobody writes to a log or a terminal
/// through it.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.len() <= LONGEST && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let c = if c.is_control() || reorders { '?' } else { c };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_by_byte_line_and_column() {
        for (at, place) in
            [(0, (1, 1)), (1, (1, 2)), (2, (1, 3)), (3, (2, 1)), (5, (2, 3)), (6, (3, 1)), (7, (3, 2)), (99, (3, 2))]
        {
            let error = JsonError::new(at, JsonErrorKind::DuplicateMember);
            assert_eq!(error.line_column(b"ab\ncd\ne"), place, "{at}");
            assert_eq!(error.to_string(), format!("byte {at}: {}", JsonErrorKind::DuplicateMember));
        }
    }

    #[test]
    fn an_excerpt_is_short_and_writes_nothing_but_characters() {
        let long = "x".repeat(64);
        for (text, expected) in [
            ("", ""),
            ("files_server", "files_server"),
            (&long, &*long),
            (&"x".repeat(65), &*long),
            (&"é".repeat(40), &*"é".repeat(32)),
            (&format!("{}é", "x".repeat(63)), &*"x".repeat(63)),
            ("a\nb\u{1b}[1mé", "a?b?[1mé"),
            ("\u{61c}\u{200e}\u{200f}\u{feff}\u{2028}\u{202e}\u{2066}\u{2069}", "????????"),
        ] {
            assert_eq!(excerpt(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_document_lacks_is_told_without_its_values() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(rename = "number")]
            _number: u8,
        }
        for (text, told) in [
            (r#"{"number":"secret"}"#, "expected u8 (byte 18)"),
            (r#"{"number":300}"#, "expected u8 (byte 13)"),
            ("{}", "missing field `number` (byte 2)"),
            (r#"{"other":1}"#, "unknown field `other`, expected `number` (byte 8)"),
        ] {
            let error = serde_json::from_str::<Document>(text).unwrap_err();
            assert_eq!(document_error(&error), FormatError::Document(told.to_owned()));
        }
        let error = serde_json::from_value::<Document>(serde_json::json!({"number": "secret"})).unwrap_err();
        assert_eq!(document_error(&error), FormatError::Document("expected u8".to_owned()));
    }
}
