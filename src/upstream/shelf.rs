//! One shard's connections to one server that wait for a request.
//!
//! Last in, first out, so that what is not needed grows old and is closed. `max_connections` holds for the process: who
//! finds no slot has a spare connection of another shard closed, and whoever gives one back meanwhile closes it instead
//! if most of those who wait are elsewhere.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    Payload,
    connection::{Need, Place, Readiness, Shared, Single},
    member::{Member, Spare},
};
use crate::clock;

/// How long a connection may take to be ready for its next request.
const SETTLE: Duration = Duration::from_millis(100);

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// One shard's idle connections to one server.
pub(super) struct Shelf<B> {
    pub(super) member: Arc<Member>,
    idle: Mutex<Vec<Idle<Single<B>>>>,
    /// HTTP/2: not idle, but with places.
    shared: Mutex<Vec<Idle<Shared<B>>>>,
    /// One HTTP/2 connection is made at a time: who waits will find it.
    pub(super) opening: Semaphore,
    /// Requests of this shard that wait for a slot.
    waiting: AtomicUsize,
    returned: Notify,
    life: Duration,
}

/// What a request that waited got.
pub(super) enum Won<B> {
    Slot(OwnedSemaphorePermit),
    Connection(Single<B>),
}

impl<B: Payload> Shelf<B> {
    pub(super) fn new(member: &Arc<Member>, life: Duration) -> Arc<Self> {
        let shelf = Arc::new(Self {
            member: Arc::clone(member),
            idle: Mutex::default(),
            shared: Mutex::default(),
            opening: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            returned: Notify::new(),
            life,
        });
        let spare: Arc<dyn Spare> = Arc::clone(&shelf) as _;
        member.enlist(Arc::downgrade(&spare));
        shelf
    }

    /// A connection that is ready for such a request at this very moment, which is `now`.
    pub(super) fn take_ready(&self, need: Need, now: Instant) -> Option<Single<B>> {
        let mut idle = lock(&self.idle);
        while let Some(at) = idle.iter().rposition(|idle| idle.connection.suits(need)) {
            let Idle { mut connection, since } = idle.remove(at);
            match connection.readiness() {
                Readiness::Closed => {}
                _ if now.saturating_duration_since(since) >= self.life => {}
                Readiness::Ready => return Some(connection),
                Readiness::Soon => {
                    idle.insert(at, Idle { connection, since });
                    return None;
                }
            }
        }
        None
    }

    /// A connection that is ready for a request, or will be in a moment.
    pub(super) async fn take(&self) -> Option<Single<B>> {
        loop {
            let Idle { mut connection, since } = lock(&self.idle).pop()?;
            if since.elapsed() >= self.life {
                continue;
            }
            if timeout(SETTLE, connection.settled()).await == Ok(Readiness::Ready) {
                return Some(connection);
            }
            connection.close();
        }
    }

    /// A stream's place on an HTTP/2 connection.
    pub(super) fn place(&self) -> Option<(Shared<B>, Place)> {
        let mut shared = lock(&self.shared);
        shared.iter_mut().find_map(|idle| {
            let place = idle.connection.place()?;
            idle.since = Instant::now();
            Some((idle.connection.clone(), place))
        })
    }

    pub(super) fn share(&self, connection: Shared<B>) {
        lock(&self.shared).push(Idle { connection, since: Instant::now() });
    }

    /// Keeps a connection for the next request, or closes it if its slot is needed more.
    pub(super) fn put(&self, connection: Single<B>) {
        if connection.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        let (all, own) = (self.member.waiting(), self.waiting.load(SeqCst));
        if all > own && rand::random_range(0..all) >= own {
            return connection.close();
        }
        idle.push(Idle { connection, since: clock::now() });
        drop(idle);
        if own > 0 {
            self.returned.notify_one();
        }
    }

    pub(super) fn has_some(&self) -> bool {
        !lock(&self.idle).is_empty() || !lock(&self.shared).is_empty()
    }

    /// Waits for a slot, or for a connection of this shard that is given back.
    pub(super) async fn wait(&self) -> Won<B> {
        let _waiting = Waiting::begin(self);
        let mut slot = std::pin::pin!(self.member.slot());
        loop {
            if let Some(connection) = self.take().await {
                return Won::Connection(connection);
            }
            self.member.close_a_spare();
            tokio::select! {
                biased;
                slot = slot.as_mut() => return Won::Slot(slot),
                () = self.returned.notified() => {}
            }
        }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn prune(&self) {
        lock(&self.idle)
            .retain_mut(|idle| idle.since.elapsed() < self.life && idle.connection.readiness() != Readiness::Closed);
        lock(&self.shared).retain(|idle| {
            let wanted = idle.connection.streams() > 0 || idle.since.elapsed() < self.life;
            wanted && !idle.connection.sender.is_closed()
        });
    }
}

impl<B: Payload> Spare for Shelf<B> {
    fn close_one(&self) -> bool {
        let spare = lock(&self.idle).pop();
        let quiet = || {
            let mut shared = lock(&self.shared);
            let at = shared.iter().position(|idle| idle.connection.streams() == 0)?;
            Some(shared.swap_remove(at))
        };
        match spare {
            Some(idle) => idle.connection.close(),
            None => return quiet().is_some(),
        }
        true
    }
}

struct Waiting<'a, B>(&'a Shelf<B>);

impl<'a, B> Waiting<'a, B> {
    fn begin(shelf: &'a Shelf<B>) -> Self {
        shelf.waiting.fetch_add(1, SeqCst);
        shelf.member.wait();
        Self(shelf)
    }
}

impl<B> Drop for Waiting<'_, B> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
        self.0.member.waited();
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
