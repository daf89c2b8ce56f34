//! What the server is told.

use std::time::Duration;

use crate::{admin, socket::Address, tls::Identity};

/// What a client may cost (`[limits]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// From the first byte of a request to the end of its head; a new connection must begin at once.
    pub head_timeout: Duration,
    /// A kept-alive connection without a request, or one whose client takes nothing of any response.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once on an HTTP/2 connection.
    pub streams: u32,
}

/// How the process ends (`[drain]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// `/readyz` says 503 this long before connections are refused.
    pub delay: Duration,
    /// Requests under way get this long to finish.
    pub timeout: Duration,
}

/// What stands before everything else on a public connection (`listen.proxy_protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// Nothing.
    None,
    /// A PROXY header that names the client. A connection without one is closed.
    ProxyHeader,
}

/// Where the process listens and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Public addresses.
    pub listen: Vec<Address>,
    /// What browsers are shown; without it they speak in the clear.
    pub identity: Option<Identity>,
    /// What a public connection begins with.
    pub preamble: Preamble,
    /// JWKS and `/v1/session`.
    pub application: Option<Address>,
    /// Health, sessions and status, for operators.
    pub admin: Option<admin::Settings>,
    /// What a client may cost.
    pub limits: Limits,
    /// How the process ends.
    pub drain: Drain,
}
