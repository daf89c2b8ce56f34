//! Where the file is and how it is opened; what can be wrong with it, said so that an operator knows what to do.
//!
//! What is not ours is never written to. A file that nothing was ever written to (its making was cut short) is made anew.

use std::{
    fmt, fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableHandle, backends::FileBackend,
};
use tracing::info;

use super::{
    layout::{DUE, EPOCHS, FACT_BYTES, FACT_FORMAT, FACT_TIME, FACTS, FORMAT, SESSIONS, SUBJECTS},
    snapshot::Snapshot,
};
use crate::session::Timestamp;

/// Of pages, in memory; beyond it the system's own cache serves.
const CACHE: usize = 64 << 20;
/// A file that is so many times larger than what it holds is made smaller at start,
const SPACIOUS: u64 = 4;
/// if what it holds is little enough for that to be quick.
const QUICK: u64 = 32 << 20;
/// What a file takes before it holds anything, and a session beside its bytes, about.
const EMPTY: u64 = 4 << 20;
const ROW: u64 = 100;

/// What is in the way.
#[derive(Debug)]
pub(super) enum Problem {
    /// Another process has it open.
    Busy,
    /// There is something else in it.
    Foreign,
    /// A later version of Cloakroom wrote it.
    Newer(u64),
    /// It is not what was written.
    Damaged(String),
    /// The system said no.
    Disk(io::Error),
}

impl Problem {
    /// What a request may be told of it.
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Busy => io::ErrorKind::ResourceBusy,
            Self::Foreign | Self::Newer(_) | Self::Damaged(_) => io::ErrorKind::InvalidData,
            Self::Disk(error) => error.kind(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str(
                "another process has the file open; a file serves one process: stop the other one, or use redis://",
            ),
            Self::Foreign => f.write_str("the file is not one of Cloakroom's; name another one, or remove it"),
            Self::Newer(format) => write!(
                f,
                "the file has format {format}, which this version does not know; use the version that wrote it, or name another file"
            ),
            Self::Damaged(how) => write!(f, "the file is damaged ({how}); restore it or remove it"),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl From<redb::Error> for Problem {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Busy,
            redb::Error::UpgradeRequired(format) => Self::Newer(format.into()),
            redb::Error::Io(error) => Self::Disk(error),
            redb::Error::Corrupted(how) => Self::Damaged(how),
            redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_) => Self::Foreign,
            other => Self::Disk(io::Error::other(other)),
        }
    }
}

/// Does what redb may panic of, if the file was damaged.
pub(super) fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(Problem::Damaged("its pages make no sense".to_owned())),
    }
}

/// Opens the database, whenever it is asked to.
pub(super) trait Place: Send {
    fn open(&self) -> Result<Database, Problem>;
    /// Its size on the disk.
    fn len(&self) -> Result<u64, Problem>;
}

/// A database that is ours.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) snapshot: Snapshot,
    /// When the last commit was.
    pub(super) last_time: Timestamp,
}

/// Opens the database and makes sure that it is ours.
pub(super) fn open(place: &dyn Place) -> Result<Opened, Problem> {
    guarded::<_, Problem>(|| {
        let mut database = place.open()?;
        let facts = match known(&database)? {
            Some(facts) => facts,
            None => make(&database)?,
        };
        if facts.is_little() && place.len()? > SPACIOUS * facts.needs() {
            info!(target: "cloakroom::store", "most of the store's file is free; it is made smaller");
            database.compact().map_err(redb::Error::from)?;
        }
        let snapshot = Snapshot::of(&database)?;
        Ok(Opened { database, snapshot, last_time: facts.time })
    })
}

/// What the file says about itself.
struct Facts {
    time: Timestamp,
    bytes: u64,
    sessions: u64,
}

impl Facts {
    /// The size of a file that holds this, with room to spare.
    fn needs(&self) -> u64 {
        EMPTY + self.bytes + self.sessions * ROW
    }

    fn is_little(&self) -> bool {
        self.needs() <= QUICK
    }
}

/// `None`: nothing was ever written to it.
fn known(database: &Database) -> Result<Option<Facts>, Problem> {
    let error = |error: redb::TableError| Problem::from(redb::Error::from(error));
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let tables = transaction.list_tables().map_err(redb::Error::from)?;
    let names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    if !names.iter().any(|name| name == FACTS.name()) {
        return Err(Problem::Foreign);
    }
    let facts = transaction.open_table(FACTS).map_err(error)?;
    let fact =
        |name| -> Result<Option<u64>, redb::Error> { Ok(ReadableTable::get(&facts, name)?.map(|fact| fact.value())) };
    match fact(FACT_FORMAT)? {
        Some(FORMAT) => {}
        Some(other) => return Err(Problem::Newer(other)),
        None => return Err(Problem::Foreign),
    }
    let sessions = transaction.open_table(SESSIONS).map_err(error)?.len().map_err(redb::Error::from)?;
    let number = |name| Ok::<_, redb::Error>(fact(name)?.unwrap_or_default());
    Ok(Some(Facts { time: Timestamp(number(FACT_TIME)?), bytes: number(FACT_BYTES)?, sessions }))
}

fn make(database: &Database) -> Result<Facts, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(SESSIONS)?;
    transaction.open_table(SUBJECTS)?;
    transaction.open_table(EPOCHS)?;
    transaction.open_table(DUE)?;
    transaction.open_table(FACTS)?.insert(FACT_FORMAT, FORMAT)?;
    transaction.commit()?;
    Ok(Facts { time: Timestamp(0), bytes: 0, sessions: 0 })
}

/// How every database is opened.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// A path on this machine.
pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Sessions are nobody else's business: a file that we make is for this user only.
    fn file(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)
    }

    fn database(&self) -> Result<Database, redb::Error> {
        let backend = FileBackend::new(self.file()?)?;
        Ok(builder().create_with_backend(backend)?)
    }

    /// Whether the making of the file was cut short: redb writes its mark last.
    fn is_unfinished(&self) -> io::Result<bool> {
        let mut mark = [0; 9];
        let file = self.file()?;
        let read = file.read_at(&mut mark, 0)?;
        Ok(read > 0 && mark == [0; 9])
    }

    /// A file that was just made is there after a power cut only if its folder says so.
    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Place for Disk {
    fn open(&self) -> Result<Database, Problem> {
        let is_new = !self.path.exists();
        let database = match self.database() {
            Err(redb::Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                if !self.is_unfinished().map_err(Problem::Disk)? {
                    return Err(Problem::Foreign);
                }
                self.file().and_then(|file| file.set_len(0)).map_err(Problem::Disk)?;
                self.database()?
            }
            database => database?,
        };
        if is_new {
            self.sync_folder().map_err(Problem::Disk)?;
        }
        Ok(database)
    }

    fn len(&self) -> Result<u64, Problem> {
        fs::metadata(&self.path).map(|metadata| metadata.len()).map_err(Problem::Disk)
    }
}
