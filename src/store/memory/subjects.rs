//! The subject index of `memory:`. An entry whose session is gone is swept once no write can be under way for it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Memory;
use crate::{
    session::{Handle, Timestamp},
    store::index::Epoch,
};

const MAPS: usize = 16;
/// Longer than any save takes: an entry is made before its session, and an epoch matters while a save is under way.
const UNDER_WAY: Duration = Duration::from_secs(3600);

struct Entry {
    entered: Timestamp,
    deadline: Timestamp,
}

#[derive(Default)]
struct Subject {
    raised: Option<(u64, Timestamp)>,
    sessions: HashMap<Handle, Entry>,
}

type Map = HashMap<String, Subject>;

/// Sessions by subject.
#[derive(Default)]
pub(super) struct Subjects {
    maps: [Mutex<Map>; MAPS],
    hasher: RandomState,
}

impl Subjects {
    fn map(&self, subject: &str) -> MutexGuard<'_, Map> {
        let hash = self.hasher.hash_one(subject);
        self.numbered(usize::try_from(hash % MAPS as u64).unwrap_or_default())
    }

    fn numbered(&self, index: usize) -> MutexGuard<'_, Map> {
        self.maps[index % MAPS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    pub(in crate::store) fn enter_index(&self, subject: &str, handle: &Handle, deadline: Timestamp) -> Epoch {
        let mut map = self.subjects.map(subject);
        let known = map.entry(subject.to_owned()).or_default();
        known.sessions.insert(*handle, Entry { entered: self.now(), deadline });
        Epoch(known.raised.map(|(epoch, _)| epoch))
    }

    pub(in crate::store) fn leave_index(&self, subject: &str, handle: &Handle) {
        if let Some(known) = self.subjects.map(subject).get_mut(subject) {
            known.sessions.remove(handle);
        }
    }

    pub(in crate::store) fn epoch(&self, subject: &str) -> Epoch {
        Epoch(self.subjects.map(subject).get(subject).and_then(|known| known.raised).map(|(epoch, _)| epoch))
    }

    pub(in crate::store) fn raise_epoch(&self, subject: &str, epoch: u64) -> Vec<Handle> {
        let mut map = self.subjects.map(subject);
        let known = map.entry(subject.to_owned()).or_default();
        known.raised = Some((epoch, self.now()));
        known.sessions.keys().copied().collect()
    }

    pub(super) fn sweep_subjects(&self, turn: usize) {
        let now = self.now();
        self.subjects.numbered(turn).retain(|_, known| {
            known.raised = known.raised.filter(|(_, at)| at.after(UNDER_WAY) > now);
            known.sessions.retain(|handle, entry| {
                let settled = entry.entered.after(UNDER_WAY) <= now;
                entry.deadline > now && !(settled && self.load(&[*handle])[0].is_none())
            });
            known.raised.is_some() || !known.sessions.is_empty()
        });
    }
}
