//! What the run knows: every session as the model has it, every ticket that was issued, the browsers' jars.

use std::collections::{HashMap, HashSet};

use cloakroom::{
    session::{Handle, Ticket, settle::CookieStep},
    store::Swap,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::task::JoinHandle;

use crate::{expect::State, nap, process::Process};

const BROWSERS: usize = 6;
/// Tickets of sessions that are gone, kept to come back with.
const LATE: usize = 40;
/// So many sessions are kept in play.
const SESSIONS: usize = 20;

/// A session and every ticket that it ever had.
pub(crate) struct Known {
    pub(crate) state: State,
    pub(crate) tickets: Vec<Ticket>,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    /// Of them, those that another one of the same session (or a revocation) overlapped.
    pub(crate) overlapping: u64,
    pub(crate) saved: u64,
    pub(crate) refused: u64,
    pub(crate) revoked: u64,
    pub(crate) naps: u64,
}

pub(crate) struct World {
    seed: u64,
    pub(crate) number: u64,
    pub(crate) rng: StdRng,
    pub(crate) processes: Vec<Process>,
    pub(crate) sessions: HashMap<Handle, Known>,
    pub(crate) browsers: Vec<Option<Ticket>>,
    late: Vec<Ticket>,
    /// Every session that was ever made.
    made: HashSet<Handle>,
    serial: u64,
    naps: Vec<JoinHandle<()>>,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, processes: Vec<Process>) -> Self {
        Self {
            seed,
            number: 0,
            rng: StdRng::seed_from_u64(seed),
            processes,
            sessions: HashMap::new(),
            browsers: vec![None; BROWSERS],
            late: Vec::new(),
            made: HashSet::new(),
            serial: 0,
            naps: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Which run this is and where it stands, for the message of a failure.
    pub(crate) fn name(&self) -> String {
        format!("CLOAKROOM_MODEL_SEED={} round {}", self.seed, self.number)
    }

    /// A number that was not drawn before.
    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn process(&mut self) -> Process {
        self.processes.choose(&mut self.rng).expect("a process").clone()
    }

    /// The sessions in an order that does not depend on their random names.
    fn in_order(&self) -> Vec<&Known> {
        let mut all: Vec<&Known> = self.sessions.values().collect();
        all.sort_unstable_by_key(|known| match &known.state {
            State::Live { record, .. } => record.data.to_string(),
            State::Destroyed { .. } | State::Gone => known.tickets[0].locator.handle().to_string(),
        });
        all
    }

    /// A ticket that somebody had some time: of a live session, a rotated one, an ended one.
    pub(crate) fn old_ticket(&mut self) -> Option<Ticket> {
        if self.rng.random_bool(0.3) {
            return self.late.choose(&mut self.rng).cloned();
        }
        let draw: (usize, usize) = (self.rng.random_range(0..1 << 16), self.rng.random_range(0..6));
        let all = self.in_order();
        let known = all.get(draw.0 % all.len().max(1))?;
        known.tickets.iter().rev().nth(draw.1 % known.tickets.len()).cloned()
    }

    pub(crate) fn state(&self, handle: &Handle) -> State {
        self.sessions.get(handle).map_or(State::Gone, |known| known.state.clone())
    }

    /// A browser takes in what a response says about its cookie.
    pub(crate) fn take_in(&mut self, browser: Option<usize>, cookie: &CookieStep) {
        let jar = match cookie {
            CookieStep::Keep => return,
            CookieStep::Delete => None,
            CookieStep::Issue(ticket, _) => Some(Ticket::clone(ticket)),
        };
        if let Some(ticket) = &jar {
            let known = self.sessions.get_mut(&ticket.locator.handle()).expect("a ticket of a session that was made");
            known.tickets.push(ticket.clone());
        }
        if let Some(browser) = browser {
            self.browsers[browser] = jar;
        }
    }

    /// What has ended is forgotten, but for a ticket to come back with.
    pub(crate) fn forget_the_gone(&mut self) {
        let gone = |known: &Known| matches!(known.state, State::Gone);
        let tickets = self.sessions.values().filter(|known| gone(known)).filter_map(|known| known.tickets.last());
        self.late.extend(tickets.cloned());
        self.late.drain(..self.late.len().saturating_sub(LATE));
        self.sessions.retain(|_, known| !gone(known));
    }

    /// The sessions that are live.
    pub(crate) fn live(&self) -> Vec<Handle> {
        let live = self.sessions.iter().filter(|(_, known)| known.state.is_live());
        live.map(|(handle, _)| *handle).collect()
    }

    /// A session is known from now on.
    pub(crate) fn know(&mut self, handle: Handle, known: Known) {
        assert!(self.made.insert(handle), "a session was made that had been there; {}", self.name());
        self.sessions.insert(handle, known);
    }

    /// Sessions that no browser has a ticket of would make the run slower and slower: some are taken away, and what
    /// was destroyed is not looked at for ever.
    pub(crate) async fn abandon(&mut self) {
        if self.sessions.len() < 2 * SESSIONS {
            return;
        }
        let held = |handle: &Handle| self.browsers.iter().flatten().any(|ticket| ticket.locator.handle() == *handle);
        let names = self.in_order().into_iter().map(|known| known.tickets[0].locator.handle());
        let names: Vec<Handle> = names.filter(|handle| !held(handle)).take(SESSIONS).collect();
        for handle in names {
            if let Some(Known { state: State::Live { record, .. }, .. }) = self.sessions.remove(&handle) {
                let removed = self.processes[0].store.remove(&handle, &record.stamp()).await;
                assert_eq!(removed, Ok(Swap::Done), "{}", self.name());
            }
        }
    }

    /// Now and then a session that idles out, beside everything else.
    pub(crate) fn begin_nap(&mut self) {
        let seed = self.rng.random();
        let (one, two) = (self.process(), self.process());
        self.tally.naps += 1;
        self.tally.operations += nap::OPERATIONS;
        self.tally.overlapping += nap::OPERATIONS;
        self.naps.push(tokio::spawn(nap::nap(one, two, seed)));
    }

    pub(crate) async fn settle_naps(&mut self) {
        for nap in std::mem::take(&mut self.naps) {
            nap.await.unwrap_or_else(|error| panic!("{error}; {}", self.name()));
        }
    }

    /// Whether what is stored under this name is a session that the run made.
    pub(crate) fn explains(&self, handle: &str) -> bool {
        Handle::parse(handle).is_some_and(|handle| self.made.contains(&handle))
    }
}
