//! The shelf itself: which store it is, and nothing else. Every method is matched without a catch-all, so that the
//! compiler names what a new store lacks. Values are opaque bytes here but for the stamp that they begin with.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Entry, Kind, Last, Reading, Settings, StoreError, Swap, file,
    index::{Epochs, Label},
    listing::{Cursor, Page},
    memory,
    probe::Finding,
    redis,
    tally::Tally,
};
use crate::{
    session::{Handle, Timestamp, record::Stamp},
    telemetry::{Page as Metrics, Source},
};

/// The shelf as the process shares it.
#[derive(Clone)]
pub(super) enum Shelves {
    /// The sessions themselves.
    Memory(Arc<memory::Memory>),
    /// The way to the file, and the thread that writes it.
    File(Arc<file::File>),
    /// How to reach the server.
    Redis(Arc<redis::Server>),
}

impl Shelves {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        Ok(match &settings.kind {
            Kind::Memory { max_sessions } => Self::Memory(Arc::new(memory::Memory::new(*max_sessions))),
            Kind::File { path } => Self::File(Arc::new(file::File::open(path, settings)?)),
            Kind::Redis(target) => Self::Redis(Arc::new(redis::Server::new(target, settings)?)),
        })
    }

    pub(super) fn open(&self, tally: &Arc<Tally>) -> Shelf {
        match self {
            Self::Memory(memory) => Shelf::Memory(Arc::clone(memory)),
            Self::File(file) => Shelf::File(Arc::clone(file)),
            Self::Redis(server) => Shelf::Redis(redis::Redis::open(Arc::clone(server), Arc::clone(tally))),
        }
    }

    pub(super) async fn reach(&self) -> Result<(), String> {
        match self {
            Self::Memory(_) | Self::File(_) => Ok(()),
            Self::Redis(server) => server.connect().await.map(drop),
        }
    }

    pub(super) fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            Self::File(_) | Self::Redis(_) => {}
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::File(file) => file.close().await,
            Self::Memory(_) | Self::Redis(_) => {}
        }
    }
}

impl Source for Shelves {
    fn tell(&self, page: &mut Metrics) {
        match self {
            Self::Memory(memory) => memory.tell(page),
            Self::File(_) | Self::Redis(_) => {}
        }
    }
}

/// One shard's way to the shelf.
#[derive(Clone)]
pub(super) enum Shelf {
    /// In process.
    Memory(Arc<memory::Memory>),
    /// Through the file's writer.
    File(Arc<file::File>),
    /// Over this shard's link.
    Redis(redis::Redis),
}

impl Shelf {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Memory(memory) => memory.now(),
            Self::File(file) => file.now(),
            Self::Redis(redis) => redis.now(),
        }
    }

    pub(super) async fn learn_time(&self) -> Result<bool, StoreError> {
        match self {
            Self::Memory(_) | Self::File(_) => Ok(false),
            Self::Redis(redis) => Box::pin(redis.learn_time()).await,
        }
    }

    pub(super) async fn load(&self, handles: &[Handle]) -> Result<Vec<Option<Entry>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.load(handles)),
            Self::File(file) => file.load(handles),
            // Boxed, here and below, so that whoever waits does not carry the room that asking a server takes: every
            // future that holds another one moves it.
            Self::Redis(redis) => Box::pin(redis.load(handles)).await,
        }
    }

    pub(super) async fn load_one(
        &self,
        handle: &Handle,
        last: Option<Last<'_>>,
    ) -> Result<(Reading, Timestamp), StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.load_one(handle, last)),
            Self::File(file) => {
                let found = file.load(std::slice::from_ref(handle))?.pop().flatten();
                Ok((Reading::of(found, last), file.now()))
            }
            Self::Redis(redis) => Box::pin(redis.load_one(handle, last)).await,
        }
    }

    pub(super) async fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        value: &Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        match self {
            Self::Memory(memory) => memory.swap(handle, expected, value.clone(), ttl),
            Self::File(file) => Box::pin(file.swap(handle, expected, value.clone(), ttl)).await,
            Self::Redis(redis) => Box::pin(redis.swap(handle, expected, value, ttl)).await,
        }
    }

    pub(super) async fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.touch(handle, expected, ttl);
                Ok(())
            }
            Self::File(file) => file.touch(handle, expected, ttl).await,
            Self::Redis(redis) => Box::pin(redis.touch(handle, expected, ttl)).await,
        }
    }

    pub(super) async fn remove(&self, handle: &Handle, expected: &Stamp) -> Result<Swap, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.remove(handle, expected)),
            Self::File(file) => file.remove(handle, expected).await,
            Self::Redis(redis) => Box::pin(redis.remove(handle, expected)).await,
        }
    }

    pub(super) async fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.scan(cursor, limit)),
            Self::File(file) => file.scan(cursor, limit),
            Self::Redis(redis) => Box::pin(redis.scan(cursor, limit)).await,
        }
    }

    /// How many of a page's sessions live, and where the next page begins.
    pub(super) async fn living(
        &self,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(usize, Option<Cursor>), StoreError> {
        let page = match self {
            Self::Memory(memory) => memory.scan(cursor, limit),
            Self::File(file) => file.scan(cursor, limit)?,
            Self::Redis(redis) => return Box::pin(redis.living(cursor, limit)).await,
        };
        let lives = |entry: &Entry| Stamp::of(&entry.bytes).is_some_and(|stamp| stamp.is_live());
        Ok((page.entries.iter().filter(|(_, entry)| lives(entry)).count(), page.next))
    }

    /// `labels`: never empty; the session is entered under the first, the epochs of all are read.
    pub(super) async fn enter_index(
        &self,
        labels: &[Label],
        handle: &Handle,
        deadline: Timestamp,
    ) -> Result<Epochs, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.enter_index(labels, handle, deadline)),
            Self::File(file) => file.enter_index(labels, handle, deadline).await,
            Self::Redis(redis) => Box::pin(redis.enter_index(labels, handle, deadline)).await,
        }
    }

    pub(super) async fn leave_index(&self, labels: &[Label], handle: &Handle) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.leave_index(labels, handle);
                Ok(())
            }
            Self::File(file) => file.leave_index(labels, handle).await,
            Self::Redis(redis) => Box::pin(redis.leave_index(labels, handle)).await,
        }
    }

    pub(super) async fn epochs(&self, labels: &[Label]) -> Result<Epochs, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.epochs(labels)),
            Self::File(file) => file.epochs(labels),
            Self::Redis(redis) => Box::pin(redis.epochs(labels)).await,
        }
    }

    /// Every epoch is set before any index is read.
    pub(super) async fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Result<Vec<Handle>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.raise_epoch(labels, epoch)),
            Self::File(file) => file.raise_epoch(labels, epoch).await,
            Self::Redis(redis) => Box::pin(redis.raise_epoch(labels, epoch)).await,
        }
    }

    /// No epoch is touched.
    pub(super) async fn list_index(&self, labels: &[Label]) -> Result<Vec<Handle>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.list_index(labels)),
            Self::File(file) => file.list_index(labels),
            Self::Redis(redis) => Box::pin(redis.list_index(labels)).await,
        }
    }

    /// What the store says of itself.
    pub(super) async fn health(&self) -> Result<Vec<Finding>, StoreError> {
        match self {
            Self::Memory(_) | Self::File(_) => Ok(Vec::new()),
            Self::Redis(redis) => Box::pin(redis.health()).await,
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(file) => file.ping(),
            Self::Redis(redis) => Box::pin(redis.ping()).await,
        }
    }
}
