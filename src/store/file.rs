//! `file:PATH`: sessions in one file of this machine, on disk before anybody hears that they were saved.
//!
//! One thread of the process writes: it gathers what is waiting, applies it in one transaction, and answers when the disk
//! has acknowledged the commit. Reads never wait for it: every shard reads on its own thread in the snapshot of the last
//! commit, which no commit locks. A read touches the disk only where neither this process nor the system has the page.
//! The file belongs to one process at a time. Its clock is this machine's at start, but never behind the time of the last
//! commit, and monotonic from then on: a clock that is set back between two runs brings no ended session back. (A clock
//! that was years ahead ends every session of the file, and keeps the file's time ahead: remove the file then.)

mod clock;
mod layout;
mod place;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    Entry, Settings, StoreError, Swap,
    index::{Epochs, Label},
    listing::{Cursor, Page},
};
use crate::session::{Handle, Timestamp, record::Stamp};
use clock::Clock;
use place::{Disk, Place, Problem};
use snapshot::Snapshot;
use writer::{Answer, Deed, Order, Writer};

/// So many orders wait for the writer at most; more are refused, for a disk that stands still must not fill the memory.
const WAITING: usize = 8192;
/// How long the end of the process waits for the last commit.
const FAREWELL: Duration = Duration::from_secs(10);

/// What the writer shows everybody.
struct Shared {
    clock: Clock,
    /// What was committed last; `None` while the file is not open.
    snapshot: ArcSwapOption<Snapshot>,
    /// Why nothing can be written at the moment.
    trouble: Mutex<Option<StoreError>>,
}

/// The process's way to its file.
pub struct File {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    patience: Duration,
}

impl File {
    /// Opens the file, or makes it, and starts the writer.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, String> {
        let begun = Self::start(Box::new(Disk::at(path)), settings);
        begun.map_err(|problem| format!("{}: {problem}", path.display()))
    }

    fn start(place: Box<dyn Place>, settings: &Settings) -> Result<Self, Problem> {
        let opened = place::open(&*place)?;
        let shared = Arc::new(Shared {
            clock: Clock::starting_after(opened.last_time),
            snapshot: ArcSwapOption::from_pointee(Some(opened.snapshot)),
            trouble: Mutex::default(),
        });
        let (orders, waiting) = sync_channel(WAITING);
        let writer = Writer::new(place, Arc::clone(&shared), waiting, opened.database, settings.save_timeout);
        thread::Builder::new().name("store-file".to_owned()).spawn(move || writer.run()).map_err(Problem::Disk)?;
        Ok(Self { shared, orders, patience: settings.save_timeout })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(super) fn load(&self, handles: &[Handle]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.read(|snapshot| handles.iter().map(|handle| snapshot.entry(handle, self.now())).collect())
    }

    pub(super) async fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        match self.order(Deed::Swap { handle: *handle, expected: expected.copied(), value, ttl }).await? {
            Answer::Swapped(swap) => Ok(swap),
            _ => Err(StoreError::Nonsense),
        }
    }

    pub(super) async fn remove(&self, handle: &Handle, expected: &Stamp) -> Result<Swap, StoreError> {
        match self.order(Deed::Remove { handle: *handle, expected: *expected }).await? {
            Answer::Swapped(swap) => Ok(swap),
            _ => Err(StoreError::Nonsense),
        }
    }

    pub(super) async fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), StoreError> {
        self.order(Deed::Touch { handle: *handle, expected: *expected, ttl }).await.map(drop)
    }

    pub(super) async fn enter_index(
        &self,
        labels: &[Label],
        handle: &Handle,
        deadline: Timestamp,
    ) -> Result<Epochs, StoreError> {
        match self.order(Deed::Enter { labels: labels.to_vec(), handle: *handle, deadline }).await? {
            Answer::Epochs(epochs) => Ok(epochs),
            _ => Err(StoreError::Nonsense),
        }
    }

    pub(super) async fn leave_index(&self, labels: &[Label], handle: &Handle) -> Result<(), StoreError> {
        self.order(Deed::Leave { labels: labels.to_vec(), handle: *handle }).await.map(drop)
    }

    pub(super) fn epochs(&self, labels: &[Label]) -> Result<Epochs, StoreError> {
        self.read(|snapshot| snapshot.epochs(labels))
    }

    pub(super) fn list_index(&self, labels: &[Label]) -> Result<Vec<Handle>, StoreError> {
        self.read(|snapshot| snapshot.listed(labels))
    }

    pub(super) async fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Result<Vec<Handle>, StoreError> {
        match self.order(Deed::Raise { labels: labels.to_vec(), epoch }).await? {
            Answer::Listed(handles) => Ok(handles),
            _ => Err(StoreError::Nonsense),
        }
    }

    pub(super) fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let after = cursor.and_then(|cursor| cursor.handle());
        self.read(|snapshot| snapshot.page(after.as_ref(), limit, self.now()))
    }

    /// Whether the file can be read and the last attempt to write it went well.
    pub(super) fn ping(&self) -> Result<(), StoreError> {
        match self.shared.trouble() {
            Some(error) => Err(error),
            None => self.read(|_| Ok(())),
        }
    }

    /// Commits what is waiting and closes the file.
    pub(super) async fn close(&self) {
        let closed = tokio::time::timeout(FAREWELL, self.send(Deed::Close)).await;
        if !matches!(closed, Ok(Ok(_))) {
            warn!(target: "cloakroom::store", "the store's file was not closed in order; nothing that was acknowledged is lost");
        }
    }

    /// Has the writer do something and waits for the commit.
    async fn order(&self, deed: Deed) -> Result<Answer, StoreError> {
        tokio::time::timeout(self.patience, self.send(deed)).await.unwrap_or(Err(StoreError::Timeout))
    }

    async fn send(&self, deed: Deed) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send(Order { deed, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Timeout,
            TrySendError::Disconnected(_) => StoreError::Disconnected,
        })?;
        answered.await.unwrap_or(Err(StoreError::Disconnected))
    }

    /// Reads in the last snapshot. A read that fails has the writer look after the file.
    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let Some(snapshot) = self.shared.snapshot.load_full() else {
            return Err(self.shared.trouble().unwrap_or(StoreError::Disconnected));
        };
        place::guarded(|| read(&snapshot)).map_err(|problem| {
            let (answer, _) = oneshot::channel();
            let _ = self.orders.try_send(Order { deed: Deed::Mend, answer });
            StoreError::Disk(problem.kind())
        })
    }
}

impl Shared {
    fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what is in the way of writing; what was before.
    fn set_trouble(&self, trouble: Option<StoreError>) -> Option<StoreError> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }
}
