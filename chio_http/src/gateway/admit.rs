//! What is refused before anything is done with a request: what two readers could read as two different requests.

use hyper::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use hyper::{Method, Request, StatusCode, Version};

use super::problem::Problem;
use crate::shape::{self, Unclear};

/// For whom a request is, by its own word; none in HTTP/1.0.
/// Fails where it is refused.
pub(crate) fn admit<B>(request: &Request<B>) -> Result<Option<&str>, Problem> {
    let (method, uri, headers, version) = (request.method(), request.uri(), request.headers(), request.version());
    // CONNECT would be a tunnel to anywhere; TRACE shows what was sent, credentials too (RFC 9110 section 9.3.8).
    if *method == Method::CONNECT || *method == Method::TRACE || method.as_str() == "TRACK" {
        return Err(Problem::Method);
    }
    if !uri.path().starts_with('/') {
        return Err(Problem::Ambiguous("the request's target is no path"));
    }
    // RFC 9112 section 6.1. hyper has removed the one where the other came as well; this is for those before us that do not.
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if lengths > 1 || coding.is_some() && (lengths > 0 || version != Version::HTTP_11) {
        return Err(Problem::Ambiguous("it cannot be told how long the body is"));
    }
    if codings.next().is_some() || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Problem::NotUnderstood(
            StatusCode::NOT_IMPLEMENTED,
            "`chunked` is the only coding that is understood",
        ));
    }
    let mut expectations = headers.get_all(EXPECT).iter();
    if expectations.any(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Problem::NotUnderstood(
            StatusCode::EXPECTATION_FAILED,
            "`100-continue` is all that can be expected",
        ));
    }
    authority(request)
}

/// Which there has to be, but in HTTP/1.0, and which is one that can be read.
fn authority<B>(request: &Request<B>) -> Result<Option<&str>, Problem> {
    let wrong = Problem::Ambiguous("`Host` is missing, or there is more than one");
    let Some(text) = shape::authority(request.uri(), request.headers()).map_err(|Unclear| wrong)? else {
        return if request.version() == Version::HTTP_10 { Ok(None) } else { Err(wrong) };
    };
    let is_one = text.parse::<hyper::http::uri::Authority>().is_ok() && !text.contains('@');
    if is_one { Ok(Some(text)) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_two_requests_is_none() {
        let admitted = |method: &str, target: &str, version: Version, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri(target).version(version);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            admit(&request.body(()).unwrap()).err().map(|problem| problem.status().as_u16())
        };
        let host = ("host", "a.example");
        let (one, ten, two) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        for (method, target, version, headers, status) in [
            ("GET", "/", one, &[host][..], None),
            ("GET", "/", ten, &[], None),
            ("GET", "/", one, &[], Some(400)),
            ("GET", "/", one, &[host, host], Some(400)),
            ("GET", "/", one, &[("host", "a@b.example")], Some(400)),
            ("GET", "/", one, &[("host", "a b")], Some(400)),
            ("GET", "/", one, &[("host", "")], Some(400)),
            ("GET", "http://a.example/", one, &[host], None),
            ("GET", "http://b.example/", one, &[host], Some(400)),
            ("GET", "https://b.example/", two, &[], None),
            ("GET", "https://b.example/", two, &[host], Some(400)),
            ("OPTIONS", "*", one, &[host], Some(400)),
            ("CONNECT", "a.example:443", one, &[host], Some(405)),
            ("TRACE", "/", one, &[host], Some(405)),
            ("POST", "/", one, &[host, ("content-length", "1"), ("transfer-encoding", "chunked")], Some(400)),
            ("POST", "/", one, &[host, ("content-length", "1"), ("content-length", "2")], Some(400)),
            ("POST", "/", ten, &[host, ("transfer-encoding", "chunked")], Some(400)),
            ("POST", "/", one, &[host, ("transfer-encoding", "gzip, chunked")], Some(501)),
            ("POST", "/", one, &[host, ("transfer-encoding", "chunked")], None),
            ("POST", "/", one, &[host, ("expect", "100-Continue")], None),
            ("POST", "/", one, &[host, ("expect", "tea")], Some(417)),
        ] {
            assert_eq!(admitted(method, target, version, headers), status, "{method} {target} {headers:?}");
        }
    }
}
