//! Connections to applications.

use std::{sync::Arc, time::Duration};

/// One application server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One `[upstreams.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`; the token's audience.
    pub name: Arc<str>,
    /// Where it listens.
    pub server: Server,
    /// Bounds the TCP handshake.
    pub connect_timeout: Duration,
    /// From the request to the response head.
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
