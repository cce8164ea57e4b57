//! The text of a request that is signed, or authenticated by a MAC, where the proof is no JWT: one line a field. It is written
//! down in `docs/http.md`.

use chio_core::digest::Digest;
use hyper::HeaderMap;
use hyper::http::header::AsHeaderName;

use crate::failure::Failure;

/// What such a proof covers. No field has a line's end in it: methods, targets and headers cannot.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// What the text is: the name of the scheme and its version, so that no proof counts as one of another.
    pub label: &'static str,
    /// The method.
    pub method: &'a str,
    /// Where clients reach the service.
    pub origin: &'a str,
    /// The path as it is sent, with its query.
    pub target: &'a str,
    /// The digest of the body; of no bytes where there is none.
    pub body: Digest,
    /// The digest of the token in `Authorization`.
    pub token: Digest,
    /// Who signs, where the scheme has a name for it besides the token; otherwise empty.
    pub signer: &'a str,
    /// When, in Unix seconds, as it is sent.
    pub timestamp: &'a str,
    /// What makes it different from any other, as it is sent.
    pub nonce: &'a str,
    /// The key that the answer is to be sealed for, as it is sent; otherwise empty.
    pub response_key: &'a str,
}

impl SignedRequest<'_> {
    /// The text. It has no line's end after the last line.
    pub fn text(&self) -> String {
        let Self { label, method, origin, target, body, token, signer, timestamp, nonce, response_key } = self;
        format!(
            "{label}\n{method}\n{origin}\n{target}\n{body}\n{token}\n{signer}\n{timestamp}\n{nonce}\n{response_key}"
        )
    }
}

/// How a client proves a request. The headers are secret as the proof is: there is no text of it.
#[derive(Clone)]
pub struct Proven {
    /// The headers that it is sent with.
    pub headers: HeaderMap,
    /// The digest of the text that they prove: a sealed answer to this request names it.
    pub request: Digest,
}

/// The longest nonce, in bytes.
pub const MAX_NONCE_BYTES: usize = 128;

/// Whether a text is a nonce: 1 to [`MAX_NONCE_BYTES`] of visible ASCII.
pub(crate) fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A time in Unix seconds, in its one spelling.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let is_one = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_one)
}

/// The one value of a header.
/// Fails where there are several, or it is no text.
pub(crate) fn the_header<'a>(
    headers: &'a HeaderMap,
    name: impl AsHeaderName,
    wrong: &'static str,
) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Failure::Request(wrong)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        assert_eq!(seconds("1800000000"), Some(1_800_000_000));
        for wrong in ["", "0", "01", "+1", "-1", "1.0", " 1", "1e9", "99999999999999999", "１"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
