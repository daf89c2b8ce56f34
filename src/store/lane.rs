//! One process lines up its own writers of one session, so that a hundred of them do not retry against each other.
//!
//! A lane is a queue in front of one key. Whoever leaves it tells the next what is stored now, so that each write is
//! one round trip; and if the store failed, everybody who was already waiting fails with it instead of waiting for the
//! same failure again. The compare-and-set stays the truth: other processes write too. This is the one lock that is
//! held across an `.await`, on purpose, and only by writers of the same session.
//!
//! A key is in its map for as long as somebody has the lane, and nearly always nobody waits: then all of it is an empty
//! queue that is put in and taken out. Who waits has a channel in the queue, and is told outside of the map's lock: what
//! is woken there may come back to it. So who gives up stays in the queue until its turn, which then is the next one's.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque, hash_map},
    hash::BuildHasher as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{StoreError, spread::Spread};
use crate::session::{Handle, record::Stored};

/// So few that they stay in the cache, and so many that two cores seldom want the same.
const MAPS: usize = 16;

type Map = HashMap<Handle, Queue, Spread>;

/// Those who wait for one lane, the first one first.
type Queue = VecDeque<oneshot::Sender<Turn>>;

/// What one who waits is told: that it is its turn and what was left for it, or how the store failed.
type Turn = Result<Option<Left<'static>>, StoreError>;

/// What a writer stored, which holds for those who waited already: later ones know of other processes' writes what it
/// could not. The writer keeps it, unless somebody waits.
#[derive(Debug)]
struct Left<'a> {
    stored: Option<Cow<'a, Stored>>,
    /// How many of the queue these are, from its front; more than there are means all.
    heirs: usize,
}

/// The lanes of one process.
#[derive(Default)]
pub struct Lanes {
    maps: [Mutex<Map>; MAPS],
}

/// A place in a session's queue; given up when dropped.
struct Place<'a> {
    lanes: &'a Lanes,
    handle: &'a Handle,
    turn: oneshot::Receiver<Turn>,
}

/// The right to write one session, until it is dropped.
pub struct Lane<'a> {
    lanes: &'a Lanes,
    handle: &'a Handle,
    is_left: bool,
}

impl Lanes {
    /// Waits for this session's turn. With it comes what the writer before left in the store, if there was one while we
    /// waited and it knew.
    ///
    /// # Errors
    /// The failure of a writer who had the turn while we waited: the store is away, ours would fail as well.
    pub async fn enter<'a>(&'a self, handle: &'a Handle) -> Result<(Lane<'a>, Option<Option<Stored>>), StoreError> {
        let left = match self.line_up(handle) {
            None => None,
            Some(turn) => {
                let mut place = Place { lanes: self, handle, turn };
                // Nobody takes a queue away without telling those in it.
                (&mut place.turn).await.unwrap_or(Err(StoreError::Disconnected))?
            }
        };
        let lane = Lane { lanes: self, handle, is_left: false };
        Ok((lane, left.map(|left| left.stored.map(Cow::into_owned))))
    }

    /// Takes the lane if it is free (`None`), or else a place in its queue.
    fn line_up(&self, handle: &Handle) -> Option<oneshot::Receiver<Turn>> {
        match self.map(handle).entry(*handle) {
            hash_map::Entry::Vacant(free) => {
                free.insert(Queue::new());
                None
            }
            hash_map::Entry::Occupied(mut queue) => {
                let (sender, turn) = oneshot::channel();
                queue.get_mut().push_back(sender);
                Some(turn)
            }
        }
    }

    /// Gives the turn to the first who still waits for it.
    fn pass_on<'a>(&self, handle: &Handle, mut left: Option<Left<'a>>) {
        while let Some(next) = self.next(handle, &mut left) {
            match next.send(Ok(left.map(Left::into_owned))) {
                Ok(()) => return,
                Err(turn) => left = turn.ok().flatten(),
            }
        }
    }

    /// Takes the next one out of the queue, or the lane away if there is none. In the same moment it is settled for whom
    /// is what was `left`.
    fn next(&self, handle: &Handle, left: &mut Option<Left<'_>>) -> Option<oneshot::Sender<Turn>> {
        let mut map = self.map(handle);
        let hash_map::Entry::Occupied(mut queue) = map.entry(*handle) else { return None };
        let Some(next) = queue.get_mut().pop_front() else {
            queue.remove();
            return None;
        };
        *left = left.take().and_then(|Left { stored, heirs }| {
            Some(Left { stored, heirs: heirs.checked_sub(1)?.min(queue.get().len()) })
        });
        Some(next)
    }

    /// Tells everybody who waits that the store failed, and takes the lane away.
    fn fail(&self, handle: &Handle, error: &StoreError) {
        let queue = self.map(handle).remove(handle);
        for waiting in queue.into_iter().flatten() {
            // Who has given up need not know.
            let _ = waiting.send(Err(error.clone()));
        }
    }

    fn map(&self, handle: &Handle) -> MutexGuard<'_, Map> {
        // The map spreads by the other bits.
        let hash = Spread::default().hash_one(handle) >> 32;
        self.maps[hash as usize % MAPS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane<'_> {
    /// Tells the next writer what is stored now.
    pub fn leave_stored(mut self, stored: Option<&Stored>) {
        self.is_left = true;
        self.lanes.pass_on(self.handle, Some(Left { stored: stored.map(Cow::Borrowed), heirs: usize::MAX }));
    }

    /// Tells everybody who is waiting that the store failed.
    pub fn leave_failure(mut self, error: &StoreError) {
        self.is_left = true;
        self.lanes.fail(self.handle, error);
    }
}

impl Left<'_> {
    fn into_owned(self) -> Left<'static> {
        Left { stored: self.stored.map(|stored| Cow::Owned(stored.into_owned())), heirs: self.heirs }
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        if !self.is_left {
            self.lanes.pass_on(self.handle, None);
        }
    }
}

impl Drop for Place<'_> {
    /// The turn may have come a moment before it was given up.
    fn drop(&mut self) {
        self.turn.close();
        if let Ok(Ok(left)) = self.turn.try_recv() {
            self.lanes.pass_on(self.handle, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicU64, Ordering},
        task::{Context, Waker},
        thread,
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use tokio::{runtime::Builder, time::timeout};

    use super::*;
    use crate::session::record::Tombstone;

    const PATIENCE: Duration = Duration::from_secs(60);

    type Entering<'a> = Pin<Box<dyn Future<Output = Result<(Lane<'a>, Option<Option<Stored>>), StoreError>> + 'a>>;

    fn handle() -> Handle {
        Handle::parse(&"A".repeat(43)).unwrap()
    }

    fn stored(version: u64) -> Option<Stored> {
        Some(Tombstone { version, writes: [].into(), retired: vec![] }.into())
    }

    fn is_empty(lanes: &Lanes) -> bool {
        lanes.maps.iter().all(|map| map.lock().unwrap().is_empty())
    }

    /// Enters a free lane.
    fn take<'a>(lanes: &'a Lanes, handle: &'a Handle) -> Lane<'a> {
        let (lane, stored) = lanes.enter(handle).now_or_never().unwrap().unwrap();
        assert_eq!(stored, None);
        lane
    }

    /// Lines up behind somebody.
    fn wait<'a>(lanes: &'a Lanes, handle: &'a Handle) -> Entering<'a> {
        let mut waiting: Entering<'a> = Box::pin(lanes.enter(handle));
        assert!(!has_turn(&mut waiting));
        waiting
    }

    /// Whether it is told something now. It must not be asked again.
    fn has_turn(waiting: &mut Entering<'_>) -> bool {
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn told<'a>(waiting: Entering<'a>) -> Result<(Lane<'a>, Option<Option<Stored>>), StoreError> {
        waiting.now_or_never().expect("it is told something")
    }

    #[test]
    fn the_next_writer_learns_what_the_last_one_stored() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let (second, mut third) = (wait(&lanes, &handle), wait(&lanes, &handle));
        first.leave_stored(stored(7).as_ref());
        let (lane, left) = told(second).unwrap();
        assert_eq!(left, Some(stored(7)));
        assert!(!has_turn(&mut third));
        lane.leave_stored(None);
        assert_eq!(told(third).unwrap().1, Some(None));
    }

    #[test]
    fn who_leaves_nothing_passes_the_turn_on_and_nothing_with_it() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let [second, third, fourth] = [(); 3].map(|()| wait(&lanes, &handle));
        first.leave_stored(stored(7).as_ref());
        let (lane, left) = told(second).unwrap();
        assert_eq!(left, Some(stored(7)));
        drop(lane);
        let (lane, left) = told(third).unwrap();
        assert_eq!(left, None);
        let panic = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let _lane = lane;
                panic!("on purpose");
            });
            writer.join()
        });
        assert!(panic.is_err());
        assert_eq!(told(fourth).unwrap().1, None);
        assert!(is_empty(&lanes));
    }

    #[test]
    fn writers_of_other_sessions_do_not_wait() {
        let (lanes, handle) = (Lanes::default(), handle());
        let other = Handle::parse(&format!("B{}", "A".repeat(42))).unwrap();
        let _first = take(&lanes, &handle);
        drop(take(&lanes, &other));
    }

    /// Another process may have written between that moment and the newcomer's arrival.
    #[test]
    fn who_comes_after_something_was_left_does_not_learn_it() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let [second, third] = [(); 2].map(|()| wait(&lanes, &handle));
        first.leave_stored(stored(7).as_ref());
        let fourth = wait(&lanes, &handle);
        drop(second);
        drop(third);
        assert_eq!(told(fourth).unwrap().1, None);
        assert!(is_empty(&lanes));
    }

    #[test]
    fn a_turn_that_was_given_and_not_taken_goes_on_with_what_was_left() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let [second, third, fourth] = [(); 3].map(|()| wait(&lanes, &handle));
        drop(third);
        first.leave_stored(stored(7).as_ref());
        let fifth = wait(&lanes, &handle);
        drop(second);
        let (lane, left) = told(fourth).unwrap();
        assert_eq!(left, Some(stored(7)));
        drop(lane);
        assert_eq!(told(fifth).unwrap().1, None);
        assert!(is_empty(&lanes));
    }

    #[test]
    fn nothing_is_remembered_once_nobody_waits() {
        let (lanes, handle) = (Lanes::default(), handle());
        take(&lanes, &handle).leave_stored(stored(7).as_ref());
        assert!(is_empty(&lanes));
        take(&lanes, &handle).leave_failure(&StoreError::Timeout);
        assert!(is_empty(&lanes));
        drop(take(&lanes, &handle));
    }

    #[test]
    fn those_who_waited_fail_with_the_one_who_failed_and_later_ones_try() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let [second, third, given_up] = [(); 3].map(|()| wait(&lanes, &handle));
        drop(given_up);
        first.leave_failure(&StoreError::Timeout);
        let fourth = take(&lanes, &handle);
        let mut fifth = wait(&lanes, &handle);
        assert_eq!(told(second).err(), Some(StoreError::Timeout));
        // Who is told of a failure has no turn to pass on.
        drop(third);
        assert!(!has_turn(&mut fifth));
        drop(fourth);
        assert!(told(fifth).is_ok());
        assert!(is_empty(&lanes));
    }

    #[test]
    fn a_writer_who_gives_up_waiting_leaves_no_trace() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        drop(wait(&lanes, &handle));
        drop(first);
        assert!(is_empty(&lanes));
        drop(lanes.enter(&handle));
        assert!(is_empty(&lanes));
    }

    #[test]
    fn the_living_take_their_turns_in_order_past_a_crowd_of_dead() {
        let (lanes, handle) = (Lanes::default(), handle());
        let first = take(&lanes, &handle);
        let mut waiting: Vec<_> = (0..10_000).map(|_| Some(wait(&lanes, &handle))).collect();
        let living = [1_u64, 17, 5_000, 9_998];
        for (place, writer) in waiting.iter_mut().enumerate() {
            writer.take_if(|_| !living.contains(&(place as u64)));
        }
        first.leave_stored(stored(0).as_ref());
        let mut before = 0;
        for place in living {
            let (lane, left) = told(waiting[place as usize].take().unwrap()).unwrap();
            assert_eq!(left, Some(stored(before)));
            assert!(waiting.iter_mut().flatten().all(|later| !has_turn(later)));
            lane.leave_stored(stored(place).as_ref());
            before = place;
        }
        assert!(is_empty(&lanes));
    }

    /// One of several writers of a session: some of its writes it waits for, some it gives up where it happens to be.
    async fn write_often(lanes: &Lanes, handle: &Handle, inside: &AtomicU64) {
        for round in 0..10_000_u64 {
            let mut entering: Entering<'_> = Box::pin(lanes.enter(handle));
            let entered = match entering.as_mut().now_or_never() {
                None if round % 3 == 0 => {
                    thread::yield_now();
                    continue;
                }
                None => timeout(PATIENCE, entering).await.expect("no turn is lost"),
                Some(entered) => entered,
            };
            let Ok((lane, _)) = entered else { continue };
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two writers at once");
            thread::yield_now();
            inside.fetch_sub(1, Ordering::Relaxed);
            match round % 5 {
                0 => lane.leave_failure(&StoreError::Timeout),
                1 => drop(lane),
                _ => lane.leave_stored(stored(round).as_ref()),
            }
        }
    }

    #[test]
    fn threads_that_write_one_session_never_do_so_at_once_and_lose_no_turn() {
        let (lanes, handle, inside) = (Lanes::default(), handle(), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(write_often(&lanes, &handle, &inside));
                });
            }
        });
        assert!(is_empty(&lanes));
    }
}
