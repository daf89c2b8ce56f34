//! `memory:`: sessions in this process, lost at exit.
//!
//! Many small maps, each behind a lock that is held for a look-up, or for a few of what has expired, and for nothing
//! else: no step is longer for there being a million sessions. It never evicts: beyond `max_sessions` new sessions are
//! refused and those that exist go on. Expired values are not read; they are taken out by a sweep, by whoever writes
//! beside them, and by whoever needs their place. Its clock is monotonic, so that a clock that is set neither ends nor
//! extends a session.

mod map;
mod scan;
mod subjects;

use std::{
    hash::BuildHasher,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Entry, Last, Reading, StoreError, Swap, spread::Spread};
use crate::{
    clock,
    session::{Handle, Timestamp, record::Stamp, time},
    telemetry::{Page, Source},
};
pub use map::Spot;
use map::{Map, Value};

/// A map that grows copies itself, so none may become large: with a million sessions it has a thousand.
const MAPS: usize = 1024;
/// How many maps one sweep looks at, and how much it takes out of each: well under a millisecond in all.
const SWEPT: usize = 32;
const PORTION: usize = 8;
/// What every write takes out of the map that it writes to: more than it puts in, so that what has expired cannot pile up.
const BESIDE: usize = 2;

/// All sessions of this process.
pub struct Memory {
    maps: Vec<Mutex<Map>>,
    /// When the first session of each map expires: where to look for a place.
    earliest: Vec<AtomicU64>,
    hasher: Spread,
    /// How many places are taken; never more than `max_sessions`, and never fewer than there are sessions.
    taken: AtomicUsize,
    max_sessions: usize,
    next_sweep: AtomicUsize,
    subjects: subjects::Subjects,
    started: (Timestamp, Instant),
}

impl Memory {
    /// An empty store that holds at most `max_sessions`.
    pub fn new(max_sessions: usize) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            maps: (0..MAPS).map(|_| Mutex::default()).collect(),
            earliest: (0..MAPS).map(|_| AtomicU64::new(u64::MAX)).collect(),
            hasher: Spread::default(),
            taken: AtomicUsize::new(0),
            max_sessions,
            next_sweep: AtomicUsize::new(0),
            subjects: subjects::Subjects::default(),
            started: (Timestamp(time::millis(epoch)), Instant::now()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.started.0.after(self.started.1.elapsed())
    }

    pub(super) fn load(&self, handles: &[Handle]) -> Vec<Option<Entry>> {
        let now = self.now();
        handles.iter().map(|handle| self.read(handle, now)).collect()
    }

    /// Whoever knows where it stood last is answered there, without a search.
    pub(super) fn load_one(&self, handle: &Handle, last: Option<Last<'_>>) -> (Reading, Timestamp) {
        let now = self.started.0.after(clock::now().saturating_duration_since(self.started.1));
        let known = last.map(|last| last.bytes);
        let spot = last.and_then(|last| last.spot);
        let reading = spot.and_then(|spot| spot.0.read(known, now)).or_else(|| {
            let map = locked(&self.maps[self.index(handle)]);
            map.slot(handle)?.read(known, now)
        });
        (reading.unwrap_or(Reading::Nothing), now)
    }

    fn read(&self, handle: &Handle, now: Timestamp) -> Option<Entry> {
        locked(&self.maps[self.index(handle)]).read(handle, now)
    }

    pub(super) fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        bytes: Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        loop {
            match self.try_swap(handle, expected, &bytes, ttl) {
                // Another writer may take the place that is made here; then there is the next one, or none.
                Err(StoreError::Full) if self.make_room() => {}
                result => return result,
            }
        }
    }

    fn try_swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        bytes: &[u8],
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        let now = self.now();
        self.change(self.index(handle), |map| {
            if !map.is_at(handle, expected, now) {
                return Ok(Swap::Conflict(map.read(handle, now)));
            }
            let value = Value::new(bytes, now.after(ttl));
            let (had, has) = (map.takes_place(handle), value.takes_place());
            if has && !had && !self.take_place() {
                return Err(StoreError::Full);
            }
            map.put(*handle, value);
            self.give_back(usize::from(had && !has) + map.sweep(BESIDE, now));
            Ok(Swap::Done)
        })
    }

    pub(super) fn remove(&self, handle: &Handle, expected: &Stamp) -> Swap {
        let now = self.now();
        self.change(self.index(handle), |map| {
            if !map.is_at(handle, Some(expected), now) {
                return Swap::Conflict(map.read(handle, now));
            }
            let had = map.takes_place(handle);
            map.remove(handle);
            self.give_back(usize::from(had));
            Swap::Done
        })
    }

    pub(super) fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) {
        let now = self.now();
        self.change(self.index(handle), |map| map.touch(handle, expected, ttl, now));
    }

    /// Takes some of what has expired out of some of the maps, and what it left in the index; call it again and again.
    pub fn sweep(&self) {
        let now = self.now();
        let first = self.next_sweep.fetch_add(SWEPT, Ordering::Relaxed);
        for turn in 0..SWEPT {
            self.sweep_map(first.wrapping_add(turn) % MAPS, now);
        }
        self.sweep_subjects(now);
    }

    /// Takes out some sessions that have expired, wherever they are; whether there were any.
    fn make_room(&self) -> bool {
        let now = self.now();
        let is_due = |index: &usize| self.earliest[*index].load(Ordering::Relaxed) <= now.0;
        (0..MAPS).filter(is_due).any(|index| self.sweep_map(index, now) > 0)
    }

    /// Returns how many places it has freed.
    fn sweep_map(&self, index: usize, now: Timestamp) -> usize {
        self.change(index, |map| {
            let freed = map.sweep(PORTION, now);
            self.give_back(freed);
            freed
        })
    }

    /// A place is taken before there is a session in it, and given back when there is none any more.
    fn take_place(&self) -> bool {
        let more = |taken| (taken < self.max_sessions).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, places: usize) {
        if places > 0 {
            self.taken.fetch_sub(places, Ordering::Relaxed);
        }
    }

    /// Changes a map under its lock.
    fn change<T>(&self, index: usize, change: impl FnOnce(&mut Map) -> T) -> T {
        let mut map = locked(&self.maps[index]);
        let changed = change(&mut map);
        let earliest = map.earliest().0;
        if self.earliest[index].load(Ordering::Relaxed) != earliest {
            self.earliest[index].store(earliest, Ordering::Relaxed);
        }
        changed
    }

    fn index(&self, handle: &Handle) -> usize {
        usize::try_from(self.hasher.hash_one(handle) >> 32).unwrap_or_default() % MAPS
    }
}

impl Source for Memory {
    fn tell(&self, page: &mut Page) {
        let taken = self.taken.load(Ordering::Relaxed) as u64;
        page.gauge("cloakroom_memory_sessions", "Sessions in memory, with those that expired a moment ago.")
            .add(&[], taken);
        let help = "How many sessions memory holds at most (store.max_sessions).";
        page.gauge("cloakroom_memory_sessions_max", help).add(&[], self.max_sessions as u64);
    }
}

fn locked(map: &Mutex<Map>) -> MutexGuard<'_, Map> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
