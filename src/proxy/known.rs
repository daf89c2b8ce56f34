//! Visitors that came lately: what their tickets and records say is not worked out again.
//!
//! Both are pure functions of bytes: whether a ticket is authentic (the keys of a shard never change, for another
//! configuration is another shard), and what a record's text says. So nothing here decides what the store should: every
//! request still asks it, and a record that differs in a single byte is read anew. Each shard has its own; secrets are
//! wiped when they are forgotten.
//!
//! With many visitors each of them is cold when it comes: what every request needs stands side by side.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use quick_cache::{Weighter, unsync::Cache};
use zeroize::Zeroize;

use super::tokens::Signed;
use crate::{
    session::{
        Handle, Policy, Ticket, Timestamp,
        record::{Record, Standing, Stored},
        ticket::{Fault, Keyring, SecretHash, TICKET_LEN},
        time::millis,
    },
    store::{Entry as Found, Last, Spot, commit::Live},
};

/// Visitors that one shard knows; fewer if their records are large.
const KEPT: usize = 4096;
/// A record counts as one visitor more for each part of this size.
const PART: usize = 4096;

/// Whoever comes with an authentic ticket.
#[derive(Clone)]
pub(super) enum Comer {
    /// Nothing is known but the ticket.
    Bearer(Arc<Bearer>),
    /// There was a session when it came last.
    Guest(Arc<Guest>),
}

/// A ticket, and what is known with it. In this order: what every request compares comes first.
#[derive(Clone)]
#[repr(C)]
pub(super) struct Bearer {
    text: Text,
    realm: Arc<str>,
    handle: Handle,
    secret: SecretHash,
    ticket: Ticket,
}

/// A visitor with this record; with another it is another guest. In this order, and with its bearer in it: what every
/// request needs stands in four lines of the processor's cache, none of which has to come before it is known where the next
/// one is.
#[repr(C)]
pub(super) struct Guest {
    bytes: Bytes,
    spot: Option<Spot>,
    /// Its ticket opens the session before this moment.
    opens_until: Timestamp,
    /// With more milliseconds than this left to live it need not be touched.
    ample: u64,
    tokens: Signed,
    record: Arc<Record>,
    bearer: Bearer,
}

/// A cookie's value.
#[derive(Clone)]
struct Text([u8; TICKET_LEN]);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What finds a ticket: of the end of its MAC, which nobody else can choose for one that is authentic. Only such are kept.
fn mark(text: &[u8; TICKET_LEN]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let [.., a, b, c, d, e, f, g, h] = *text;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(FACTOR) >> 32) as u32
}

/// What is stored under a handle.
pub(super) enum Read {
    Live(Arc<Guest>),
    Gone(Stored),
}

/// One shard's visitors.
pub(super) struct Known {
    comers: Mutex<Cache<u32, Comer, Weight>>,
}

/// Records count by their size.
#[derive(Clone)]
struct Weight;

impl Weighter<u32, Comer> for Weight {
    fn weight(&self, _mark: &u32, comer: &Comer) -> u64 {
        match comer {
            Comer::Bearer(_) => 1,
            Comer::Guest(guest) => 1 + (guest.bytes.len() / PART) as u64,
        }
    }
}

impl Known {
    pub(super) fn new() -> Self {
        Self { comers: Mutex::new(Cache::with_weighter(KEPT, KEPT as u64, Weight)) }
    }

    /// Whoever comes with this cookie.
    ///
    /// # Errors
    /// It is not authentic in this realm.
    pub(super) fn comer(&self, value: &[u8], realm: &Arc<str>, keyring: &Keyring) -> Result<Comer, Fault> {
        let text: &[u8; TICKET_LEN] = value.try_into().map_err(|_| Fault::Malformed)?;
        if let Some(comer) = self.find(text, realm) {
            return Ok(comer);
        }
        let bearer = Comer::Bearer(Arc::new(Bearer::new(keyring.open(value, realm)?, Text(*text), realm)));
        self.keep(bearer.clone());
        Ok(bearer)
    }

    fn find(&self, text: &[u8; TICKET_LEN], realm: &Arc<str>) -> Option<Comer> {
        let comers = self.comers.lock().unwrap_or_else(PoisonError::into_inner);
        comers.get(&mark(text)).filter(|comer| comer.bearer().is(text, realm)).cloned()
    }

    /// In the place of what was known with this ticket.
    fn keep(&self, comer: Comer) {
        let mark = mark(&comer.bearer().text.0);
        self.comers.lock().unwrap_or_else(PoisonError::into_inner).insert(mark, comer);
    }

    /// What these bytes say, which are stored under the comer's handle, in this spot.
    pub(super) fn read(&self, comer: &Comer, found: &Found, spot: Option<Spot>, policy: &Policy) -> Option<Read> {
        let record = match comer.guest().filter(|guest| guest.bytes == found.bytes) {
            Some(guest) if spot.is_none() => return Some(Read::Live(Arc::clone(guest))),
            Some(guest) => Arc::clone(&guest.record),
            None => match found.decode(comer.handle())? {
                Stored::Live(record) => record,
                gone @ Stored::Tombstone(_) => return Some(Read::Gone(gone)),
            },
        };
        Some(Read::Live(self.meet(comer.bearer(), found.bytes.clone(), spot, record, policy)))
    }

    /// A guest's record was written as this text: whoever reads it next need not work it out.
    pub(super) fn wrote(&self, guest: &Guest, text: Bytes, stored: Stored, policy: &Policy) {
        if let Stored::Live(record) = stored {
            self.meet(&guest.bearer, text, guest.spot.clone(), record, policy);
        }
    }

    fn meet(
        &self,
        bearer: &Bearer,
        bytes: Bytes,
        spot: Option<Spot>,
        record: Arc<Record>,
        policy: &Policy,
    ) -> Arc<Guest> {
        let (opens_until, ample) = (record.opens_until(&bearer.secret), millis(record.ample(policy)));
        let (bearer, tokens) = (bearer.clone(), Signed::default());
        let guest = Arc::new(Guest { bytes, spot, opens_until, ample, tokens, record, bearer });
        self.keep(Comer::Guest(Arc::clone(&guest)));
        guest
    }
}

impl Comer {
    fn bearer(&self) -> &Bearer {
        match self {
            Self::Bearer(bearer) => bearer,
            Self::Guest(guest) => &guest.bearer,
        }
    }

    fn guest(&self) -> Option<&Arc<Guest>> {
        match self {
            Self::Bearer(_) => None,
            Self::Guest(guest) => Some(guest),
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.bearer().handle
    }

    pub(super) fn has_ticket_of(&self, other: &Self) -> bool {
        self.bearer().ticket == other.bearer().ticket
    }

    /// What the store is told that is known already.
    pub(super) fn last(&self) -> Option<Last<'_>> {
        self.guest().map(|guest| Last { bytes: &guest.bytes, spot: guest.spot.as_ref() })
    }

    /// How it stands to what is left in the place of its record.
    pub(super) fn standing(&self, gone: &Stored, now: Timestamp) -> Standing {
        gone.standing(&self.bearer().secret, now)
    }
}

impl Bearer {
    fn new(ticket: Ticket, text: Text, realm: &Arc<str>) -> Self {
        let (handle, secret) = (ticket.locator.handle(), ticket.secret.hash());
        Self { text, realm: Arc::clone(realm), handle, secret, ticket }
    }

    fn is(&self, text: &[u8; TICKET_LEN], realm: &Arc<str>) -> bool {
        self.text.0 == *text && (Arc::ptr_eq(&self.realm, realm) || self.realm == *realm)
    }
}

impl Guest {
    /// The tokens that say this.
    pub(super) fn tokens(&self) -> &Signed {
        &self.tokens
    }

    /// How it stands to its record at `now`.
    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        if now < self.opens_until { Standing::Live } else { self.record.standing(&self.bearer.secret, now) }
    }

    /// The life to give the session, which has so much `left`: see [`Record::touch`].
    pub(super) fn touch(&self, left: Duration, now: Timestamp, policy: &Policy) -> Option<Duration> {
        if millis(left) > self.ample { None } else { self.record.touch(left, now, policy) }
    }
}

impl Live for Guest {
    fn ticket(&self) -> &Ticket {
        &self.bearer.ticket
    }

    fn handle(&self) -> &Handle {
        &self.bearer.handle
    }

    fn secret(&self) -> &SecretHash {
        &self.bearer.secret
    }

    fn record(&self) -> &Record {
        &self.record
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::session::{
        homes::Homes,
        policy::Slide,
        record::Nonce,
        ticket::{Locator, Secret},
        vault::Jar,
    };

    pub(in crate::proxy) fn ticket(seed: u8) -> Ticket {
        Ticket { locator: Locator::from_random([seed; 16]), secret: Secret::from_random([seed; 32]) }
    }

    /// A session's first record, which this ticket opens.
    pub(in crate::proxy) fn record(ticket: &Ticket) -> Record {
        Record {
            version: 1,
            writes: [Nonce(1)].into(),
            secret: ticket.secret.hash(),
            retired: vec![],
            created: Timestamp(0),
            written: Timestamp(0),
            deadline: Timestamp(1_000),
            idle: None,
            persistent: false,
            subject: None,
            vault: Jar::default(),
            homes: Homes::default(),
            data: "{}".into(),
        }
    }

    fn found(version: u64, data: &str) -> Found {
        let record = Record { version, data: data.into(), ..record(&ticket(1)) };
        Found { bytes: Stored::from(record).encode().into(), left: Duration::from_secs(1) }
    }

    fn known_bearer() -> (Known, Comer) {
        let (known, realm) = (Known::new(), Arc::from("a.test"));
        let keyring = Keyring::new(&[7; 32], &[]);
        let text = keyring.seal(&ticket(1), &realm);
        let comer = known.comer(text.as_bytes(), &realm, &keyring).ok().unwrap();
        (known, comer)
    }

    /// Who comes with the same cookie now.
    fn again(known: &Known, comer: &Comer) -> Comer {
        let bearer = comer.bearer();
        known.find(&bearer.text.0, &bearer.realm).unwrap()
    }

    fn read(known: &Known, comer: &Comer, found: &Found) -> Option<Arc<Guest>> {
        match known.read(comer, found, None, &Policy::default())? {
            Read::Live(guest) => Some(guest),
            Read::Gone(_) => None,
        }
    }

    fn data(known: &Known, comer: &Comer, found: &Found) -> Option<String> {
        read(known, comer, found).map(|guest| guest.record().data.to_string())
    }

    #[test]
    fn a_ticket_is_known_in_its_own_realm_only() {
        let (known, keyring) = (Known::new(), Keyring::new(&[7; 32], &[]));
        let (here, there): (Arc<str>, Arc<str>) = ("a.test".into(), "b.test".into());
        let text = keyring.seal(&ticket(1), &here);
        for realm in [&here, &Arc::from("a.test")] {
            let Ok(comer) = known.comer(text.as_bytes(), realm, &keyring) else { panic!("it is authentic") };
            assert!(comer.bearer().ticket == ticket(1) && *comer.handle() == ticket(1).locator.handle());
            assert!(known.comer(text.as_bytes(), &there, &keyring).is_err());
        }
    }

    #[test]
    fn what_is_not_authentic_is_never_known() {
        let (known, keyring, realm) = (Known::new(), Keyring::new(&[7; 32], &[]), Arc::from("a.test"));
        let text = keyring.seal(&ticket(1), &realm);
        assert!(known.comer(text.as_bytes(), &realm, &keyring).is_ok());
        let end = |at: usize| if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = |at: usize| [&text[..at], end(at), &text[at + 1..]].concat();
        for value in ["", &text[1..], &changed(0), &changed(60), &changed(106), &format!("{text}A")] {
            assert!(known.comer(value.as_bytes(), &realm, &keyring).is_err(), "{value}");
        }
    }

    #[test]
    fn tickets_are_told_apart_and_each_is_worked_out_once() {
        let (known, keyring, realm) = (Known::new(), Keyring::new(&[7; 32], &[]), Arc::from("a.test"));
        let texts: Vec<String> = (0..100).map(|seed| keyring.seal(&ticket(seed), &realm)).collect();
        let comers = || -> Vec<Comer> {
            texts.iter().map(|text| known.comer(text.as_bytes(), &realm, &keyring).ok().unwrap()).collect()
        };
        for (seed, (once, twice)) in comers().into_iter().zip(comers()).enumerate() {
            assert!(once.bearer().ticket == ticket(seed as u8) && std::ptr::eq(once.bearer(), twice.bearer()));
        }
    }

    #[test]
    fn the_same_bytes_are_read_once_and_others_anew() {
        let (known, comer) = known_bearer();
        let (first, same, other) = (found(1, "{\"a\":1}"), found(1, "{\"a\":1}"), found(1, "{\"a\":2}"));
        let once = read(&known, &comer, &first).unwrap();
        assert!(Arc::ptr_eq(&once, &read(&known, &again(&known, &comer), &same).unwrap()));
        assert_eq!(data(&known, &again(&known, &comer), &other).unwrap(), "{\"a\":2}", "though its stamp is the same");
        assert_eq!(data(&known, &again(&known, &comer), &first).unwrap(), "{\"a\":1}");
        assert_eq!(&*once.record().data, "{\"a\":1}", "whoever was given it still has it");
    }

    #[test]
    fn the_data_of_a_guest_is_a_part_of_the_text_by_which_it_is_recognised() {
        let (known, comer) = known_bearer();
        let guest = read(&known, &comer, &found(1, "{\"a\":1}")).unwrap();
        assert!(guest.bytes.as_ptr_range().contains(&guest.record().data.as_bytes().as_ptr()));
    }

    #[test]
    fn what_was_written_is_known_when_it_is_read_and_nothing_else() {
        let (known, comer) = known_bearer();
        let (written, other) = (found(2, "{\"a\":2}"), found(2, "{\"a\":3}"));
        let guest = read(&known, &comer, &found(1, "{}")).unwrap();
        let stored = Stored::decode(&written.bytes).unwrap();
        known.wrote(&guest, written.bytes.clone(), stored.clone(), &Policy::default());
        let read = read(&known, &again(&known, &comer), &written).unwrap();
        assert!(matches!(&stored, Stored::Live(record) if Arc::ptr_eq(record, &read.record)));
        assert_eq!(data(&known, &again(&known, &comer), &other).unwrap(), "{\"a\":3}");
    }

    #[test]
    fn what_cannot_be_read_is_not_what_was_there_before() {
        let (known, comer) = known_bearer();
        let sound = found(1, "{}");
        assert!(data(&known, &comer, &sound).is_some());
        let damaged = Found { bytes: sound.bytes.slice(..sound.bytes.len() - 1), left: sound.left };
        assert!(data(&known, &again(&known, &comer), &damaged).is_none());
    }

    #[test]
    fn a_guest_stands_to_its_record_as_the_record_says() {
        let (known, comer) = known_bearer();
        let guest = read(&known, &comer, &found(1, "{}")).unwrap();
        let strange =
            Stored::Live(Arc::new(Record { secret: ticket(2).secret.hash(), ..Record::clone(guest.record()) }));
        known.wrote(&guest, strange.encode().into(), strange, &Policy::default());
        let Comer::Guest(stranger) = again(&known, &comer) else { panic!("there is a session") };
        for now in [0, 1, 999, 1_000, 1_001].map(Timestamp) {
            for guest in [&guest, &stranger] {
                assert_eq!(guest.standing(now), guest.record.standing(&guest.bearer.secret, now), "{now:?}");
            }
        }
        assert_eq!(
            (guest.standing(Timestamp(999)), guest.standing(Timestamp(1_000))),
            (Standing::Live, Standing::Unknown)
        );
        assert_eq!(stranger.standing(Timestamp(0)), Standing::Unknown);
    }

    #[test]
    fn a_guest_is_touched_when_its_record_would_be() {
        let (known, comer) = known_bearer();
        let policies = [Slide::OnRequest, Slide::OnWrite].map(|slide| Policy { slide, ..Policy::default() });
        let far = Timestamp(100_000_000);
        for (policy, deadline) in policies.iter().zip([far, far]).chain([(&policies[0], Timestamp(5_000_000))]) {
            let idle = Some(Duration::from_secs(100));
            let record =
                Record { deadline, idle, ..Record::clone(read(&known, &comer, &found(1, "{}")).unwrap().record()) };
            let stored = Stored::from(record);
            let entry = Found { bytes: stored.encode().into(), left: Duration::ZERO };
            let Some(Read::Live(guest)) = known.read(&comer, &entry, None, policy) else { panic!("it lives") };
            for (left, now) in (0..120_000).step_by(500).zip([0, 4_950_000].into_iter().cycle()) {
                let (left, now) = (Duration::from_millis(left), Timestamp(now));
                assert_eq!(guest.touch(left, now, policy), guest.record.touch(left, now, policy), "{left:?}");
            }
        }
    }

    /// One that is as large as many others takes their place, so that what a shard keeps is bounded.
    #[test]
    fn large_records_leave_less_room_for_others() {
        let kept = |data: &str| {
            let (known, keyring, realm) = (Known::new(), Keyring::new(&[7; 32], &[]), Arc::from("a.test"));
            for seed in 0..200_u8 {
                let text = keyring.seal(&ticket(seed), &realm);
                let comer = known.comer(text.as_bytes(), &realm, &keyring).ok().unwrap();
                known.read(&comer, &found(1, data), None, &Policy::default());
            }
            known.comers.lock().unwrap().len()
        };
        assert_eq!(kept("{}"), 200);
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100 * PART));
        assert!((30..=41).contains(&kept(&large)), "{}", kept(&large));
    }
}
