//! A disk for tests: it fills up, fails, stands still and loses its power when it is told to.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use rand::{RngExt, rngs::StdRng};
use redb::{Database, StorageBackend};

use crate::store::file::place::{Place, Problem, builder};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No room for another byte.
    Full,
    /// A write that fails in its middle.
    Torn,
    /// What was written cannot be kept.
    Sync,
    /// The file cannot grow.
    Growth,
    /// Nothing can be read.
    Reads,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, data) => {
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// What a reader finds, as in the system's cache.
    seen: Vec<u8>,
    /// What a power cut leaves.
    kept: Vec<u8>,
    /// What came since the last sync.
    pending: Vec<Change>,
    trouble: Option<Trouble>,
    /// So many operations go well before the trouble begins.
    grace: usize,
    syncs: usize,
    stands_still: bool,
    /// Every read and every write of a page is one of the disk.
    uncached: bool,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Drum(Arc<(Mutex<State>, Condvar)>);

impl Drum {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    pub(super) fn without_cache() -> Self {
        let drum = Self::default();
        drum.state().uncached = true;
        drum
    }

    /// After so many more operations that this trouble concerns, each of them fails.
    pub(super) fn fail(&self, trouble: Trouble, grace: usize) {
        let mut state = self.state();
        (state.trouble, state.grace) = (Some(trouble), grace);
    }

    pub(super) fn heal(&self) {
        self.state().trouble = None;
    }

    /// Whether operations have failed or would.
    pub(super) fn is_failing(&self) -> bool {
        let state = self.state();
        state.trouble.is_some() && state.grace == 0
    }

    pub(super) fn stand_still(&self, still: bool) {
        self.state().stands_still = still;
        self.0.1.notify_all();
    }

    pub(super) fn syncs(&self) -> usize {
        self.state().syncs
    }

    pub(super) fn size(&self) -> usize {
        self.state().seen.len()
    }

    pub(super) fn scribble(&self, at: usize, bytes: &[u8]) {
        Change::Write(at, bytes.to_vec()).apply(&mut self.state().seen);
    }

    pub(super) fn copy(&self) -> Self {
        let seen = self.state().seen.clone();
        let copy = Self::default();
        (copy.state().kept, copy.state().seen) = (seen.clone(), seen);
        copy
    }

    /// The disk as a power cut at this moment leaves it: of what was not synced anything may have arrived, in any
    /// order, whole or in part.
    pub(super) fn after_a_power_cut(&self, rng: &mut StdRng) -> Self {
        let state = self.state();
        let mut kept = state.kept.clone();
        for change in &state.pending {
            match change {
                Change::Write(offset, data) if rng.random_bool(0.5) => {
                    let whole = rng.random_bool(0.7);
                    let length = if whole { data.len() } else { rng.random_range(0..=data.len() / 512) * 512 };
                    Change::Write(*offset, data[..length.min(data.len())].to_vec()).apply(&mut kept);
                }
                Change::Length(_) if rng.random_bool(0.5) => change.apply(&mut kept),
                Change::Write(..) | Change::Length(_) => {}
            }
        }
        let cut = Self::default();
        (cut.state().kept, cut.state().seen) = (kept.clone(), kept);
        cut
    }

    /// Whether this operation is to fail.
    fn fails(state: &mut State, trouble: Trouble) -> bool {
        if state.trouble != Some(trouble) {
            return false;
        }
        state.grace = state.grace.saturating_sub(1);
        state.grace == 0
    }
}

impl StorageBackend for Drum {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if Self::fails(&mut state, Trouble::Reads) {
            return Err(io::ErrorKind::Other.into());
        }
        let offset = usize::try_from(offset).unwrap();
        let found = state.seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if Self::fails(&mut state, Trouble::Growth) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let change = Change::Length(usize::try_from(length).unwrap());
        change.apply(&mut state.seen);
        state.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.1.wait_while(self.state(), |state| state.stands_still).unwrap();
        state.syncs += 1;
        if Self::fails(&mut state, Trouble::Sync) {
            // The system forgets what it could not write, but goes on showing it.
            state.pending.clear();
            return Err(io::ErrorKind::Other.into());
        }
        let pending = std::mem::take(&mut state.pending);
        pending.iter().for_each(|change| change.apply(&mut state.kept));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let (full, torn) = (Self::fails(&mut state, Trouble::Full), Self::fails(&mut state, Trouble::Torn));
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = if torn { &data[..data.len() / 2] } else { data };
        let change = Change::Write(usize::try_from(offset).unwrap(), written.to_vec());
        change.apply(&mut state.seen);
        state.pending.push(change);
        if torn { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

impl Place for Drum {
    fn open(&self) -> Result<Database, Problem> {
        let mut builder = builder();
        if self.state().uncached {
            builder.set_cache_size(0);
        }
        builder.create_with_backend(self.clone()).map_err(|error| redb::Error::from(error).into())
    }

    fn len(&self) -> Result<u64, Problem> {
        Ok(self.size() as u64)
    }
}
