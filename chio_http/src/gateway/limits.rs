//! The limits of a listener.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

/// The limits of a listener.
#[derive(Clone)]
pub struct ServeOptions {
    /// TLS, with HTTP/2 where the client wants it; without it, HTTP/1.1 alone.
    pub tls: Option<Arc<ServerConfig>>,
    /// How many connections there may be at once, tunnels included. Others wait.
    pub max_connections: usize,
    /// How many requests there may be at once in one HTTP/2 connection.
    pub max_streams: u32,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take to come, and in HTTP/1.1 the next one to begin.
    pub head_timeout: Duration,
    /// How long a connection is kept in which there is no request.
    pub idle_timeout: Duration,
    /// How long the head of a request may be; at least 8192.
    pub max_head_bytes: usize,
    /// How long what is under way may take when it is told to stop.
    pub stop_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 1024,
            max_streams: 100,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            max_head_bytes: 32 << 10,
            stop_timeout: Duration::from_secs(20),
        }
    }
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

/// What the one at `index` has of `all`, which are shared by so many.
pub(crate) fn share(all: usize, by: usize, index: usize) -> usize {
    let (each, rest) = (all.checked_div(by).unwrap_or(all), all.checked_rem(by).unwrap_or(0));
    each.saturating_add(usize::from(index < rest))
}
