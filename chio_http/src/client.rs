//! A client for single requests: over TLS, by the certificates that this machine trusts, or in plain text to this machine
//! itself. It follows no redirection: what is sent could be a credential.

use std::fmt;
use std::time::Duration;

use chio_core::error::excerpt;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::body::{Body, Unread, whole};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The URL is none that is reached.
    Place(String),
    /// It cannot be reached, or does not answer as it should.
    Failed(String),
    /// It takes too long.
    TimedOut,
    /// The body of its answer is longer than is read.
    TooLong,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(f, "`{place}` is neither an `https` URL nor an `http` URL of this machine"),
            Self::Failed(why) => f.write_str(why),
            Self::TimedOut => f.write_str("it took too long"),
            Self::TooLong => f.write_str("the answer is too long"),
        }
    }
}

impl std::error::Error for ClientError {}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A client of one place.
#[derive(Clone, Debug)]
pub struct Client {
    uri: Uri,
    client: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

impl Client {
    /// A client of that URL.
    /// Fails where it is neither `https` nor `http` on this machine, names a user, or there are no certificates to trust.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let told = || ClientError::Place(if url.contains('@') { "…".to_owned() } else { excerpt(url) });
        let uri: Uri = url.parse().map_err(|_| told())?;
        let is_https = uri.scheme_str() == Some("https");
        // A name could lead elsewhere: `localhost` is what a resolver says it is.
        let is_here = matches!(uri.host(), Some("127.0.0.1" | "[::1]")) && uri.scheme_str() == Some("http");
        let is_anonymous = uri.authority().is_some_and(|at| !at.as_str().contains('@'));
        if !(is_https || is_here) || !is_anonymous {
            return Err(told());
        }
        let failed = |error: &dyn fmt::Display| ClientError::Failed(error.to_string());
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let provider = rustls::crypto::ring::default_provider();
        let connector = if is_https {
            let builder = builder.with_provider_and_native_roots(provider).map_err(|error| failed(&error))?;
            builder.https_only().enable_http1().build()
        } else {
            let tls = rustls::ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .map_err(|error| failed(&error))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder.with_tls_config(tls).https_or_http().enable_http1().build()
        };
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        Ok(Self { uri, client: { client }.pool_max_idle_per_host(0).build(connector) })
    }

    /// The URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Sends a request there, with whatever method, headers and body it has, and reads the whole answer.
    /// Fails where there is none within `patience`, or its body has more than `limit` bytes.
    pub async fn send(&self, request: Request<Body>, patience: Duration, limit: usize) -> Result<Answer, ClientError> {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.uri.clone();
        let asked = async {
            let answer = self.client.request(Request::from_parts(parts, body)).await;
            let (parts, body) = answer.map_err(|error| ClientError::Failed(root_cause(&error)))?.into_parts();
            Ok(Answer { status: parts.status, headers: parts.headers, body: whole(body, limit).await.map_err(unread)? })
        };
        timeout(patience, asked).await.unwrap_or(Err(ClientError::TimedOut))
    }
}

fn unread(why: Unread<hyper::Error>) -> ClientError {
    match why {
        Unread::TooLong => ClientError::TooLong,
        Unread::Broken(error) => ClientError::Failed(root_cause(&error)),
    }
}

/// What went wrong first: what stands above it says only that something did.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
