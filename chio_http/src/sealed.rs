//! Sealed answers: a libsodium sealed box for the key that a request has named, which nobody in between can open. What is in
//! it names the request that it answers.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::digest::Digest;
use crypto_box::aead::OsRng;
use crypto_box::{PublicKey, SecretKey};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{Body, held, whole};
use crate::client::Answer;
use crate::problem::problem;

/// The media type of a sealed answer.
pub const MEDIA_TYPE: &str = "application/vnd.chio.sealed";

/// What the line before the sealed body says that it is.
pub const SCHEMA: &str = "chio.sealed_response.v1";

/// How long the body of an answer may be that is sealed, by default, in bytes: 1 MiB.
pub const SEALED_LIMIT: usize = 1 << 20;

/// How long the line before the body may be, in bytes.
const MAX_HEAD_BYTES: usize = 256 << 10;

/// When answers are sealed, besides those whose request asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Whether every answer has to be sealed, and a request that does not ask for that is refused.
    pub required: bool,
    /// How long the body of an answer may be that is sealed.
    pub body_limit: usize,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { required: false, body_limit: SEALED_LIMIT }
    }
}

/// What stands before the body, in canonical form: its members are in their order.
#[derive(Serialize)]
struct Head<'a> {
    headers: Vec<(&'a str, String)>,
    request: String,
    schema: &'a str,
    status: u16,
}

/// Seals what an answer is for whoever has the private half of a key.
fn seal(key: [u8; 32], parts: &Parts, body: &[u8], request: Digest) -> Option<Vec<u8>> {
    let hop = hop_by_hop(&parts.headers);
    let is_carried = |name: &HeaderName| *name != CONTENT_LENGTH && !hop.iter().any(|hop| hop == name.as_str());
    let headers = parts.headers.iter().filter(|(name, _)| is_carried(name));
    let head = Head {
        headers: headers.map(|(name, value)| (name.as_str(), latin(value))).collect(),
        request: request.to_string(),
        schema: SCHEMA,
        status: parts.status.as_u16(),
    };
    let mut plain = serde_json::to_vec(&head).ok().filter(|head| head.len() <= MAX_HEAD_BYTES)?;
    plain.reserve_exact(body.len().saturating_add(1));
    plain.push(b'\n');
    plain.extend_from_slice(body);
    PublicKey::from_bytes(key).seal(&mut OsRng, &plain).ok()
}

/// The headers of the connection alone: RFC 9110 section 7.6.1.
fn hop_by_hop(headers: &HeaderMap) -> Vec<String> {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let known = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].map(|name| name.as_str().to_owned());
    let older = ["keep-alive", "proxy-connection"].map(str::to_owned);
    named.chain(known).chain(older).collect()
}

/// A value is bytes: each is one character of ISO 8859-1.
fn latin(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// An answer that is to be sealed.
pub(crate) struct ToSeal {
    pub(crate) key: [u8; 32],
    /// The digest of what the request's proof signs.
    pub(crate) request: Digest,
    pub(crate) body_limit: usize,
    /// Room for its body.
    pub(crate) room: OwnedSemaphorePermit,
}

impl ToSeal {
    /// Reads the whole answer, and seals it. What cannot be is not sent at all.
    pub(crate) async fn seal<B>(mut self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let (parts, body) = response.into_parts();
        // Events would be held back until the last of them.
        let streams = parts.headers.get(CONTENT_TYPE).is_some_and(|of| of.as_bytes().starts_with(b"text/event-stream"));
        if streams || parts.status.is_informational() {
            return unsealed();
        }
        let Ok(body) = whole(body, self.body_limit).await else { return unsealed() };
        let Some(sealed) = seal(self.key, &parts, &body, self.request) else { return unsealed() };
        drop(body);
        // What it takes is given back when it was sent; the rest now.
        let kib = u32::try_from(sealed.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let kept = self.room.split(usize::try_from(kib).unwrap_or(usize::MAX).min(self.room.num_permits()));
        let length = sealed.len();
        let mut outer = Response::new(Body::whole(held(sealed, kept)));
        *outer.status_mut() = outer_status(parts.status);
        *outer.extensions_mut() = parts.extensions;
        let headers = outer.headers_mut();
        if let Some(date) = parts.headers.get(DATE) {
            headers.insert(DATE, date.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_LENGTH, length.into());
        outer
    }
}

/// A box is a body of its own: it cannot go with a status that has none, or that is of a part of another.
fn outer_status(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => {
            StatusCode::OK
        }
        status => status,
    }
}

fn unsealed() -> Response<Body> {
    problem(StatusCode::BAD_GATEWAY, "answer_not_sealed", "The answer cannot be sealed.", None, None)
}

/// A key for one answer, made by whoever asks for it.
pub struct ResponseSecret {
    key: SecretKey,
    text: String,
}

impl fmt::Debug for ResponseSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseSecret({})", self.text)
    }
}

impl ResponseSecret {
    /// A new one.
    /// Fails where there is no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut *bytes).map_err(|_| NoRandomness)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// The one of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let key = SecretKey::from_bytes(bytes);
        let text = Base64UrlUnpadded::encode_string(key.public_key().as_bytes());
        Self { key, text }
    }

    /// The value of `Response-Key`, which the proof of the request has to cover.
    pub fn header(&self) -> &str {
        &self.text
    }
}

/// There is no randomness to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no randomness to be had")
    }
}

impl std::error::Error for NoRandomness {}

/// Why a sealed answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is no box for this key, or was changed.
    Closed,
    /// What is in it is no answer.
    Form,
    /// It answers another request.
    Request,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the answer is not sealed for this key, or was changed",
            Self::Form => "what is sealed is no answer",
            Self::Request => "the answer is that of another request",
        })
    }
}

impl std::error::Error for OpenError {}

/// Opens the body of a sealed answer to the request whose proof signs what has this digest: see
/// [`signed_digest`](crate::dpop::signed_digest).
/// Fails where it is no box for this key, or is not the answer to this request.
pub fn open(key: &ResponseSecret, sealed: &[u8], request: Digest) -> Result<Answer, OpenError> {
    let plain = Bytes::from(key.key.unseal(sealed).map_err(|_| OpenError::Closed)?);
    let end = plain.iter().take(MAX_HEAD_BYTES.saturating_add(1)).position(|byte| *byte == b'\n');
    let end = end.ok_or(OpenError::Form)?;
    let head = canonical::parse(plain.get(..end).unwrap_or_default(), Limits::bytes(MAX_HEAD_BYTES));
    let head = head.map_err(|_| OpenError::Form)?;
    let object = head.as_object().ok_or(OpenError::Form)?;
    let (said, status, headers) = read(object).ok_or(OpenError::Form)?;
    if said != request {
        return Err(OpenError::Request);
    }
    Ok(Answer { status, headers, body: plain.slice(end.saturating_add(1)..) })
}

fn read(head: &Object) -> Option<(Digest, StatusCode, HeaderMap)> {
    const MEMBERS: usize = 4;
    if head.iter().count() != MEMBERS || head.get("schema").and_then(Json::as_str) != Some(SCHEMA) {
        return None;
    }
    let request = head.get("request").and_then(Json::as_str)?.parse().ok()?;
    let Some(Json::Number(status)) = head.get("status") else { return None };
    let status = StatusCode::from_u16(u16::try_from(status.to_integer()?).ok()?).ok()?;
    let Some(Json::Array(pairs)) = head.get("headers") else { return None };
    let mut headers = HeaderMap::new();
    for pair in pairs {
        let Json::Array(pair) = pair else { return None };
        let [Json::String(name), Json::String(value)] = &**pair else { return None };
        let value: Option<Vec<u8>> = value.chars().map(|char| u8::try_from(char).ok()).collect();
        let (name, value) = (HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value?).ok()?);
        headers.try_append(name, value).ok()?;
    }
    Some((request, status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(status: u16, headers: &[(&'static str, &[u8])]) -> Parts {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        response.into_parts().0
    }

    fn secret() -> ResponseSecret {
        ResponseSecret::from_bytes([7; 32])
    }

    fn sealed(request: Digest) -> Vec<u8> {
        let headers: [(&str, &[u8]); 7] = [
            ("content-type", b"text/plain"),
            ("set-cookie", b"a=1"),
            ("set-cookie", b"b=\xe4"),
            ("content-length", b"2"),
            ("connection", b"close, X-Hop"),
            ("x-hop", b"1"),
            ("transfer-encoding", b"chunked"),
        ];
        let key = *secret().key.public_key().as_bytes();
        seal(key, &parts(404, &headers), b"a\nb", request).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_for_its_request_alone() {
        let request = Digest::of(b"request");
        let sealed = sealed(request);
        let answer = open(&secret(), &sealed, request).unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (404, &b"a\nb"[..]));
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [&b"a=1"[..], b"b=\xe4"]);
        assert_eq!(answer.headers.len(), 3, "{:?}", answer.headers);
        let wrong = |key: &ResponseSecret, sealed: &[u8], request| open(key, sealed, request).unwrap_err();
        assert_eq!(wrong(&secret(), &sealed, Digest::of(b"other")), OpenError::Request);
        assert_eq!(wrong(&ResponseSecret::from_bytes([8; 32]), &sealed, request), OpenError::Closed);
        for length in 0..sealed.len() {
            assert_eq!(wrong(&secret(), &sealed[..length], request), OpenError::Closed, "{length}");
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(wrong(&secret(), &changed, request), OpenError::Closed, "{index}");
        }
    }

    #[test]
    fn what_is_in_the_box_is_one_canonical_line_and_the_body() {
        let request = Digest::of(b"request");
        let key = secret();
        let public = *key.key.public_key().as_bytes();
        let plain = key.key.unseal(&seal(public, &parts(200, &[("x-a", b"\"1\"\t")]), b"body", request).unwrap());
        let text = String::from_utf8(plain.unwrap()).unwrap();
        let line = format!(
            "{{\"headers\":[[\"x-a\",\"\\\"1\\\"\\t\"]],\"request\":\"{request}\",\
             \"schema\":\"chio.sealed_response.v1\",\"status\":200}}"
        );
        assert_eq!(text, format!("{line}\nbody"));
        let parsed = canonical::parse(line.as_bytes(), Limits::bytes(1000)).unwrap();
        assert_eq!(parsed.to_canonical_bytes(), line.as_bytes());
    }

    #[test]
    fn what_is_no_answer_is_not_read_as_one() {
        let (key, request) = (secret(), Digest::of(b"request"));
        let opened = |plain: String| {
            let sealed = key.key.public_key().seal(&mut OsRng, plain.as_bytes()).unwrap();
            open(&key, &sealed, request).map(|answer| answer.body)
        };
        let line = |headers: &str, schema: &str, status: &str, more: &str| {
            format!(
                "{{\"headers\":{headers},\"request\":\"{request}\",\"schema\":\"{schema}\",\"status\":{status}{more}}}\n"
            )
        };
        assert_eq!(opened(line("[]", SCHEMA, "200", "")), Ok(Bytes::new()));
        for wrong in [
            String::new(),
            "\n".into(),
            line("[]", SCHEMA, "200", "").replace('\n', ""),
            line("[]", "chio.sealed_response.v2", "200", ""),
            line("[]", SCHEMA, "99", ""),
            line("[]", SCHEMA, "\"200\"", ""),
            line("[]", SCHEMA, "200", ",\"more\":1"),
            line("[]", SCHEMA, "200", ",\"status\":201"),
            line("{}", SCHEMA, "200", ""),
            line("[[\"a\"]]", SCHEMA, "200", ""),
            line("[[\"a\",\"b\",\"c\"]]", SCHEMA, "200", ""),
            line("[[\"a b\",\"c\"]]", SCHEMA, "200", ""),
            line("[[\"a\",\"\\n\"]]", SCHEMA, "200", ""),
            line("[[\"a\",\"\u{100}\"]]", SCHEMA, "200", ""),
        ] {
            assert_eq!(opened(wrong.clone()), Err(OpenError::Form), "{wrong}");
        }
    }

    /// Boxes that libsodium has made.
    #[test]
    fn boxes_of_libsodium_are_opened() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/sealed_box/libsodium.json");
        let Ok(text) = std::fs::read(path) else {
            assert!(std::env::var_os("CI").is_none(), "{path} must be there in CI");
            println!("skipped: {path} is not there");
            return;
        };
        let data: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let bytes = |value: &serde_json::Value| base16ct::lower::decode_vec(value.as_str().unwrap()).unwrap();
        let key = ResponseSecret::from_bytes(bytes(&data["sk"]).try_into().unwrap());
        assert_eq!(key.key.public_key().as_bytes()[..], bytes(&data["pk"]));
        let cases = data["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            assert_eq!(key.key.unseal(&bytes(&case["sealed"])).unwrap(), bytes(&case["msg"]));
        }
    }
}
