//! The servers of one upstream, for the whole process: which of them is asked next, and whether any is healthy.
//!
//! Servers that fail their health checks are asked by nobody; if all of them do there is nobody to ask. Servers that
//! requests failed at are only passed over while there is another one: if all are out, they are asked all the same. A
//! session with [`Ties`] goes where they lead, also if others have less to do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tracing::{info, warn};

use super::{
    Balance, SendError, Settings, Ties,
    dial::dialers,
    health,
    member::{Load, Member},
    standing::Fitness,
};

/// The servers of one upstream. Shared by the shards.
pub struct Fleet {
    pub(super) settings: Settings,
    pub(super) members: Vec<Arc<Member>>,
    next: AtomicUsize,
    begun: Instant,
}

/// Which servers a request was in vain at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried(u64);

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1 << (index % 64);
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << (index % 64)) != 0
    }
}

impl Fleet {
    /// Prepares the servers. Call it within a runtime: health checks go on there until the fleet is dropped.
    ///
    /// # Errors
    /// What the configuration should have found: TLS that cannot be used.
    pub fn new(settings: &Settings) -> Result<Arc<Self>, String> {
        let member = |dialer| Arc::new(Member::new(dialer, settings));
        let members = dialers(settings)?.into_iter().map(member).collect();
        let fleet =
            Arc::new(Self { settings: settings.clone(), members, next: AtomicUsize::new(0), begun: Instant::now() });
        health::watch(&fleet);
        Ok(fleet)
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why no request would be answered: no server is healthy. `None` if one is.
    pub fn trouble(&self) -> Option<String> {
        let now = self.now();
        let serves = |member: &Arc<Member>| member.standing.fitness(now).is_well();
        (!self.members.iter().any(serves)).then(|| format!("no server of {} is healthy", self.settings.name))
    }

    /// The name of each server, and whether it may be asked.
    pub fn servers(&self) -> impl Iterator<Item = (String, Fitness)> {
        let now = self.now();
        self.members.iter().map(move |member| (member.server.to_string(), member.standing.fitness(now)))
    }

    /// The server to ask next, if there is one left.
    pub(super) fn choose(
        &self,
        ties: Option<&Ties<'_>>,
        tried: Tried,
        has_room: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if let [only] = self.members.as_slice() {
            return (!tried.has(0) && !only.standing.is_down()).then_some(0);
        }
        let (now, start) = (self.now(), self.next.fetch_add(1, Relaxed));
        loop {
            let fitness = |index: usize| self.members[index].standing.fitness(now);
            let good = |index: &usize| fitness(*index).is_well();
            let left = || self.turn(start).filter(|index| !tried.has(*index));
            let free = || self.best(left().filter(good).filter(|index| has_room(*index)));
            let found = if ties.is_none() { free() } else { None };
            let found = found.or_else(|| self.wanted(ties, || left().filter(good)));
            let found = found.or_else(|| self.wanted(ties, || left().filter(|index| fitness(*index) != Fitness::Down)));
            let found = found?;
            if fitness(found) != Fitness::Trial || self.members[found].standing.take_trial(now) {
                return Some(found);
            }
        }
    }

    fn turn(&self, start: usize) -> impl Iterator<Item = usize> {
        let count = self.members.len();
        (0..count).map(move |step| start.wrapping_add(step) % count)
    }

    fn wanted<I: Iterator<Item = usize>>(&self, ties: Option<&Ties<'_>>, candidates: impl Fn() -> I) -> Option<usize> {
        match ties {
            Some(ties) => ties.pick(candidates, |index| &self.members[index].name),
            None => self.best(candidates()),
        }
    }

    fn best(&self, mut candidates: impl Iterator<Item = usize>) -> Option<usize> {
        match self.settings.balance {
            Balance::RoundRobin => candidates.next(),
            Balance::LeastConnections => candidates.min_by_key(|index| self.members[*index].load()),
        }
    }

    /// Counts a request at a server, if anybody wants to know.
    pub(super) fn begin(&self, member: &Arc<Member>) -> Option<Load> {
        (self.settings.balance == Balance::LeastConnections).then(|| member.begin())
    }

    /// A request could not be sent to this server, or it closed a fresh connection without an answer.
    pub(super) fn failed(&self, member: &Member, error: &SendError) {
        let Some(out) = member.standing.failed(self.now()) else { return };
        let (upstream, server) = (&*self.settings.name, &member.server);
        warn!(target: "cloakroom::upstream", upstream, %server, ?out, %error, "a server failed");
    }

    pub(super) fn answered(&self, member: &Member) {
        if member.standing.answered() {
            info!(target: "cloakroom::upstream", upstream = &*self.settings.name, server = %member.server, "a server answers again");
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        tls,
        upstream::{Protocol, Server},
    };

    fn fleet(servers: u16, balance: Balance) -> Arc<Fleet> {
        let server = |port| Server::Http { host: "127.0.0.1".to_owned(), port };
        Fleet::new(&Settings {
            name: Arc::from("app"),
            servers: (1..=servers).map(server).collect(),
            tls: tls::Client { trust: tls::Trust::System, identity: None },
            balance,
            affinity: true,
            protocol: Protocol::Http1,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            max_connections: 1,
            preserve_host: true,
            response_header_bytes: 8192,
            health: None,
        })
        .unwrap()
    }

    fn chosen(fleet: &Fleet, times: usize) -> Vec<usize> {
        (0..times).filter_map(|_| fleet.choose(None, Tried::default(), |_| true)).collect()
    }

    fn take_down(fleet: &Fleet, index: usize) {
        assert!(fleet.members[index].standing.checked(false, 1));
    }

    #[test]
    fn round_robin_asks_each_in_turn() {
        assert_eq!(chosen(&fleet(3, Balance::RoundRobin), 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn least_connections_asks_who_has_least_to_do() {
        let fleet = fleet(3, Balance::LeastConnections);
        let (_first, second) = (fleet.members[0].begin(), fleet.members[1].begin());
        assert_eq!(chosen(&fleet, 3), [2, 2, 2]);
        drop(second);
        let mut some = chosen(&fleet, 6);
        some.sort_unstable();
        assert_eq!((some[0], some[5]), (1, 2));
    }

    #[test]
    fn a_server_that_failed_is_passed_over_while_there_is_another() {
        let fleet = fleet(2, Balance::RoundRobin);
        fleet.failed(&fleet.members[0], &SendError::NoSlot);
        assert_eq!(chosen(&fleet, 4), [1, 1, 1, 1]);
        assert_eq!(fleet.trouble(), None);
        fleet.failed(&fleet.members[1], &SendError::NoSlot);
        assert_eq!(chosen(&fleet, 4).len(), 4, "all are out: they are asked all the same");
        assert!(fleet.trouble().is_some());
        fleet.answered(&fleet.members[0]);
        assert_eq!(chosen(&fleet, 3), [0, 0, 0]);
    }

    #[test]
    fn a_session_goes_to_the_server_that_keeps_it_full_or_not_while_that_may_be_asked() {
        let fleet = fleet(3, Balance::LeastConnections);
        let name = fleet.members[1].name.clone();
        let ties = Ties { session: b"s", home: Some(&name) };
        let ask = |tried| fleet.choose(Some(&ties), tried, |index| index != 1);
        let _busy = fleet.members[1].begin();
        assert_eq!(ask(Tried::default()), Some(1));
        fleet.failed(&fleet.members[1], &SendError::NoSlot);
        let other = ask(Tried::default()).expect("another one");
        assert_ne!(other, 1);
        assert_eq!(ask(Tried::default()), Some(other), "always the same other one");
        let mut tried = Tried::default();
        tried.add(other);
        assert!(ask(tried).is_some_and(|last| last != 1 && last != other));
        fleet.answered(&fleet.members[1]);
        assert_eq!(ask(Tried::default()), Some(1));
        take_down(&fleet, 1);
        assert_eq!(ask(Tried::default()), Some(other));
        (0..3).filter(|index| *index != 1).for_each(|index| fleet.failed(&fleet.members[index], &SendError::NoSlot));
        assert_eq!(ask(Tried::default()), Some(other), "all others are out: they are asked all the same");
    }

    #[test]
    fn a_server_that_fails_its_checks_is_asked_by_nobody() {
        let fleet = fleet(2, Balance::RoundRobin);
        take_down(&fleet, 1);
        assert_eq!(chosen(&fleet, 3), [0, 0, 0]);
        fleet.failed(&fleet.members[0], &SendError::NoSlot);
        assert_eq!(chosen(&fleet, 3), [0, 0, 0]);
        take_down(&fleet, 0);
        assert!(chosen(&fleet, 3).is_empty());
        assert!(fleet.trouble().is_some_and(|trouble| trouble.contains("app")));
    }

    #[test]
    fn a_full_server_and_one_that_was_tried_come_last_and_never() {
        let fleet = fleet(2, Balance::RoundRobin);
        let ask = |tried| (0..3).map(|_| fleet.choose(None, tried, |index| index == 1)).collect::<Vec<_>>();
        assert_eq!(ask(Tried::default()), [Some(1), Some(1), Some(1)]);
        let mut tried = Tried::default();
        tried.add(1);
        assert_eq!(ask(tried), [Some(0), Some(0), Some(0)]);
        tried.add(0);
        assert_eq!(ask(tried), [None, None, None]);
    }
}
