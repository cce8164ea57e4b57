//! Answers to what is not let through, or goes wrong: `application/problem+json` (RFC 9457).

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::decided::Decided;

/// The code where a store has failed, as the kernel has it.
pub(crate) const STORE_UNAVAILABLE: &str = "store_unavailable";

/// The error of what a client can try again: RFC 6749 section 4.1.2.1.
pub(crate) const UNAVAILABLE: &str = "temporarily_unavailable";

#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    status: u16,
    title: &'a str,
    r#type: &'static str,
}

/// An answer, which is counted under its code.
pub(crate) fn problem(
    status: StatusCode,
    code: &'static str,
    title: &str,
    detail: Option<&str>,
    error: Option<&str>,
) -> Response<Body> {
    let problem = Problem { code, detail, error, status: status.as_u16(), title, r#type: "about:blank" };
    let mut body = serde_json::to_vec(&problem).unwrap_or_default();
    body.push(b'\n');
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.extensions_mut().insert(Decided { scheme: "none", is_allowed: false, code });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
