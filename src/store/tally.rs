//! What each way to the store counts, and how all of them are told (`/metrics`).

use std::sync::{Arc, Mutex, PoisonError};

use super::{StoreError, Swap};
use crate::telemetry::{
    Page, Source,
    meter::{Counter, Counters, labels},
};

labels! {
    /// What the store was asked for.
    pub(super) enum Operation {
        Load = "load",
        Swap = "swap",
        Touch = "touch",
        Remove = "remove",
        Scan = "scan",
        /// Anything about who is logged in where.
        Index = "index",
        /// `/readyz` and `/metrics`.
        Ping = "ping",
    }
}

labels! {
    /// Why it could not do it.
    pub(super) enum Failure {
        Timeout = "timeout",
        Disconnected = "disconnected",
        Refused = "refused",
        Nonsense = "nonsense",
        Full = "full",
        UnknownKey = "unknown-key",
        Unsealed = "unsealed",
        Disk = "disk",
    }
}

impl Failure {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Timeout => Self::Timeout,
            StoreError::Disconnected => Self::Disconnected,
            StoreError::Refused(_) => Self::Refused,
            StoreError::Nonsense => Self::Nonsense,
            StoreError::Full => Self::Full,
            StoreError::UnknownKey => Self::UnknownKey,
            StoreError::Unsealed => Self::Unsealed,
            StoreError::Disk(_) => Self::Disk,
        }
    }
}

labels! {
    /// Why it was asked again.
    pub(super) enum Again {
        /// Another writer was faster.
        Conflict = "conflict",
        /// The connection broke.
        Connection = "connection",
        /// The server had forgotten a script.
        Script = "script",
    }
}

/// One shard's counts.
#[derive(Default)]
pub(super) struct Tally {
    operations: Counters<Operation>,
    failures: Counters<Failure>,
    pub(super) again: Counters<Again>,
    /// Connections that were made after the first.
    pub(super) reconnects: Counter,
    pub(super) revoked: Counter,
}

impl Tally {
    /// Counts what was asked and how it went.
    pub(super) fn asked<T>(&self, operation: Operation, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.operations.count(operation);
        answer.inspect_err(|error| self.failures.count(Failure::of(error)))
    }

    /// Counts a compare-and-set as well that has to be tried again.
    pub(super) fn swapped(&self, operation: Operation, answer: Result<Swap, StoreError>) -> Result<Swap, StoreError> {
        if let Ok(Swap::Conflict(_) | Swap::Doubt(_)) = answer {
            self.again.count(Again::Conflict);
        }
        self.asked(operation, answer)
    }
}

/// The counts of all shards.
#[derive(Default)]
pub(super) struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Tallies {
    /// Counts for one more way to the store.
    pub(super) fn open(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }
}

impl Source for Tallies {
    fn tell(&self, page: &mut Page) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Round trips to the store, by what was asked; for memory and file, calls.";
        page.counters(("cloakroom_store_round_trips_total", help, "operation"), all.iter().map(|one| &one.operations));
        let help = "Round trips to the store that failed, by the reason.";
        page.counters(("cloakroom_store_errors_total", help, "reason"), all.iter().map(|one| &one.failures));
        let help = "What the store was asked again, by the reason; conflicts are concurrent writers of one session.";
        page.counters(("cloakroom_store_retries_total", help, "reason"), all.iter().map(|one| &one.again));
        let help = "Connections to the store that replaced a broken one.";
        let reconnects = all.iter().map(|one| one.reconnects.total()).sum();
        page.counter("cloakroom_store_reconnects_total", help).add(&[], reconnects);
        let help = "Sessions that were ended by revocation: by their subject, or by an administrator.";
        let revoked = all.iter().map(|one| one.revoked.total()).sum();
        page.counter("cloakroom_sessions_revoked_total", help).add(&[], revoked);
    }
}
