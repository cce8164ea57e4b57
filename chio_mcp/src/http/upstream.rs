//! The side of a tool server over HTTP.

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderName, ORIGIN, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::HttpError;
use super::body::Reply;

/// An HTTP server, and the connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Reply>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    /// Whether the request may have been received.
    pub(crate) is_reached: bool,
    pub(crate) why: String,
}

impl Upstream {
    pub(crate) fn new(url: &str) -> Result<Self, HttpError> {
        let url = read(url)?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = if url.scheme_str() == Some("https") {
            connector.with_native_roots().map_err(HttpError::Tls)?.https_only().enable_http1().build()
        } else {
            let mut http = HttpConnector::new();
            http.set_nodelay(true);
            // Whatever certificates there are: none is asked for.
            let nothing = rustls::RootCertStore::empty();
            let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|error| HttpError::Tls(std::io::Error::other(error)))?
                .with_root_certificates(nothing)
                .with_no_client_auth();
            connector.with_tls_config(tls).https_or_http().enable_http1().wrap_connector({
                http.enforce_http(false);
                http
            })
        };
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { url, client })
    }

    /// Sends a request.
    pub(crate) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Option<String>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let mut request = Request::new(body.map_or_else(Reply::empty, Reply::text));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            NoAnswer { is_reached: !error.is_connect(), why }
        })
    }
}

pub(super) fn read(url: &str) -> Result<Uri, HttpError> {
    let wrong = || HttpError::Url(chio_core::error::excerpt(url));
    let url: Uri = url.parse().map_err(|_| wrong())?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    // Who speaks is not said in a URL: others see it.
    let is_anonymous = url.authority().is_some_and(|at| !at.as_str().contains('@'));
    if is_http && is_anonymous { Ok(url) } else { Err(wrong()) }
}

/// Headers of one connection, and of who speaks on it: those of the next one are its own.
const OF_ONE_HOP: [HeaderName; 11] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    ORIGIN,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The headers that go on.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let is_hop = OF_ONE_HOP.contains(name) || named.iter().any(|named| named == name.as_str());
        let is_proxy = matches!(name.as_str(), "keep-alive" | "proxy-authenticate" | "proxy-authorization");
        if !is_hop && !is_proxy {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
