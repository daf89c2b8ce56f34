//! The line that each request leaves in the log (contract section 10), and its count. Both are made once, when the entry is
//! dropped: after the last byte of the response, or when the browser has gone. No ticket, token, subject, query or data is
//! in it.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::{Level, enabled, info};

use super::tally::{Facts, Incomplete, Outcome, RouteTally};
use crate::{clock, headers::RequestId, session::Handle, telemetry::meter::Label};

/// One request's entry.
pub(super) struct Entry {
    pub(super) id: RequestId,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) route: Arc<RouteTally>,
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    pub(super) session: Option<Handle>,
    /// `None`: the store was not asked.
    store: Option<Duration>,
    upstream: Option<Duration>,
    incomplete: Option<Incomplete>,
    begun: Instant,
    bytes: u64,
}

/// Whether anybody reads these lines.
fn is_logged() -> bool {
    enabled!(target: "cloakroom::access", Level::INFO)
}

impl Entry {
    /// `route`: for as long as there is no other.
    pub(super) fn begin(id: RequestId, method: Method, path: &str, route: Arc<RouteTally>) -> Box<Self> {
        Box::new(Self {
            id,
            method,
            path: if is_logged() { path.to_owned() } else { String::new() },
            route,
            status: StatusCode::OK,
            outcome: Outcome::None,
            session: None,
            store: None,
            upstream: None,
            incomplete: None,
            begun: clock::now(),
            bytes: 0,
        })
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The store was asked, since then.
    pub(super) fn waited_for_store(&mut self, since: Instant) {
        self.store = Some(self.store.unwrap_or_default() + clock::now().saturating_duration_since(since));
    }

    /// The application was asked, since then.
    pub(super) fn waited_for_upstream(&mut self, since: Instant) {
        self.upstream = Some(clock::now().saturating_duration_since(since));
    }

    /// What is to be said if it is dropped now; `None`: that all is done.
    pub(super) fn ends(&mut self, incomplete: Option<Incomplete>) {
        self.incomplete = incomplete;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let facts = Facts {
            status: self.status,
            outcome: self.outcome,
            incomplete: self.incomplete,
            total: clock::now().saturating_duration_since(self.begun),
            store: self.store,
            upstream: self.upstream,
        };
        self.route.count(&facts);
        let ms = |span: Duration| (span.as_secs_f64() * 1e5).round() / 100.0;
        info!(
            target: "cloakroom::access",
            method = %self.method,
            path = %self.path,
            status = self.status.as_u16(),
            bytes = self.bytes,
            total_ms = ms(facts.total),
            store_ms = ms(facts.store.unwrap_or_default()),
            upstream_ms = ms(facts.upstream.unwrap_or_default()),
            route = self.route.name,
            outcome = self.outcome.text(),
            session = self.session.as_ref().map(Handle::as_str),
            request_id = self.id.as_str(),
            "request"
        );
    }
}
