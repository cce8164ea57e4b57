//! SHA-256 digests, and the arguments of a call with theirs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::canonical::{self, Json, Limits};
use crate::error::{FormatError, JsonError, JsonErrorKind};

/// A SHA-256 digest; in text, 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several parts, each preceded by its length, so that no part can borrow from its neighbour.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Exactly `N` bytes from lower-case hex, and from nothing else.
pub(crate) fn from_lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let read = base16ct::lower::decode(text, &mut bytes).is_ok_and(|read| read.len() == N);
    read.then_some(bytes)
}

/// What `then` makes of at most 104 bytes in lower-case hex: as many as the longest signature has.
pub(crate) fn in_lower_hex<T>(bytes: &[u8], then: impl FnOnce(&str) -> T) -> T {
    let mut text = [0; 208];
    then(base16ct::lower::encode_str(bytes, &mut text).unwrap_or_default())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_lower_hex(&self.0, |text| f.write_str(text))
    }
}

impl FromStr for Digest {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        from_lower_hex(text).map(Self).ok_or(FormatError::Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        in_lower_hex(&self.0, |text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The arguments of a call: a JSON object in canonical form, and the digest that a proof binds. The tool server is given
/// these very bytes, so that it cannot read another thing than what was decided on. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments {
    canonical: Vec<u8>,
    digest: Digest,
    /// Of short arguments the value is made while they are read: nearly every grant asks for it.
    value: Option<Json>,
}

/// Up to how many bytes arguments are short.
const SHORT: usize = 16 << 10;

impl Arguments {
    /// The longest arguments that are read by default, in bytes: 1 MiB.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads arguments from strict JSON.
    /// Fails where the text is not strict JSON within the limits, or not an object.
    pub fn parse(text: &[u8], limits: Limits) -> Result<Self, JsonError> {
        let (value, canonical) = match text.len() {
            ..=SHORT => canonical::parse_canonical(text, limits).map(|(value, text)| (Some(value), text))?,
            _ => (None, canonical::canonicalize(text, limits)?),
        };
        let canonical = canonical.into_owned();
        if canonical.len() > limits.bytes {
            return Err(JsonError::new(limits.bytes, JsonErrorKind::TooLarge { limit: limits.bytes }));
        }
        if canonical.first() != Some(&b'{') {
            return Err(JsonError::new(0, JsonErrorKind::NotJson("arguments are a JSON object".into())));
        }
        let digest = Digest::of(&canonical);
        Ok(Self { canonical, digest, value })
    }

    /// Arguments from any value that serialises to a JSON object.
    /// Fails where the value has no strict JSON form, is not an object, or is longer than [`Self::MAX_BYTES`].
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        Self::parse(&canonical::canonical_json_bytes(value)?, Limits::bytes(Self::MAX_BYTES))
    }

    /// The RFC 8785 bytes.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The `action_hash` of a proof: the digest of the RFC 8785 bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The arguments as a value to look into.
    pub fn to_json(&self) -> Cow<'_, Json> {
        // The bytes were read within the limits before; were they not, `null` satisfies no grant.
        let read = || canonical::parse(&self.canonical, Limits::bytes(self.canonical.len())).unwrap_or(Json::Null);
        self.value.as_ref().map_or_else(|| Cow::Owned(read()), Cow::Borrowed)
    }

    /// The arguments as a type of the tool's own.
    /// Fails where the type wants other members or other types than there are. The text names no argument value.
    pub fn deserialize<T: for<'de> Deserialize<'de>>(&self) -> Result<T, FormatError> {
        // Members that serde_json takes for something else, where any crate of the build has switched that on.
        if self.canonical.windows(21).any(|window| window == b"$serde_json::private:") {
            return Err(FormatError::Document("the arguments name what is private to serde_json".into()));
        }
        serde_json::from_slice(&self.canonical).map_err(|error| {
            FormatError::Document(format!("the arguments do not fit the tool (column {})", error.column()))
        })
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments({} bytes, {})", self.canonical.len(), self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_text() {
        // FIPS 180-4: the digest of `abc`.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(digest.as_bytes().first_chunk(), Some(&[0xba, 0x78, 0x16, 0xbf]));
        for wrong in [text.to_uppercase(), text[1..].to_owned(), format!("{text}00"), text.replace('b', "g")] {
            assert_eq!(wrong.parse::<Digest>(), Err(FormatError::Digest), "{wrong}");
        }
        assert_ne!(Digest::of_parts(&[b"a", b"bc"]), Digest::of_parts(&[b"ab", b"c"]));
    }

    #[test]
    fn arguments_are_an_object_within_the_limits_even_in_canonical_form() {
        let read = |text: &str, bytes| Arguments::parse(text.as_bytes(), Limits::bytes(bytes));
        let arguments = read(r#"{"b": 1, "a": [2]}"#, 100).unwrap();
        assert_eq!(arguments.canonical(), br#"{"a":[2],"b":1}"#);
        assert_eq!(arguments.digest(), Digest::of(arguments.canonical()));
        assert_eq!(format!("{arguments:?}"), format!("Arguments(15 bytes, {})", arguments.digest()));
        for text in ["[]", "1", "null", "\"{}\""] {
            assert!(matches!(read(text, 100).unwrap_err().kind, JsonErrorKind::NotJson(_)), "{text}");
        }
        // Two bytes as it is sent, three as RFC 8785 writes it.
        let longer = "{\"a\":\"\u{1}\"}".replace('\u{1}', "\\u0001");
        assert!(read(&longer, longer.len()).is_ok());
        let number = r#"{"a":1e20}"#.replace("1e20", "1e-5");
        assert_eq!(read(&number, 13).unwrap().canonical().len(), 13);
        assert_eq!(read(&number, 12).unwrap_err().kind, JsonErrorKind::TooLarge { limit: 12 });
    }

    #[test]
    #[cfg_attr(miri, ignore = "megabytes take minutes under Miri")]
    fn short_and_long_arguments_have_the_same_value() {
        for bytes in [SHORT - 20, SHORT, SHORT + 1, SHORT + 20] {
            let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
            let arguments = Arguments::parse(text.as_bytes(), Limits::bytes(Arguments::MAX_BYTES)).unwrap();
            assert_eq!(arguments.value.is_some(), bytes <= SHORT);
            assert_eq!(*arguments.to_json(), canonical::parse(text.as_bytes(), Limits::bytes(1 << 20)).unwrap());
        }
        assert_eq!(Arguments::MAX_BYTES, 1_048_576);
        assert!(Arguments::from_value(&serde_json::json!({"a": "x".repeat((1 << 20) - 8)})).is_ok());
        assert!(Arguments::from_value(&serde_json::json!({"a": "x".repeat((1 << 20) - 7)})).is_err());
    }
}
