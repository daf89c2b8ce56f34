//! Trying a store out, for a person who set it up: what works, what does not, and what to do about it.
//!
//! What is asked of the server itself is the store's own affair (`redis/probe.rs`). Here a throw-away session is written,
//! read, changed and ended exactly as a proxy does it; what it leaves behind expires in seconds.

use std::{fmt, time::Duration};

use super::{Depot, Store, StoreError, Swap, shelf::Shelves};
use crate::session::{
    Handle,
    homes::Homes,
    record::{Nonce, Record, Stored},
    ticket::{Locator, SecretHash},
    vault::Jar,
};

/// How long anything lives that is written here.
pub(super) const BRIEF: Duration = Duration::from_secs(10);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// It works.
    Good,
    /// Worth knowing.
    Note,
    /// It works, and sessions will be lost by it one day.
    Warning,
    /// It does not work.
    Fault,
}

/// One thing that was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub gravity: Gravity,
    /// What was found. Never a secret, never the URL.
    pub what: String,
    /// What to do; empty if there is nothing to do.
    pub cure: String,
}

impl Finding {
    pub(super) fn new(gravity: Gravity, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { gravity, what: what.into(), cure: cure.into() }
    }

    pub(super) fn good(what: impl Into<String>) -> Self {
        Self::new(Gravity::Good, what, "")
    }

    pub(super) fn fault(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Gravity::Fault, what, cure)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, "; {}", self.cure) }
    }
}

impl Depot {
    /// Tries everything that a proxy will do with the store. Call it within a runtime.
    pub async fn try_out(&self) -> Vec<Finding> {
        let mut findings = match &self.shelves {
            Shelves::Memory(_) => return vec![Finding::good("memory: needs nothing")],
            Shelves::File(_) => vec![Finding::good("file: it can be opened, and no other process has it open")],
            Shelves::Redis(server) => server.look_over().await,
        };
        // What has been found to fail would fail here again, with less of a reason.
        if findings.iter().all(|finding| finding.gravity < Gravity::Fault) {
            findings.push(rehearsed(&self.open()).await);
        }
        findings
    }
}

async fn rehearsed(store: &Store) -> Finding {
    match rehearse(store).await {
        Ok(()) => Finding::good("a session can be made, found by its subject, used, changed and ended"),
        Err((step, error)) => Finding::fault(format!("a session cannot be {step}: {error}"), cure(&error)),
    }
}

/// The life of one session, and the step at which it failed.
async fn rehearse(store: &Store) -> Result<(), (&'static str, StoreError)> {
    let at = |step: &'static str| move |error: StoreError| (step, error);
    let handle = Locator::from_random(rand::random()).handle();
    let subject = format!("cloakroom check {:032x}", rand::random::<u128>());
    store.learn_time().await.map_err(at("dated"))?;
    let first = session(store, 1, &subject);
    let entered = store.enter_index(&subject, &handle, store.now().after(BRIEF)).await;
    let (labels, _) = entered.map_err(at("entered under its subject"))?;
    swap(store, &handle, None, &first).await.map_err(at("made"))?;
    let read = store.load(&[handle]).await.map_err(at("read"))?.pop().flatten();
    let stored = read.and_then(|entry| entry.decode(&handle));
    if stored.as_ref() != Some(&first) {
        return Err(("read as it was written", StoreError::Nonsense));
    }
    store.touch(&handle, &first.stamp(), BRIEF).await.map_err(at("used"))?;
    let second = session(store, 2, &subject);
    swap(store, &handle, Some(&first), &second).await.map_err(at("changed"))?;
    store.epochs(&labels).await.map_err(at("held against revocations"))?;
    store.remove(&handle, &second.stamp()).await.map_err(at("ended"))?;
    store.leave_index(&subject, &handle).await.map_err(at("forgotten under its subject"))
}

async fn swap(store: &Store, handle: &Handle, there: Option<&Stored>, next: &Stored) -> Result<(), StoreError> {
    match store.swap(handle, there.map(Stored::stamp).as_ref(), next, BRIEF).await? {
        Swap::Done => Ok(()),
        Swap::Conflict(_) | Swap::Doubt(_) => Err(StoreError::Nonsense),
    }
}

/// Nobody's: no ticket has this secret.
fn session(store: &Store, version: u64, subject: &str) -> Stored {
    let now = store.now();
    Stored::from(Record {
        version,
        writes: [Nonce(rand::random())].into(),
        secret: SecretHash(rand::random()),
        retired: vec![],
        created: now,
        written: now,
        deadline: now.after(BRIEF),
        idle: None,
        persistent: false,
        subject: Some(subject.to_owned()),
        vault: Jar::default(),
        homes: Homes::default(),
        data: "{}".into(),
    })
}

fn cure(error: &StoreError) -> String {
    match error {
        StoreError::Timeout => "find out what slows it down, or lengthen store.timeout".to_owned(),
        StoreError::Disconnected => "look into the log of the store".to_owned(),
        StoreError::Refused(code) => super::redis::cure_of(code),
        StoreError::Nonsense => "make sure that nothing else answers at store.url".to_owned(),
        StoreError::Full => "raise store.max_sessions".to_owned(),
        StoreError::UnknownKey => "list the root that the record was sealed with in keys.root".to_owned(),
        StoreError::Disk(_) => "look at the disk: its room, its rights, its health".to_owned(),
        StoreError::Unsealed => "look into the log of the proxy".to_owned(),
    }
}
