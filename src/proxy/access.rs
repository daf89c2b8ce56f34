//! The line that each request leaves in the log (contract section 10), and its count. Both are made once, when the entry is
//! dropped: after the last byte of the response, or when the browser has gone. No ticket, token, subject, query or data is
//! in it.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::{Level, enabled, info};

use super::{
    line::Line,
    tally::{Facts, Incomplete, Outcome, RouteTally, Tally},
};
use crate::{
    clock,
    headers::{Guarded, RequestId},
    session::Handle,
    telemetry::meter::Label,
};

/// Where the requests of one shard with one configuration are entered. An entry may outlive the shard, and keeps no more of
/// it than this.
pub(super) struct Book {
    /// The first is of requests without a route, the others are in the order of the routes.
    pages: Vec<Page>,
}

/// One route's place in a book.
struct Page {
    tally: Arc<RouteTally>,
    /// Trailers of these names are for no browser.
    hidden: Arc<Guarded>,
}

impl Book {
    pub(super) fn new(line: &Line, tally: &Tally) -> Self {
        let nowhere = Page { tally: tally.route(""), hidden: Arc::clone(&line.ours) };
        let routes = line.routes.iter();
        let routes = routes.map(|route| Page { tally: tally.route(&route.name), hidden: Arc::clone(&route.hidden) });
        Self { pages: [nowhere].into_iter().chain(routes).collect() }
    }
}

/// One request's entry. What only the log tells is beside it, so that it is small where nobody reads the log.
pub(super) struct Entry {
    pub(super) id: RequestId,
    book: Arc<Book>,
    page: usize,
    begun: Instant,
    /// `None`: the store was not asked.
    store: Option<Duration>,
    upstream: Option<Duration>,
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    incomplete: Option<Incomplete>,
    /// `None`: nobody reads it.
    told: Option<Box<Told>>,
}

/// What is told of a request and not counted.
struct Told {
    method: Method,
    path: String,
    session: Option<Handle>,
    bytes: u64,
}

/// Whether anybody reads these lines.
fn is_logged() -> bool {
    enabled!(target: "cloakroom::access", Level::INFO)
}

impl Entry {
    /// It has no route at first.
    pub(super) fn begin(id: RequestId, method: &Method, path: &str, book: Arc<Book>) -> Box<Self> {
        let told = || Box::new(Told { method: method.clone(), path: path.to_owned(), session: None, bytes: 0 });
        Box::new(Self {
            id,
            book,
            page: 0,
            begun: clock::now(),
            store: None,
            upstream: None,
            status: StatusCode::OK,
            outcome: Outcome::None,
            incomplete: None,
            told: is_logged().then(told),
        })
    }

    /// It belongs to this session, or to the one before where there is none.
    pub(super) fn is_of(&mut self, session: impl FnOnce() -> Option<Handle>) {
        if let Some(told) = &mut self.told {
            told.session = session().or(told.session);
        }
    }

    /// It goes to the route with this index.
    pub(super) fn goes_to(&mut self, route: usize) {
        self.page = route + 1;
    }

    /// Trailers of these names are not for its browser.
    pub(super) fn hidden(&self) -> &Guarded {
        &self.book.pages[self.page].hidden
    }

    fn tally(&self) -> &RouteTally {
        &self.book.pages[self.page].tally
    }

    pub(super) fn count(&mut self, bytes: usize) {
        if let Some(told) = &mut self.told {
            told.bytes += bytes as u64;
        }
    }

    /// The store was asked, since then.
    pub(super) fn waited_for_store(&mut self, since: Instant) {
        self.store = Some(self.store.unwrap_or_default() + clock::span(since));
    }

    /// The application was asked, since then.
    pub(super) fn waited_for_upstream(&mut self, since: Instant) {
        self.upstream = Some(clock::span(since));
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
            total: clock::span(self.begun),
            store: self.store,
            upstream: self.upstream,
        };
        self.tally().count(&facts);
        let Some(told) = &self.told else { return };
        let ms = |span: Duration| (span.as_secs_f64() * 1e5).round() / 100.0;
        info!(
            target: "cloakroom::access",
            method = %told.method,
            path = %told.path,
            status = self.status.as_u16(),
            bytes = told.bytes,
            total_ms = ms(facts.total),
            store_ms = ms(facts.store.unwrap_or_default()),
            upstream_ms = ms(facts.upstream.unwrap_or_default()),
            route = self.tally().name,
            outcome = self.outcome.text(),
            session = told.session.as_ref().map(Handle::as_str),
            request_id = self.id.as_str(),
            "request"
        );
    }
}
