//! Connections to applications: who of several servers is asked, a pool per shard, response bodies that bring their
//! connection back, tunnels.
//!
//! This room knows servers, connections and timeouts, and which answers are none. What a request means is decided by
//! those who call it. It sends a request again only if nothing of it was sent, or if it has no body and its method is
//! idempotent or the server says that it has not processed it; so a `POST` is never carried out twice.

mod body;
mod connection;
mod dial;
mod direct;
mod error;
mod exchange;
mod fleet;
mod framing;
mod health;
mod member;
mod pool;
mod preface;
mod server;
mod shelf;
mod standing;
mod ties;
mod tunnel;

use std::{sync::Arc, time::Duration};

pub use body::{Payload, Progress, ResponseBody};
pub use dial::try_out;
pub use error::{Breakdown, SendError};
pub use fleet::Fleet;
pub use health::Health;
pub use pool::Pool;
pub use preface::{Postscript, Preface};
pub use server::Server;
pub use standing::Fitness;
pub use ties::{ServedBy, Ties};
pub use tunnel::{Flow, tunnel};

use crate::tls;

/// An upstream has at most so many servers.
pub const MOST_SERVERS: usize = 64;

/// How the next server is found (`balance`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests and tunnels under way.
    LeastConnections,
}

/// What is spoken with every server of an upstream (`protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2: with prior knowledge, or agreed upon within TLS.
    Http2,
}

/// One `[upstreams.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`; the token's audience.
    pub name: Arc<str>,
    /// Where it listens: from one to [`MOST_SERVERS`].
    pub servers: Vec<Server>,
    /// How `https://` servers are met.
    pub tls: tls::Client,
    /// How the next server is found.
    pub balance: Balance,
    /// Whether a session stays on the server that answered it (`affinity`).
    pub affinity: bool,
    /// What is spoken with them.
    pub protocol: Protocol,
    /// Bounds the making of a connection (name, address, TLS), and the wait for a free one.
    pub connect_timeout: Duration,
    /// From the last byte of the request that moved to the response head.
    pub response_timeout: Duration,
    /// Of a pooled connection.
    pub idle_timeout: Duration,
    /// At most this many connections to each server, over all shards, tunnels included.
    pub max_connections: usize,
    /// Whether `Host` goes upstream unchanged.
    pub preserve_host: bool,
    /// Upper bound of a response head in bytes (`limits.response_header_bytes`).
    pub response_header_bytes: usize,
    /// Active health checks.
    pub health: Option<Health>,
}
