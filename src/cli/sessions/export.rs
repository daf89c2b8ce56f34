//! `cloakroom sessions export`: what can be read is written, what cannot be is told by its handle.

use std::path::Path;

use super::{
    PROGRESS, counted,
    output::{Existing, Output},
};
use crate::{
    cli::{Failure, complain},
    session::record::{Stored, parcel},
    store::{
        Store,
        moving::{Departures, Portion},
    },
};

#[derive(Default)]
struct Tally {
    live: u64,
    destroyed: u64,
    unreadable: u64,
    strangers: usize,
}

pub(super) async fn export(store: &Store, file: Option<&Path>, existing: Existing) -> Result<(), Failure> {
    let mut output = Output::open(file, existing)?;
    let mut tally = Tally::default();
    output.line(&parcel::opening(store.now()))?;
    let mut departures = Departures::of(store);
    while let Some(portion) = departures.next().await.map_err(|error| Failure::Run(error.to_string()))? {
        tally.write(portion, &mut output)?;
    }
    output.line(&parcel::closing(tally.lines()))?;
    output.finish()?;
    tally.report()
}

impl Tally {
    fn lines(&self) -> u64 {
        self.live + self.destroyed
    }

    fn write(&mut self, portion: Portion, output: &mut Output) -> Result<(), Failure> {
        self.strangers += portion.strangers;
        for (handle, error) in portion.unreadable {
            self.unreadable += 1;
            complain(format_args!("session {handle} is left out: {error}"));
        }
        for parcel in portion.parcels {
            match parcel.to_line() {
                Ok(line) => output.line(&line)?,
                Err(error) => {
                    self.unreadable += 1;
                    complain(format_args!("session {} is left out: {error}", parcel.handle));
                    continue;
                }
            }
            match parcel.stored {
                Stored::Live(_) => self.live += 1,
                Stored::Tombstone(_) => self.destroyed += 1,
            }
            if self.lines().is_multiple_of(PROGRESS) {
                complain(format_args!("{} so far", self.lines()));
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<(), Failure> {
        let live = counted(self.live, "session", "sessions");
        let destroyed = counted(self.destroyed, "tombstone", "tombstones");
        complain(format_args!("exported {live} and {destroyed}"));
        if self.strangers > 0 {
            let keys = counted(self.strangers as u64, "key", "keys");
            complain(format_args!("{keys} below the prefix of the sessions named none and stayed behind"));
        }
        match self.unreadable {
            0 => Ok(()),
            count => Err(Failure::Run(format!("{} could not be read", counted(count, "record", "records")))),
        }
    }
}
