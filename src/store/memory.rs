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

impl Value {
    /// Whether it takes one of the `max_sessions` places: tombstones do not.
    fn takes_place(&self) -> bool {
        record::Stamp::of(&self.bytes).is_some_and(|stamp| stamp.is_live())
    }
}

type Map = HashMap<Handle, Value>;

mod scan;
mod subjects;

/// All sessions of this process. `count` is how many places are taken.
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
                let taken = value.takes_place();
                match (slot.insert(value).takes_place(), taken) {
                    (true, false) => drop(self.count.fetch_sub(1, Ordering::Relaxed)),
                    (false, true) => drop(self.count.fetch_add(1, Ordering::Relaxed)),
                    (true, true) | (false, false) => {}
                }
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
        if map.remove(handle).is_some_and(|value| value.takes_place()) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        Swap::Done
    }

    pub(super) fn touch(&self, handle: &Handle, expected: &record::Stamp, ttl: Duration) {
        let now = self.now();
        if let Some(value) = self.map(handle).get_mut(handle)
            && value.expires > now
            && value.bytes.starts_with(&expected.0)
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
        let mut freed = 0;
        map.retain(|_, value| {
            let stays = value.expires > now;
            freed += usize::from(!stays && value.takes_place());
            stays
        });
        self.count.fetch_sub(freed, Ordering::Relaxed);
    }

    fn map(&self, handle: &Handle) -> MutexGuard<'_, Map> {
        locked(&self.maps[self.index(handle)])
    }

    fn index(&self, handle: &Handle) -> usize {
        let hash = self.hasher.hash_one(handle);
        usize::try_from(hash % MAPS as u64).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn handle(number: u32) -> Handle {
        let mut raw = [0; 16];
        raw[..4].copy_from_slice(&number.to_le_bytes());
        crate::session::ticket::Locator::from_random(raw).handle()
    }

    fn value(state: char) -> Bytes {
        Bytes::from(format!("1{state}{:032x}={{}}", 7))
    }

    fn stamp(state: char) -> record::Stamp {
        record::Stamp::of(&value(state)).unwrap()
    }

    fn put(memory: &Memory, number: u32, ttl: Duration) -> Result<Swap, StoreError> {
        memory.swap(&handle(number), None, value('L'), ttl)
    }

    fn left(memory: &Memory, number: u32) -> Option<Duration> {
        memory.load(&[handle(number)]).remove(0).map(|entry| entry.left)
    }

    fn held(memory: &Memory) -> usize {
        memory.maps.iter().map(|map| locked(map).len()).sum()
    }

    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_value_is_read_up_to_the_last_millisecond_of_its_life_and_not_at_its_end() {
        let memory = Memory::new(10);
        put(&memory, 1, SECOND).unwrap();
        assert_eq!(left(&memory, 1), Some(SECOND));
        advance(SECOND - MILLISECOND).await;
        assert_eq!(left(&memory, 1), Some(MILLISECOND));
        advance(MILLISECOND).await;
        assert_eq!(left(&memory, 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn its_clock_goes_with_time_and_not_with_the_machines_date() {
        let memory = Memory::new(10);
        let begun = memory.now();
        advance(Duration::from_millis(1234)).await;
        assert_eq!(memory.now(), begun.after(Duration::from_millis(1234)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_touch_counts_from_now_and_never_back() {
        let memory = Memory::new(10);
        put(&memory, 1, 10 * SECOND).unwrap();
        advance(4 * SECOND).await;
        for (touched, wanted) in [(SECOND, 6 * SECOND), (6 * SECOND, 6 * SECOND), (9 * SECOND, 9 * SECOND)] {
            memory.touch(&handle(1), &stamp('L'), touched);
            assert_eq!(left(&memory, 1), Some(wanted), "touched to {touched:?}");
        }
        advance(9 * SECOND).await;
        memory.touch(&handle(1), &stamp('L'), SECOND);
        assert_eq!(left(&memory, 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_touch_does_not_extend_a_tombstone() {
        let memory = Memory::new(10);
        memory.swap(&handle(1), None, value('T'), SECOND).unwrap();
        memory.touch(&handle(1), &stamp('L'), 10 * SECOND);
        assert_eq!(left(&memory, 1), Some(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_gives_its_place_to_the_next_also_before_it_is_swept() {
        let memory = Memory::new(2);
        put(&memory, 1, SECOND).unwrap();
        put(&memory, 2, 5 * SECOND).unwrap();
        assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
        advance(SECOND).await;
        assert_eq!(put(&memory, 3, SECOND), Ok(Swap::Done));
        assert_eq!(put(&memory, 4, SECOND), Err(StoreError::Full));
        assert_eq!((left(&memory, 2), held(&memory)), (Some(4 * SECOND), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_swap_over_what_has_expired_takes_no_second_place() {
        let memory = Memory::new(2);
        put(&memory, 1, SECOND).unwrap();
        advance(SECOND).await;
        assert_eq!(put(&memory, 1, SECOND), Ok(Swap::Done));
        assert_eq!(put(&memory, 2, SECOND), Ok(Swap::Done));
        assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_of_sweeps_takes_out_what_has_expired_and_nothing_else() {
        let memory = Memory::new(1_000);
        for number in 0..500 {
            put(&memory, number, if number % 2 == 0 { SECOND } else { 10 * SECOND }).unwrap();
        }
        (0..MAPS).for_each(|_| memory.sweep());
        assert_eq!(held(&memory), 500);
        advance(SECOND).await;
        assert_eq!(held(&memory), 500);
        memory.sweep();
        assert!((400..500).contains(&held(&memory)), "one sweep takes a portion: {} are left", held(&memory));
        (1..MAPS).for_each(|_| memory.sweep());
        assert_eq!((held(&memory), memory.count.load(Ordering::Relaxed)), (250, 250));
        assert!((0..500).all(|number| left(&memory, number).is_some() == (number % 2 == 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_removed_gives_its_place_up_once() {
        let memory = Memory::new(1);
        let stamp = stamp('L');
        put(&memory, 1, SECOND).unwrap();
        assert_eq!(memory.remove(&handle(1), &stamp), Swap::Done);
        assert_eq!(memory.remove(&handle(1), &stamp), Swap::Conflict(None));
        assert_eq!(put(&memory, 2, SECOND), Ok(Swap::Done));
        assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
    }

    #[test]
    fn threads_that_race_for_the_last_places_get_no_more_than_there_are() {
        let memory = Memory::new(100);
        let stored: usize = std::thread::scope(|scope| {
            let fill = |thread: u32| {
                let memory = &memory;
                move || (0..100).filter(|n| put(memory, 1_000 * thread + n, 100 * SECOND) == Ok(Swap::Done)).count()
            };
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(fill(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((stored, held(&memory)), (100, 100));
    }
}
