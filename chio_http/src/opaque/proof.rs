//! The proof of a request in a session: HMAC-SHA256 (RFC 2104) over the text of the request.

use chio_core::digest::Digest;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use ring::hmac;

use super::suite::{decoded, encoded};
use crate::dpop::ProofError;
use crate::failure::Failure;
use crate::signed_request::{SignedRequest, is_nonce, seconds, the_header};

/// The label of the text.
pub const LABEL: &str = "chio-session-request-v1";

/// When the request was made, in Unix seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-ts");

/// What makes it different from any other: 1 to 128 bytes of visible ASCII.
pub const NONCE: HeaderName = HeaderName::from_static("x-nonce");

/// The MAC: base64url without padding.
pub const MAC: HeaderName = HeaderName::from_static("x-pop");

const MAC_BYTES: usize = 32;

/// What a request shows besides its session.
pub(super) struct Shown {
    timestamp: String,
    pub(super) at: u64,
    pub(super) nonce: String,
    mac: Vec<u8>,
}

impl Shown {
    /// Reads the three headers: each is there once.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let timestamp = the_header(headers, TIMESTAMP.as_str(), "`X-TS` is no one time")?;
        let nonce = the_header(headers, NONCE.as_str(), "`X-NONCE` is no one nonce")?;
        let mac = the_header(headers, MAC.as_str(), "`X-POP` is no one MAC")?;
        let (Some(timestamp), Some(nonce), Some(mac)) = (timestamp, nonce, mac) else {
            return Err(ProofError::Missing.into());
        };
        let at = seconds(timestamp).ok_or(Failure::Request("`X-TS` is no time in Unix seconds"))?;
        if !is_nonce(nonce) {
            return Err(Failure::Request("`X-NONCE` is not 1 to 128 visible characters"));
        }
        let mac = decoded(mac).filter(|mac| mac.len() == MAC_BYTES);
        let mac = mac.ok_or(Failure::Request("`X-POP` is no HMAC-SHA256 as base64url"))?;
        Ok(Self { timestamp: timestamp.to_owned(), at, nonce: nonce.to_owned(), mac })
    }
}

/// The request itself, as it is covered.
pub(super) struct Covered {
    pub(super) method: String,
    pub(super) origin: String,
    /// The path with its query.
    pub(super) target: String,
    pub(super) response_key: String,
}

impl Covered {
    /// What the MAC is of. The key is of one user: the text names no signer.
    fn text(&self, session: Digest, body: &[u8], (timestamp, nonce): (&str, &str)) -> String {
        let Self { method, origin, target, response_key } = self;
        let signed = SignedRequest {
            label: LABEL,
            method,
            origin,
            target,
            body: Digest::of(body),
            token: session,
            signer: "",
            timestamp,
            nonce,
            response_key,
        };
        signed.text()
    }

    /// Whether what was shown is of this request, in constant time. The digest of what the MAC is of.
    pub(super) fn check(
        &self,
        key: &hmac::Key,
        session: Digest,
        body: &[u8],
        shown: &Shown,
    ) -> Result<Digest, ProofError> {
        let text = self.text(session, body, (&shown.timestamp, &shown.nonce));
        hmac::verify(key, text.as_bytes(), &shown.mac).map_err(|_| ProofError::Signature)?;
        Ok(Digest::of(text.as_bytes()))
    }

    /// The value of `X-POP`, and the digest of what it is of.
    pub(super) fn mac(&self, key: &hmac::Key, session: Digest, body: &[u8], shown: (&str, &str)) -> (String, Digest) {
        let text = self.text(session, body, shown);
        (encoded(hmac::sign(key, text.as_bytes()).as_ref()), Digest::of(text.as_bytes()))
    }
}

/// Whether a time is within the window around now.
pub(super) fn check_time(issued_at: u64, now: u64, window: u64) -> Result<(), ProofError> {
    if issued_at > now.saturating_add(window) {
        return Err(ProofError::Future { issued_at, now, max_ahead_secs: window });
    }
    if now > issued_at.saturating_add(window) {
        return Err(ProofError::Stale { issued_at, now, max_age_secs: window });
    }
    Ok(())
}
