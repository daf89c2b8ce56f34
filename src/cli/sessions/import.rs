//! `cloakroom sessions import`: every line on its own. What cannot be read or does not fit is told with the number of
//! its line, never with what stands there; the others come in all the same. Doing it again does no harm.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::Path,
    time::Duration,
};

use super::{
    PROGRESS, counted,
    lines::{Content, Lines},
};
pub(super) use crate::store::moving::Older;
use crate::{
    cli::{Failure, complain},
    session::{
        Policy,
        record::parcel::{Line, Parcel, open},
    },
    store::{
        Store,
        moving::{Fate, arrive},
    },
};

/// Sessions that travel at once, and how many bytes they may have together.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// The least limit of a line's length.
const LINE: usize = 64 << 20;
/// Clocks that differ by less are not worth a word.
const APART: Duration = Duration::from_secs(5);

pub(super) async fn import(store: &Store, policy: &Policy, file: Option<&Path>, older: Older) -> Result<(), Failure> {
    let (name, reader): (String, Box<dyn BufRead>) = match file {
        None => ("standard input".to_owned(), Box::new(stdin().lock())),
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| Failure::Run(format!("{name} cannot be read: {error}")))?;
            (name, Box::new(BufReader::new(file)))
        }
    };
    let lines = Lines::of(reader, LINE.max(policy.max_bytes.saturating_mul(2)));
    let import = Import { store, policy, older, name, lines, batch: Vec::new(), bytes: 0, tally: Tally::default() };
    import.run().await
}

struct Import<'a> {
    store: &'a Store,
    policy: &'a Policy,
    older: Older,
    name: String,
    lines: Lines<Box<dyn BufRead>>,
    batch: Vec<(u64, Parcel)>,
    bytes: usize,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    stored: u64,
    replaced: u64,
    known: u64,
    ended: u64,
    revoked: u64,
    /// Lines that were no session, or one that could not come in.
    faulty: u64,
}

impl Import<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        self.open()?;
        let ended = self.read().await;
        self.tally.report();
        ended?;
        match self.tally.faulty {
            0 => Ok(()),
            count => Err(Failure::Run(format!("{} not imported", counted(count, "line was", "lines were")))),
        }
    }

    /// Reads the first line. Without a good one nothing is imported.
    fn open(&mut self) -> Result<(), Failure> {
        let fault = |name: &str, fault: &dyn std::fmt::Display| Failure::Run(format!("{name}:1: {fault}"));
        let opened = match self.next()? {
            Some((1, Content::Text(text))) => open(&text),
            Some(_) | None => open(""),
        };
        let time = opened.map_err(|error| fault(&self.name, &error))?;
        let ahead = time.since(self.store.now());
        if ahead > APART {
            complain(format_args!(
                "the clock of the store that this comes from is ahead of this one's by {} s or more; \
                 the sessions end later by as much",
                ahead.as_secs()
            ));
        }
        Ok(())
    }

    /// Reads all other lines, to the last one.
    async fn read(&mut self) -> Result<(), Failure> {
        let mut sessions = 0;
        while let Some((number, content)) = self.next()? {
            let (line, length) = match content {
                Content::Text(text) => (Line::parse(&text).map_err(|error| error.to_string()), text.len()),
                Content::TooLong => (Err("it is too long".to_owned()), 0),
                Content::NotUtf8 => (Err("it is not UTF-8".to_owned()), 0),
            };
            match line {
                Ok(Line::Parcel(parcel)) => self.take(number, *parcel, length).await?,
                Ok(Line::End(promised)) => {
                    self.send().await?;
                    return self.close(number, promised, sessions);
                }
                Err(fault) => self.complain(number, fault),
            }
            sessions += 1;
        }
        self.send().await?;
        Err(Failure::Run(format!("{}: the last line is missing: the export was cut off", self.name)))
    }

    fn close(&mut self, number: u64, promised: u64, sessions: u64) -> Result<(), Failure> {
        let name = &self.name;
        if promised != sessions {
            let problem =
                format!("{name}:{number}: this speaks of {promised} sessions, but there were {sessions} lines");
            return Err(Failure::Run(problem));
        }
        match self.next()? {
            None => Ok(()),
            Some((number, _)) => Err(Failure::Run(format!(
                "{}:{number}: the export ended before; nothing from here on was imported",
                self.name
            ))),
        }
    }

    fn next(&mut self) -> Result<Option<(u64, Content)>, Failure> {
        self.lines.next().map_err(|error| Failure::Run(format!("{} cannot be read: {error}", self.name)))
    }

    fn complain(&mut self, number: u64, fault: impl std::fmt::Display) {
        self.tally.faulty += 1;
        complain(format_args!("{}:{number}: {fault}", self.name));
    }

    async fn take(&mut self, number: u64, parcel: Parcel, length: usize) -> Result<(), Failure> {
        self.bytes += length;
        self.batch.push((number, parcel));
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES { self.send().await } else { Ok(()) }
    }

    /// Brings in what was read. A store that fails for one session would fail for the next ones too.
    async fn send(&mut self) -> Result<(), Failure> {
        let (numbers, parcels): (Vec<u64>, Vec<Parcel>) = std::mem::take(&mut self.batch).into_iter().unzip();
        self.bytes = 0;
        if parcels.is_empty() {
            return Ok(());
        }
        let fates = arrive(self.store, &parcels, self.policy, self.older).await;
        let mut failure = None;
        for (number, fate) in numbers.into_iter().zip(fates) {
            match fate {
                Ok(fate) => self.count(number, fate),
                Err(error) if failure.is_none() => failure = Some((number, error)),
                Err(_) => {}
            }
        }
        let Some((number, error)) = failure else { return Ok(()) };
        let name = &self.name;
        let cure = "mend that and import the file again, what has come in stays as it is";
        Err(Failure::Run(format!("{name}:{number}: {error}; not everything from here on was imported: {cure}")))
    }

    fn count(&mut self, number: u64, fate: Fate) {
        match fate {
            Fate::Stored => self.tally.stored += 1,
            Fate::Replaced => self.tally.replaced += 1,
            Fate::Known => self.tally.known += 1,
            Fate::Ended => self.tally.ended += 1,
            Fate::Revoked => self.tally.revoked += 1,
            Fate::OlderStays => {
                self.complain(number, "the store has an older version, which stays (--replace replaces it)");
            }
            Fate::Endless => self.complain(number, "it would end later than any session may"),
            Fate::Blocked => self.complain(number, "in its place the store has something that cannot be read"),
        }
        if matches!(fate, Fate::Stored) && self.tally.stored.is_multiple_of(PROGRESS) {
            complain(format_args!("{} so far", self.tally.stored));
        }
    }
}

impl Tally {
    fn report(&self) {
        let mut told = vec![format!("imported {}", counted(self.stored, "session", "sessions"))];
        for (count, what) in [
            (self.replaced, "took the place of an older version"),
            (self.known, "there already"),
            (self.ended, "ended meanwhile"),
            (self.revoked, "revoked meanwhile"),
        ] {
            if count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        complain(told.join(", "));
    }
}
