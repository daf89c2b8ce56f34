//! Who is logged in where: the sessions of one subject, and how all of them are ended.
//!
//! The index may lag: an entry may name a session that has ended or belongs to somebody else by now, and is cleaned when
//! met. What must hold is that a revocation that was answered holds also for a session that was being made at that
//! moment. So a session enters the index *before* it is written with a subject, and reads the subject's epochs
//! before and after; a revocation raises the epoch first and walks the index then. Either the walk finds the session, or
//! the session finds the epoch raised and gives up. Only what has ended for good leaves the index: a live session whose
//! subject is another by now may be given this one again by another process at the same moment, and would then be
//! missing. Its entry stays until the session ends, or until its deadline.
//!
//! A subject has several labels, for processes with different settings (why this still holds: [`super::seal`]).

use std::fmt;

use tokio::task::JoinSet;
use tracing::warn;

use super::{Entry, Store, StoreError, Swap, seal::Labels};
use crate::session::{
    Handle,
    record::{Record, Stored},
};

/// Sessions of a subject that are looked at in one round trip, and ended side by side.
pub(super) const BATCH: usize = 64;

/// What a store knows a subject by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Label([u8; 16]);

impl Label {
    /// The first 16 bytes of a digest, which has no fewer.
    pub(super) fn of(digest: &[u8]) -> Self {
        Self(std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default()))
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Marks the last revocation of a subject under each of its labels; `None`: there was none lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Epochs(pub(super) Vec<Option<u64>>);

impl Epochs {
    /// Whether a revocation came between `self` and `later`. An epoch that was forgotten is no revocation.
    fn were_raised(&self, later: &Epochs) -> bool {
        self.0.iter().zip(&later.0).any(|(before, after)| after.is_some() && after != before)
    }
}

/// A session that entered the index and is about to be written.
pub(super) struct Entered {
    subject: String,
    /// The roots may change while the session is written: epochs are compared under the same labels.
    labels: Labels,
    epochs: Epochs,
}

/// Enters a session in its subject's index if this write gives it one, or changes how long it may live.
pub(super) async fn enter(
    store: &Store,
    handle: &Handle,
    base: Option<&Record>,
    next: &Stored,
) -> Result<Option<Box<Entered>>, StoreError> {
    let Stored::Live(next) = next else { return Ok(None) };
    let Some(subject) = &next.subject else { return Ok(None) };
    if base.is_some_and(|base| base.subject == next.subject && base.deadline == next.deadline) {
        return Ok(None);
    }
    // Boxed, as everything that is seldom needed: whoever saves carries no room for it.
    let (labels, epochs) = Box::pin(store.enter_index(subject, handle, next.deadline)).await?;
    Ok(Some(Box::new(Entered { subject: subject.clone(), labels, epochs })))
}

impl Entered {
    /// Whether the session that was just written may stay. If its subject was revoked meanwhile it is taken out again,
    /// also if somebody else has changed it by now.
    pub(super) async fn confirm(&self, store: &Store, handle: &Handle, written: &Stored) -> Result<bool, StoreError> {
        let now = store.epochs(&self.labels).await;
        if now.as_ref().is_ok_and(|now| !self.epochs.were_raised(now)) {
            return Ok(true);
        }
        end(store, handle, &self.subject, Some(written.clone())).await?;
        now.map(|_| false)
    }
}

/// Takes a session that has ended out of its subject's index.
pub(super) async fn leave(store: &Store, handle: &Handle, base: &Record, next: &Stored) {
    if let Stored::Tombstone(_) = next {
        Box::pin(forget(store, handle, base.subject.as_deref())).await;
    }
}

/// Takes what was a session of this subject out of its index. The index may lag: a failure is logged and no more.
pub(super) async fn forget(store: &Store, handle: &Handle, subject: Option<&str>) {
    let Some(subject) = subject else { return };
    if let Err(error) = store.leave_index(subject, handle).await {
        warn!(target: "cloakroom::store", session = %handle, %error, "an index entry is left behind");
    }
}

/// Ends every session of a subject but `except`; returns how many it ended. Idempotent.
///
/// # Errors
/// [`StoreError`]: some may have ended; do it again. What cannot be opened keeps nobody else's session alive.
pub async fn revoke(store: &Store, subject: &str, except: Option<&Handle>) -> Result<usize, StoreError> {
    let (mut ended, mut all_opened) = (0, true);
    let listed = store.raise_epoch(subject, rand::random()).await?;
    let others: Vec<Handle> = listed.into_iter().filter(|handle| Some(handle) != except).collect();
    for batch in others.chunks(BATCH) {
        let mut endings = JoinSet::new();
        let found = openable(store, batch).await?;
        all_opened &= found.len() == batch.len();
        for (handle, entry) in found {
            let stored = entry.and_then(|entry| entry.decode(&handle));
            endings.spawn(clear_out(store.clone(), handle, subject.to_owned(), stored));
        }
        while let Some(fate) = endings.join_next().await {
            let has_ended = fate.map_err(|_| StoreError::Nonsense)?? == Fate::Ended;
            ended += usize::from(has_ended);
            store.count_revoked(usize::from(has_ended));
        }
    }
    if all_opened { Ok(ended) } else { Err(StoreError::UnknownKey) }
}

/// What can be opened of these sessions, in their order.
pub(super) async fn openable(store: &Store, batch: &[Handle]) -> Result<Vec<(Handle, Option<Entry>)>, StoreError> {
    match store.load(batch).await {
        Err(StoreError::UnknownKey) => {}
        loaded => return Ok(batch.iter().copied().zip(loaded?).collect()),
    }
    let mut found = Vec::new();
    for handle in batch {
        match store.load(std::slice::from_ref(handle)).await {
            Err(StoreError::UnknownKey) => {}
            loaded => found.extend(loaded?.pop().map(|entry| (*handle, entry))),
        }
    }
    Ok(found)
}

/// Ends a session and takes it out of the index, unless it is somebody else's by now.
async fn clear_out(store: Store, handle: Handle, subject: String, stored: Option<Stored>) -> Result<Fate, StoreError> {
    let fate = end(&store, &handle, &subject, stored).await?;
    if fate != Fate::Another {
        store.leave_index(&subject, &handle).await?;
    }
    Ok(fate)
}

/// What became of a session that was to be ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was the subject's, and is gone.
    Ended,
    /// It had ended before.
    Gone,
    /// It lives, and is not the subject's.
    Another,
}

/// Ends one session if it is the subject's, however often others write it meanwhile.
async fn end(store: &Store, handle: &Handle, subject: &str, mut stored: Option<Stored>) -> Result<Fate, StoreError> {
    loop {
        let stamp = match &stored {
            Some(Stored::Live(record)) if record.subject.as_deref() == Some(subject) => record.stamp(),
            Some(Stored::Live(_)) => return Ok(Fate::Another),
            Some(Stored::Tombstone(_)) | None => return Ok(Fate::Gone),
        };
        match store.remove(handle, &stamp).await? {
            Swap::Done => return Ok(Fate::Ended),
            Swap::Conflict(found) | Swap::Doubt(found) => stored = found.and_then(|found| found.decode(handle)),
        }
    }
}
