//! Public keys, signatures, and the keys that make them. Their text forms: `docs/protocol.md`.
//!
//! Ed25519 verification is strict: keys and nonce points of small order and encodings that are not canonical are
//! refused. An ECDSA signature with a high `s` verifies, because WebCrypto and hardware keystores make them; those
//! made here are low. Two different signatures can therefore be valid for one message: **nothing is ever keyed on
//! the bytes of a signature**, and [`Signature`] has no `Hash` and no order.

mod ed25519;

mod nist;

#[cfg(feature = "aws-lc")]
mod aws_lc;

mod keypair;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical::canonical_json_bytes;
use crate::digest::in_lower_hex;
use crate::error::{FormatError, SignError};

pub use self::ed25519::Ed25519Backend;
pub use self::keypair::{Keypair, random_hex};
pub use self::nist::{P256Backend, P384Backend};

/// What verifies and signs P-256 and P-384 in this build.
pub const NIST_PROVIDER: &str = if cfg!(feature = "aws-lc") { "AWS-LC" } else { "RustCrypto" };

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), verified strictly.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
    /// ECDSA over P-384 with SHA-384.
    P384,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::P256, Self::P384];

    /// What precedes the hex digits in text.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Ed25519 => "",
            Self::P256 => "p256:",
            Self::P384 => "p384:",
        }
    }

    /// Splits a text into its algorithm and its hex digits.
    fn of_text(text: &str) -> (Self, &str) {
        [Self::P256, Self::P384]
            .into_iter()
            .find_map(|algorithm| Some((algorithm, text.strip_prefix(algorithm.prefix())?)))
            .unwrap_or((Self::Ed25519, text))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ed25519 { "ed25519" } else { self.prefix().trim_end_matches(':') })
    }
}

/// A public key as it is written. One key has one text.
///
/// Reading one checks its form. That it is a usable point (on the curve, not of small order) is checked where it
/// is put to use, by [`PublicKey::prepare`], because a call whose chain is cached needs no second look at it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl PublicKey {
    fn from_bytes(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, FormatError> {
        let fits = match algorithm {
            Algorithm::Ed25519 => bytes.len() == 32,
            Algorithm::P256 => bytes.len() == 65 && bytes.first() == Some(&4),
            Algorithm::P384 => bytes.len() == 97 && bytes.first() == Some(&4),
        };
        fits.then_some(Self { algorithm, bytes }).ok_or(FormatError::PublicKey(
            "64 lower-case hex digits (Ed25519), or `p256:` or `p384:` and an uncompressed point in lower-case hex",
        ))
    }

    /// The algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes: 32 of Ed25519, or an uncompressed SEC1 point.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the key for verification.
    /// Fails where it is not a point of its curve, is not canonically encoded or, for Ed25519, is of small order.
    pub fn prepare(&self) -> Result<PreparedKey, FormatError> {
        Ok(PreparedKey(match self.algorithm {
            Algorithm::Ed25519 => Prepared::Ed25519(ed25519::prepare(&self.bytes)?),
            Algorithm::P256 => Prepared::P256(nist::p256::Verifier::new(&self.bytes)?),
            Algorithm::P384 => Prepared::P384(nist::p384::Verifier::new(&self.bytes)?),
        }))
    }

    /// Whether `signature` is this key's over `message`. `false` for an unusable key or another algorithm.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.prepare().is_ok_and(|key| key.verify(message, signature))
    }
}

/// A public key decoded for verification.
#[derive(Clone)]
pub struct PreparedKey(Prepared);

#[derive(Clone)]
enum Prepared {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(nist::p256::Verifier),
    P384(nist::p384::Verifier),
}

impl PreparedKey {
    /// Whether `signature` is this key's over `message`. `false` for a signature of another algorithm.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let bytes = &signature.bytes;
        match (&self.0, signature.algorithm) {
            (Prepared::Ed25519(key), Algorithm::Ed25519) => ed25519::verify(key, message, bytes),
            (Prepared::P256(key), Algorithm::P256) => key.verify(message, bytes),
            (Prepared::P384(key), Algorithm::P384) => key.verify(message, bytes),
            _ => false,
        }
    }
}

/// A signature as it is written.
/// It compares by its bytes, which says whether two texts are the same and nothing about validity.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Signature {
    /// The longest DER signature: a sequence of two integers, each with a sign byte, for P-384.
    const MAX_DER: usize = 104;

    /// What stands in for a signature that has not been made.
    pub(crate) fn none() -> Self {
        Self { algorithm: Algorithm::Ed25519, bytes: Vec::new() }
    }

    /// The algorithm it claims.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes: 64 of Ed25519, or DER.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A signature of that algorithm from its raw bytes, for a [`SigningBackend`] of your own.
    /// Fails where the length is none a signature of that algorithm can have.
    pub fn from_bytes(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, FormatError> {
        let fits = match algorithm {
            Algorithm::Ed25519 => bytes.len() == 64,
            Algorithm::P256 | Algorithm::P384 => (8..=Self::MAX_DER).contains(&bytes.len()),
        };
        fits.then_some(Self { algorithm, bytes }).ok_or(FormatError::Signature(
            "128 lower-case hex digits (Ed25519), or `p256:` or `p384:` and DER in lower-case hex",
        ))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.algorithm())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! prefixed_hex {
    ($($text:ty)*) => {$(
        impl fmt::Display for $text {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.algorithm.prefix())?;
                in_lower_hex(&self.bytes, |text| f.write_str(text))
            }
        }

        impl FromStr for $text {
            type Err = FormatError;

            fn from_str(text: &str) -> Result<Self, FormatError> {
                let (algorithm, digits) = Algorithm::of_text(text);
                // What is not hex, or too long to be any, has no bytes: and so not the right number of them.
                let digits = Some(digits).filter(|digits| digits.len() <= 256).unwrap_or_default();
                Self::from_bytes(algorithm, base16ct::lower::decode_vec(digits).unwrap_or_default())
            }
        }

        impl Serialize for $text {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.algorithm {
                    Algorithm::Ed25519 => in_lower_hex(&self.bytes, |text| serializer.serialize_str(text)),
                    _ => serializer.collect_str(self),
                }
            }
        }

        impl<'de> Deserialize<'de> for $text {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

prefixed_hex!(PublicKey Signature);

/// A key that signs, wherever it lives: in this process, an HSM, an agent process, a cloud KMS.
pub trait SigningBackend: Send + Sync {
    /// The algorithm of the key.
    fn algorithm(&self) -> Algorithm;

    /// Its public half.
    fn public_key(&self) -> PublicKey;

    /// Signs a message. The message is not hashed beforehand.
    /// Fails where the key, or the device that holds it, refuses.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;
}

/// Signs the RFC 8785 bytes of a value; returns the signature and the bytes it covers.
/// Fails where the value has no canonical form or the key refuses.
pub fn sign_canonical_with_backend<T: Serialize + ?Sized>(
    backend: &dyn SigningBackend,
    value: &T,
) -> Result<(Signature, Vec<u8>), SignError> {
    let bytes = canonical_json_bytes(value)?;
    Ok((backend.sign(&bytes)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_signature_have_one_text_of_one_length() {
        for (algorithm, name) in Algorithm::ALL.into_iter().zip(["ed25519", "p256", "p384"]) {
            assert_eq!(algorithm.to_string(), name);
        }
        let of = |prefix: &str, first: u8, bytes: usize| {
            let digits = base16ct::lower::encode_string(&[&[first], &*vec![0xab; bytes - 1]].concat());
            format!("{prefix}{digits}").parse::<PublicKey>()
        };
        for (prefix, first, bytes) in [("", 1, 32), ("p256:", 4, 65), ("p384:", 4, 97)] {
            let key = of(prefix, first, bytes).unwrap();
            assert_eq!((key.as_bytes()[0], key.as_bytes().len()), (first, bytes));
            assert_eq!(key.to_string().parse(), Ok(key.clone()));
            assert_eq!(format!("{key:?}"), key.to_string());
            assert!(of(prefix, first, bytes + 1).is_err() && of(prefix, first, bytes - 1).is_err());
            assert!(prefix.is_empty() || of(prefix, 2, bytes).is_err(), "{prefix} compressed");
            assert!(key.to_string().to_uppercase().parse::<PublicKey>().is_err());
        }
        let signature = |algorithm, bytes| Signature::from_bytes(algorithm, vec![7; bytes]);
        for (algorithm, least, most) in
            [(Algorithm::Ed25519, 64, 64), (Algorithm::P256, 8, 104), (Algorithm::P384, 8, 104)]
        {
            for bytes in [least, most] {
                let signature = signature(algorithm, bytes).unwrap();
                assert_eq!((signature.as_bytes(), signature.algorithm()), (&*vec![7; bytes], algorithm));
                assert_eq!(signature.to_string().parse(), Ok(signature.clone()));
                assert_eq!(format!("{signature:?}"), format!("Signature({algorithm})"));
            }
            assert!(signature(algorithm, least - 1).is_err() && signature(algorithm, most + 1).is_err());
        }
    }
}
