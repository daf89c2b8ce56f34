//! The shelf itself: which store it is, and nothing else. Every method is matched without a catch-all, so that the
//! compiler names what a new store lacks. Values are opaque bytes here but for the stamp that they begin with.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Entry, Kind, Settings, StoreError, Swap,
    index::{Epochs, Label},
    memory, redis,
};
use crate::session::{Handle, Timestamp, record::Stamp};

/// The shelf as the process shares it.
#[derive(Clone)]
pub(super) enum Shelves {
    /// The sessions themselves.
    Memory(Arc<memory::Memory>),
    /// How to reach the server.
    Redis(Arc<redis::Server>),
}

impl Shelves {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        Ok(match &settings.kind {
            Kind::Memory { max_sessions } => Self::Memory(Arc::new(memory::Memory::new(*max_sessions))),
            Kind::Redis(target) => Self::Redis(Arc::new(redis::Server::new(target, settings)?)),
        })
    }

    pub(super) fn open(&self) -> Shelf {
        match self {
            Self::Memory(memory) => Shelf::Memory(Arc::clone(memory)),
            Self::Redis(server) => Shelf::Redis(redis::Redis::open(Arc::clone(server))),
        }
    }

    pub(super) fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            Self::Redis(_) => {}
        }
    }
}

/// One shard's way to the shelf.
#[derive(Clone)]
pub(super) enum Shelf {
    /// In process.
    Memory(Arc<memory::Memory>),
    /// Over this shard's link.
    Redis(redis::Redis),
}

impl Shelf {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Memory(memory) => memory.now(),
            Self::Redis(redis) => redis.now(),
        }
    }

    pub(super) async fn learn_time(&self) -> Result<bool, StoreError> {
        match self {
            Self::Memory(_) => Ok(false),
            Self::Redis(redis) => redis.learn_time().await,
        }
    }

    pub(super) async fn load(&self, handles: &[Handle]) -> Result<Vec<Option<Entry>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.load(handles)),
            Self::Redis(redis) => redis.load(handles).await,
        }
    }

    pub(super) async fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        match self {
            Self::Memory(memory) => memory.swap(handle, expected, value, ttl),
            Self::Redis(redis) => redis.swap(handle, expected, &value, ttl).await,
        }
    }

    pub(super) async fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.touch(handle, expected, ttl);
                Ok(())
            }
            Self::Redis(redis) => redis.touch(handle, expected, ttl).await,
        }
    }

    pub(super) async fn remove(&self, handle: &Handle, expected: &Stamp) -> Result<Swap, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.remove(handle, expected)),
            Self::Redis(redis) => redis.remove(handle, expected).await,
        }
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
            Self::Redis(redis) => redis.enter_index(labels, handle, deadline).await,
        }
    }

    pub(super) async fn leave_index(&self, labels: &[Label], handle: &Handle) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.leave_index(labels, handle);
                Ok(())
            }
            Self::Redis(redis) => redis.leave_index(labels, handle).await,
        }
    }

    pub(super) async fn epochs(&self, labels: &[Label]) -> Result<Epochs, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.epochs(labels)),
            Self::Redis(redis) => redis.epochs(labels).await,
        }
    }

    /// Every epoch is set before any index is read.
    pub(super) async fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Result<Vec<Handle>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.raise_epoch(labels, epoch)),
            Self::Redis(redis) => redis.raise_epoch(labels, epoch).await,
        }
    }

    /// No epoch is touched.
    pub(super) async fn list_index(&self, labels: &[Label]) -> Result<Vec<Handle>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.list_index(labels)),
            Self::Redis(redis) => redis.list_index(labels).await,
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.ping().await,
        }
    }
}
