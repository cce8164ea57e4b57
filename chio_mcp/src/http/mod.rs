//! Streamable HTTP, of every revision: before a tool server's processes, before another HTTP server, or behind a client
//! that speaks on standard input and output.

mod body;

mod sse;

mod check;

mod upstream;

mod front;

mod proxy;

#[cfg(unix)]
mod child;

#[cfg(unix)]
mod serve;

mod bridge;

use std::fmt;
use std::net::SocketAddr;

pub use self::bridge::bridge;
pub use self::front::Front;
pub use self::proxy::proxy;
#[cfg(unix)]
pub use self::serve::serve;

/// The path of the one endpoint.
pub const PATH: &str = "/mcp";

/// Whether this is a URL of an HTTP server, as far as can be seen.
/// Fails where it is not.
pub fn check_url(url: &str) -> Result<(), HttpError> {
    upstream::read(url).map(|_| ())
}

/// Why there is no HTTP.
#[derive(Debug)]
pub enum HttpError {
    /// The address cannot be listened at.
    Address(SocketAddr, std::io::Error),
    /// This is no URL of an HTTP server.
    Url(String),
    /// There are no certificates to trust.
    Tls(std::io::Error),
    /// Something else of the operating system's.
    Io(std::io::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, error) => write!(f, "{address} cannot be listened at: {error}"),
            Self::Url(url) => write!(f, "`{url}` is no URL of an HTTP server"),
            Self::Tls(error) => write!(f, "the certificates of this machine cannot be read: {error}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for HttpError {}
