//! Looking through the sessions and ending one, as people do: page by page, by subject, alone; never for a request.
//!
//! Only what lives is met: tombstones are nobody's business here, and what cannot be read is counted. A page does a
//! bounded amount of work, so it may be short, or empty, and not be the last. Of a session that is ended nothing is left:
//! its ticket is unknown from then on.

use std::{sync::Arc, time::Duration};

use super::{
    Entry, Store, StoreError, Swap,
    index::{self, BATCH},
    listing::Cursor,
};
use crate::session::{
    Handle, Timestamp,
    record::{Record, Stored},
};

/// How often a page that is still empty goes on: a server's table may have long stretches without a key of ours.
const TURNS: usize = 16;
/// Sessions that are counted in one round trip.
const COUNTED: usize = 1_000;

/// A live session, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub handle: Handle,
    /// Everything of it.
    pub record: Arc<Record>,
    /// When it ends if nobody comes.
    pub expires: Timestamp,
}

/// Some of the sessions.
#[derive(Debug, Default)]
pub struct Roll {
    /// Those that live.
    pub sessions: Vec<Found>,
    /// How many are there that cannot be read.
    pub unreadable: usize,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

impl Roll {
    fn take(&mut self, store: &Store, handle: Handle, entry: &Entry) {
        match entry.decode(&handle) {
            Some(stored) => self.sessions.extend(Found::of(handle, stored, entry.left, store.now())),
            None => self.unreadable += 1,
        }
    }

    /// Takes what an index names, unless it is another subject's by now.
    fn take_of(&mut self, subject: &str, store: &Store, handle: Handle, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        self.take(store, handle, &entry);
        self.sessions.pop_if(|found| found.handle == handle && found.record.subject.as_deref() != Some(subject));
    }
}

impl Found {
    fn of(handle: Handle, stored: Stored, left: Duration, now: Timestamp) -> Option<Self> {
        let Stored::Live(record) = stored else { return None };
        let expires = now.after(left).min(record.deadline);
        (expires > now).then_some(Self { handle, record, expires })
    }
}

/// About `limit` of all sessions, in no order.
///
/// # Errors
/// [`StoreError`]
pub async fn page(store: &Store, cursor: Option<Cursor>, limit: usize) -> Result<Roll, StoreError> {
    store.learn_time().await?;
    let (mut roll, mut reach) = (Roll { next: cursor, ..Roll::default() }, limit);
    for _ in 0..TURNS {
        let page = store.scan(roll.next.as_ref(), reach).await?;
        for (handle, entry) in page.entries {
            match store.opened(&handle, entry) {
                Ok(entry) => roll.take(store, handle, &entry),
                Err(_) => roll.unreadable += 1,
            }
        }
        roll.next = page.next;
        if roll.next.is_none() || !roll.sessions.is_empty() {
            break;
        }
        // Where there was nothing there is little.
        reach = reach.saturating_mul(2).clamp(1, COUNTED.max(limit));
        tokio::task::yield_now().await;
    }
    Ok(roll)
}

/// At most `limit` sessions of a subject, in the order of their handles.
///
/// # Errors
/// [`StoreError`]
pub async fn page_of(store: &Store, subject: &str, cursor: Option<Cursor>, limit: usize) -> Result<Roll, StoreError> {
    let mut roll = Roll::default();
    for batch in entered(store, subject, cursor).await?.chunks(BATCH) {
        let found = index::openable(store, batch).await?;
        roll.unreadable += batch.len() - found.len();
        for (handle, entry) in found {
            if roll.sessions.len() == limit.max(1) {
                roll.next = roll.sessions.last().map(|last| Cursor::after(last.handle));
                return Ok(roll);
            }
            roll.take_of(subject, store, handle, entry);
        }
    }
    Ok(roll)
}

/// What is in a subject's index behind the cursor, in order.
async fn entered(store: &Store, subject: &str, cursor: Option<Cursor>) -> Result<Vec<Handle>, StoreError> {
    store.learn_time().await?;
    let mut listed = store.list_index(subject).await?;
    listed.sort_unstable();
    listed.dedup();
    let begin = cursor.and_then(|cursor| cursor.handle());
    let passed = begin.map_or(0, |begin| listed.partition_point(|handle| *handle <= begin));
    Ok(listed.split_off(passed))
}

/// How many sessions live.
///
/// # Errors
/// [`StoreError`]
pub async fn count(store: &Store) -> Result<usize, StoreError> {
    let (mut living, mut cursor) = (0, None);
    loop {
        let (some, next) = store.living(cursor.as_ref(), COUNTED).await?;
        living += some;
        let Some(next) = next else { return Ok(living) };
        cursor = Some(next);
        // A store of this process counts without waiting for anything.
        tokio::task::yield_now().await;
    }
}

/// How many sessions of a subject live.
///
/// # Errors
/// [`StoreError`]
pub async fn count_of(store: &Store, subject: &str) -> Result<usize, StoreError> {
    let mut living = 0;
    for batch in entered(store, subject, None).await?.chunks(BATCH) {
        let mut roll = Roll::default();
        for (handle, entry) in index::openable(store, batch).await? {
            roll.take_of(subject, store, handle, entry);
        }
        living += roll.sessions.len();
    }
    Ok(living)
}

/// One session, if it lives.
///
/// # Errors
/// [`StoreError`]
pub async fn find(store: &Store, handle: Handle) -> Result<Option<Found>, StoreError> {
    store.learn_time().await?;
    let loaded = store.load(&[handle]).await?.pop().flatten();
    let read = loaded.and_then(|entry| Some((entry.decode(&handle)?, entry.left)));
    Ok(read.and_then(|(stored, left)| Found::of(handle, stored, left, store.now())))
}

/// Ends one session, however often others write it meanwhile; whether it lived.
///
/// # Errors
/// [`StoreError`]: it may have ended.
pub async fn end(store: &Store, handle: Handle) -> Result<bool, StoreError> {
    let Some(Found { mut record, .. }) = find(store, handle).await? else { return Ok(false) };
    loop {
        let found = match store.remove(&handle, &record.stamp()).await? {
            Swap::Done | Swap::Doubt(None) => {
                store.count_revoked(1);
                index::forget(store, &handle, record.subject.as_deref()).await;
                return Ok(true);
            }
            Swap::Conflict(found) | Swap::Doubt(found) => found,
        };
        match found.and_then(|entry| entry.decode(&handle)) {
            Some(Stored::Live(now)) => record = now,
            Some(Stored::Tombstone(_)) | None => return Ok(false),
        }
    }
}
