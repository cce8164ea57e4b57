//! JSON in and JSON out, where a guard answers by itself.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use crate::body::Body;

/// Whether a request says, once, that its body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let is_json = |kind: &HeaderValue| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    kinds.next().is_some_and(is_json) && kinds.next().is_none()
}

/// An answer that nobody keeps: there can be a credential in it (RFC 6749 section 5.1).
pub(crate) fn said(status: StatusCode, answer: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(format!("{answer}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
