//! Where a request came from, as the listener knows it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;

/// The other end of a connection. The listener puts it into the extensions of each request.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    is_tls: bool,
    /// Written once a connection, not once a request.
    x_forwarded_for: Option<HeaderValue>,
    forwarded_for: String,
    /// The connection's place among those that there may be at once, which a tunnel keeps.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Peer {
    /// The client at this address.
    pub fn new(address: SocketAddr, is_tls: bool) -> Self {
        Self::holding(address, is_tls, None)
    }

    pub(crate) fn holding(address: SocketAddr, is_tls: bool, permit: Option<OwnedSemaphorePermit>) -> Self {
        let ip = address.ip().to_canonical();
        let scheme = if is_tls { "https" } else { "http" };
        // RFC 7239 section 6: an IPv6 address is bracketed and quoted.
        let forwarded_for = match ip {
            IpAddr::V4(ip) => format!("for={ip};proto={scheme}"),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\";proto={scheme}"),
        };
        let x_forwarded_for = HeaderValue::from_str(&ip.to_string()).ok();
        Self(Arc::new(Inner { address, is_tls, x_forwarded_for, forwarded_for, _permit: permit }))
    }

    /// The client's address.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Whether the connection is by TLS.
    pub fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    pub(crate) fn x_forwarded_for(&self) -> Option<&HeaderValue> {
        self.0.x_forwarded_for.as_ref()
    }

    pub(crate) fn forwarded_for(&self) -> &str {
        &self.0.forwarded_for
    }
}
