//! Who a request belongs to: its tickets, and what the store knows of them.

use std::sync::Arc;

use http::{HeaderMap, Method};
use tracing::warn;

use super::{
    OnStoreFailure, Rejection, Shard,
    access::Entry,
    known::{Guest, Read},
    line::Route,
    tally::{Event, Unfit},
};
use crate::{
    clock, cookie,
    headers::{Mark, Seen},
    session::{
        Handle, Timestamp,
        record::{Record, Standing},
        settle::{Outcome, Reach},
    },
    store::{
        Entry as Found, StoreError,
        commit::{Presented, Session},
    },
    upstream::Ties,
};

/// Of several cookies with our name, so many authentic ones are looked up.
const TICKETS: usize = 4;

/// The tickets that come with a request. Nearly always there is one at most.
#[derive(Default)]
pub(super) struct Guests {
    first: Option<Arc<Guest>>,
    more: Vec<Arc<Guest>>,
}

/// Who the request belongs to, and what its response may do.
pub(super) struct Visitor {
    pub(super) guests: Guests,
    pub(super) presented: Presented,
    pub(super) reach: Reach,
    pub(super) opens: bool,
}

impl Shard {
    /// The authentic tickets of this realm, in order, each once. Needs no store.
    pub(super) fn take_tickets(&self, headers: &HeaderMap, seen: Seen, route: &Route) -> Guests {
        let mut guests = Guests::default();
        if !seen.has(Mark::Cookie) {
            return guests;
        }
        for value in cookie::tickets(headers, self.line.cookie.name()) {
            match self.known.guest(value, &route.realm, &self.line.keyring) {
                Ok(guest) => guests.welcome(guest),
                Err(fault) => self.tally.tickets.count(fault.into()),
            }
            if guests.are_many() {
                break;
            }
        }
        guests
    }

    pub(super) async fn timed_load(
        &self,
        guests: &Guests,
        on_failure: OnStoreFailure,
        entry: &mut Entry,
    ) -> Result<Presented, Rejection> {
        let Some(first) = &guests.first else { return Ok(Presented::Nobody) };
        let begun = clock::now();
        let loaded = match guests.more.is_empty() {
            true => self.load(first).await,
            false => Box::pin(self.load_all(guests)).await,
        };
        entry.waited_for_store(begun);
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

    /// Looks up the only ticket.
    async fn load(&self, guest: &Guest) -> Result<Presented, StoreError> {
        let (found, now) = self.store.load_one(&guest.handle).await?;
        Ok(self.weigh(guest, found, now, Presented::Nobody))
    }

    /// Looks several tickets up. Precedence: store error, several live, one live, retired, none.
    async fn load_all(&self, guests: &Guests) -> Result<Presented, StoreError> {
        let handles: Vec<Handle> = guests.iter().map(|guest| guest.handle).collect();
        let entries = self.store.load(&handles).await?;
        let now = self.store.now();
        let found = guests.iter().zip(entries);
        Ok(found.fold(Presented::Nobody, |presented, (guest, found)| self.weigh(guest, found, now, presented)))
    }

    /// Who is presented, with this guest and what was found for it beside those before.
    fn weigh(&self, guest: &Guest, found: Option<Found>, now: Timestamp, presented: Presented) -> Presented {
        let unfit = &self.tally.tickets;
        let Some(found) = found else {
            unfit.count(Unfit::Unknown);
            return presented;
        };
        let Some(read) = guest.read(&found) else {
            unfit.count(Unfit::Unreadable);
            return presented;
        };
        let standing = read.standing(guest, now);
        match standing {
            Standing::Live => {}
            Standing::Retired(_) => unfit.count(Unfit::Retired),
            Standing::Destroyed(_) => unfit.count(Unfit::Destroyed),
            Standing::Unknown => unfit.count(Unfit::Unknown),
        }
        match (standing, read, presented) {
            (Standing::Live, Read::Live(_), Presented::Loaded(_) | Presented::Several) => {
                unfit.count(Unfit::Several);
                Presented::Several
            }
            (Standing::Live, Read::Live(record), _) => {
                let (ticket, secret) = (Arc::clone(&guest.ticket), guest.secret);
                let session = Session { ticket, handle: guest.handle, secret, record };
                self.touch(&session, &found, now);
                Presented::Loaded(Box::new(session))
            }
            (Standing::Retired(left), _, Presented::Nobody) => Presented::Retired(left),
            (Standing::Destroyed(left), _, Presented::Nobody) => Presented::Destroyed(left),
            (_, _, presented) => presented,
        }
    }

    /// Pushes the expiry out if it is time, beside the request and not before it; a write that comes first has the say.
    fn touch(&self, session: &Session, found: &Found, now: Timestamp) {
        let Some(ttl) = session.record.touch(found.left, now, &self.line.policy) else { return };
        let (store, handle, stamp) = (self.store.clone(), session.handle, session.record.stamp());
        self.tasks.spawn(async move {
            if let Err(error) = store.touch(&handle, &stamp, ttl).await {
                warn!(target: "cloakroom::proxy", session = %handle, %error, "a session's expiry was not pushed out");
            }
        });
    }
}

impl Guests {
    /// Takes one more in, unless it is here already.
    fn welcome(&mut self, guest: Arc<Guest>) {
        match &self.first {
            None => self.first = Some(guest),
            Some(first) => {
                if first.ticket != guest.ticket && self.more.iter().all(|other| other.ticket != guest.ticket) {
                    self.more.push(guest);
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.first.iter().chain(&self.more).map(|guest| &**guest)
    }

    fn are_many(&self) -> bool {
        self.more.len() + 1 >= TICKETS
    }
}

impl Visitor {
    pub(super) fn new(guests: Guests, presented: Presented, reach: Reach, method: &Method) -> Self {
        let opens = matches!(presented, Presented::Nobody) && reach == Reach::Browser && method != Method::OPTIONS;
        Self { guests, presented, reach, opens }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.presented {
            Presented::Loaded(_) => Outcome::Live,
            _ => Outcome::None,
        }
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        match &self.presented {
            Presented::Loaded(session) => Some(session.handle),
            _ => None,
        }
    }

    /// What ties the request to a server of this upstream.
    pub(super) fn ties(&self, upstream: &str) -> Option<Ties<'_>> {
        match &self.presented {
            Presented::Loaded(session) => {
                Some(Ties { session: session.handle.as_bytes(), home: session.record.homes.at(upstream) })
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
            Presented::Loaded(session) => Some(&session.record),
            _ => None,
        }
    }
}
