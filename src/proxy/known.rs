//! Visitors that came lately: what their tickets and records say is not worked out again.
//!
//! Both are pure functions of bytes: whether a ticket is authentic (the keys of a shard never change, for another
//! configuration is another shard), and what a record's text says. So nothing here decides what the store should: every
//! request still reads it, and a record that differs in a single byte is read anew. Each shard has its own; secrets are
//! wiped when they are forgotten.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use zeroize::Zeroize;

use crate::{
    session::{
        Handle, Ticket, Timestamp,
        record::{Record, Standing, Stored},
        ticket::{Fault, Keyring, SecretHash, TICKET_LEN},
    },
    store::Entry as Found,
};

/// Visitors that one shard knows.
const KEPT: usize = 4096;
/// Larger records are read anew each time, so that those which are kept stay small.
const LARGEST: usize = 4096;

/// An authentic ticket, and what is known with it.
pub(super) struct Guest {
    pub(super) ticket: Ticket,
    pub(super) handle: Handle,
    secret: SecretHash,
    realm: Arc<str>,
}

/// A cookie's value.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Text([u8; TICKET_LEN]);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

struct Seen {
    bytes: Bytes,
    record: Arc<Record>,
}

/// What is stored under a handle.
pub(super) enum Read {
    Live(Arc<Record>),
    Gone(Stored),
}

/// One shard's visitors.
pub(super) struct Known {
    guests: Cache<Text, Arc<Guest>>,
    records: Cache<Handle, Arc<Seen>>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { guests: Cache::new(KEPT), records: Cache::new(KEPT) }
    }

    /// The guest with this cookie.
    ///
    /// # Errors
    /// It is not authentic in this realm.
    pub(super) fn guest(&self, value: &[u8], realm: &Arc<str>, keyring: &Keyring) -> Result<Arc<Guest>, Fault> {
        let text = value.try_into().ok().map(Text);
        if let Some(guest) = text.as_ref().and_then(|text| self.guests.get(text))
            && guest.realm == *realm
        {
            return Ok(guest);
        }
        let ticket = keyring.open(value, realm)?;
        let (handle, secret) = (ticket.locator.handle(), ticket.secret.hash());
        let guest = Arc::new(Guest { ticket, handle, secret, realm: Arc::clone(realm) });
        if let Some(text) = text {
            self.guests.insert(text, Arc::clone(&guest));
        }
        Ok(guest)
    }

    /// What these bytes say.
    pub(super) fn read(&self, handle: &Handle, found: &Found) -> Option<Read> {
        if let Some(seen) = self.records.get(handle)
            && seen.bytes == found.bytes
        {
            return Some(Read::Live(Arc::clone(&seen.record)));
        }
        match found.decode(handle)? {
            Stored::Live(record) => {
                self.keep(handle, found.bytes.clone(), &record);
                Some(Read::Live(record))
            }
            gone @ Stored::Tombstone(_) => Some(Read::Gone(gone)),
        }
    }

    /// A record was written as this text: whoever reads it next need not work it out.
    pub(super) fn wrote(&self, handle: &Handle, text: Bytes, stored: &Stored) {
        if let Stored::Live(record) = stored {
            self.keep(handle, text, record);
        }
    }

    fn keep(&self, handle: &Handle, bytes: Bytes, record: &Arc<Record>) {
        if bytes.len() <= LARGEST {
            self.records.insert(*handle, Arc::new(Seen { bytes, record: Arc::clone(record) }));
        }
    }
}

impl Read {
    /// How a guest stands to it at `now`.
    pub(super) fn standing(&self, guest: &Guest, now: Timestamp) -> Standing {
        match self {
            Self::Live(record) => record.standing(&guest.secret, now),
            Self::Gone(gone) => gone.standing(&guest.secret, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        homes::Homes,
        record::Nonce,
        ticket::{Locator, Secret},
        vault::Jar,
    };

    fn ticket(seed: u8) -> Ticket {
        Ticket { locator: Locator::from_random([seed; 16]), secret: Secret::from_random([seed; 32]) }
    }

    fn found(version: u64, data: &str) -> Found {
        let record = Record {
            version,
            writes: vec![Nonce(1)],
            secret: ticket(1).secret.hash(),
            retired: vec![],
            created: Timestamp(0),
            written: Timestamp(0),
            deadline: Timestamp(1_000),
            idle: None,
            persistent: false,
            subject: None,
            vault: Jar::default(),
            homes: Homes::default(),
            data: data.into(),
        };
        Found { bytes: Stored::from(record).encode().into(), left: std::time::Duration::from_secs(1) }
    }

    fn data(known: &Known, found: &Found) -> Option<(String, Arc<Record>)> {
        match known.read(&ticket(1).locator.handle(), found)? {
            Read::Live(record) => Some((record.data.to_string(), record)),
            Read::Gone(_) => None,
        }
    }

    #[test]
    fn a_ticket_is_known_in_its_own_realm_only() {
        let (known, keyring) = (Known::new(), Keyring::new(&[7; 32], &[]));
        let (here, there): (Arc<str>, Arc<str>) = ("a.test".into(), "b.test".into());
        let text = keyring.seal(&ticket(1), &here);
        for _ in 0..2 {
            let Ok(guest) = known.guest(text.as_bytes(), &here, &keyring) else { panic!("it is authentic") };
            assert!(guest.ticket == ticket(1) && guest.handle == ticket(1).locator.handle());
            assert!(known.guest(text.as_bytes(), &there, &keyring).is_err());
        }
    }

    #[test]
    fn what_is_not_authentic_is_never_known() {
        let (known, keyring, realm) = (Known::new(), Keyring::new(&[7; 32], &[]), Arc::from("a.test"));
        let text = keyring.seal(&ticket(1), &realm);
        assert!(known.guest(text.as_bytes(), &realm, &keyring).is_ok());
        let changed = text.replace(&text[..1], if text.starts_with('A') { "B" } else { "A" });
        for value in ["", &text[1..], &changed, &format!("{text}A")] {
            assert!(known.guest(value.as_bytes(), &realm, &keyring).is_err(), "{value}");
        }
    }

    #[test]
    fn the_same_bytes_are_read_once_and_others_anew() {
        let known = Known::new();
        let (first, same, other) = (found(1, "{\"a\":1}"), found(1, "{\"a\":1}"), found(1, "{\"a\":2}"));
        let (_, once) = data(&known, &first).unwrap();
        assert!(Arc::ptr_eq(&once, &data(&known, &same).unwrap().1));
        assert_eq!(data(&known, &other).unwrap().0, "{\"a\":2}", "though its stamp is the same");
        assert_eq!(data(&known, &first).unwrap().0, "{\"a\":1}");
    }

    #[test]
    fn what_was_written_is_known_when_it_is_read_and_nothing_else() {
        let known = Known::new();
        let (written, other) = (found(2, "{\"a\":2}"), found(2, "{\"a\":3}"));
        let handle = ticket(1).locator.handle();
        let stored = Stored::decode(&written.bytes).unwrap();
        known.wrote(&handle, written.bytes.clone(), &stored);
        let (Stored::Live(record), Some((_, read))) = (stored, data(&known, &written)) else { panic!("it lives") };
        assert!(Arc::ptr_eq(&record, &read));
        assert_eq!(data(&known, &other).unwrap().0, "{\"a\":3}");
    }

    #[test]
    fn what_cannot_be_read_is_not_what_was_there_before() {
        let known = Known::new();
        let sound = found(1, "{}");
        assert!(data(&known, &sound).is_some());
        let damaged = Found { bytes: sound.bytes.slice(..sound.bytes.len() - 1), left: sound.left };
        assert!(data(&known, &damaged).is_none());
    }
}
