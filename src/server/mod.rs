//! Sockets, one runtime per core, drain.

use std::{net::SocketAddr, time::Duration};

/// What a client may cost (`[limits]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// A kept-alive connection without a request.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub connections: usize,
}

/// How the process ends (`[drain]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// `/readyz` says 503 this long before connections are refused.
    pub delay: Duration,
    /// Requests under way get this long to finish.
    pub timeout: Duration,
}

/// Where the process listens and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// JWKS and `/v1/session`.
    pub application: Option<SocketAddr>,
    /// Health.
    pub admin: Option<SocketAddr>,
    /// What a client may cost.
    pub limits: Limits,
    /// How the process ends.
    pub drain: Drain,
}
