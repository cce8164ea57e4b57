//! The key that a client wants its answer sealed for.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::failure::Failure;
use crate::signed_request::the_header;

/// The header that it is in.
pub const RESPONSE_KEY: HeaderName = HeaderName::from_static("response-key");

/// An X25519 key that a client has made for one answer, as it was sent: 32 bytes, base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseKey<'a> {
    /// As it was sent.
    pub text: &'a str,
    /// The key.
    pub bytes: [u8; 32],
}

impl<'a> ResponseKey<'a> {
    /// The one of a request, where it has one.
    /// Fails where it has several, or it is none.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Failure> {
        const WRONG: &str = "`Response-Key` is no one X25519 key";
        let Some(text) = the_header(headers, RESPONSE_KEY, WRONG)? else { return Ok(None) };
        let mut bytes = [0; 32];
        match Base64UrlUnpadded::decode(text, &mut bytes) {
            Ok(read) if read.len() == 32 => Ok(Some(Self { text, bytes })),
            _ => Err(Failure::Request(WRONG)),
        }
    }
}
