//! Ed25519, verified strictly.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::{Algorithm, PublicKey, Signature, SigningBackend};
use crate::error::{FormatError, SignError};

/// Decodes a key. `verify_strict` refuses keys of small order again; here it is said which key it is.
pub(super) fn prepare(bytes: &[u8]) -> Result<VerifyingKey, FormatError> {
    let bytes = bytes.try_into().map_err(|_| FormatError::PublicKey("an Ed25519 key has 32 bytes"))?;
    if !is_canonical(bytes) {
        return Err(FormatError::PublicKey("an Ed25519 key that is not canonically encoded"));
    }
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| FormatError::PublicKey("not a point of Ed25519"))?;
    if key.is_weak() {
        return Err(FormatError::PublicKey("an Ed25519 key of small order, which verifies forged signatures"));
    }
    Ok(key)
}

/// Whether the encoded y is below p = 2^255−19 (RFC 8032, section 5.1.3). The other non-canonical encodings, a
/// sign bit on x = 0, are of points of small order.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    if let Some(top) = y.last_mut() {
        *top &= 0x7f;
    }
    let [low, middle @ .., top] = y;
    top != 0x7f || middle.iter().any(|byte| *byte != 0xff) || low < 0xed
}

pub(super) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    ed25519_dalek::Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// An Ed25519 signing key in memory, zeroized when dropped.
#[derive(Clone)]
pub struct Ed25519Backend(SigningKey);

impl Ed25519Backend {
    /// The key of this seed. The seed is the whole secret: 32 bytes from a good random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    #[cfg(feature = "os")]
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        use ed25519_dalek::pkcs8::DecodePrivateKey as _;
        SigningKey::from_pkcs8_pem(pem).ok().map(Self)
    }

    /// PKCS#8 version 1, without the public key: OpenSSL reads no other.
    #[cfg(feature = "os")]
    pub(super) fn to_pem(&self) -> Option<zeroize::Zeroizing<String>> {
        use ed25519_dalek::pkcs8::{EncodePrivateKey as _, KeypairBytes};
        KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }.to_pkcs8_pem(pkcs8::LineEnding::LF).ok()
    }
}

impl SigningBackend for Ed25519Backend {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_key(&self) -> PublicKey {
        PublicKey { algorithm: Algorithm::Ed25519, bytes: self.0.verifying_key().to_bytes().to_vec() }
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.0.try_sign(message).map_err(|_| SignError::Backend("Ed25519 signing failed".into()))?;
        Ok(Signature { algorithm: Algorithm::Ed25519, bytes: signature.to_vec() })
    }
}

impl fmt::Debug for Ed25519Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Backend({})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p + 2 to p + 18 are second texts of points that have another one already.
    #[test]
    fn a_key_has_one_text() {
        let mut usable = 0;
        for low in 0xef..=0xff {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            usable += usize::from(VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()));
            assert!(prepare(&bytes).is_err(), "{low:x}");
            bytes[31] = 0xff;
            assert!(prepare(&bytes).is_err(), "{low:x}, with the sign bit");
        }
        assert!(usable > 0, "some of them would verify signatures");
        let mut largest = [0xff; 32];
        (largest[0], largest[31]) = (0xec, 0x7f);
        assert!(is_canonical(&largest), "p − 1 is canonical");
        largest[0] = 0xed;
        assert!(!is_canonical(&largest), "p is 0 written otherwise");
        (largest[0], largest[7]) = (0xff, 0xfe);
        assert!(is_canonical(&largest), "it is below p in its eighth byte");
    }
}
