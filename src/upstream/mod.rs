//! Connections to applications: a pool per shard, a response body that brings its connection back, tunnels.
//!
//! This room knows hosts, ports and timeouts. What a request means, and whether it may be sent twice, is decided by
//! those who call it; it never sends one twice on its own, except when not a byte of it was sent.

mod body;
mod pool;
mod tunnel;

use std::{fmt, io, sync::Arc, time::Duration};

pub use body::{Progress, ResponseBody};
pub use pool::{Pool, SendError, Slots};
pub use tunnel::tunnel;

/// Whether a connection to the server can be made; for a person who tries a configuration.
///
/// # Errors
/// Why not.
pub async fn try_out(settings: &Settings) -> io::Result<()> {
    pool::dial(settings).await.map(drop)
}

/// One application server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// One `[upstreams.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`; the token's audience.
    pub name: Arc<str>,
    /// Where it listens.
    pub server: Server,
    /// Bounds the TCP handshake, and the wait for a free connection.
    pub connect_timeout: Duration,
    /// From the last byte of the request that moved to the response head.
    pub response_timeout: Duration,
    /// Of a pooled connection.
    pub idle_timeout: Duration,
    /// At most this many connections to the server, over all shards.
    pub max_connections: usize,
    /// Whether `Host` goes upstream unchanged.
    pub preserve_host: bool,
    /// Upper bound of a response head in bytes (`limits.response_header_bytes`).
    pub response_header_bytes: usize,
}
