//! The subject index of `memory:`. An entry whose session is gone is swept once no write can be under way for it.
//!
//! As with the sessions, no lock is held for longer because there are many: the index is ordered by subject and session,
//! so that a walk reads it page by page and the sweep goes on where it stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::Memory;
use crate::{
    session::{Handle, Timestamp},
    store::index::{Epochs, Label},
};

const MAPS: usize = 64;
/// How many maps one sweep looks at, and how many entries of each; a new entry has a look at some of its neighbours.
const SWEPT: usize = 16;
const PORTION: usize = 16;
const BESIDE: usize = 2;
/// Entries that are read at once.
const PAGE: usize = 256;
/// Longer than any save takes: an entry is made before its session, and an epoch matters while a save is under way.
const UNDER_WAY: Duration = Duration::from_secs(3600);

struct Entry {
    entered: Timestamp,
    deadline: Timestamp,
}

type Key = (Label, Handle);

#[derive(Default)]
struct Map {
    sessions: BTreeMap<Key, Entry>,
    /// Where the sweep goes on.
    swept: Option<Key>,
    epochs: BTreeMap<Label, (u64, Timestamp)>,
    /// When each epoch was raised.
    raised: BTreeSet<(Timestamp, Label)>,
}

/// Sessions by subject.
pub(super) struct Subjects {
    maps: [Mutex<Map>; MAPS],
    hasher: RandomState,
    next_sweep: AtomicUsize,
}

impl Default for Subjects {
    fn default() -> Self {
        let maps = std::array::from_fn(|_| Mutex::default());
        Self { maps, hasher: RandomState::new(), next_sweep: AtomicUsize::new(0) }
    }
}

impl Subjects {
    fn map(&self, label: &Label) -> MutexGuard<'_, Map> {
        let hash = self.hasher.hash_one(label);
        self.numbered(usize::try_from(hash % MAPS as u64).unwrap_or_default())
    }

    fn numbered(&self, index: usize) -> MutexGuard<'_, Map> {
        self.maps[index % MAPS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who enters behind a page that was read has entered after the walk began, and reads the epochs after that.
    fn list(&self, label: &Label, listed: &mut Vec<Handle>) {
        let mut last = Handle::LEAST;
        loop {
            let map = self.map(label);
            let rest = map.sessions.range((Bound::Excluded((*label, last)), Bound::Unbounded));
            let page = rest.map(|((of, handle), _)| (of, *handle)).take_while(|(of, _)| *of == label).take(PAGE);
            let before = listed.len();
            listed.extend(page.map(|(_, handle)| handle));
            match listed.last() {
                Some(handle) if listed.len() == before + PAGE => last = *handle,
                Some(_) | None => return,
            }
        }
    }
}

impl Map {
    fn raise(&mut self, label: Label, epoch: u64, now: Timestamp) {
        if let Some((_, at)) = self.epochs.insert(label, (epoch, now)) {
            self.raised.remove(&(at, label));
        }
        self.raised.insert((now, label));
    }

    /// Looks at `most` entries, and at as many epochs at most.
    fn sweep(&mut self, most: usize, now: Timestamp, is_gone: impl Fn(&Handle) -> bool) {
        let begin = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let seen: Vec<(Key, bool)> = self
            .sessions
            .range((begin, Bound::Unbounded))
            .take(most)
            .map(|(key, entry)| {
                let settled = entry.entered.after(UNDER_WAY) <= now;
                (*key, entry.deadline <= now || (settled && is_gone(&key.1)))
            })
            .collect();
        self.swept = seen.last().filter(|_| seen.len() == most).map(|(key, _)| *key);
        for (key, _) in seen.iter().filter(|(_, over)| *over) {
            self.sessions.remove(key);
        }
        for _ in 0..most {
            match self.raised.first() {
                Some((at, label)) if at.after(UNDER_WAY) <= now => drop(self.epochs.remove(label)),
                Some(_) | None => break,
            }
            self.raised.pop_first();
        }
    }
}

impl Memory {
    pub(in crate::store) fn enter_index(&self, labels: &[Label], handle: &Handle, deadline: Timestamp) -> Epochs {
        if let Some(first) = labels.first() {
            let now = self.now();
            let mut map = self.subjects.map(first);
            map.sessions.insert((*first, *handle), Entry { entered: now, deadline });
            map.sweep(BESIDE, now, |handle| self.read(handle, now).is_none());
        }
        self.epochs(labels)
    }

    pub(in crate::store) fn leave_index(&self, labels: &[Label], handle: &Handle) {
        for label in labels {
            self.subjects.map(label).sessions.remove(&(*label, *handle));
        }
    }

    pub(in crate::store) fn epochs(&self, labels: &[Label]) -> Epochs {
        let raised = |label: &Label| self.subjects.map(label).epochs.get(label).map(|(epoch, _)| *epoch);
        Epochs(labels.iter().map(raised).collect())
    }

    pub(in crate::store) fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Vec<Handle> {
        let now = self.now();
        labels.iter().for_each(|label| self.subjects.map(label).raise(*label, epoch, now));
        self.list_index(labels)
    }

    pub(in crate::store) fn list_index(&self, labels: &[Label]) -> Vec<Handle> {
        let mut listed = Vec::new();
        labels.iter().for_each(|label| self.subjects.list(label, &mut listed));
        listed
    }

    pub(super) fn sweep_subjects(&self, now: Timestamp) {
        let first = self.subjects.next_sweep.fetch_add(SWEPT, Ordering::Relaxed);
        for turn in 0..SWEPT {
            let mut map = self.subjects.numbered(first.wrapping_add(turn));
            map.sweep(PORTION, now, |handle| self.read(handle, now).is_none());
        }
    }
}
