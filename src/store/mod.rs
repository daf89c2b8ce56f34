//! Where sessions are kept.

use std::time::Duration;

/// Which store (`store.url`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In process; lost at exit.
    Memory {
        /// New sessions are refused beyond this many.
        max_sessions: usize,
    },
    /// One Redis or Valkey server.
    Redis {
        /// `redis://[user:pass@]host:port/db`
        url: String,
    },
}

/// What the store is told (contract section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which store.
    pub kind: Kind,
    /// Every key begins with this.
    pub prefix: String,
    /// Bounds one round trip.
    pub timeout: Duration,
    /// Bounds a whole save with its retries.
    pub save_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::Memory { max_sessions: 1_000_000 },
            prefix: "cloakroom:".to_owned(),
            timeout: Duration::from_millis(250),
            save_timeout: Duration::from_secs(2),
        }
    }
}
