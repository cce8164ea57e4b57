//! Public keys, signatures, and the keys that make them.
//!
//! | algorithm | public key in text | signature in text |
//! |---|---|---|
//! | Ed25519 | 64 lower-case hex digits | 128 lower-case hex digits |
//! | P-256 | `p256:` and the hex of the uncompressed SEC1 point | `p256:` and the hex of the DER signature |
//! | P-384 | `p384:` and the hex of the uncompressed SEC1 point | `p384:` and the hex of the DER signature |
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
use crate::digest::from_lower_hex;
use crate::error::{FormatError, SignError};

pub use self::ed25519::Ed25519Backend;
pub use self::keypair::Keypair;
#[cfg(feature = "os")]
pub use self::keypair::{RandomError, random_hex};
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
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
            Self::P384 => "p384",
        })
    }
}

/// A public key as it is written. One key has one text.
///
/// Reading one checks its form. That it is a usable point (on the curve, not of small order) is checked where it
/// is put to use, by [`PublicKey::prepare`], because a call whose chain is cached needs no second look at it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(KeyBytes);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum KeyBytes {
    Ed25519([u8; 32]),
    P256([u8; 65]),
    P384([u8; 97]),
}

impl PublicKey {
    /// The algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            KeyBytes::Ed25519(_) => Algorithm::Ed25519,
            KeyBytes::P256(_) => Algorithm::P256,
            KeyBytes::P384(_) => Algorithm::P384,
        }
    }

    /// The raw bytes: 32 of Ed25519, or an uncompressed SEC1 point.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Ed25519(bytes) => bytes,
            KeyBytes::P256(bytes) => bytes,
            KeyBytes::P384(bytes) => bytes,
        }
    }

    /// Decodes the key for verification.
    ///
    /// # Errors
    /// A key that is not a point of its curve, is not canonically encoded or, for Ed25519, is of small order.
    pub fn prepare(&self) -> Result<PreparedKey, FormatError> {
        Ok(PreparedKey(match &self.0 {
            KeyBytes::Ed25519(bytes) => Prepared::Ed25519(ed25519::prepare(bytes)?),
            KeyBytes::P256(bytes) => Prepared::P256(nist::p256::Verifier::new(bytes)?),
            KeyBytes::P384(bytes) => Prepared::P384(nist::p384::Verifier::new(bytes)?),
        }))
    }

    /// Whether `signature` is this key's over `message`. `false` for an unusable key or another algorithm.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.prepare().is_ok_and(|key| key.verify(message, signature))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.algorithm().prefix(), hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (algorithm, digits) = Algorithm::of_text(text);
        let sec1 = |first: Option<&u8>| first == Some(&4);
        let key = match algorithm {
            Algorithm::Ed25519 => from_lower_hex(digits).map(KeyBytes::Ed25519),
            Algorithm::P256 => from_lower_hex(digits).filter(|b| sec1(b.first())).map(KeyBytes::P256),
            Algorithm::P384 => from_lower_hex(digits).filter(|b| sec1(b.first())).map(KeyBytes::P384),
        };
        key.map(Self).ok_or(FormatError::PublicKey(
            "64 lower-case hex digits (Ed25519), or `p256:` or `p384:` and an uncompressed point in lower-case hex",
        ))
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
        match (&self.0, &signature.0) {
            (Prepared::Ed25519(key), SignatureBytes::Ed25519(bytes)) => ed25519::verify(key, message, bytes),
            (Prepared::P256(key), SignatureBytes::P256(der)) => key.verify(message, der),
            (Prepared::P384(key), SignatureBytes::P384(der)) => key.verify(message, der),
            _ => false,
        }
    }
}

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreparedKey")
    }
}

/// A signature as it is written.
///
/// It compares by its bytes, which says whether two texts are the same and nothing about validity.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(SignatureBytes);

#[derive(Clone, PartialEq, Eq)]
enum SignatureBytes {
    Ed25519([u8; 64]),
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl Signature {
    /// The longest DER signature: a sequence of two integers, each with a sign byte, for P-384.
    const MAX_DER: usize = 104;

    /// The algorithm it claims.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            SignatureBytes::Ed25519(_) => Algorithm::Ed25519,
            SignatureBytes::P256(_) => Algorithm::P256,
            SignatureBytes::P384(_) => Algorithm::P384,
        }
    }

    /// The raw bytes: 64 of Ed25519, or DER.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            SignatureBytes::Ed25519(bytes) => bytes,
            SignatureBytes::P256(der) | SignatureBytes::P384(der) => der,
        }
    }

    /// A signature of that algorithm from its raw bytes, for a [`SigningBackend`] of your own.
    ///
    /// # Errors
    /// Where the length is none a signature of that algorithm can have.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, FormatError> {
        let der = || {
            let fits = (8..=Self::MAX_DER).contains(&bytes.len());
            fits.then(|| bytes.to_vec()).ok_or(FormatError::Signature("not the length of a DER signature"))
        };
        Ok(Self(match algorithm {
            Algorithm::Ed25519 => SignatureBytes::Ed25519(
                bytes.try_into().map_err(|_| FormatError::Signature("an Ed25519 signature has 64 bytes"))?,
            ),
            Algorithm::P256 => SignatureBytes::P256(der()?),
            Algorithm::P384 => SignatureBytes::P384(der()?),
        }))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.algorithm().prefix(), hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.algorithm())
    }
}

impl FromStr for Signature {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (algorithm, digits) = Algorithm::of_text(text);
        let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let short = digits.len() <= Self::MAX_DER.saturating_mul(2);
        let bytes = if lower && short { hex::decode(digits).ok() } else { None };
        let bytes = bytes.ok_or(FormatError::Signature("lower-case hex digits are expected"))?;
        Self::from_bytes(algorithm, &bytes)
    }
}

macro_rules! serde_as_text {
    ($($text:ty)*) => {$(
        impl Serialize for $text {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $text {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(PublicKey Signature);

/// A key that signs, wherever it lives: in this process, an HSM, an agent process, a cloud KMS.
pub trait SigningBackend: Send + Sync {
    /// The algorithm of the key.
    fn algorithm(&self) -> Algorithm;

    /// Its public half.
    fn public_key(&self) -> PublicKey;

    /// Signs a message. The message is not hashed beforehand.
    ///
    /// # Errors
    /// Where the key, or the device that holds it, refuses.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;
}

/// Signs the RFC 8785 bytes of a value; returns the signature and the bytes it covers.
///
/// # Errors
/// Where the value has no canonical form or the key refuses.
pub fn sign_canonical_with_backend<T: Serialize + ?Sized>(
    backend: &dyn SigningBackend,
    value: &T,
) -> Result<(Signature, Vec<u8>), SignError> {
    let bytes = canonical_json_bytes(value)?;
    Ok((backend.sign(&bytes)?, bytes))
}
