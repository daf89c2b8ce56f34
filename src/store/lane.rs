//! One process lines up its own writers of one session, so that a hundred of them do not retry against each other.
//!
//! A lane is a queue in front of one key. Whoever leaves it tells the next what is stored now, so that each write is
//! one round trip; and if the store failed, everybody who was already waiting fails with it instead of waiting for the
//! same failure again. The compare-and-set stays the truth: other processes write too. This is the one lock that is
//! held across an `.await`, on purpose, and only by writers of the same session.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::RandomState;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use super::StoreError;
use crate::session::{Handle, record::Stored};

const MAPS: usize = 64;

/// Handles are digests, and no one has a place here without a ticket that we made: nobody can choose them to collide.
type Map = HashMap<Handle, Arc<Track>, RandomState>;

/// One session's queue.
#[derive(Default)]
struct Track {
    turn: Arc<Queue<Turn>>,
    arrivals: AtomicU64,
}

/// What the last writer left for those behind it.
#[derive(Default)]
struct Turn {
    stored: Option<(u64, Option<Stored>)>,
    failed: Option<(u64, StoreError)>,
}

/// The lanes of one process.
pub struct Lanes {
    maps: Vec<Mutex<Map>>,
    hasher: RandomState,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { maps: (0..MAPS).map(|_| Mutex::default()).collect(), hasher: RandomState::default() }
    }
}

/// A place in a session's queue; given up when dropped.
struct Place {
    lanes: Arc<Lanes>,
    handle: Handle,
    track: Arc<Track>,
}

/// The right to write one session, until it is dropped.
pub struct Lane {
    turn: OwnedMutexGuard<Turn>,
    place: Place,
    arrival: u64,
}

impl Lanes {
    /// Waits for this session's turn.
    ///
    /// # Errors
    /// The failure of a writer who had the turn while we waited: the store is away, ours would fail as well.
    pub async fn enter(self: &Arc<Self>, handle: Handle) -> Result<Lane, StoreError> {
        let track = Arc::clone(self.map(&handle).entry(handle).or_default());
        let arrival = track.arrivals.fetch_add(1, Ordering::Relaxed);
        let place = Place { lanes: Arc::clone(self), handle, track };
        let queue = Arc::clone(&place.track.turn);
        // Nearly always there is nobody, and whoever waits is not passed by.
        let turn = match Arc::clone(&queue).try_lock_owned() {
            Ok(turn) => turn,
            Err(_) => Box::pin(queue.lock_owned()).await,
        };
        match &turn.failed {
            Some((arrivals, error)) if arrival < *arrivals => Err(error.clone()),
            Some(_) | None => Ok(Lane { turn, place, arrival }),
        }
    }

    fn map(&self, handle: &Handle) -> MutexGuard<'_, Map> {
        let hash = self.hasher.hash_one(handle);
        let map = &self.maps[usize::try_from(hash % MAPS as u64).unwrap_or_default()];
        map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// What the writer before us left in the store; `None` if there was none while we waited.
    pub fn take_stored(&mut self) -> Option<Option<Stored>> {
        let (arrivals, stored) = self.turn.stored.take()?;
        (self.arrival < arrivals).then_some(stored)
    }

    /// Tells the next writer what is stored now.
    pub fn leave_stored(&mut self, stored: Option<Stored>) {
        self.turn.stored = Some((self.arrivals(), stored));
    }

    /// Tells everybody who is waiting that the store failed.
    pub fn leave_failure(&mut self, error: StoreError) {
        self.turn.stored = None;
        self.turn.failed = Some((self.arrivals(), error));
    }

    /// How many have come so far: what is left now is for those who are waiting already.
    fn arrivals(&self) -> u64 {
        self.place.track.arrivals.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    /// The last one out takes the lane away: the map's reference and ours are the only ones left.
    fn drop(&mut self) {
        let mut map = self.lanes.map(&self.handle);
        if Arc::strong_count(&self.track) == 2 {
            map.remove(&self.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::record::Tombstone;

    fn handle() -> Handle {
        Handle::parse(&"A".repeat(43)).unwrap()
    }

    fn stored(version: u64) -> Option<Stored> {
        Some(Tombstone { version, writes: [].into(), retired: vec![] }.into())
    }

    #[tokio::test]
    async fn the_next_writer_learns_what_the_last_one_stored() {
        let lanes = Arc::new(Lanes::default());
        let mut first = lanes.enter(handle()).await.unwrap();
        assert_eq!(first.take_stored(), None);
        let second = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.enter(handle()).await.unwrap().take_stored() }
        });
        tokio::task::yield_now().await;
        first.leave_stored(stored(7));
        drop(first);
        assert_eq!(second.await.unwrap(), Some(stored(7)));
    }

    /// Another process may have written between that moment and the newcomer's arrival.
    #[tokio::test]
    async fn who_comes_after_something_was_left_does_not_learn_it() {
        let lanes = Arc::new(Lanes::default());
        let mut first = lanes.enter(handle()).await.unwrap();
        first.leave_stored(stored(7));
        let second = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.enter(handle()).await.unwrap().take_stored() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(second.await.unwrap(), None);
    }

    #[tokio::test]
    async fn nothing_is_remembered_once_nobody_waits() {
        let lanes = Arc::new(Lanes::default());
        let mut lane = lanes.enter(handle()).await.unwrap();
        lane.leave_stored(stored(7));
        drop(lane);
        assert!(lanes.maps.iter().all(|map| map.lock().unwrap().is_empty()));
        assert_eq!(lanes.enter(handle()).await.unwrap().take_stored(), None);
    }

    #[tokio::test]
    async fn those_who_waited_fail_with_the_one_who_failed_and_later_ones_try() {
        let lanes = Arc::new(Lanes::default());
        let mut first = lanes.enter(handle()).await.unwrap();
        let enter = || {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move { lanes.enter(handle()).await.map(drop) })
        };
        let (second, third) = (enter(), enter());
        tokio::task::yield_now().await;
        first.leave_failure(StoreError::Timeout);
        let fourth = enter();
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(second.await.unwrap(), Err(StoreError::Timeout));
        assert_eq!(third.await.unwrap(), Err(StoreError::Timeout));
        assert_eq!(fourth.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_writer_who_gives_up_waiting_leaves_no_trace() {
        let lanes = Arc::new(Lanes::default());
        let first = lanes.enter(handle()).await.unwrap();
        let waiting = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.enter(handle()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(first);
        assert!(lanes.maps.iter().all(|map| map.lock().unwrap().is_empty()));
    }
}
