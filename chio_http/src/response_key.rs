//! The key that a client wants its answer sealed for.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use curve25519_dalek::MontgomeryPoint;
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
        match Base64UrlUnpadded::decode(text, &mut bytes).map(<[u8]>::len) {
            Ok(32) if is_strong(bytes) => Ok(Some(Self { text, bytes })),
            _ => Err(Failure::Request(WRONG)),
        }
    }
}

/// Whether a key is one that somebody can have made: of those of low order everybody knows the shared secret (RFC 7748
/// section 6.1), and those on the twist come from no private key.
fn is_strong(bytes: [u8; 32]) -> bool {
    MontgomeryPoint(bytes).to_edwards(0).is_some_and(|point| !point.is_small_order())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<[u8; 32]>, Failure> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RESPONSE_KEY, value.parse().unwrap());
        }
        ResponseKey::of(&headers).map(|key| key.map(|key| key.bytes))
    }

    #[test]
    fn it_is_one_key_of_the_right_length_that_somebody_can_have() {
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let good = curve25519_dalek::MontgomeryPoint::mul_base_clamped([7; 32]).0;
        assert_eq!(of(&[&text(&good)]), Ok(Some(good)));
        assert_eq!(of(&[]), Ok(None));
        assert!(of(&[&text(&good), &text(&good)]).is_err());
        for wrong in ["", "AA", &text(&good[..31]), &text(&[&good[..], &[0]].concat()), &format!("{}=", text(&good))] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        // Of low order: 0, 1, two of order 8, p - 1, and p, p + 1, which are 0 and 1 again.
        let eights = [
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ];
        let p = |low: u8| [&[low][..], &[0xff; 30], &[0x7f]].concat();
        let mut one = [0; 32];
        one[0] = 1;
        let mut weak = vec![vec![0; 32], one.to_vec(), p(0xec), p(0xed), p(0xee)];
        weak.extend(eights.map(|hex| base16ct::lower::decode_vec(hex).unwrap()));
        for weak in weak {
            assert!(of(&[&text(&weak)]).is_err(), "{weak:02x?}");
        }
        // 2 is on the twist.
        one[0] = 2;
        assert!(of(&[&text(&one)]).is_err());
    }
}
