//! The side of a tool server over HTTP.

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
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
    // A word before the host may be a secret.
    let told = || if url.contains('@') { "…".to_owned() } else { chio_core::error::excerpt(url) };
    let wrong = || HttpError::Url(told());
    let url: Uri = url.parse().map_err(|_| wrong())?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    // Who speaks is not said in a URL: others see it.
    let is_anonymous = url.authority().is_some_and(|at| !at.as_str().contains('@'));
    if is_http && is_anonymous { Ok(url) } else { Err(wrong()) }
}

/// The headers of a request that go on to a tool server, besides those that repeat its message: any other could have it read
/// the request as another than was decided on.
const OF_A_REQUEST: [&str; 10] = [
    "accept",
    "accept-language",
    "authorization",
    "baggage",
    "cookie",
    "last-event-id",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-request-id",
];

/// The headers of a client that go on.
pub(crate) fn of_client(headers: &HeaderMap) -> HeaderMap {
    let goes_on = |name: &HeaderName| OF_A_REQUEST.contains(&name.as_str()) || name.as_str().starts_with("mcp-");
    headers.iter().filter(|(name, _)| goes_on(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The headers of a tool server that are those of its connection, or of a body that is written anew.
const OF_ONE_HOP: [HeaderName; 8] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE];

/// The headers of a tool server that go on.
pub(crate) fn of_server(headers: &HeaderMap) -> HeaderMap {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> =
        values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        OF_ONE_HOP.iter().any(|hop| hop == name)
            || name == "keep-alive"
            || name.starts_with("access-control-")
            || named.iter().any(|named| named == name)
    };
    headers.iter().filter(|(name, _)| !stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}
