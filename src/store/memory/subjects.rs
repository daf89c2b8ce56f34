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
    store::index::{Epochs, Label},
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

type Map = HashMap<Label, Subject>;

/// Sessions by subject.
#[derive(Default)]
pub(super) struct Subjects {
    maps: [Mutex<Map>; MAPS],
    hasher: RandomState,
}

impl Subjects {
    fn map(&self, label: &Label) -> MutexGuard<'_, Map> {
        let hash = self.hasher.hash_one(label);
        self.numbered(usize::try_from(hash % MAPS as u64).unwrap_or_default())
    }

    fn numbered(&self, index: usize) -> MutexGuard<'_, Map> {
        self.maps[index % MAPS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    pub(in crate::store) fn enter_index(&self, labels: &[Label], handle: &Handle, deadline: Timestamp) -> Epochs {
        if let Some(first) = labels.first() {
            let entry = Entry { entered: self.now(), deadline };
            self.subjects.map(first).entry(*first).or_default().sessions.insert(*handle, entry);
        }
        self.epochs(labels)
    }

    pub(in crate::store) fn leave_index(&self, labels: &[Label], handle: &Handle) {
        for label in labels {
            if let Some(known) = self.subjects.map(label).get_mut(label) {
                known.sessions.remove(handle);
            }
        }
    }

    pub(in crate::store) fn epochs(&self, labels: &[Label]) -> Epochs {
        let raised = |label: &Label| self.subjects.map(label).get(label).and_then(|known| known.raised);
        Epochs(labels.iter().map(|label| raised(label).map(|(epoch, _)| epoch)).collect())
    }

    pub(in crate::store) fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Vec<Handle> {
        for label in labels {
            self.subjects.map(label).entry(*label).or_default().raised = Some((epoch, self.now()));
        }
        self.list_index(labels)
    }

    pub(in crate::store) fn list_index(&self, labels: &[Label]) -> Vec<Handle> {
        let listed = |label: &Label| {
            let map = self.subjects.map(label);
            map.get(label).map(|known| known.sessions.keys().copied().collect::<Vec<_>>()).unwrap_or_default()
        };
        labels.iter().flat_map(listed).collect()
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
