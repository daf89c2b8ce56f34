//! What a store says: a value as it was read, what a reader is told who has read it before, and what became of a
//! compare-and-set.

use std::time::Duration;

use bytes::Bytes;

use super::memory::Spot;
use crate::session::{Handle, record::Stored};

/// A value as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value; a [`Store`](super::Store) gives it in plain, but for [`Store::scan`](super::Store::scan).
    pub bytes: Bytes,
    /// What is left of its life.
    pub left: Duration,
}

impl Entry {
    /// The record; what cannot be read is logged and counts as not there, so that no visitor is ever stuck.
    pub fn decode(&self, handle: &Handle) -> Option<Stored> {
        let mut stored = Stored::decode(&self.bytes)
            .inspect_err(|error| {
                tracing::error!(target: "cloakroom::store", session = %handle, %error, "a stored record cannot be read");
            })
            .ok()?;
        stored.move_into(&self.bytes);
        Some(stored)
    }
}

/// What a reader has of a session from before.
#[derive(Clone, Copy)]
pub struct Last<'a> {
    /// What was read.
    pub bytes: &'a Bytes,
    /// Where it stood, if the store said so.
    pub spot: Option<&'a Spot>,
}

/// What a reader is told of one session.
pub enum Reading {
    /// It is not there.
    Nothing,
    /// It is, byte for byte, what the reader has; what is left of its life.
    Same(Duration),
    /// It is this; and where it stands, in a store that can be asked there.
    Other(Entry, Option<Spot>),
}

impl Reading {
    /// What this entry is for a reader who has that.
    pub(super) fn of(found: Option<Entry>, last: Option<Last<'_>>) -> Self {
        match found {
            None => Self::Nothing,
            Some(entry) if last.is_some_and(|last| *last.bytes == entry.bytes) => Self::Same(entry.left),
            Some(entry) => Self::Other(entry, None),
        }
    }
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// It was carried out.
    Done,
    /// Something else was stored; this. Nothing was changed.
    Conflict(Option<Entry>),
    /// As [`Swap::Conflict`], but it was sent again after a connection broke: the earlier try may have been carried
    /// out and overwritten since.
    Doubt(Option<Entry>),
}
