//! Visitors that came lately: what their tickets and records say is not worked out again.
//!
//! Both are pure functions of bytes: whether a ticket is authentic (the keys of a shard never change, for another
//! configuration is another shard), and what a record's text says. So nothing here decides what the store should: every
//! request still reads it, and a record that differs in a single byte is read anew. Each shard has its own; secrets are
//! wiped when they are forgotten.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use quick_cache::{Equivalent, sync::Cache};
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
    pub(super) ticket: Arc<Ticket>,
    pub(super) handle: Handle,
    pub(super) secret: SecretHash,
    realm: Arc<str>,
    /// What was stored when it came last.
    last: Mutex<Option<Seen>>,
}

/// A cookie's value.
#[derive(Clone, PartialEq, Eq)]
struct Text([u8; TICKET_LEN]);

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought(&self.0).hash(state);
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A cookie's value where it stands: nothing of it is left behind that would have to be wiped.
struct Sought<'a>(&'a [u8; TICKET_LEN]);

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The end of the MAC, which nobody else can choose for a ticket that is authentic: only such are kept.
        let [.., a, b, c, d, e, f, g, h] = *self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Equivalent<Text> for Sought<'_> {
    fn equivalent(&self, text: &Text) -> bool {
        *self.0 == text.0
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
}

impl Known {
    pub(super) fn new() -> Self {
        Self { guests: Cache::new(KEPT) }
    }

    /// The guest with this cookie.
    ///
    /// # Errors
    /// It is not authentic in this realm.
    pub(super) fn guest(&self, value: &[u8], realm: &Arc<str>, keyring: &Keyring) -> Result<Arc<Guest>, Fault> {
        let text: Option<&[u8; TICKET_LEN]> = value.try_into().ok();
        if let Some(guest) = text.and_then(|text| self.guests.get(&Sought(text)))
            && (Arc::ptr_eq(&guest.realm, realm) || guest.realm == *realm)
        {
            return Ok(guest);
        }
        let guest = Arc::new(Guest::new(keyring.open(value, realm)?, realm));
        if let Some(text) = text {
            self.guests.insert(Text(*text), Arc::clone(&guest));
        }
        Ok(guest)
    }
}

impl Guest {
    fn new(ticket: Ticket, realm: &Arc<str>) -> Self {
        let (handle, secret) = (ticket.locator.handle(), ticket.secret.hash());
        Self { ticket: Arc::new(ticket), handle, secret, realm: Arc::clone(realm), last: Mutex::default() }
    }

    /// What these bytes say, which are stored under its handle.
    pub(super) fn read(&self, found: &Found) -> Option<Read> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = last.as_ref().filter(|seen| seen.is(&found.bytes)) {
            return Some(Read::Live(Arc::clone(&seen.record)));
        }
        match found.decode(&self.handle)? {
            Stored::Live(record) => {
                *last = Seen::of(found.bytes.clone(), &record);
                Some(Read::Live(record))
            }
            gone @ Stored::Tombstone(_) => Some(Read::Gone(gone)),
        }
    }

    /// A record was written as this text: whoever reads it next need not work it out.
    pub(super) fn wrote(&self, text: Bytes, stored: &Stored) {
        if let Stored::Live(record) = stored {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Seen::of(text, record);
        }
    }
}

impl Seen {
    fn of(bytes: Bytes, record: &Arc<Record>) -> Option<Self> {
        (bytes.len() <= LARGEST).then(|| Self { bytes, record: Arc::clone(record) })
    }

    /// Whether it was these bytes: the same ones in the same place, or others that say the same.
    fn is(&self, bytes: &Bytes) -> bool {
        std::ptr::eq(&*self.bytes, &**bytes) || self.bytes == bytes
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

    fn data(guest: &Guest, found: &Found) -> Option<(String, Arc<Record>)> {
        match guest.read(found)? {
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
            assert!(*guest.ticket == ticket(1) && guest.handle == ticket(1).locator.handle());
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
        let guest = Guest::new(ticket(1), &Arc::from("a.test"));
        let (first, same, other) = (found(1, "{\"a\":1}"), found(1, "{\"a\":1}"), found(1, "{\"a\":2}"));
        let (_, once) = data(&guest, &first).unwrap();
        assert!(Arc::ptr_eq(&once, &data(&guest, &same).unwrap().1));
        assert_eq!(data(&guest, &other).unwrap().0, "{\"a\":2}", "though its stamp is the same");
        assert_eq!(data(&guest, &first).unwrap().0, "{\"a\":1}");
    }

    #[test]
    fn what_was_written_is_known_when_it_is_read_and_nothing_else() {
        let guest = Guest::new(ticket(1), &Arc::from("a.test"));
        let (written, other) = (found(2, "{\"a\":2}"), found(2, "{\"a\":3}"));
        let stored = Stored::decode(&written.bytes).unwrap();
        guest.wrote(written.bytes.clone(), &stored);
        let (Stored::Live(record), Some((_, read))) = (stored, data(&guest, &written)) else { panic!("it lives") };
        assert!(Arc::ptr_eq(&record, &read));
        assert_eq!(data(&guest, &other).unwrap().0, "{\"a\":3}");
    }

    #[test]
    fn what_cannot_be_read_is_not_what_was_there_before() {
        let guest = Guest::new(ticket(1), &Arc::from("a.test"));
        let sound = found(1, "{}");
        assert!(data(&guest, &sound).is_some());
        let damaged = Found { bytes: sound.bytes.slice(..sound.bytes.len() - 1), left: sound.left };
        assert!(data(&guest, &damaged).is_none());
    }
}
