//! Who comes with a ticket, as a test of stores keeps it: taken in by those binaries alone that drive stores themselves.

use std::sync::Arc;

use cloakroom::{
    session::{
        Handle, Ticket, Timestamp,
        record::{Record, Standing, Stored},
        ticket::SecretHash,
    },
    store::commit::{self, Live},
};

/// What a request presented.
pub(crate) type Presented = commit::Presented<Session>;

/// A live session that was just read.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    ticket: Ticket,
    handle: Handle,
    secret: SecretHash,
    pub(crate) record: Arc<Record>,
}

impl Session {
    pub(crate) fn new(ticket: &Ticket, record: Arc<Record>) -> Self {
        let (handle, secret) = (ticket.locator.handle(), ticket.secret.hash());
        Self { ticket: ticket.clone(), handle, secret, record }
    }
}

impl Live for Session {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn secret(&self) -> &SecretHash {
        &self.secret
    }

    fn record(&self) -> &Record {
        &self.record
    }
}

/// What a ticket opens if this is stored under its handle.
pub(crate) fn opened_by(ticket: &Ticket, stored: Option<Stored>, now: Timestamp) -> Presented {
    let Some(stored) = stored else { return Presented::Nobody };
    match (stored.standing(&ticket.secret.hash(), now), stored) {
        (Standing::Live, Stored::Live(record)) => Presented::Loaded(Session::new(ticket, record)),
        (Standing::Retired(left), _) => Presented::Retired(left),
        (Standing::Destroyed(left), _) => Presented::Destroyed(left),
        (Standing::Live | Standing::Unknown, _) => Presented::Nobody,
    }
}
