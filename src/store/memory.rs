//! `memory:`: sessions in this process, lost at exit.
//!
//! Maps behind locks that are held for a look-up and nothing else. It never evicts: beyond `max_sessions` new sessions
//! are refused and those that exist go on. Expired values are not read; a sweep takes them out in small portions. Its
//! clock is monotonic, so that a clock that is set neither ends nor extends a session.

use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Entry, StoreError, Swap};
use crate::session::{Handle, Timestamp, record, time};

const MAPS: usize = 64;

struct Value {
    bytes: Bytes,
    expires: Timestamp,
}

type Map = HashMap<Handle, Value>;

mod subjects;

/// All sessions of this process.
pub struct Memory {
    maps: Vec<Mutex<Map>>,
    hasher: RandomState,
    count: AtomicUsize,
    next_sweep: AtomicUsize,
    subjects: subjects::Subjects,
    max_sessions: usize,
    started: (Timestamp, Instant),
}

impl Memory {
    /// An empty store that holds at most `max_sessions`.
    pub fn new(max_sessions: usize) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            maps: (0..MAPS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            next_sweep: AtomicUsize::new(0),
            subjects: subjects::Subjects::default(),
            max_sessions,
            started: (Timestamp(time::millis(epoch)), Instant::now()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.started.0.after(self.started.1.elapsed())
    }

    pub(super) fn load(&self, handles: &[Handle]) -> Vec<Option<Entry>> {
        let now = self.now();
        handles.iter().map(|handle| self.map(handle).get(handle).and_then(|value| value.read(now))).collect()
    }

    pub(super) fn swap(
        &self,
        handle: &Handle,
        expected: Option<&record::Stamp>,
        bytes: Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        if expected.is_none() && self.count.load(Ordering::Relaxed) >= self.max_sessions {
            self.sweep_all();
        }
        let now = self.now();
        let value = Value { bytes, expires: now.after(ttl) };
        match self.map(handle).entry(*handle) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get().read(now);
                let stamp = entry.as_ref().and_then(|entry| record::Stamp::of(&entry.bytes));
                if entry.is_some() != expected.is_some() || stamp.as_ref() != expected {
                    return Ok(Swap::Conflict(entry));
                }
                slot.insert(value);
            }
            Slot::Vacant(_) if expected.is_some() => return Ok(Swap::Conflict(None)),
            Slot::Vacant(slot) => {
                if self.count.fetch_add(1, Ordering::Relaxed) >= self.max_sessions {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(StoreError::Full);
                }
                slot.insert(value);
            }
        }
        Ok(Swap::Done)
    }

    pub(super) fn remove(&self, handle: &Handle, expected: &record::Stamp) -> Swap {
        let now = self.now();
        let mut map = self.map(handle);
        let entry = map.get(handle).and_then(|value| value.read(now));
        if entry.as_ref().and_then(|entry| record::Stamp::of(&entry.bytes)).as_ref() != Some(expected) {
            return Swap::Conflict(entry);
        }
        map.remove(handle);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Swap::Done
    }

    pub(super) fn touch(&self, handle: &Handle, ttl: Duration) {
        let now = self.now();
        if let Some(value) = self.map(handle).get_mut(handle)
            && value.expires > now
            && value.bytes.starts_with(record::LIVE_PREFIX.as_bytes())
        {
            value.expires = value.expires.max(now.after(ttl));
        }
    }

    /// Takes the expired sessions out of one of the maps, and what they left in the index; call it again and again.
    pub fn sweep(&self) {
        let turn = self.next_sweep.fetch_add(1, Ordering::Relaxed);
        self.sweep_map(turn % MAPS);
        self.sweep_subjects(turn);
    }

    fn sweep_all(&self) {
        (0..MAPS).for_each(|map| self.sweep_map(map));
    }

    fn sweep_map(&self, index: usize) {
        let now = self.now();
        let mut map = locked(&self.maps[index]);
        let before = map.len();
        map.retain(|_, value| value.expires > now);
        self.count.fetch_sub(before - map.len(), Ordering::Relaxed);
    }

    fn map(&self, handle: &Handle) -> MutexGuard<'_, Map> {
        let hash = self.hasher.hash_one(handle);
        locked(&self.maps[usize::try_from(hash % MAPS as u64).unwrap_or_default()])
    }
}

impl Value {
    fn read(&self, now: Timestamp) -> Option<Entry> {
        (self.expires > now).then(|| Entry { bytes: self.bytes.clone(), left: self.expires.since(now) })
    }
}

fn locked(map: &Mutex<Map>) -> MutexGuard<'_, Map> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
