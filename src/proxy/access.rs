//! The line that each request leaves in the log (contract section 10). It is written once, when the entry is dropped:
//! after the last byte of the response, or when the browser has gone. No ticket, token, subject, query or data is in it.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode};
use tracing::info;

use crate::session::{Handle, settle};

/// What became of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The plan was carried out.
    Settled(settle::Outcome),
    /// The request or its change was refused.
    Rejected,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Settled(settle::Outcome::None) => "none",
            Self::Settled(settle::Outcome::Live) => "live",
            Self::Settled(settle::Outcome::Created) => "created",
            Self::Settled(settle::Outcome::Updated) => "updated",
            Self::Settled(settle::Outcome::Rotated) => "rotated",
            Self::Settled(settle::Outcome::Destroyed) => "destroyed",
            Self::Rejected => "rejected",
        }
    }
}

/// One request's entry.
pub(super) struct Entry {
    pub(super) id: HeaderValue,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) route: String,
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    pub(super) session: Option<Handle>,
    pub(super) store: Duration,
    pub(super) upstream: Duration,
    begun: Instant,
    bytes: u64,
}

impl Entry {
    pub(super) fn begin(method: Method, path: &str) -> Self {
        Self {
            id: HeaderValue::from_static(""),
            method,
            path: path.to_owned(),
            route: String::new(),
            status: StatusCode::OK,
            outcome: Outcome::Settled(settle::Outcome::None),
            session: None,
            store: Duration::ZERO,
            upstream: Duration::ZERO,
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// Of a request of which nothing can be told.
    pub(super) fn of_nobody() -> Self {
        Self::begin(Method::from_bytes(b"-").unwrap_or_default(), "-")
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let ms = |span: Duration| (span.as_secs_f64() * 1e5).round() / 100.0;
        info!(
            target: "cloakroom::access",
            method = %self.method,
            path = %self.path.escape_debug(),
            status = self.status.as_u16(),
            bytes = self.bytes,
            total_ms = ms(self.begun.elapsed()),
            store_ms = ms(self.store),
            upstream_ms = ms(self.upstream),
            route = self.route,
            outcome = self.outcome.label(),
            session = self.session.as_ref().map(Handle::as_str),
            request_id = self.id.to_str().unwrap_or_default(),
            "request"
        );
    }
}
