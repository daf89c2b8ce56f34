//! What was committed last, as every shard reads it: a read transaction that was begun once, after the commit. A read
//! takes no lock but those of redb's page cache, and none that a commit holds while it waits for the disk.

use std::ops::Bound;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::layout::{
    EPOCHS, HandleKey, LabelKey, Row, SESSIONS, SUBJECTS, SubjectKey, damaged, handle_key, handle_of, subject_keys,
};
use crate::{
    session::{Handle, Timestamp},
    store::{
        Entry,
        index::{Epochs, Label},
        listing::{Cursor, Page},
    },
};

/// So many rows of a page may have expired before it ends early.
const EXPIRED: usize = 1_000;

/// The tables that are read, as they were at one moment.
pub(super) struct Snapshot {
    pub(super) sessions: ReadOnlyTable<&'static HandleKey, &'static [u8]>,
    subjects: ReadOnlyTable<&'static SubjectKey, (u64, u64, u64)>,
    epochs: ReadOnlyTable<&'static LabelKey, (u64, u64)>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            subjects: transaction.open_table(SUBJECTS)?,
            epochs: transaction.open_table(EPOCHS)?,
        })
    }

    pub(super) fn entry(&self, handle: &Handle, now: Timestamp) -> Result<Option<Entry>, redb::Error> {
        match ReadableTable::get(&self.sessions, &handle_key(handle))? {
            Some(raw) => Ok(Row::of(raw.value())?.entry(now)),
            None => Ok(None),
        }
    }

    /// The sessions behind `after`, in the order of their handles: at most `most`, of at most as many rows and some more.
    pub(super) fn page(&self, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Page, redb::Error> {
        let begin = after.map(handle_key);
        let begin = begin.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut page, mut seen) = (Page::default(), 0);
        for row in self.sessions.range::<&HandleKey>((begin, Bound::Unbounded))? {
            let (key, raw) = row?;
            let handle = std::str::from_utf8(key.value()).ok().and_then(Handle::parse).ok_or_else(damaged)?;
            page.entries.extend(Row::of(raw.value())?.entry(now).map(|entry| (handle, entry)));
            seen += 1;
            if page.entries.len() >= most.max(1) || seen >= most.saturating_add(EXPIRED) {
                page.next = Some(Cursor::after(handle));
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn epochs(&self, labels: &[Label]) -> Result<Epochs, redb::Error> {
        let raised = |label: &Label| -> Result<Option<u64>, redb::Error> {
            Ok(ReadableTable::get(&self.epochs, label.bytes())?.map(|row| row.value().0))
        };
        labels.iter().map(raised).collect::<Result<_, _>>().map(Epochs)
    }

    pub(super) fn listed(&self, labels: &[Label]) -> Result<Vec<Handle>, redb::Error> {
        listed(&self.subjects, labels)
    }
}

/// The sessions that were entered under these labels.
pub(super) fn listed(
    subjects: &impl ReadableTable<&'static SubjectKey, (u64, u64, u64)>,
    labels: &[Label],
) -> Result<Vec<Handle>, redb::Error> {
    let mut handles = Vec::new();
    for label in labels {
        let (first, last) = subject_keys(label);
        for row in subjects.range::<&SubjectKey>(&first..=&last)? {
            handles.extend(handle_of(row?.0.value()));
        }
    }
    Ok(handles)
}
