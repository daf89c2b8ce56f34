//! One round: operations are drawn and given what they need, then all of them are carried out at once.

use std::time::Duration;

use cloakroom::{
    session::{
        Handle, Ticket,
        record::{Stamp, Stored},
        ticket::SecretHash,
    },
    store::{
        commit::{CommitError, Live as _, Saved},
        index::revoke,
    },
};
use rand::{RngExt, seq::SliceRandom};

use crate::{
    deed::{Deed, pick},
    expect::{State, Who},
    process::Process,
    visitor::Presented,
    world::World,
};

/// An operation.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A response to a request that was given this.
    Respond { browser: Option<usize>, presented: Presented, who: Who, deed: Deed },
    /// A change by the holder of a token.
    Held { deed: Deed },
    /// A request that is given the session while the others are under way.
    Read { ticket: Ticket },
    /// A touch that was computed from this write, and comes late if another one is faster.
    Touch { stamp: Stamp },
    /// So many looks are taken before, as long as none of the sessions is the subject's.
    Revoke { subject: &'static str, looks: usize },
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Saved(Box<Result<Saved, CommitError>>),
    Given(Presented),
    Nothing,
    /// The sessions of the subject when the revocation began, with their versions.
    Revoked(Vec<(Handle, u64)>),
}

/// An operation that was carried out. `home`: the session that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) home: Option<Handle>,
    pub(crate) act: Act,
    pub(crate) found: Found,
}

impl Done {
    /// Who asked for what, if it was to be saved.
    pub(crate) fn asked(&self) -> Option<(Who, &Deed)> {
        match &self.act {
            Act::Respond { who, deed, .. } => Some((*who, deed)),
            Act::Held { deed } => Some((Who::Token, deed)),
            Act::Read { .. } | Act::Touch { .. } | Act::Revoke { .. } => None,
        }
    }

    pub(crate) fn saved(&self) -> Option<&Result<Saved, CommitError>> {
        match &self.found {
            Found::Saved(saved) => Some(saved),
            Found::Given(_) | Found::Nothing | Found::Revoked(_) => None,
        }
    }

    /// The subject that this revoked, and the session that was spared.
    pub(crate) fn revoked(&self) -> Option<(&str, Option<Handle>)> {
        match (&self.act, self.saved()) {
            (Act::Revoke { subject, .. }, _) => Some((subject, None)),
            (Act::Respond { deed, .. }, Some(Ok(Saved { owner: Some(owner), .. }))) if deed.revoke_others => {
                Some((&owner.1, Some(owner.0)))
            }
            _ => None,
        }
    }
}

impl World {
    pub(crate) async fn round(&mut self) {
        self.number += 1;
        if self.rng.random_bool(0.01) {
            self.begin_nap();
        }
        let hot = self.rng.random_range(0..self.browsers.len());
        let mut acts = Vec::new();
        if self.rng.random_bool(0.1) {
            self.draw_log_in_that_is_revoked(hot, &mut acts).await;
        }
        let count = if acts.is_empty() && self.rng.random_bool(0.3) { 1 } else { self.rng.random_range(1..7) };
        for _ in 0..count {
            let process = self.process();
            let (home, act) = self.draw(&process, hot).await;
            acts.push((process, home, act));
        }
        self.count(&acts);
        acts.shuffle(&mut self.rng);
        let handles = self.live();
        let tasks: Vec<_> = acts
            .into_iter()
            .map(|(process, home, act)| {
                let (pause, handles) = (self.rng.random_range(0..4), handles.clone());
                tokio::spawn(async move {
                    for _ in 0..pause {
                        tokio::task::yield_now().await;
                    }
                    let found = carry_out(&process, home, &act, &handles).await;
                    Done { home, act, found }
                })
            })
            .collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap_or_else(|error| panic!("{error}; {}", self.name())));
        }
        self.check(&done).await;
    }

    /// A session is given a subject through the slow process, and the other one revokes that subject as soon as it
    /// sees it.
    async fn draw_log_in_that_is_revoked(&mut self, hot: usize, acts: &mut Vec<(Process, Option<Handle>, Act)>) {
        let Some(ticket) = self.browsers[hot].clone() else { return };
        let subject = pick(&mut self.rng);
        let deed = Deed { subject: Some(subject), rotate: Some(self.rng.random()), ..Deed::default() };
        let process = self.processes[0].clone();
        let (home, log_in) = self.respond(&process, Some(hot), Some(ticket), Some(deed)).await;
        acts.push((process, home, log_in));
        let looks = self.rng.random_range(1..30);
        acts.push((self.processes[1].clone(), None, Act::Revoke { subject, looks }));
    }

    fn count(&mut self, acts: &[(Process, Option<Handle>, Act)]) {
        self.tally.operations += acts.len() as u64;
        let shares =
            |home: &Option<Handle>| home.is_some() && acts.iter().filter(|(_, other, _)| other == home).count() > 1;
        let revokes = |act: &Act| matches!(act, Act::Revoke { .. }) && acts.len() > 1;
        self.tally.overlapping += acts.iter().filter(|(_, home, act)| shares(home) || revokes(act)).count() as u64;
    }

    /// Most operations of a round are those of one browser.
    async fn draw(&mut self, process: &Process, hot: usize) -> (Option<Handle>, Act) {
        let browser = if self.rng.random_bool(0.8) { hot } else { self.rng.random_range(0..self.browsers.len()) };
        let ticket = self.browsers[browser].clone();
        let home = ticket.as_ref().map(|ticket| ticket.locator.handle());
        match (self.rng.random_range(0..100), ticket) {
            (0..6, _) => (None, Act::Revoke { subject: pick(&mut self.rng), looks: 0 }),
            (6..11, Some(ticket)) => self.touch(&ticket),
            (11..14, _) => match self.old_ticket() {
                Some(ticket) => self.touch(&ticket),
                None => (None, Act::Revoke { subject: pick(&mut self.rng), looks: 0 }),
            },
            (14..24, Some(ticket)) => (home, Act::Read { ticket }),
            (24..34, Some(_)) => {
                let version = home.map_or(0, |home| self.state(&home).version());
                (home, Act::Held { deed: self.deed(version).held() })
            }
            (34..42, _) => {
                let ticket = self.old_ticket();
                self.respond(process, None, ticket, None).await
            }
            (42..46, _) => self.respond(process, Some(browser), None, None).await,
            (_, ticket) => self.respond(process, Some(browser), ticket, None).await,
        }
    }

    /// By what is stored now; the stamp of what has ended is any.
    fn touch(&self, ticket: &Ticket) -> (Option<Handle>, Act) {
        let home = ticket.locator.handle();
        let stamp = match self.state(&home) {
            State::Live { record, .. } => record.stamp(),
            State::Destroyed { .. } | State::Gone => Stamp(*b"1L00000000000000010000000000000001"),
        };
        (Some(home), Act::Touch { stamp })
    }

    fn deed(&mut self, version: u64) -> Deed {
        let serial = self.serial();
        Deed::draw(&mut self.rng, serial, version)
    }

    /// A request that is given its session now and will be answered later.
    async fn respond(
        &mut self,
        process: &Process,
        browser: Option<usize>,
        ticket: Option<Ticket>,
        deed: Option<Deed>,
    ) -> (Option<Handle>, Act) {
        let presented = process.present(ticket.as_ref()).await;
        let home = ticket.as_ref().map(|ticket| ticket.locator.handle());
        let state = home.map_or(State::Gone, |home| self.state(&home));
        let expected = ticket.as_ref().map_or(Who::Nobody, |ticket| state.who(ticket.secret.hash()));
        assert!(fits(&presented, expected, &state), "{presented:?} instead of {state:?}; {}", self.name());
        let serial = self.serial();
        let deed = match expected {
            Who::Holder(_) if deed.is_some() => deed.unwrap_or_default(),
            Who::Nobody if self.rng.random_bool(0.8) => Deed::log_in(&mut self.rng, serial),
            Who::Holder(_) => {
                let version = if self.rng.random_bool(0.8) { state.version() } else { state.version() + 1 };
                self.deed(version)
            }
            _ => self.deed(0),
        };
        if let (Some(browser), Who::Retired | Who::Destroyed) = (browser, expected)
            && self.rng.random_bool(0.5)
        {
            self.browsers[browser] = None; // a fresh start, or it would stay late for the rest of the run
        }
        let who = Who::of(&presented);
        let home = home.filter(|_| !matches!(who, Who::Nobody));
        (home, Act::Respond { browser, presented, who, deed })
    }
}

/// Whether a request was given what this state has for it.
pub(crate) fn fits(presented: &Presented, expected: Who, state: &State) -> bool {
    match (presented, expected, state) {
        (Presented::Loaded(session), Who::Holder(secret), State::Live { record, .. }) => {
            *session.record == **record && session.ticket().secret.hash() == secret
        }
        (Presented::Nobody, Who::Nobody, _) => true,
        (Presented::Retired(_), Who::Retired, _) | (Presented::Destroyed(_), Who::Destroyed, _) => true,
        _ => false,
    }
}

async fn carry_out(process: &Process, home: Option<Handle>, act: &Act, handles: &[Handle]) -> Found {
    match act {
        Act::Respond { presented, deed, .. } => Found::Saved(Box::new(process.save(presented, &deed.change()).await)),
        Act::Held { deed } => {
            let handle = home.expect("a token of a session");
            Found::Saved(Box::new(process.save_held(&handle, &deed.change()).await))
        }
        Act::Read { ticket } => Found::Given(process.present(Some(ticket)).await),
        Act::Touch { stamp } => {
            let handle = home.expect("a session to touch");
            process.store.touch(&handle, stamp, Duration::from_secs(5_000)).await.expect("a touch");
            Found::Nothing
        }
        Act::Revoke { subject, looks } => {
            let mut theirs = theirs(process, handles, subject).await;
            for _ in 0..*looks {
                if theirs.is_empty() {
                    theirs = self::theirs(process, handles, subject).await;
                }
            }
            revoke(&process.store, subject, None).await.expect("a revocation");
            Found::Revoked(theirs)
        }
    }
}

/// The sessions that are the subject's now, with their versions.
async fn theirs(process: &Process, handles: &[Handle], subject: &str) -> Vec<(Handle, u64)> {
    let is_theirs = |stored: &Stored| stored.live().is_some_and(|record| record.subject.as_deref() == Some(subject));
    let stored = process.stored(handles).await.into_iter().zip(handles);
    stored.filter_map(|(stored, handle)| Some((*handle, stored.filter(is_theirs)?.version()))).collect()
}

/// The secret of a ticket, for messages and comparisons.
pub(crate) fn secret_of(ticket: &Ticket) -> SecretHash {
    ticket.secret.hash()
}
