//! Where sessions are kept: values under keys with an expiry, and what must hold for every store.
//!
//! A store knows no sessions. It reads values, compares a value's stamp and sets it or extends its life in one atomic
//! step, and tells its time. What the values mean is decided in `session`; [`commit`] carries a decision out and [`lane`]
//! lines up the writers of one session. Promises of every store, kept by one contract suite (`tests/stores`):
//! a swap is atomic; a touch never creates or changes a value, nor does it meddle with a later one; what has expired is not
//! read; an error is never "not there"; nothing that was acknowledged is evicted.

pub mod census;
pub mod commit;
mod entry;
mod error;
pub mod file;
pub mod index;
pub mod lane;
mod link;
pub mod listing;
pub mod memory;
pub mod moving;
pub mod probe;
pub mod redis;
pub mod seal;
mod shelf;
mod spread;
mod tally;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

pub use entry::{Entry, Last, Reading, Swap};
pub use error::StoreError;
use index::Epochs;
use listing::{Cursor, Page};
pub use memory::Spot;
use probe::Gravity;
use seal::{Labels, Roots, Seals, Signet};
use shelf::{Shelf, Shelves};
use tally::{Operation, Tallies, Tally};

use crate::{
    session::{
        Handle, Timestamp,
        record::{Stamp, Stored},
    },
    telemetry::{Page as Metrics, Source},
};

/// Which store (`store.url`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In process; lost at exit.
    Memory {
        /// New sessions are refused beyond this many.
        max_sessions: usize,
    },
    /// A file of this machine, for one process.
    File {
        /// Where it is.
        path: PathBuf,
    },
    /// One Redis or Valkey server.
    Redis(Box<redis::Target>),
}

impl Kind {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "memory",
            Self::File { .. } => "file",
            Self::Redis(_) => "redis",
        }
    }
}

/// What the store is told (contract section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which store.
    pub kind: Kind,
    /// Every key begins with this.
    pub prefix: String,
    /// Bounds one round trip.
    pub timeout: Duration,
    /// Bounds a whole save with its retries.
    pub save_timeout: Duration,
    /// How large a session's data may be: a server that begins to send more than that can make is not listened to.
    pub value_bytes: usize,
    /// Whether records are sealed when they are written.
    pub encrypt: bool,
    /// What records are sealed with, and subjects labelled.
    pub roots: Roots,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::Memory { max_sessions: 1_000_000 },
            prefix: "cloakroom:".to_owned(),
            timeout: Duration::from_millis(250),
            save_timeout: Duration::from_secs(2),
            value_bytes: 64 * 1024,
            encrypt: false,
            roots: Roots::default(),
        }
    }
}

/// A store as the whole process shares it; every shard opens its own [`Store`] from it.
#[derive(Clone)]
pub struct Depot {
    shelves: Shelves,
    signet: Arc<Signet>,
    tallies: Arc<Tallies>,
}

impl Depot {
    /// Prepares the store that the settings name: opens a file, connects to nothing yet.
    ///
    /// # Errors
    /// TLS cannot be spoken as the settings say, there is no root to encrypt with, or the file cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let signet = Arc::new(Signet::new(Seals::new(&settings.roots, settings.encrypt)?));
        Ok(Self { shelves: Shelves::new(settings)?, signet, tallies: Arc::default() })
    }

    /// This shard's way to the store. Call it within the shard's runtime: a link keeps a task there.
    pub fn open(&self) -> Store {
        let tally = self.tallies.open();
        Store { shelf: self.shelves.open(&tally), signet: Arc::clone(&self.signet), tally }
    }

    /// Whether the store can be reached and lets us in.
    ///
    /// # Errors
    /// Why not. Never quotes the URL.
    pub async fn reach(&self) -> Result<(), String> {
        self.shelves.reach().await
    }

    /// Takes the roots of these settings, here and in every [`Store`] that was opened.
    ///
    /// # Errors
    /// There is no root to encrypt with; nothing has changed.
    pub fn renew(&self, settings: &Settings) -> Result<(), String> {
        self.signet.renew(Seals::new(&settings.roots, settings.encrypt)?);
        Ok(())
    }

    /// Takes out some of what has expired, where the store does not do it by itself; call it again and again.
    pub fn sweep(&self) {
        self.shelves.sweep();
    }

    /// Ends the store where it is this process's own. Everything that was acknowledged is kept already; call it when
    /// nobody writes any more.
    pub async fn close(&self) {
        self.shelves.close().await;
    }
}

impl Source for Depot {
    fn tell(&self, page: &mut Metrics) {
        self.tallies.tell(page);
        self.shelves.tell(page);
    }
}

/// One shard's way to the store: what travels to the shelf and back is sealed and opened here.
#[derive(Clone)]
pub struct Store {
    shelf: Shelf,
    signet: Arc<Signet>,
    tally: Arc<Tally>,
}

impl Store {
    /// The store's time, as far as this process knows it.
    pub fn now(&self) -> Timestamp {
        self.shelf.now()
    }

    /// Asks for the store's time if this shard never has; whether it had to.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn learn_time(&self) -> Result<bool, StoreError> {
        self.shelf.learn_time().await
    }

    /// Reads these sessions in one round trip; `None` for what is not there.
    ///
    /// # Errors
    /// [`StoreError`] if any of them could not be read.
    pub async fn load(&self, handles: &[Handle]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut entries = self.tally.asked(Operation::Load, self.shelf.load(handles).await)?;
        for (handle, entry) in handles.iter().zip(&mut entries) {
            *entry = entry.take().map(|entry| self.opened(handle, entry)).transpose()?;
        }
        Ok(entries)
    }

    /// Reads one session, and tells the store's time.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn load_one(&self, handle: &Handle, last: Option<Last<'_>>) -> Result<(Reading, Timestamp), StoreError> {
        let (reading, now) = self.tally.asked(Operation::Load, self.shelf.load_one(handle, last).await)?;
        match reading {
            Reading::Other(entry, _) if seal::is_sealed(&entry.bytes) => {
                Ok((Reading::of(Some(self.opened(handle, entry)?), last), now))
            }
            Reading::Nothing | Reading::Same(_) | Reading::Other(..) => Ok((reading, now)),
        }
    }

    /// Stores `value` for `ttl` if what is stored has the stamp `expected` (`None`: if nothing is stored).
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Timeout`], [`StoreError::Disconnected`] and [`StoreError::Disk`] it may have
    /// been carried out.
    pub async fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        value: &Stored,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        self.swap_text(handle, expected, &value.encode().into(), ttl).await
    }

    /// As [`Store::swap`], of a record's text: for whoever goes on with it.
    async fn swap_text(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        text: &Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        let sealed = self.signet.seal(handle, text)?;
        let swap = self.shelf.swap(handle, expected, sealed.as_ref().unwrap_or(text), ttl).await;
        match self.tally.swapped(Operation::Swap, swap)? {
            Swap::Done => Ok(Swap::Done),
            other => self.opened_swap(handle, other),
        }
    }

    /// Extends the life of a session to `ttl` from now if what is stored has the stamp `expected`: that of the record
    /// that `ttl` was computed from, for every later write has set the life anew. Never shortens it, creates or changes
    /// anything.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), StoreError> {
        self.tally.asked(Operation::Touch, self.shelf.touch(handle, expected, ttl).await)
    }

    /// Removes a session if what is stored has the stamp `expected`.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Timeout`], [`StoreError::Disconnected`] and [`StoreError::Disk`] it may have
    /// been carried out.
    pub async fn remove(&self, handle: &Handle, expected: &Stamp) -> Result<Swap, StoreError> {
        let swap = self.tally.swapped(Operation::Remove, self.shelf.remove(handle, expected).await)?;
        self.opened_swap(handle, swap)
    }

    /// A page of about `limit` sessions, tombstones included; the first one without a cursor. Values are as they are
    /// stored, since one that cannot be opened must not hide the others: [`moving::Departures`] opens each.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.tally.asked(Operation::Scan, self.shelf.scan(cursor, limit).await)
    }

    /// How many of a page of about `limit` sessions live, tombstones not included, and where the next page begins. Reads
    /// no more of a value than it must.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn living(&self, cursor: Option<&Cursor>, limit: usize) -> Result<(usize, Option<Cursor>), StoreError> {
        self.tally.asked(Operation::Scan, self.shelf.living(cursor, limit).await)
    }

    /// The sessions that are in a subject's index, some of which may have ended or be others' by now.
    async fn list_index(&self, subject: &str) -> Result<Vec<Handle>, StoreError> {
        let labels = self.signet.labels(subject);
        self.tally.asked(Operation::Index, self.shelf.list_index(labels.all()).await)
    }

    /// Enters a session in its subject's index until `deadline`, and reads the subject's epochs under these labels.
    async fn enter_index(
        &self,
        subject: &str,
        handle: &Handle,
        deadline: Timestamp,
    ) -> Result<(Labels, Epochs), StoreError> {
        let labels = self.signet.labels(subject);
        let entered = self.shelf.enter_index(labels.all(), handle, deadline).await;
        let epochs = self.tally.asked(Operation::Index, entered)?;
        Ok((labels, epochs))
    }

    /// Takes a session out of a subject's index.
    async fn leave_index(&self, subject: &str, handle: &Handle) -> Result<(), StoreError> {
        let labels = self.signet.labels(subject);
        self.tally.asked(Operation::Index, self.shelf.leave_index(labels.all(), handle).await)
    }

    /// The epochs of a subject with these labels.
    async fn epochs(&self, labels: &Labels) -> Result<Epochs, StoreError> {
        self.tally.asked(Operation::Index, self.shelf.epochs(labels.all()).await)
    }

    /// Sets the subject's epochs to a new one and then lists its index, under every label.
    async fn raise_epoch(&self, subject: &str, epoch: u64) -> Result<Vec<Handle>, StoreError> {
        let labels = self.signet.labels(subject);
        let raised = self.shelf.raise_epoch(labels.shown(), epoch).await;
        let mut listed = self.tally.asked(Operation::Index, raised)?;
        if !labels.sought().is_empty() {
            listed.extend(self.tally.asked(Operation::Index, self.shelf.list_index(labels.sought()).await)?);
        }
        Ok(listed)
    }

    /// Counts sessions that were ended against the will of whoever had them.
    pub(super) fn count_revoked(&self, sessions: usize) {
        self.tally.revoked.add(sessions as u64);
    }

    /// What came from the shelf, in plain.
    fn opened(&self, handle: &Handle, Entry { bytes, left }: Entry) -> Result<Entry, StoreError> {
        if !seal::is_sealed(&bytes) {
            return Ok(Entry { bytes, left });
        }
        let opened = self.signet.open(handle, bytes);
        let bytes = opened.inspect_err(|error| {
            tracing::error!(target: "cloakroom::store", session = %handle, %error, "a stored record cannot be opened");
        })?;
        Ok(Entry { bytes, left })
    }

    fn opened_swap(&self, handle: &Handle, swap: Swap) -> Result<Swap, StoreError> {
        let open = |entry| self.opened(handle, entry);
        Ok(match swap {
            Swap::Done => Swap::Done,
            Swap::Conflict(found) => Swap::Conflict(found.map(open).transpose()?),
            Swap::Doubt(found) => Swap::Doubt(found.map(open).transpose()?),
        })
    }

    /// Logs what about the store will lose sessions one day, once it is there.
    pub async fn advise(&self) {
        match self.shelf.health().await {
            Ok(findings) => {
                for finding in findings.iter().filter(|finding| finding.gravity >= Gravity::Warning) {
                    tracing::warn!(target: "cloakroom::store", "the store: {finding}");
                }
            }
            Err(error) => tracing::debug!(target: "cloakroom::store", %error, "the store was not asked how it is"),
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreError`] says why not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.tally.asked(Operation::Ping, self.shelf.ping().await)
    }
}
