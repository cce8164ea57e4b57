//! The third stage: the proof that a request was made by the device. Four headers, and a signature over the text of
//! [`SignedRequest`].

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::crypto::{Algorithm, Signature, SigningBackend};
use chio_core::digest::Digest;
use chio_core::error::SignError;
use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::record::DeviceId;
use crate::dpop::ProofError;
use crate::failure::{DeviceError, Failure};
use crate::issuer::MAX_DRIFT_SECS;
use crate::jwk::{Jwk, Verifier};
use crate::jws::{of_raw, to_raw};
use crate::scheme::Presented;
use crate::signed_request::{SignedRequest, is_nonce, seconds, the_header};

/// The first line of what a device signs of a request.
pub const REQUEST_LABEL: &str = "chio-device-request-v1";

/// How old a request may be, in seconds, where nothing else is configured.
pub const DEFAULT_WINDOW_SECS: u64 = 5;

/// How old a request may be at most.
pub const MAX_WINDOW_SECS: u64 = 60;

/// No text of a signature is longer: 72 bytes of DER.
const MAX_SIGNATURE_TEXT: usize = 96;

/// The headers of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// Which device.
    pub device_id: HeaderName,
    /// When, in Unix seconds.
    pub timestamp: HeaderName,
    /// What makes it different from any other.
    pub nonce: HeaderName,
    /// The signature.
    pub signature: HeaderName,
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            device_id: HeaderName::from_static("x-device-id"),
            timestamp: HeaderName::from_static("x-pop-timestamp"),
            nonce: HeaderName::from_static("x-pop-nonce"),
            signature: HeaderName::from_static("x-pop-signature"),
        }
    }
}

impl HeaderNames {
    /// All of them.
    pub fn all(&self) -> [HeaderName; 4] {
        [&self.device_id, &self.timestamp, &self.nonce, &self.signature].map(Clone::clone)
    }

    /// Whether a request has any of them: then it is one that is signed.
    pub(crate) fn are_in(&self, headers: &HeaderMap) -> bool {
        [&self.device_id, &self.timestamp, &self.nonce, &self.signature].iter().any(|name| headers.contains_key(*name))
    }
}

/// What was shown, as it was sent, and what it is to be a proof of.
pub(crate) struct Possession {
    pub(crate) device: DeviceId,
    device_text: String,
    timestamp: String,
    pub(crate) issued_at: u64,
    pub(crate) nonce: String,
    signature: Vec<u8>,
    method: String,
    origin: String,
    target: String,
    token: Digest,
    response_key: String,
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Possession({})", self.device)
    }
}

impl Possession {
    /// Reads the four headers: each has to be there, once.
    pub(crate) fn read(presented: &Presented<'_>, token: Digest, names: &HeaderNames) -> Result<Self, Failure> {
        let one = |name: &HeaderName, what: &'static str| {
            let text =
                the_header(presented.headers, name.as_str(), "a header of the proof is not there once, as a text")?;
            text.ok_or(Failure::Proof(ProofError::Claim(what)))
        };
        let (device, timestamp) = (one(&names.device_id, "device id")?, one(&names.timestamp, "timestamp")?);
        let (nonce, signature) = (one(&names.nonce, "nonce")?, one(&names.signature, "signature")?);
        let issued_at = seconds(timestamp).ok_or(ProofError::Claim("timestamp"))?;
        if !is_nonce(nonce) {
            return Err(ProofError::Claim("nonce").into());
        }
        let bytes = Some(signature).filter(|text| text.len() <= MAX_SIGNATURE_TEXT);
        let bytes = bytes.and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
        let (path, query) = (presented.target.path(), presented.target.query());
        Ok(Self {
            device: DeviceId::parse(device).ok_or(Failure::Device(DeviceError::Unknown))?,
            device_text: device.to_owned(),
            timestamp: timestamp.to_owned(),
            issued_at,
            nonce: nonce.to_owned(),
            signature: bytes.ok_or(ProofError::Claim("signature"))?,
            method: presented.method.to_owned(),
            origin: presented.origin.as_str().to_owned(),
            target: query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")),
            token,
            response_key: presented.response_key.map(|key| key.text.to_owned()).unwrap_or_default(),
        })
    }

    /// Whether it is of now.
    pub(crate) fn check_time(&self, now: u64, window_secs: u64) -> Result<(), ProofError> {
        let (issued_at, max_ahead_secs) = (self.issued_at, window_secs.min(MAX_DRIFT_SECS));
        if issued_at > now.saturating_add(max_ahead_secs) {
            return Err(ProofError::Future { issued_at, now, max_ahead_secs });
        }
        if now > issued_at.saturating_add(window_secs) {
            return Err(ProofError::Stale { issued_at, now, max_age_secs: window_secs });
        }
        Ok(())
    }

    /// Whether this key has signed this request, with this body. Returns the digest of what was signed.
    pub(crate) fn check(&self, key: &Jwk, body: &[u8]) -> Result<Digest, ProofError> {
        let text = SignedRequest {
            label: REQUEST_LABEL,
            method: &self.method,
            origin: &self.origin,
            target: &self.target,
            body: Digest::of(body),
            token: self.token,
            signer: &self.device_text,
            timestamp: &self.timestamp,
            nonce: &self.nonce,
            response_key: &self.response_key,
        }
        .text();
        if !is_signed(key, text.as_bytes(), &self.signature) {
            return Err(ProofError::Signature);
        }
        Ok(Digest::of(text.as_bytes()))
    }
}

/// Whether a key has signed that. Signatures of P-256 have two forms: 64 bytes, as WebCrypto makes them, and DER, as OpenSSL
/// and the keystores of phones do.
pub(crate) fn is_signed(key: &Jwk, message: &[u8], signature: &[u8]) -> bool {
    let Verifier::Core(public, prepared) = &key.verifier else { return false };
    let signature = match public.algorithm() {
        Algorithm::P256 if signature.len() != 64 => Signature::from_bytes(Algorithm::P256, signature.to_vec()).ok(),
        algorithm @ (Algorithm::P256 | Algorithm::Ed25519) => of_raw(algorithm, signature.to_vec()),
        Algorithm::P384 => None,
    };
    signature.is_some_and(|signature| prepared.verify(message, &signature))
}

/// A signature as it is sent: 64 bytes, base64url.
pub(crate) fn signed(key: &dyn SigningBackend, message: &[u8]) -> Result<String, SignError> {
    let raw = to_raw(&key.sign(message)?).ok_or_else(|| SignError::Backend("it signs in no known form".into()))?;
    Ok(Base64UrlUnpadded::encode_string(&raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::crypto::Keypair;

    #[test]
    fn a_signature_has_two_forms_and_is_of_its_key() {
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let key = Keypair::generate_for(algorithm).unwrap();
            let jwk = Jwk::of(&key.public_key()).unwrap();
            let raw = Base64UrlUnpadded::decode_vec(&signed(&key, b"text").unwrap()).unwrap();
            assert!(raw.len() == 64 && is_signed(&jwk, b"text", &raw));
            assert!(!is_signed(&jwk, b"texts", &raw));
            let der = key.sign(b"text").unwrap();
            assert!(is_signed(&jwk, b"text", der.as_bytes()));
            for wrong in [&raw[..63], &[0; 64][..], &[], &[0x30; 70][..], &[raw.clone(), vec![0]].concat()] {
                assert!(!is_signed(&jwk, b"text", wrong), "{algorithm} {wrong:?}");
            }
            let other = Jwk::of(&Keypair::generate_for(algorithm).unwrap().public_key()).unwrap();
            assert!(!is_signed(&other, b"text", &raw));
        }
        let p384 = Keypair::generate_for(Algorithm::P384).unwrap();
        let signature = p384.sign(b"text").unwrap();
        assert!(!is_signed(&Jwk::of(&p384.public_key()).unwrap(), b"text", signature.as_bytes()));
    }
}
