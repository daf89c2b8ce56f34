//! What stands in the file: five tables of redb, and how their rows look.
//!
//! ```text
//! sessions  handle (43)              → due (8) expires (8) value      times in milliseconds, big endian
//! subjects  label (16) handle (43)   → entered, deadline, due
//! epochs    label (16)               → epoch, raised
//! due       time, key                → ()       key: s handle | i label handle | e label
//! facts     format, time, bytes      → number
//! ```
//! Every row of the first three tables has exactly one row in `due`, at the time when it is looked at again. A session's
//! is at or before its expiry: a touch does not move it, whoever looks then moves it to the expiry of that moment.

use bytes::Bytes;
use redb::TableDefinition;

use crate::{
    session::{Handle, Timestamp},
    store::{Entry, index::Label},
};

/// The version of this layout.
pub(super) const FORMAT: u64 = 1;

const HANDLE: usize = 43;
const LABEL: usize = 16;
const HEAD: usize = 16;

pub(super) type HandleKey = [u8; HANDLE];
pub(super) type LabelKey = [u8; LABEL];
pub(super) type SubjectKey = [u8; LABEL + HANDLE];

pub(super) const SESSIONS: TableDefinition<'_, &HandleKey, &[u8]> = TableDefinition::new("sessions");
pub(super) const SUBJECTS: TableDefinition<'_, &SubjectKey, (u64, u64, u64)> = TableDefinition::new("subjects");
pub(super) const EPOCHS: TableDefinition<'_, &LabelKey, (u64, u64)> = TableDefinition::new("epochs");
pub(super) const DUE: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("due");
pub(super) const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// The version of the layout.
pub(super) const FACT_FORMAT: &str = "format";
/// When the last commit was.
pub(super) const FACT_TIME: &str = "time";
/// The bytes of all sessions, keys and all.
pub(super) const FACT_BYTES: &str = "bytes";

pub(super) fn handle_key(handle: &Handle) -> HandleKey {
    let text = handle.as_str().as_bytes();
    std::array::from_fn(|index| text.get(index).copied().unwrap_or_default())
}

pub(super) fn subject_key(label: &Label, handle: &Handle) -> SubjectKey {
    joined(label.bytes(), &handle_key(handle))
}

/// The first and the last key that the sessions of a label can have.
pub(super) fn subject_keys(label: &Label) -> (SubjectKey, SubjectKey) {
    (joined(label.bytes(), &[0; HANDLE]), joined(label.bytes(), &[u8::MAX; HANDLE]))
}

pub(super) fn handle_of(key: &SubjectKey) -> Option<Handle> {
    Handle::parse(std::str::from_utf8(&key[LABEL..]).ok()?)
}

fn joined(label: &LabelKey, handle: &HandleKey) -> SubjectKey {
    std::array::from_fn(|index| if index < LABEL { label[index] } else { handle[index - LABEL] })
}

/// A session's row.
pub(super) struct Row<'a> {
    pub(super) due: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) value: &'a [u8],
}

impl<'a> Row<'a> {
    /// # Errors
    /// It is too short, which nothing that we write is.
    pub(super) fn of(raw: &'a [u8]) -> Result<Self, redb::Error> {
        let (Some((due, rest)), true) = (raw.split_first_chunk(), raw.len() >= HEAD) else { return Err(damaged()) };
        let Some((expires, value)) = rest.split_first_chunk() else { return Err(damaged()) };
        let time = |bytes: &[u8; 8]| Timestamp(u64::from_be_bytes(*bytes));
        Ok(Self { due: time(due), expires: time(expires), value })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.due.0.to_be_bytes()[..], &self.expires.0.to_be_bytes(), self.value].concat()
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires > now
    }

    /// What a reader sees.
    pub(super) fn entry(&self, now: Timestamp) -> Option<Entry> {
        let entry = || Entry { bytes: Bytes::copy_from_slice(self.value), left: self.expires.since(now) };
        self.is_live(now).then(entry)
    }
}

pub(super) fn damaged() -> redb::Error {
    redb::Error::Corrupted("a row is not what Cloakroom writes".to_owned())
}

/// What a row of `due` is about.
pub(super) enum Subject {
    Session(HandleKey),
    Entry(SubjectKey),
    Epoch(LabelKey),
}

impl Subject {
    pub(super) fn key(&self) -> Vec<u8> {
        match self {
            Self::Session(handle) => [b"s", &handle[..]].concat(),
            Self::Entry(entry) => [b"i", &entry[..]].concat(),
            Self::Epoch(label) => [b"e", &label[..]].concat(),
        }
    }

    pub(super) fn of(key: &[u8]) -> Result<Self, redb::Error> {
        let subject = match key.split_first() {
            Some((b's', rest)) => rest.try_into().map(Self::Session).ok(),
            Some((b'i', rest)) => rest.try_into().map(Self::Entry).ok(),
            Some((b'e', rest)) => rest.try_into().map(Self::Epoch).ok(),
            _ => None,
        };
        subject.ok_or_else(damaged)
    }
}
