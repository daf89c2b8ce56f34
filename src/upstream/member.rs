//! One server of an upstream as the whole process knows it: its standing, its free places, what is under way with it.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{
        AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use http::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Server, Settings, dial::Dialer, standing::Standing};

/// One shard's idle connections, as other shards see them.
pub(super) trait Spare: Send + Sync {
    /// Closes one; whether there was one.
    fn close_one(&self) -> bool;
}

/// One server.
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) name: Arc<str>,
    pub(super) authority: HeaderValue,
    pub(super) dialer: Dialer,
    pub(super) standing: Standing,
    slots: Arc<Semaphore>,
    /// Requests of all shards that wait for a slot.
    waiting: AtomicUsize,
    load: AtomicUsize,
    shelves: Mutex<Vec<Weak<dyn Spare>>>,
}

/// A request or tunnel under way; counted until it is dropped.
pub(super) struct Load(Arc<Member>);

impl Member {
    pub(super) fn new(dialer: Dialer, settings: &Settings) -> Self {
        Self {
            server: dialer.server.clone(),
            name: dialer.server.to_string().into(),
            authority: dialer.server.authority(),
            dialer,
            standing: Standing::default(),
            slots: Arc::new(Semaphore::new(settings.max_connections)),
            waiting: AtomicUsize::new(0),
            load: AtomicUsize::new(0),
            shelves: Mutex::default(),
        }
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Load {
        self.load.fetch_add(1, Relaxed);
        Load(Arc::clone(self))
    }

    pub(super) fn has_slot(&self) -> bool {
        self.slots.available_permits() > 0
    }

    pub(super) fn try_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// A place for one more connection, when there is one.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.slots).acquire_owned().await {
            Ok(slot) => slot,
            Err(_) => std::future::pending().await,
        }
    }

    /// Tells whoever gives a connection back that somebody waits for a slot.
    pub(super) fn wait(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    pub(super) fn waited(&self) {
        self.waiting.fetch_sub(1, SeqCst);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn enlist(&self, shelf: Weak<dyn Spare>) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|shelf| shelf.strong_count() > 0);
        shelves.push(shelf);
    }

    pub(super) fn close_a_spare_if_full(&self) {
        if !self.has_slot() {
            self.close_a_spare();
        }
    }

    /// Closes an idle connection of some shard, so that its slot becomes free.
    pub(super) fn close_a_spare(&self) {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = shelves.iter().filter_map(Weak::upgrade).any(|shelf| shelf.close_one());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}
