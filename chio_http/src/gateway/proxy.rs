//! A request goes to the upstream, and its answer comes back.

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::client::legacy::Error;
use tower_service::Service;

use super::admit::admit;
use super::flow::{Coming, Fault, Upload};
use super::headers::{Known, asks_for_websocket, opens_websocket, to_client, to_upstream};
use super::limits::share;
use super::metrics::Metrics;
use super::peer::Peer;
use super::problem::Problem;
use super::tunnel::tunnel;
use super::upstream::{Connections, NoUpstream, Target, Upstream, is_too_late};
use crate::body::Body;
use crate::caller::Caller;

/// How requests go to their upstream.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The upstream.
    pub target: Target,
    /// Whether the upstream sees the `Host` that the client named, instead of its own.
    pub keeps_host: bool,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take, once the request was sent.
    pub response_timeout: Duration,
    /// How long a body may take to go on, in either direction.
    pub idle_timeout: Duration,
    /// How long a WebSocket may be silent.
    pub tunnel_idle_timeout: Duration,
    /// How long a connection is kept that has no request. Shorter than the upstream does, so that it is never the one to
    /// close a connection that is about to be used.
    pub idle_connection_timeout: Duration,
    /// How many such connections are kept.
    pub idle_connections: usize,
    /// The longest body of a request.
    pub max_body_bytes: u64,
    /// A file of the certificates that sign the upstream's, instead of those of the operating system.
    pub ca_file: Option<PathBuf>,
}

impl ProxyOptions {
    /// The defaults for an upstream.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            keeps_host: false,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            tunnel_idle_timeout: Duration::from_secs(600),
            // The servers of Node close after five seconds.
            idle_connection_timeout: Duration::from_secs(4),
            idle_connections: 256,
            max_body_bytes: 10 << 20,
            ca_file: None,
        }
    }
}

/// The service that passes requests on. What may pass is decided around it: by itself it lets everything through.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    host: HeaderValue,
    options: ProxyOptions,
    metrics: Metrics,
}

impl Proxy {
    /// A proxy for an upstream, which is not spoken to yet.
    /// Fails where there are no certificates to trust.
    pub fn new(options: ProxyOptions, metrics: Metrics) -> Result<Self, NoUpstream> {
        let connections = Connections {
            connect_timeout: options.connect_timeout,
            idle_for: options.idle_connection_timeout,
            idle_most: options.idle_connections,
            ca_file: options.ca_file.clone(),
        };
        let upstream = Upstream::new(options.target.clone(), &connections)?;
        let host = HeaderValue::from_str(options.target.authority.as_str());
        let host = host.map_err(|error| NoUpstream(error.to_string()))?;
        Ok(Self { inner: Arc::new(Inner { upstream, host, options, metrics }) })
    }
}

impl Proxy {
    /// So many, each with connections of its own: as many, together, as one would have.
    /// Fails as [`Self::new`].
    pub fn several(count: NonZeroUsize, options: &ProxyOptions, metrics: &Metrics) -> Result<Vec<Self>, NoUpstream> {
        let count = count.get();
        let one = |index| {
            let idle_connections = share(options.idle_connections, count, index);
            Self::new(ProxyOptions { idle_connections, ..options.clone() }, metrics.clone())
        };
        (0..count).map(one).collect()
    }
}

impl Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.pass(request).await.unwrap_or_else(Problem::answer)) })
    }
}

impl Inner {
    async fn pass(&self, mut request: Request<Body>) -> Result<Response<Body>, Problem> {
        let authority = admit(&request)?;
        let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if request.body().size_hint().lower().max(length.unwrap_or(0)) > self.options.max_body_bytes {
            return Err(Problem::TooLong);
        }
        let is_upgrade = asks_for_websocket(request.version(), request.method(), request.headers());
        let host = match authority.filter(|_| self.options.keeps_host) {
            Some(host) => HeaderValue::from_str(host).map_err(|_| Problem::Ambiguous("`Host` cannot be read"))?,
            None => self.host.clone(),
        };
        let authority = authority.map(str::to_owned);
        let from_client = is_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>();
        let known = Known {
            peer,
            caller: parts.extensions.get::<Caller>(),
            authority: authority.as_deref(),
            host,
            version: parts.version,
            is_upgrade,
        };
        let mut onwards = Request::new(());
        *onwards.method_mut() = parts.method;
        *onwards.uri_mut() = parts.uri;
        *onwards.headers_mut() = framed(to_upstream(parts.headers, &known)?, &body);

        let started = Instant::now();
        let mut answer = self.send(onwards, body).await?;
        self.metrics.upstream_answered(started.elapsed());

        let is_upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let from_upstream = is_upgraded.then(|| hyper::upgrade::on(&mut answer));
        let (mut parts, body) = answer.into_parts();
        let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            tracing::warn!("the upstream's answer has a coding that is not understood");
            return Err(Problem::Upstream);
        }
        let opens = is_upgraded && opens_websocket(&parts.headers);
        let body = match (from_client, from_upstream) {
            (Some(from_client), Some(from_upstream)) if opens => {
                let peer = peer.cloned();
                tokio::spawn(tunnel(from_client, from_upstream, self.options.tunnel_idle_timeout, peer));
                Body::empty()
            }
            (_, Some(_)) => {
                tracing::warn!("the upstream switches to a protocol that it was not asked for");
                return Err(Problem::Upstream);
            }
            (_, None) => Body::coming(Coming::new(body, "upstream", self.options.idle_timeout)),
        };
        parts.headers = to_client(parts.headers, is_upgraded);
        // What else stands in there is of the connection to the upstream.
        parts.extensions.clear();
        parts.version = hyper::Version::HTTP_11;
        Ok(Response::from_parts(parts, body))
    }

    async fn send(&self, request: Request<()>, body: Body) -> Result<Response<Incoming>, Problem> {
        let ProxyOptions { connect_timeout, response_timeout, idle_timeout, max_body_bytes, .. } = self.options;
        let late = || {
            tracing::warn!("the upstream did not answer in time");
            Problem::Late
        };
        if body.is_end_stream() {
            let answer = self.upstream.send(request.map(|()| Body::empty()));
            let patience = connect_timeout.saturating_add(response_timeout);
            return tokio::time::timeout(patience, answer).await.map_err(|_| late())?.map_err(|error| failed(&error));
        }
        let (upload, progress, mut ended) = Upload::new(body, max_body_bytes);
        let mut answer = pin!(self.upstream.send(request.map(|()| Body::coming(upload))));
        let why = |error: Error| match progress.fault() {
            Some(Fault::TooLong) => Problem::TooLong,
            Some(Fault::Stalled) => Problem::Stalled,
            Some(Fault::Broken) => Problem::Ambiguous("the body broke off"),
            None => failed(&error),
        };
        loop {
            let before = progress.frames();
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(why),
                _ = &mut ended => break,
                () = tokio::time::sleep(idle_timeout) => {
                    if progress.frames() == before {
                        let is_client = progress.waits_for_client();
                        return Err(if is_client { Problem::Stalled } else { late() });
                    }
                }
            }
        }
        tokio::time::timeout(response_timeout, answer).await.map_err(|_| late())?.map_err(why)
    }
}

/// How long the body is, by what it is and not by what somebody said of it: whoever stands between may have read it.
fn framed(mut headers: HeaderMap, body: &Body) -> HeaderMap {
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let said = headers.remove(CONTENT_LENGTH);
    match length {
        Some(0) if said.is_none() => {}
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        // Without that word hyper leaves out the body of a GET.
        None => drop(headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))),
    }
    headers
}

fn failed(error: &Error) -> Problem {
    if is_too_late(error) {
        tracing::warn!("the upstream could not be connected to in time");
        return Problem::Late;
    }
    // Not what was sent or answered: where it failed.
    let what = if error.is_connect() { "it cannot be connected to" } else { "the connection broke, or it is no HTTP" };
    tracing::warn!("the upstream gave no answer: {what}");
    Problem::Upstream
}

/// The connection ends with this answer.
pub(crate) fn close(answer: &mut Response<Body>) {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
