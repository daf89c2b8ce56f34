//! Who a request belongs to: its tickets, and what the store knows of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tracing::warn;

use super::{
    OnStoreFailure, Rejection, SessionUse, Shard,
    access::Entry,
    known::{Comer, Guest, Read},
    line::{Application, Route},
    tally::{Event, Unfit},
};
use crate::{
    clock,
    cookie::Own,
    headers::{Mark, Seen},
    session::{
        Handle, Timestamp,
        record::{Record, Standing},
        settle::{Outcome, Reach},
    },
    store::{
        Reading, StoreError,
        commit::{self, Live},
    },
    upstream::Ties,
};

/// Of several cookies with our name, so many authentic ones are looked up.
const TICKETS: usize = 4;

/// Whoever's tickets come with a request. Nearly always there is one at most.
#[derive(Default)]
pub(super) struct Comers {
    first: Option<Comer>,
    more: Vec<Comer>,
}

/// What a request presented.
pub(super) type Presented = commit::Presented<Arc<Guest>>;

/// Who the request belongs to, and what its response may do.
pub(super) struct Visitor {
    pub(super) presented: Presented,
    pub(super) reach: Reach,
    pub(super) opens: bool,
}

impl Shard {
    /// Takes our cookies out of the head. The authentic tickets of this realm, in order, each once; none on a route without
    /// sessions. Needs no store.
    pub(super) fn take_tickets(
        &self,
        headers: &mut HeaderMap,
        (seen, cookie): (Seen, Option<Bytes>),
        route: &Route,
    ) -> Comers {
        let (mut comers, settings) = (Comers::default(), &self.line.cookie);
        if !seen.has(Mark::Cookie) {
            return comers;
        }
        let own = match settings.strip() {
            true => Own::take(headers, cookie, settings.name()),
            false => Own::look(headers, cookie),
        };
        if route.session == SessionUse::Off {
            return comers;
        }
        for value in own.values(settings.name()) {
            match self.known.comer(value, &route.realm, &self.line.keyring) {
                Ok(comer) => comers.welcome(comer),
                Err(fault) => self.tally.tickets.count(fault.into()),
            }
            if comers.are_many() {
                break;
            }
        }
        comers
    }

    /// Who presents these tickets.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    pub(super) fn timed_load<'a>(
        &'a self,
        comers: Comers,
        on_failure: OnStoreFailure,
        entry: &'a mut Entry,
    ) -> impl Future<Output = Result<Presented, Rejection>> + use<'a> {
        async move {
            let Comers { first: Some(first), more } = comers else { return Ok(Presented::Nobody) };
            let begun = clock::now();
            let loaded = match more.is_empty() {
                true => {
                    let loaded = self.store.load_one(first.handle(), first.last()).await;
                    loaded.map(|(reading, now)| self.weigh(first, reading, now, Presented::Nobody))
                }
                false => Box::pin(self.load_all(first, more)).await,
            };
            entry.waited_for_store(begun);
            self.loaded(loaded, on_failure)
        }
    }

    fn loaded(
        &self,
        loaded: Result<Presented, StoreError>,
        on_failure: OnStoreFailure,
    ) -> Result<Presented, Rejection> {
        match (loaded, on_failure) {
            (Ok(presented), _) => {
                if let Presented::Loaded(_) = presented {
                    self.tally.sessions.count(Event::Returned);
                }
                Ok(presented)
            }
            (Err(error), OnStoreFailure::Reject) => Err(Rejection::StoreUnavailable(error)),
            (Err(error), OnStoreFailure::Anonymous) => {
                self.tally.degraded.count();
                warn!(target: "cloakroom::proxy", %error, "a request goes on without its session");
                Ok(Presented::Unavailable)
            }
        }
    }

    /// Looks several tickets up. Precedence: store error, several live, one live, retired, none.
    async fn load_all(&self, first: Comer, mut comers: Vec<Comer>) -> Result<Presented, StoreError> {
        comers.insert(0, first);
        let handles: Vec<Handle> = comers.iter().map(|comer| *comer.handle()).collect();
        let entries = self.store.load(&handles).await?;
        let now = self.store.now();
        let found = comers.into_iter().zip(entries);
        Ok(found.fold(Presented::Nobody, |presented, (comer, entry)| {
            let reading = entry.map_or(Reading::Nothing, |entry| Reading::Other(entry, None));
            self.weigh(comer, reading, now, presented)
        }))
    }

    /// Who is presented, with this comer and what was read for it beside those before.
    fn weigh(&self, comer: Comer, reading: Reading, now: Timestamp, presented: Presented) -> Presented {
        let unfit = &self.tally.tickets;
        let (guest, left) = match (reading, comer) {
            (Reading::Same(left), Comer::Guest(guest)) => (guest, left),
            (Reading::Nothing | Reading::Same(_), _) => {
                unfit.count(Unfit::Unknown);
                return presented;
            }
            (Reading::Other(entry, spot), comer) => match self.known.read(&comer, &entry, spot, &self.line.policy) {
                Some(Read::Live(guest)) => (guest, entry.left),
                Some(Read::Gone(gone)) => return self.weigh_ended(comer.standing(&gone, now), presented),
                None => {
                    unfit.count(Unfit::Unreadable);
                    return presented;
                }
            },
        };
        match (guest.standing(now), presented) {
            (Standing::Live, Presented::Loaded(_) | Presented::Several) => {
                unfit.count(Unfit::Several);
                Presented::Several
            }
            (Standing::Live, _) => {
                self.touch(&guest, left, now);
                Presented::Loaded(guest)
            }
            (ended, presented) => self.weigh_ended(ended, presented),
        }
    }

    /// Who is presented, with a ticket that opens nothing any more beside those before.
    fn weigh_ended(&self, standing: Standing, presented: Presented) -> Presented {
        let unfit = &self.tally.tickets;
        match standing {
            Standing::Retired(_) => unfit.count(Unfit::Retired),
            Standing::Destroyed(_) => unfit.count(Unfit::Destroyed),
            Standing::Unknown | Standing::Live => unfit.count(Unfit::Unknown),
        }
        match (standing, presented) {
            (Standing::Retired(left), Presented::Nobody) => Presented::Retired(left),
            (Standing::Destroyed(left), Presented::Nobody) => Presented::Destroyed(left),
            (_, presented) => presented,
        }
    }

    /// Pushes the expiry out if it is time, beside the request and not before it; a write that comes first has the say.
    fn touch(&self, guest: &Guest, left: Duration, now: Timestamp) {
        let Some(ttl) = guest.touch(left, now, &self.line.policy) else { return };
        let (store, handle, stamp) = (self.store.clone(), *guest.handle(), guest.record().stamp());
        self.tasks.spawn(async move {
            if let Err(error) = store.touch(&handle, &stamp, ttl).await {
                warn!(target: "cloakroom::proxy", session = %handle, %error, "a session's expiry was not pushed out");
            }
        });
    }
}

impl Comers {
    /// Takes one more in, unless it is here already.
    fn welcome(&mut self, comer: Comer) {
        match &self.first {
            None => self.first = Some(comer),
            Some(first) => {
                if !first.has_ticket_of(&comer) && !self.more.iter().any(|other| other.has_ticket_of(&comer)) {
                    self.more.push(comer);
                }
            }
        }
    }

    fn are_many(&self) -> bool {
        self.more.len() + 1 >= TICKETS
    }
}

impl Visitor {
    pub(super) fn new(presented: Presented, reach: Reach, method: &Method) -> Self {
        let opens = matches!(presented, Presented::Nobody) && reach == Reach::Browser && method != Method::OPTIONS;
        Self { presented, reach, opens }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.presented {
            Presented::Loaded(_) => Outcome::Live,
            _ => Outcome::None,
        }
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        match &self.presented {
            Presented::Loaded(guest) => Some(*guest.handle()),
            _ => None,
        }
    }

    /// What ties the request to a server of this application.
    pub(super) fn ties(&self, application: &Application) -> Option<Ties<'_>> {
        match &self.presented {
            Presented::Loaded(guest) if application.affinity => {
                let home = guest.record().homes.at(application.audience.name());
                Some(Ties { session: guest.handle().as_bytes(), home })
            }
            _ => None,
        }
    }

    /// Whether the store could not say who it is.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.presented, Presented::Unavailable)
    }

    /// The session as the application is given it.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.presented {
            Presented::Loaded(guest) => Some(guest.record()),
            _ => None,
        }
    }
}
