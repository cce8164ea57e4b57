//! The side of a client: who may speak at all, and what is answered by every endpoint alike.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::body::{Reply, Unread, whole};
use super::{HttpError, PATH, check};
use crate::answer;
use crate::message::{INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Refusal};

/// Where clients come in, and which.
#[derive(Clone, Debug)]
pub struct Front {
    /// The address: of this machine alone, unless it is said otherwise.
    pub address: SocketAddr,
    /// The web pages that may call, by their origins. Any other is refused: without that, every page that a browser of this
    /// machine shows could.
    pub origins: Vec<String>,
    /// The names in `Host` besides the address itself and those of this machine. Any other is refused: it may be one that
    /// was made to lead here.
    pub hosts: Vec<String>,
}

/// How long a message may take to come: 30 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many connections there may be at once.
const MAX_CONNECTIONS: usize = 1024;

pub(crate) type Answer = Response<Reply>;

impl Front {
    /// Whether a request may come from where it says.
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or("`Host` is missing")?;
        if hosts.next().is_some() || !self.is_ours(host) {
            return Err("`Host` names another machine");
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let is_ours =
                || origin.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some_and(|at| self.is_local(at.host())));
            if !self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin)) && !is_ours() {
                return Err("`Origin` is no page that may call");
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let Ok(uri) = host.parse::<hyper::http::uri::Authority>() else { return false };
        let known = |known: &String| known.eq_ignore_ascii_case(uri.host()) || known.eq_ignore_ascii_case(host);
        self.is_local(uri.host()) || self.hosts.iter().any(known)
    }

    /// A name of this machine that nobody else can make lead here, or the address itself.
    fn is_local(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback() || address == self.address.ip(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Serves requests until the process is told to end.
    pub(crate) async fn serve<S, F>(self, announce: fn(SocketAddr), handle: S) -> Result<(), HttpError>
    where
        S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let failed = |error| HttpError::Address(self.address, error);
        let listener = TcpListener::bind(self.address).await.map_err(failed)?;
        announce(listener.local_addr().map_err(failed)?);
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let front = Arc::new(self);
        let mut ending = std::pin::pin!(end());
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&connections).acquire_owned() => match permit {
                    Ok(permit) => permit,
                    Err(_) => return Ok(()),
                },
                () = &mut ending => return Ok(()),
            };
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // Too many files are open, say: it passes.
                    Err(error) => {
                        tracing::warn!("a connection could not be taken: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                () = &mut ending => return Ok(()),
            };
            let _ = stream.set_nodelay(true);
            let (front, handle) = (Arc::clone(&front), handle.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let (front, handle) = (Arc::clone(&front), handle.clone());
                    async move {
                        let origin = request.headers().get(ORIGIN).cloned();
                        let mut answer = match front.check(request.headers()) {
                            Err(what) => refused(StatusCode::FORBIDDEN, what),
                            Ok(()) if request.uri().path() != PATH => {
                                refused(StatusCode::NOT_FOUND, "there is nothing here")
                            }
                            Ok(())
                                if *request.method() == Method::OPTIONS && request.headers().contains_key(ORIGIN) =>
                            {
                                empty(StatusCode::NO_CONTENT)
                            }
                            Ok(()) if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) => {
                                refused(StatusCode::METHOD_NOT_ALLOWED, "POST, GET and DELETE are understood")
                            }
                            Ok(()) => handle(request).await,
                        };
                        // To a page that may call, and that a browser asks for: one that may not has no answer of ours.
                        if let Some(origin) = origin.filter(|_| answer.status() != StatusCode::FORBIDDEN) {
                            allow(answer.headers_mut(), origin);
                        }
                        Ok::<_, Infallible>(answer)
                    }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).max_buf_size(64 << 10);
                // How a connection ends is its client's affair.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                drop(permit);
            });
        }
    }
}

/// What a browser wants to be told before a page may read an answer.
fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert("access-control-allow-origin", origin);
    headers.insert("vary", HeaderValue::from_static("Origin"));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("POST, GET, DELETE"));
    headers.insert("access-control-expose-headers", HeaderValue::from_static("Mcp-Session-Id"));
    let named = "Content-Type, Accept, Authorization, Last-Event-ID, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name";
    headers.insert("access-control-allow-headers", HeaderValue::from_static(named));
}

/// The process is told to end.
#[cfg(unix)]
pub(crate) async fn end() {
    use tokio::signal::unix::{SignalKind, signal};
    let on = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = on(SignalKind::terminate()) => {}
        () = on(SignalKind::interrupt()) => {}
        () = on(SignalKind::hangup()) => {}
    }
}

#[cfg(not(unix))]
pub(crate) async fn end() {
    std::future::pending().await
}

/// The text of a POST.
pub(crate) async fn message(request: Request<Incoming>) -> Result<(HeaderMap, Vec<u8>), Answer> {
    let headers = request.headers().clone();
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = types.next().and_then(|value| value.to_str().ok()).is_some_and(is_plain_json);
    if !is_json || types.next().is_some() || headers.contains_key(CONTENT_ENCODING) {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a message is sent as application/json"));
    }
    let read = tokio::time::timeout(PATIENCE, whole(request.into_body())).await;
    match read.unwrap_or(Err(Unread::Broken)) {
        Ok(text) => Ok((headers, text)),
        Err(Unread::TooLong) => Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the message is too long")),
        Err(Unread::Broken) => Err(refused(StatusCode::BAD_REQUEST, "the message was cut off")),
    }
}

/// JSON in UTF-8, by name or by default: in another encoding a reader would see another message than is decided on.
fn is_plain_json(value: &str) -> bool {
    let is_utf8 = |parameter: &str| {
        let parameter = parameter.trim().to_ascii_lowercase().replace('"', "");
        parameter.is_empty() || parameter == "charset=utf-8"
    };
    is_json(value) && value.split(';').skip(1).all(is_utf8)
}

pub(crate) fn is_json(value: &str) -> bool {
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

pub(crate) fn is_events(value: &str) -> bool {
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// An answer of our own that no message asked for.
pub(crate) fn refused(status: StatusCode, what: &str) -> Answer {
    json(status, answer::error("null", INVALID_REQUEST, what, None))
}

pub(crate) fn refusal(refusal: &Refusal) -> Answer {
    json(StatusCode::BAD_REQUEST, answer::refusal(refusal))
}

/// An answer of our own to a message: its status is what MCP says that goes with its code.
pub(crate) fn answered(text: String, headers: &HeaderMap) -> Answer {
    let code =
        crate::json::Object::read(&text).ok().and_then(|object| object.object("error")?.get("code")?.parse().ok());
    let status = match code {
        Some(PARSE_ERROR | INVALID_REQUEST | check::HEADER_MISMATCH) => StatusCode::BAD_REQUEST,
        Some(METHOD_NOT_FOUND) if check::is_modern(headers) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    json(status, text)
}

pub(crate) fn json(status: StatusCode, text: String) -> Answer {
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    answer.body(Reply::text(text)).unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}

/// A stream of events, which nothing on the way should keep together.
pub(crate) fn events(reply: Reply) -> Answer {
    let answer = Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header("cache-control", "no-cache")
        .header("x-accel-buffering", "no");
    answer.body(reply).unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Reply::empty());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_can_lead_here_is_refused() {
        let front = Front {
            address: "127.0.0.1:8080".parse().unwrap(),
            origins: vec!["https://app.example".into()],
            hosts: vec!["guard.example".into()],
        };
        for (host, origin, is_good) in [
            (Some("127.0.0.1:8080"), None, true),
            (Some("localhost:8080"), Some("http://localhost:3000"), true),
            (Some("[::1]:8080"), None, true),
            (Some("guard.example"), Some("https://app.example"), true),
            (Some("GUARD.example:443"), None, true),
            (None, None, false),
            (Some("evil.example"), None, false),
            (Some("localhost.evil.example"), None, false),
            (Some("localhost@evil.example"), None, false),
            (Some("10.0.0.1"), None, false),
            (Some("localhost"), Some("http://evil.example"), false),
            (Some("localhost"), Some("https://app.example.evil"), false),
            (Some("localhost"), Some("null"), false),
            (Some("localhost"), Some("http://localhost.evil.example"), false),
        ] {
            let mut headers = HeaderMap::new();
            host.map(|host| headers.insert(HOST, host.parse().unwrap()));
            origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
            assert_eq!(front.check(&headers).is_ok(), is_good, "{host:?} {origin:?}");
        }
    }
}
