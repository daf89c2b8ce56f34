//! The one thread that writes: it gathers what is waiting, commits it at once, and answers everybody after the commit.
//!
//! A lone write waits for nobody; those that come while the disk works share the next commit. Touches are in no hurry and
//! ride along for a moment. What has expired is taken out in small portions, in commits of others or in one of its own
//! when something is due. After a failure redb refuses everything: the file is opened anew, at once for the readers; the
//! next attempt to write comes after a rest, also if nobody asks, so that it is known when the disk is well again.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::Database;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::{
    Shared,
    place::{self, Place, Problem},
    snapshot::Snapshot,
    tables::Tables,
};
use crate::{
    session::{Handle, Timestamp, record::Stamp},
    store::{
        StoreError, Swap,
        index::{Epochs, Label},
    },
};

/// So many orders go into one commit at most.
const BATCH: usize = 1024;
/// So many rows that are due are looked at in one commit.
const PORTION: usize = 256;
/// How long touches wait for company.
const UNHURRIED: Duration = Duration::from_millis(50);
/// Between two commits that only take out what has expired.
const BREATH: Duration = Duration::from_millis(20);
/// The thread looks up this often even if nothing is due.
const NAP: Duration = Duration::from_secs(60);
/// The first rest after a failure; each further one is twice as long, up to a limit: what comes in a rest waits for the
/// next attempt, which is sooner than most would come back.
const REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_millis(125);

/// What a caller wants.
pub(super) enum Deed {
    /// Compare and set.
    Swap { handle: Handle, expected: Option<Stamp>, value: Bytes, ttl: Duration },
    /// Compare and remove.
    Remove { handle: Handle, expected: Stamp },
    /// Extend a life.
    Touch { handle: Handle, expected: Stamp, ttl: Duration },
    /// Enter a session under the first label; the epochs of all.
    Enter { labels: Vec<Label>, handle: Handle, deadline: Timestamp },
    /// Take a session out of the index.
    Leave { labels: Vec<Label>, handle: Handle },
    /// Set the epochs, then list the index.
    Raise { labels: Vec<Label>, epoch: u64 },
    /// A read failed: see whether the file is well.
    Mend,
    /// Commit and close the file.
    Close,
}

/// What came of a deed.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Swapped(Swap),
    Epochs(Epochs),
    Listed(Vec<Handle>),
}

/// A deed, and who waits for it.
pub(super) struct Order {
    pub(super) deed: Deed,
    pub(super) answer: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Order {
    /// Nobody waits any more: nobody was told, and nobody will be.
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed() && !matches!(self.deed, Deed::Mend | Deed::Close)
    }
}

/// Since a failure: when the next attempt is due.
struct Outage {
    rest: Duration,
    until: Instant,
}

/// The writer.
pub(super) struct Writer {
    place: Box<dyn Place>,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    database: Option<Database>,
    next_due: Option<Timestamp>,
    outage: Option<Outage>,
    /// Shorter than those who wait are patient.
    longest_rest: Duration,
}

/// What a moment brought.
struct Gathered {
    batch: Vec<Order>,
    ends: bool,
}

impl Writer {
    pub(super) fn new(
        place: Box<dyn Place>,
        shared: Arc<Shared>,
        orders: Receiver<Order>,
        database: Database,
        patience: Duration,
    ) -> Self {
        let (next_due, outage) = (Some(Timestamp(0)), None); // what was due is looked at first
        let longest_rest = LONGEST_REST.min(patience / 4);
        Self { place, shared, orders, database: Some(database), next_due, outage, longest_rest }
    }

    /// Writes until it is told to close or nobody is left.
    pub(super) fn run(mut self) {
        loop {
            let Gathered { mut batch, ends } = self.gather();
            batch.retain(|order| !order.is_abandoned());
            let closing = batch.extract_if(.., |order| matches!(order.deed, Deed::Close)).collect::<Vec<_>>();
            if !batch.is_empty() || ends || self.is_due() {
                self.write(batch, ends);
            }
            if ends {
                self.close();
                closing.into_iter().for_each(|order| drop(order.answer.send(Ok(Answer::Done))));
                return;
            }
        }
    }

    /// Waits for orders, or until something is due.
    fn gather(&self) -> Gathered {
        let mut gathered = Gathered { batch: Vec::new(), ends: false };
        let mut until = self.wakes_at();
        while gathered.batch.len() < BATCH && !gathered.ends {
            match self.orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(order) => {
                    until = until.min(self.may_wait_until(&order.deed));
                    gathered.ends = matches!(order.deed, Deed::Close);
                    gathered.batch.push(order);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => gathered.ends = true,
            }
        }
        gathered
    }

    fn may_wait_until(&self, deed: &Deed) -> Instant {
        let now = Instant::now();
        match (&self.outage, deed) {
            (_, Deed::Close) => now,
            (Some(outage), _) => outage.until,
            (None, Deed::Touch { .. }) => now + UNHURRIED.min(self.longest_rest),
            (None, _) => now,
        }
    }

    fn wakes_at(&self) -> Instant {
        if let Some(outage) = &self.outage {
            return outage.until;
        }
        let left = self.next_due.map(|due| due.since(self.shared.clock.now()));
        Instant::now() + left.unwrap_or(NAP).clamp(BREATH, NAP)
    }

    fn is_due(&self) -> bool {
        match &self.outage {
            Some(outage) => Instant::now() >= outage.until,
            None => self.next_due.is_some_and(|due| due <= self.shared.clock.now()),
        }
    }

    /// Commits a batch and answers everybody in it.
    fn write(&mut self, batch: Vec<Order>, ends: bool) {
        let (deeds, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|order| (order.deed, order.answer)).unzip();
        let probes = ends || self.outage.is_some();
        match self.commit(&deeds, probes) {
            Ok(answers) => {
                self.recovered();
                waiting.into_iter().zip(answers).for_each(|(waiting, answer)| drop(waiting.send(Ok(answer))));
            }
            Err(problem) => {
                let error = self.failed(&problem);
                waiting.into_iter().for_each(|waiting| drop(waiting.send(Err(error.clone()))));
            }
        }
    }

    /// `probes`: commits also if nothing has changed.
    fn commit(&mut self, deeds: &[Deed], probes: bool) -> Result<Vec<Answer>, Problem> {
        self.reopen()?;
        let database = self.database.as_ref().ok_or_else(|| Problem::Disk(io::ErrorKind::NotConnected.into()))?;
        let now = self.shared.clock.now();
        let done = place::guarded(|| apply(database, deeds, now, probes))?;
        self.next_due = done.next_due;
        if done.committed {
            self.shared.snapshot.store(Some(Arc::new(place::guarded(|| Snapshot::of(database))?)));
        }
        Ok(done.answers)
    }

    /// Opens the file if it is not.
    fn reopen(&mut self) -> Result<(), Problem> {
        if self.database.is_none() {
            let opened = place::open(&*self.place)?;
            self.shared.snapshot.store(Some(Arc::new(opened.snapshot)));
            self.database = Some(opened.database);
        }
        Ok(())
    }

    /// Notes a failure and opens the file anew, so that it can be read at least.
    fn failed(&mut self, problem: &Problem) -> StoreError {
        let trouble = StoreError::Disk(problem.kind());
        let is_news = self.shared.set_trouble(Some(trouble.clone())).as_ref() != Some(&trouble);
        if is_news {
            error!(target: "cloakroom::store", error = %problem, "the store's file cannot be written; saves are refused until it can be");
        }
        let rest = self.outage.take().map_or(REST, |outage| (2 * outage.rest).min(self.longest_rest));
        self.shared.snapshot.store(None);
        self.database = None;
        if let Err(problem) = self.reopen()
            && is_news
        {
            error!(target: "cloakroom::store", error = %problem, "the store's file cannot be opened");
        }
        self.outage = Some(Outage { rest, until: Instant::now() + rest });
        trouble
    }

    fn recovered(&mut self) {
        if self.outage.take().is_some() {
            self.shared.set_trouble(None);
            info!(target: "cloakroom::store", "the store's file can be written again");
        }
    }

    fn close(&mut self) {
        self.shared.snapshot.store(None);
        self.shared.set_trouble(Some(StoreError::Disconnected));
        if let Some(Err(problem)) = self.database.take().map(Database::close) {
            error!(target: "cloakroom::store", error = %problem, "the store's file was not closed in order");
        }
    }
}

/// What a transaction did.
struct Applied {
    answers: Vec<Answer>,
    next_due: Option<Timestamp>,
    committed: bool,
}

fn apply(database: &Database, deeds: &[Deed], now: Timestamp, probes: bool) -> Result<Applied, redb::Error> {
    let mut transaction = database.begin_write()?;
    // After a crash the file opens at once, however much is in it.
    transaction.set_quick_repair(true);
    let mut tables = Tables::open(&transaction, now)?;
    let answers = deeds.iter().map(|deed| tables.carry_out(deed)).collect::<Result<Vec<_>, _>>()?;
    if probes {
        tables.carry_out(&Deed::Mend)?;
    }
    let next_due = tables.purge(PORTION)?;
    let committed = tables.finish()?;
    if committed {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(Applied { answers, next_due, committed })
}
