//! The one upstream, and the connections to it.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::body::Incoming;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::body::{Body, BodyError};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

impl Target {
    /// Reads `http://HOST:PORT` or `https://HOST`. There is no path in it: what a request's target is here, it is there.
    pub fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_bare = matches!(uri.path_and_query().map(PathAndQuery::as_str), None | Some("/"));
        let parts = uri.into_parts();
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        // The default would be the same for both; a user or a password has no place in it.
        let is_good = is_http && is_bare && !authority.as_str().contains('@') && !authority.host().is_empty();
        is_good.then_some(Self { scheme, authority })
    }

    /// Its host and port.
    pub fn host_and_port(&self) -> (String, u16) {
        let default = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), self.authority.port_u16().unwrap_or(default))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Why there are no connections.
#[derive(Debug)]
pub struct NoUpstream(pub(crate) String);

impl fmt::Display for NoUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoUpstream {}

/// The connections.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) target: Target,
    client: Client<Timed, Body>,
}

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) connect_timeout: Duration,
    /// How long one may wait for its next request, and how many may.
    pub(crate) idle_for: Duration,
    pub(crate) idle_most: usize,
    /// The certificates to trust instead of those of the operating system.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Upstream {
    pub(crate) fn new(target: Target, options: &Connections) -> Result<Self, NoUpstream> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls(&target, options)?);
        // What is https stays https.
        let connector = if target.scheme == Scheme::HTTPS { connector.https_only() } else { connector.https_or_http() };
        let connector = connector.enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_for)
            .pool_max_idle_per_host(options.idle_most)
            // Only what was never written is given to another connection: hyper gives it back itself. All else is the
            // client's to repeat: the upstream may have acted on it.
            .retry_canceled_requests(true)
            .set_host(false)
            .build(Timed { inner: connector, patience: options.connect_timeout });
        Ok(Self { target, client })
    }

    /// Sends a request, whose target is a path so far.
    pub(crate) fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, Error>> + use<> {
        let path = request.uri().path_and_query().cloned();
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.target.scheme.clone());
        parts.authority = Some(self.target.authority.clone());
        parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
        // All three are there: nothing can be wrong with them.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = hyper::Version::HTTP_11;
        self.client.request(request)
    }
}

fn tls(target: &Target, options: &Connections) -> Result<rustls::ClientConfig, NoUpstream> {
    let mut roots = rustls::RootCertStore::empty();
    if target.scheme == Scheme::HTTPS {
        if let Some(path) = &options.ca_file {
            let failed =
                |error: &dyn fmt::Display| NoUpstream(format!("the certificates `{}`: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
            if roots.is_empty() {
                return Err(failed(&"there is none in it"));
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(NoUpstream("there are no certificates to trust on this machine".to_owned()));
            }
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().map_err(|error| NoUpstream(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A connection was not made in time.
#[derive(Debug)]
pub(crate) struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there was no connection in time")
    }
}

impl std::error::Error for TooLate {}

/// Whether it was the connection that was not made in time.
pub(crate) fn is_too_late(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<TooLate>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Connects within a time: TCP and TLS together.
#[derive(Clone)]
struct Timed {
    inner: HttpsConnector<HttpConnector>,
    patience: Duration,
}

impl Service<Uri> for Timed {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let patience = self.patience;
        Box::pin(async move { tokio::time::timeout(patience, connecting).await.map_err(|_| TooLate)? })
    }
}
