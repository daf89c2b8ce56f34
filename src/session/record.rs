//! What the store keeps of one session: one value under one key, so that every operation is one atomic step.
//!
//! ```text
//! 1            format
//! L | T        live session | tombstone
//! 16 hex       version
//! 16 hex       nonce of the last write
//! = | #        the body is plain | sealed (other marks are reserved)
//! {...}        a plain body: JSON
//! ```
//! A sealed body (`store.encrypt`) is not JSON but
//! ```text
//! 8 bytes      which key: HKDF-SHA256(root, "record key id 1"); no secret
//! 12 bytes     random
//! n + 16       AES-256-GCM-SIV(HKDF-SHA256(root, "record 1")) of the plain body, and its tag
//! ```
//! where the handle and everything before the random bytes (stamp, mark, which key) are authenticated with it: a record that is moved
//! to another key, or given another stamp, does not open. Sealing is the store's business (`store::seal`); what it cannot
//! open counts as a record that cannot be read.
//!
//! The first 34 bytes are the [`Stamp`]: a compare-and-set compares them and nothing else, and so does a touch. The
//! body of a live session ends with its data as the exact text that was stored. `writes` holds the nonces of the last
//! eight writes, newest first, so that a writer whose acknowledgement was lost recognises its own work when it tries
//! again.

mod codec;
pub mod parcel;
mod writes;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use codec::RecordError;
use codec::{LIVE, TOMBSTONE, stamp};
pub use writes::{WRITES, Writes};

use super::{Policy, Timestamp, document::Text, homes::Homes, ticket::SecretHash, vault::Jar};

/// Length of a [`Stamp`] in bytes.
pub const STAMP_LEN: usize = 34;
/// Stands behind the stamp of a record whose body is sealed.
pub const SEALED: u8 = b'#';
/// Stands behind the stamp of a record whose body is plain.
pub const PLAIN: u8 = b'=';
/// How many retired secrets a record remembers.
pub const RETIRED: usize = 4;

/// Marks one write; random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub u64);

/// A secret that was valid once, and until when it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired(pub SecretHash, pub Timestamp);

/// A live session. In this order: what a token tells comes first, in two lines of the processor's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Who is logged in.
    pub subject: Option<String>,
    /// 1 at creation, one more for every saved response that changed anything.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Absolute deadline.
    pub deadline: Timestamp,
    /// The data: a JSON object, compact, every scalar as it was sent.
    pub data: Text,
    /// When it was changed last.
    pub written: Timestamp,
    /// Its own idle timeout, if the application gave it one.
    pub idle: Option<Duration>,
    /// Nonces of the last writes, newest first; never empty.
    pub writes: Writes,
    /// Hash of the secret that opens it.
    pub secret: SecretHash,
    /// Secrets that were rotated away, oldest first.
    pub retired: Vec<Retired>,
    /// Whether its cookie outlives the browser.
    pub persistent: bool,
    /// The application's own cookies.
    pub vault: Jar,
    /// Which servers keep it.
    pub homes: Homes,
}

/// What is left of a session that an application destroyed, for `retire_grace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The session's last version plus one.
    pub version: u64,
    /// Nonces of the last writes, newest first; never empty.
    pub writes: Writes,
    /// Every secret that opened it lately.
    pub retired: Vec<Retired>,
}

/// What a key of the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A session; shared, for whoever carries it about copies none of it.
    Live(Arc<Record>),
    /// A destroyed one; there are few, so that they do not set the size of all.
    Tombstone(Box<Tombstone>),
}

impl From<Record> for Stored {
    fn from(record: Record) -> Self {
        Self::Live(Arc::new(record))
    }
}

impl From<Tombstone> for Stored {
    fn from(tombstone: Tombstone) -> Self {
        Self::Tombstone(Box::new(tombstone))
    }
}

/// What a key of the store holds, whoever has it.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A session.
    Live(&'a Record),
    /// A destroyed one.
    Tombstone(&'a Tombstone),
}

/// The first bytes of a stored value; equal stamps mean the same write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u8; STAMP_LEN]);

impl Stamp {
    /// The stamp of a stored value; `None` if it is too short to have one.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.get(..STAMP_LEN)?.try_into().ok().map(Stamp)
    }

    /// Whether it marks a live session and no tombstone.
    pub fn is_live(&self) -> bool {
        self.0[1] == LIVE
    }
}

impl Stored {
    /// What it is, for whoever wants to look at it.
    pub fn content(&self) -> Content<'_> {
        match self {
            Self::Live(record) => Content::Live(record),
            Self::Tombstone(tombstone) => Content::Tombstone(tombstone),
        }
    }

    /// The stamp that its stored value begins with.
    pub fn stamp(&self) -> Stamp {
        self.content().stamp()
    }

    /// Lets the data be a part of the record's own text. Those who have the record already are not concerned.
    pub(crate) fn move_into(&mut self, text: &Bytes) {
        if let Self::Live(record) = self
            && let Some(record) = Arc::get_mut(record)
        {
            record.data.move_into(text);
        }
    }

    /// Whether `nonce` is one of the last writes.
    pub fn has_write(&self, nonce: Nonce) -> bool {
        match self {
            Self::Live(record) => record.writes.contains(&nonce),
            Self::Tombstone(tombstone) => tombstone.writes.contains(&nonce),
        }
    }

    /// The session, unless it was destroyed.
    pub fn live(&self) -> Option<&Record> {
        match self {
            Self::Live(record) => Some(record),
            Self::Tombstone(_) => None,
        }
    }

    /// The record's version.
    pub fn version(&self) -> u64 {
        self.content().version()
    }

    /// How a presented secret stands to this value at `now`.
    pub fn standing(&self, secret: &SecretHash, now: Timestamp) -> Standing {
        self.content().standing(secret, now)
    }
}

impl<'a> Content<'a> {
    /// As [`Stored::stamp`].
    pub(crate) fn stamp(self) -> Stamp {
        match self {
            Self::Live(record) => record.stamp(),
            Self::Tombstone(tombstone) => stamp(TOMBSTONE, tombstone.version, &tombstone.writes),
        }
    }

    /// As [`Stored::version`].
    pub(crate) fn version(self) -> u64 {
        match self {
            Self::Live(record) => record.version,
            Self::Tombstone(tombstone) => tombstone.version,
        }
    }

    /// As [`Stored::live`].
    pub(crate) fn live(self) -> Option<&'a Record> {
        match self {
            Self::Live(record) => Some(record),
            Self::Tombstone(_) => None,
        }
    }

    /// As [`Stored::standing`].
    pub(crate) fn standing(self, secret: &SecretHash, now: Timestamp) -> Standing {
        match self {
            Self::Live(record) => record.standing(secret, now),
            Self::Tombstone(tombstone) => among(&tombstone.retired, Standing::Destroyed, secret, now),
        }
    }
}

/// How a presented secret stands to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It opens the session.
    Live,
    /// A rotation retired it; it is recognised for this long.
    Retired(Duration),
    /// An application destroyed its session; it is recognised for this long.
    Destroyed(Duration),
    /// Expired, revoked, or never heard of.
    Unknown,
}

fn among(retired: &[Retired], standing: fn(Duration) -> Standing, secret: &SecretHash, now: Timestamp) -> Standing {
    match retired.iter().find(|retired| retired.0.matches(secret)) {
        Some(Retired(_, until)) if *until > now => standing(until.since(now)),
        Some(_) | None => Standing::Unknown,
    }
}

impl Record {
    /// How a presented secret stands to it at `now`.
    pub fn standing(&self, secret: &SecretHash, now: Timestamp) -> Standing {
        if self.deadline <= now {
            Standing::Unknown
        } else if self.secret.matches(secret) {
            Standing::Live
        } else {
            among(&self.retired, Standing::Retired, secret, now)
        }
    }

    /// Before this moment it stands [`Standing::Live`] to a presented secret; the epoch if it never does.
    pub fn opens_until(&self, secret: &SecretHash) -> Timestamp {
        if self.secret.matches(secret) { self.deadline } else { Timestamp(0) }
    }

    /// The stamp that its stored value begins with.
    pub fn stamp(&self) -> Stamp {
        stamp(LIVE, self.version, &self.writes)
    }

    /// Idle timeout in force.
    pub fn idle_timeout(&self, policy: &Policy) -> Duration {
        self.idle.unwrap_or(policy.idle_timeout)
    }

    /// How long the store shall keep it when it is used at `used`: idle timeout plus one touch step, not past the
    /// absolute deadline.
    pub fn time_to_live(&self, used: Timestamp, now: Timestamp, policy: &Policy) -> Duration {
        let idle = self.idle_timeout(policy);
        let idle_end = used.after(idle.saturating_add(policy.touch_step(idle)));
        idle_end.min(self.deadline).since(now)
    }

    /// The life to give it because it was presented at `now` with `left` to live; `None` while the stored expiry is
    /// good enough.
    pub fn touch(&self, left: Duration, now: Timestamp, policy: &Policy) -> Option<Duration> {
        let used = match policy.slide {
            super::policy::Slide::OnRequest => now,
            super::policy::Slide::OnWrite => self.written,
        };
        let wanted = self.time_to_live(used, now, policy);
        let step = policy.touch_step(self.idle_timeout(policy)).max(Duration::from_millis(1));
        (wanted >= left.saturating_add(step)).then_some(wanted)
    }

    /// With more than this left to live no [`Record::touch`] is due, whenever that is.
    pub fn ample(&self, policy: &Policy) -> Duration {
        let idle = self.idle_timeout(policy);
        match policy.slide {
            // The life that a touch gives is at most the idle timeout and one step, and it has to be a step more.
            super::policy::Slide::OnRequest => idle,
            super::policy::Slide::OnWrite => Duration::MAX,
        }
    }

    /// The retired secrets that are still recognised, with `secret` as the newest; at most [`RETIRED`].
    pub(super) fn retire(&self, now: Timestamp, policy: &Policy) -> Vec<Retired> {
        let mut retired = self.still_retired(now);
        retired.push(Retired(self.secret, now.after(policy.retire_grace)));
        retired.drain(..retired.len().saturating_sub(RETIRED));
        retired
    }

    pub(super) fn still_retired(&self, now: Timestamp) -> Vec<Retired> {
        self.retired.iter().filter(|retired| retired.1 > now).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        homes::Served,
        vault::{Offer, Renewal},
    };

    const DAY: u64 = 86_400_000;

    fn record() -> Record {
        Record {
            version: 3,
            writes: [Nonce(5), Nonce(u64::MAX)].into(),
            secret: SecretHash([1; 32]),
            retired: vec![Retired(SecretHash([2; 32]), Timestamp(1_000))],
            created: Timestamp(100),
            written: Timestamp(100),
            deadline: Timestamp(DAY),
            idle: None,
            persistent: false,
            subject: Some("ada \u{1f980}".into()),
            vault: Jar::default(),
            homes: Homes::default(),
            data: r#"{"n":1.10,"big":12345678901234567890123,"$serde_json::private::RawValue":"1","e":1e400}"#.into(),
        }
    }

    #[test]
    fn a_record_reads_back_exactly_as_it_was_written() {
        let rich = Record { idle: Some(Duration::from_millis(1500)), persistent: true, ..record() };
        let mut guarded = record();
        guarded.vault.take(&Offer {
            upstream: "app \"1\"".into(),
            name: b"PHPSESSID"[..].into(),
            path: b"/\xe9"[..].into(),
            value: Some((0..=255).collect()),
            expires: Some(Timestamp(9)),
            renewal: Renewal::Rotates,
        });
        let mut kept = record();
        kept.homes.note(&Served { upstream: "app".into(), server: "unix:/run/\u{e9}.sock".into() });
        let bare = Record { subject: None, retired: vec![], writes: [Nonce(0)].into(), data: "{}".into(), ..record() };
        let tombstone = Tombstone { version: 9, writes: [Nonce(1), Nonce(2)].into(), retired: record().retired };
        for stored in [rich, guarded, kept, bare].map(Stored::from).into_iter().chain([Stored::from(tombstone)]) {
            assert_eq!(Stored::decode(&stored.encode()).unwrap(), stored);
            assert_eq!(Stamp::of(&stored.encode()), Some(stored.stamp()));
        }
    }

    /// What other versions and other programs read: not a byte of it changes by accident.
    #[test]
    fn a_record_is_written_as_it_always_was() {
        let mut rich = Record { idle: Some(Duration::from_millis(1500)), persistent: true, ..record() };
        rich.homes.note(&Served { upstream: "app".into(), server: "a:1".into() });
        rich.vault.take(&Offer {
            upstream: "app".into(),
            name: b"id"[..].into(),
            path: b"/"[..].into(),
            value: Some(b"1"[..].into()),
            expires: None,
            renewal: Renewal::Ignored,
        });
        let (one, two) = ("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI");
        let data = &*record().data;
        let written = |stored: Stored| String::from_utf8(stored.encode()).unwrap();
        assert_eq!(
            written(rich.into()),
            format!(
                "1L00000000000000030000000000000005={{\"secret\":\"{one}\",\"retired\":[[\"{two}\",1000]],\
                 \"writes\":[\"ffffffffffffffff\"],\"created\":100,\"written\":100,\"deadline\":86400000,\"idle\":1500,\
                 \"persistent\":true,\"subject\":\"ada \u{1f980}\",\"vault\":[[\"app\",\"id\",\"/\",\"1\",null]],\"homes\":{{\"app\":\"a:1\"}},\
                 \"data\":{data}}}"
            )
        );
        let bare = Record { subject: None, retired: vec![], writes: [Nonce(0)].into(), data: "{}".into(), ..record() };
        assert_eq!(
            written(bare.into()),
            format!(
                "1L00000000000000030000000000000000={{\"secret\":\"{one}\",\"created\":100,\"written\":100,\
                 \"deadline\":86400000,\"data\":{{}}}}"
            )
        );
        let writes = [Nonce(1), Nonce(2), Nonce(3)].into();
        let tombstone = Tombstone { version: 9, writes, retired: record().retired };
        assert_eq!(
            written(tombstone.into()),
            format!(
                "1T00000000000000090000000000000001={{\"retired\":[[\"{two}\",1000]],\
                 \"writes\":[\"0000000000000002\",\"0000000000000003\"]}}"
            )
        );
        let tombstone = Tombstone { version: 9, writes: [Nonce(1)].into(), retired: vec![] };
        assert_eq!(written(tombstone.into()), "1T00000000000000090000000000000001={\"retired\":[]}");
    }

    /// Records of versions before `affinity` have none, and one that needs none is as they wrote it.
    #[test]
    fn a_record_without_homes_is_as_it_always_was() {
        let text = Stored::from(record()).encode();
        assert!(!text.windows(7).any(|part| part == b"\"homes\""));
        assert_eq!(Stored::decode(&text).unwrap(), Stored::from(record()));
    }

    #[test]
    fn the_stamp_changes_with_version_nonce_and_state() {
        let base = Stored::from(record()).encode();
        let other = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            Stored::from(record).encode()
        };
        assert_eq!(Stamp::of(&base), Stamp::of(&other(|r| r.data = "{}".into())));
        assert_ne!(Stamp::of(&base), Stamp::of(&other(|r| r.version += 1)));
        assert_ne!(Stamp::of(&base), Stamp::of(&other(|r| r.writes = [Nonce(6)].into())));
        let tombstone = Tombstone { version: 3, writes: record().writes, retired: vec![] };
        assert_ne!(Stamp::of(&base), Stamp::of(&Stored::from(tombstone).encode()));
        assert!(base.starts_with(b"1L"));
    }

    #[test]
    fn what_is_no_record_is_an_error_and_never_a_panic() {
        let good = Stored::from(record()).encode();
        for cut in 0..good.len() {
            assert!(Stored::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        let swap = |from: &str, to: &str| String::from_utf8(good.clone()).unwrap().replacen(from, to, 1).into_bytes();
        for bad in [
            b"".to_vec(),
            b"garbage".to_vec(),
            vec![0xff; 200],
            swap("1L", "2L"),
            swap("1L", "1X"),
            swap("0000000000000003", "00000000000000+3"),
            swap("={", "*{"),
            swap("\"secret\"", "\"secrex\""),
            swap("\"deadline\":", "\"deadline\":-"),
            swap("\"data\":{", "\"data\":[{"),
            swap("\"data\":", "\"date\":"),
        ] {
            assert!(Stored::decode(&bad).is_err(), "{}", String::from_utf8_lossy(&bad));
        }
    }

    #[test]
    fn a_secret_stands_as_the_record_says() {
        let (now, other) = (Timestamp(500), SecretHash([9; 32]));
        let live = Stored::from(record());
        assert_eq!(live.standing(&SecretHash([1; 32]), now), Standing::Live);
        assert_eq!(live.standing(&SecretHash([2; 32]), now), Standing::Retired(Duration::from_millis(500)));
        assert_eq!(live.standing(&SecretHash([2; 32]), Timestamp(1_000)), Standing::Unknown);
        assert_eq!(live.standing(&other, now), Standing::Unknown);
        assert_eq!(live.standing(&SecretHash([1; 32]), Timestamp(DAY)), Standing::Unknown);
        let tombstone = Stored::from(Tombstone { version: 4, writes: [].into(), retired: record().retired });
        assert_eq!(tombstone.standing(&SecretHash([2; 32]), now), Standing::Destroyed(Duration::from_millis(500)));
        assert_eq!(tombstone.standing(&SecretHash([1; 32]), now), Standing::Unknown);
    }

    #[test]
    fn the_stored_life_is_idle_plus_one_step_and_never_past_the_deadline() {
        let (policy, secs) = (Policy::default(), Duration::from_secs);
        let now = Timestamp(1_000);
        assert_eq!(record().time_to_live(now, now, &policy), secs(1860));
        assert_eq!(Record { idle: Some(secs(100)), ..record() }.time_to_live(now, now, &policy), secs(110));
        assert_eq!(Record { deadline: Timestamp(8_000), ..record() }.time_to_live(now, now, &policy), secs(7));
        assert_eq!(Record { deadline: Timestamp(900), ..record() }.time_to_live(now, now, &policy), secs(0));
    }

    #[test]
    fn a_touch_is_due_after_one_step_and_only_if_it_extends() {
        let (policy, secs) = (Policy::default(), Duration::from_secs);
        let now = Timestamp(10_000_000);
        assert_eq!(record().touch(secs(1860), now, &policy), None);
        assert_eq!(record().touch(secs(1801), now, &policy), None);
        assert_eq!(record().touch(secs(1800), now, &policy), Some(secs(1860)));
        let near_end = Record { deadline: now.after(secs(50)), ..record() };
        assert_eq!(near_end.touch(secs(50), now, &policy), None);
    }

    #[test]
    fn with_slide_write_only_a_fresh_session_is_touched() {
        let policy = Policy { slide: super::super::policy::Slide::OnWrite, ..Policy::default() };
        let (secs, now) = (Duration::from_secs, Timestamp(200_000));
        let record = Record { written: Timestamp(100_000), ..record() };
        assert_eq!(record.touch(secs(1760), now, &policy), None);
        assert_eq!(record.touch(secs(200), now, &policy), Some(secs(1760)));
    }
}
