//! What the line counts, and how it is told (`/metrics`). Each shard has a [`Tally`] of its own, which stays when the
//! configuration is read again: numbers never go back.
//!
//! A request is counted when its [`Entry`](super::access::Entry) is dropped, by the same facts as its line in the log;
//! what happens to a session, a ticket or a token, at the moment at which it happens. Labels are routes by their configured
//! name, known statuses, and enums: nothing that a client sends becomes one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;

use super::status;
use crate::{
    session::{
        settle::{self, Plan, Step},
        ticket,
    },
    telemetry::{
        Page, Source,
        meter::{Counter, Counters, Histogram, Label, Sum, labels},
    },
};

labels! {
    /// What became of the session.
    pub(super) enum Outcome {
        None = "none",
        Live = "live",
        Created = "created",
        Updated = "updated",
        Rotated = "rotated",
        Destroyed = "destroyed",
        /// The request or its change was refused.
        Rejected = "rejected",
    }
}

impl From<settle::Outcome> for Outcome {
    fn from(outcome: settle::Outcome) -> Self {
        match outcome {
            settle::Outcome::None => Self::None,
            settle::Outcome::Live => Self::Live,
            settle::Outcome::Created => Self::Created,
            settle::Outcome::Updated => Self::Updated,
            settle::Outcome::Rotated => Self::Rotated,
            settle::Outcome::Destroyed => Self::Destroyed,
        }
    }
}

labels! {
    /// Why we say no: the last part of a problem's `type`.
    pub(super) enum Kind {
        BadRequest = "bad-request",
        TargetTooLong = "target-too-long",
        HeadTooLarge = "head-too-large",
        HeadTooSlow = "head-too-slow",
        BodyTooLarge = "body-too-large",
        BodyTooSlow = "body-too-slow",
        ExpectationFailed = "expectation-failed",
        MethodNotAllowed = "method-not-allowed",
        LoopDetected = "loop-detected",
        NoRoute = "no-route",
        SessionRequired = "session-required",
        InvalidUpdate = "invalid-update",
        SessionTooLarge = "session-too-large",
        VersionConflict = "version-conflict",
        SessionEnded = "session-ended",
        InsecureTransport = "insecure-transport",
        StoreUnavailable = "store-unavailable",
        UpstreamUnavailable = "upstream-unavailable",
        UpstreamTimeout = "upstream-timeout",
        UpstreamFailed = "upstream-failed",
        Unavailable = "unavailable",
    }
}

labels! {
    /// Why a change of a session was not saved.
    pub enum Unsaved {
        /// It is no valid change, or beyond the upstream's rights.
        InvalidUpdate = "invalid-update",
        /// The session would become too large.
        SessionTooLarge = "session-too-large",
        /// It does not fit what is stored.
        VersionConflict = "version-conflict",
        /// The session has ended, or the ticket is retired.
        SessionEnded = "session-ended",
        /// The cookie would not reach the browser.
        InsecureTransport = "insecure-transport",
        /// The store could not do it.
        StoreUnavailable = "store-unavailable",
        /// It came with a 5xx.
        ServerError = "server-error",
    }
}

impl Unsaved {
    /// What a rejected answer lost; nothing, if the rejection is not about a change.
    pub(super) fn by(kind: Kind) -> Option<Self> {
        match kind {
            Kind::InvalidUpdate => Some(Self::InvalidUpdate),
            Kind::SessionTooLarge => Some(Self::SessionTooLarge),
            Kind::VersionConflict => Some(Self::VersionConflict),
            Kind::SessionEnded => Some(Self::SessionEnded),
            Kind::InsecureTransport => Some(Self::InsecureTransport),
            Kind::StoreUnavailable => Some(Self::StoreUnavailable),
            _ => None,
        }
    }
}

labels! {
    /// What happened to a session.
    pub(super) enum Event {
        Created = "created",
        /// A ticket opened it.
        Returned = "returned",
        Updated = "updated",
        Rotated = "rotated",
        Destroyed = "destroyed",
    }
}

labels! {
    /// Why a ticket opens nothing.
    pub(super) enum Unfit {
        Malformed = "malformed",
        Forged = "forged",
        /// Its session has expired, was revoked, or was never heard of.
        Unknown = "unknown",
        /// A rotation retired it.
        Retired = "retired",
        /// An application destroyed its session a moment ago.
        Destroyed = "destroyed",
        /// There are tickets of several live sessions.
        Several = "several",
        /// What is stored cannot be read.
        Unreadable = "unreadable",
    }
}

impl From<ticket::Fault> for Unfit {
    fn from(fault: ticket::Fault) -> Self {
        match fault {
            ticket::Fault::Malformed => Self::Malformed,
            ticket::Fault::Forged => Self::Forged,
        }
    }
}

labels! {
    /// How a request ended that was not answered to the last byte.
    pub(super) enum Incomplete {
        /// The browser left before there was an answer.
        Detached = "detached",
        /// The browser left while it was being answered.
        Aborted = "aborted",
        /// The application broke its answer off.
        Upstream = "upstream",
    }
}

labels! {
    /// Whether a token was at hand.
    pub(super) enum Signing {
        Kept = "hit",
        Fresh = "miss",
    }
}

/// One shard's counts.
pub struct Tally {
    pub(super) begun: Counter,
    pub(super) sessions: Counters<Event>,
    /// Changes that were not saved.
    pub(super) unsaved: Counters<Unsaved>,
    pub(super) tickets: Counters<Unfit>,
    pub(super) rejected: Counters<Kind>,
    pub(super) degraded: Counter,
    pub(super) signed: Counters<Signing>,
    pub(super) token_bytes: Histogram,
    /// Those of every configuration that there was; the first is for requests that found no route.
    routes: Mutex<Vec<Arc<RouteTally>>>,
}

/// One route's counts in one shard.
pub(super) struct RouteTally {
    /// Host and path; empty: none.
    pub(super) name: String,
    /// For each outcome, by status.
    requests: Vec<[Counter; status::PLACES]>,
    incomplete: Counters<Incomplete>,
    total: Histogram,
    store: Histogram,
    upstream: Histogram,
}

/// How one request went.
pub(super) struct Facts {
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    pub(super) incomplete: Option<Incomplete>,
    pub(super) total: Duration,
    /// `None`: the store was not asked.
    pub(super) store: Option<Duration>,
    pub(super) upstream: Option<Duration>,
}

impl Tally {
    fn new() -> Self {
        Self {
            begun: Counter::default(),
            sessions: Counters::default(),
            unsaved: Counters::default(),
            tickets: Counters::default(),
            rejected: Counters::default(),
            degraded: Counter::default(),
            signed: Counters::default(),
            token_bytes: Histogram::of_bytes(),
            routes: Mutex::new(vec![Arc::new(RouteTally::new(""))]),
        }
    }

    /// The counts of the route of this name, which go on if there were any.
    pub(super) fn route(&self, name: &str) -> Arc<RouteTally> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.iter().find(|route| route.name == name) {
            return Arc::clone(known);
        }
        let route = Arc::new(RouteTally::new(name));
        routes.push(Arc::clone(&route));
        route
    }

    /// Counts what a plan that was carried out has done.
    pub fn carried_out(&self, plan: &Plan) {
        match (&plan.store, plan.outcome) {
            (Step::Keep, _) => {}
            (Step::Create(..), _) => self.sessions.count(Event::Created),
            (Step::Recreate(..), _) => {
                self.sessions.count(Event::Destroyed);
                self.sessions.count(Event::Created);
            }
            (Step::Change(_), settle::Outcome::Rotated) => self.sessions.count(Event::Rotated),
            (Step::Change(_), settle::Outcome::Destroyed) => self.sessions.count(Event::Destroyed),
            (Step::Change(_), _) => self.sessions.count(Event::Updated),
        }
    }

    /// Counts a change that was not saved.
    pub fn not_saved(&self, why: Unsaved) {
        self.unsaved.count(why);
    }
}

impl RouteTally {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            requests: Outcome::ALL.iter().map(|_| std::array::from_fn(|_| Counter::default())).collect(),
            incomplete: Counters::default(),
            total: Histogram::of_seconds(),
            store: Histogram::of_seconds(),
            upstream: Histogram::of_seconds(),
        }
    }

    pub(super) fn count(&self, facts: &Facts) {
        self.requests[facts.outcome.index()][status::place(facts.status)].count();
        self.total.observe(facts.total);
        if let Some(store) = facts.store {
            self.store.observe(store);
        }
        if let Some(upstream) = facts.upstream {
            self.upstream.observe(upstream);
        }
        if let Some(incomplete) = facts.incomplete {
            self.incomplete.count(incomplete);
        }
    }
}

/// The counts of all shards, and of the application listener.
#[derive(Default)]
pub struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Tallies {
    /// Counts for one more that counts.
    pub fn open(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }
}

impl Source for Tallies {
    fn tell(&self, page: &mut Page) {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut routes: BTreeMap<String, Vec<Arc<RouteTally>>> = BTreeMap::new();
        for shard in &shards {
            for route in shard.routes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                routes.entry(route.name.clone()).or_default().push(Arc::clone(route));
            }
        }
        tell_requests(page, &shards, &routes);
        tell_durations(page, &routes);
        tell_sessions(page, &shards);
    }
}

type Routes = BTreeMap<String, Vec<Arc<RouteTally>>>;

/// The label of requests that found no route.
const NOWHERE: &str = "none";

fn shown(name: &str) -> &str {
    if name.is_empty() { NOWHERE } else { name }
}

fn tell_requests(page: &mut Page, shards: &[Arc<Tally>], routes: &Routes) {
    let mut ended = 0;
    let mut family = page.counter("cloakroom_requests_total", "Requests that are over, by what was answered.");
    for (name, route) in routes {
        for outcome in Outcome::ALL {
            for place in 0..status::PLACES {
                let total: u64 = route.iter().map(|route| route.requests[outcome.index()][place].total()).sum();
                ended += total;
                let usual = place == status::place(StatusCode::OK) && *outcome == Outcome::None;
                if total > 0 || usual {
                    let status = status::text(place);
                    let labels = [("route", shown(name)), ("status", &*status), ("outcome", outcome.text())];
                    family.add(&labels, total);
                }
            }
        }
    }
    let begun: u64 = shards.iter().map(|shard| shard.begun.total()).sum();
    page.gauge("cloakroom_requests_in_flight", "Requests that are not over.").add(&[], begun.saturating_sub(ended));
    let help = "Requests that are over and were not answered to the last byte, by who left.";
    let mut family = page.counter("cloakroom_requests_incomplete_total", help);
    for (name, route) in routes {
        for end in Incomplete::ALL {
            let total = route.iter().map(|route| route.incomplete.of(*end).total()).sum();
            family.add(&[("route", shown(name)), ("reason", end.text())], total);
        }
    }
    let help = "Requests that were answered with an error of our own, by its kind.";
    page.counters(("cloakroom_requests_rejected_total", help, "reason"), shards.iter().map(|shard| &shard.rejected));
    page.counter(
        "cloakroom_requests_degraded_total",
        "Requests that went on without their session (on_store_failure).",
    )
    .add(&[], shards.iter().map(|shard| shard.degraded.total()).sum());
}

fn tell_durations(page: &mut Page, routes: &Routes) {
    let mut tell = |name, help, of: fn(&RouteTally) -> &Histogram| {
        let mut family = page.histogram(name, help);
        for (name, route) in routes {
            if let Some(sum) = Sum::of(route.iter().map(|route| of(route))) {
                family.add_sum(&[("route", shown(name))], &sum);
            }
        }
    };
    let help = "From the head of a request to the last byte of its answer.";
    tell("cloakroom_request_duration_seconds", help, |route| &route.total);
    let help = "Of that, waiting for the store; only requests that asked it.";
    tell("cloakroom_request_store_duration_seconds", help, |route| &route.store);
    let help = "Of that, waiting for the head of the application's answer; only requests that were sent to it.";
    tell("cloakroom_request_upstream_duration_seconds", help, |route| &route.upstream);
}

fn tell_sessions(page: &mut Page, shards: &[Arc<Tally>]) {
    let help = "What happened to sessions; revocations are in cloakroom_sessions_revoked_total.";
    page.counters(("cloakroom_session_events_total", help, "event"), shards.iter().map(|shard| &shard.sessions));
    let help = "Changes of sessions that were not saved, by the reason.";
    page.counters(("cloakroom_writes_refused_total", help, "reason"), shards.iter().map(|shard| &shard.unsaved));
    let help = "Tickets that opened no session, by the reason; what has expired or was revoked is unknown.";
    page.counters(("cloakroom_tickets_rejected_total", help, "reason"), shards.iter().map(|shard| &shard.tickets));
    let help = "Tokens that were needed, by whether this second's was at hand.";
    page.counters(("cloakroom_token_cache_total", help, "result"), shards.iter().map(|shard| &shard.signed));
    let mut family = page.histogram("cloakroom_token_header_bytes", "Size of the tokens that went to applications.");
    if let Some(sum) = Sum::of(shards.iter().map(|shard| &shard.token_bytes)) {
        family.add_sum(&[], &sum);
    }
}
