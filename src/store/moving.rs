//! Sessions leave a store as parcels and come into another one: for moving and for backups. Nobody is logged out by it.
//!
//! Ends are points in time, held against the clock of the store that is at hand: of two stores whose clocks differ, the
//! sessions end earlier or later by as much. What comes in never replaces what is as new or newer, so that coming in
//! twice is like once; it enters its subject's index as a session does that is being made, and gets its expiry with its
//! value. No session lives longer by moving than if it had been used at that moment.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Entry, Store, StoreError, Swap, index, listing::Cursor};
use crate::session::{
    Handle, Policy, Timestamp,
    record::{Stored, parcel::Parcel},
};

/// Sessions that are read at once.
const PAGE: usize = 100;
/// The longest life that a configuration allows, and a day for clocks that differ.
const FARTHEST: Duration = Duration::from_secs(401 * 24 * 60 * 60);

/// A walk through everything in a store.
pub struct Departures<'a> {
    store: &'a Store,
    place: Place,
}

enum Place {
    Begin,
    At(Cursor),
    End,
}

/// Some of what was met on the way.
#[derive(Debug, Default)]
pub struct Portion {
    /// What has not ended, in no order. Redis may list one twice.
    pub parcels: Vec<Parcel>,
    /// What is there and cannot be read, and why.
    pub unreadable: Vec<(Handle, String)>,
    /// Keys among ours that are none of ours.
    pub strangers: usize,
}

impl<'a> Departures<'a> {
    /// A walk from the beginning. The store's time must be known.
    pub fn of(store: &'a Store) -> Self {
        Self { store, place: Place::Begin }
    }

    /// The next portion, which may be empty; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError`]; asking again goes on where it failed.
    pub async fn next(&mut self) -> Result<Option<Portion>, StoreError> {
        let cursor = match self.place {
            Place::Begin => None,
            Place::At(cursor) => Some(cursor),
            Place::End => return Ok(None),
        };
        let page = self.store.scan(cursor.as_ref(), PAGE).await?;
        self.place = page.next.map_or(Place::End, Place::At);
        let mut portion = Portion { strangers: page.strangers, ..Portion::default() };
        let now = self.store.now();
        for (handle, entry) in page.entries {
            match self.read(&handle, entry) {
                Ok((stored, left)) => portion.parcels.extend(parcel(handle, stored, left, now)),
                Err(reason) => portion.unreadable.push((handle, reason)),
            }
        }
        Ok(Some(portion))
    }

    fn read(&self, handle: &Handle, entry: Entry) -> Result<(Stored, Duration), String> {
        let entry = self.store.opened(handle, entry).map_err(|error| error.to_string())?;
        let stored = Stored::decode(&entry.bytes).map_err(|error| error.to_string())?;
        Ok((stored, entry.left))
    }
}

/// What travels of a session, unless it has ended.
fn parcel(handle: Handle, stored: Stored, left: Duration, now: Timestamp) -> Option<Parcel> {
    let expires = now.after(left).min(last_moment(&stored));
    (expires > now).then_some(Parcel { handle, stored, expires })
}

/// When a record is of no use any more, whatever the store says.
fn last_moment(stored: &Stored) -> Timestamp {
    match stored {
        Stored::Live(record) => record.deadline,
        Stored::Tombstone(tombstone) => tombstone.retired.iter().map(|retired| retired.1).max().unwrap_or_default(),
    }
}

/// What happens where the store has an older version of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// It stays.
    Keep,
    /// The newer one takes its place.
    Replace,
}

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The store has it now.
    Stored,
    /// The store has it now, in place of an older version.
    Replaced,
    /// The store had it, or a newer version.
    Known,
    /// The store has an older version, which stays.
    OlderStays,
    /// It had ended.
    Ended,
    /// It would end later than any session may.
    Endless,
    /// Its subject was revoked at this moment.
    Revoked,
    /// In its place the store has something that cannot be read.
    Blocked,
}

/// Brings parcels in, side by side. `policy` is that of the proxies that will serve them.
///
/// # Errors
/// Each [`StoreError`] stands in the place of its parcel, which may be in the store all the same; bringing it in again
/// does no harm.
pub async fn arrive(store: &Store, parcels: &[Parcel], policy: &Policy, older: Older) -> Vec<Result<Fate, StoreError>> {
    let handles: Vec<Handle> = parcels.iter().map(|parcel| parcel.handle).collect();
    let found = match store.load(&handles).await {
        Ok(found) => found,
        Err(error) => return parcels.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut arrivals = JoinSet::new();
    for (place, (parcel, found)) in parcels.iter().zip(found).enumerate() {
        let (store, parcel, policy) = (store.clone(), parcel.clone(), policy.clone());
        arrivals.spawn(async move { (place, arrive_one(&store, &parcel, found, &policy, older).await) });
    }
    let mut fates: Vec<_> = parcels.iter().map(|_| Err(StoreError::Nonsense)).collect();
    while let Some(arrived) = arrivals.join_next().await {
        if let Ok((place, fate)) = arrived {
            fates[place] = fate;
        }
    }
    fates
}

async fn arrive_one(
    store: &Store,
    parcel: &Parcel,
    mut found: Option<Entry>,
    policy: &Policy,
    older: Older,
) -> Result<Fate, StoreError> {
    loop {
        let ttl = match life(parcel, store.now(), policy) {
            Ok(ttl) => ttl,
            Err(fate) => return Ok(fate),
        };
        let there = match &found {
            None => None,
            Some(entry) => match entry.decode(&parcel.handle) {
                None => return Ok(Fate::Blocked),
                Some(there) if there.version() >= parcel.stored.version() => return Ok(Fate::Known),
                Some(_) if older == Older::Keep => return Ok(Fate::OlderStays),
                Some(there) => Some(there),
            },
        };
        match put(store, parcel, there.as_ref(), ttl).await? {
            Put::Done(fate) => return Ok(fate),
            Put::Overtaken(now) => found = now,
        }
    }
}

enum Put {
    Done(Fate),
    /// Somebody else wrote this meanwhile.
    Overtaken(Option<Entry>),
}

/// Writes one record as a session is written that is being made or changed: index, value, epochs.
async fn put(store: &Store, parcel: &Parcel, there: Option<&Stored>, ttl: Duration) -> Result<Put, StoreError> {
    let Parcel { handle, stored, .. } = parcel;
    let base = there.and_then(Stored::live);
    let entered = index::enter(store, handle, base, stored).await?;
    let stamp = there.map(Stored::stamp);
    match store.swap(handle, stamp.as_ref(), stored, ttl).await? {
        Swap::Done => {}
        Swap::Conflict(found) | Swap::Doubt(found) => return Ok(Put::Overtaken(found)),
    }
    if let Some(entered) = entered
        && !entered.confirm(store, handle, stored).await?
    {
        return Ok(Put::Done(Fate::Revoked));
    }
    if let Some(base) = base {
        index::leave(store, handle, base, stored).await;
    }
    Ok(Put::Done(if there.is_some() { Fate::Replaced } else { Fate::Stored }))
}

/// The life that a parcel gets, or why it gets none.
fn life(parcel: &Parcel, now: Timestamp, policy: &Policy) -> Result<Duration, Fate> {
    let end = parcel.expires.min(last_moment(&parcel.stored));
    if end <= now {
        return Err(Fate::Ended);
    }
    if last_moment(&parcel.stored) > now.after(FARTHEST) {
        return Err(Fate::Endless);
    }
    let left = end.since(now);
    Ok(match &parcel.stored {
        Stored::Live(record) => left.min(record.time_to_live(now, now, policy)),
        Stored::Tombstone(_) => left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        homes::Homes,
        record::{Nonce, Record, Retired, Tombstone},
        ticket::{Locator, SecretHash},
        vault::Jar,
    };

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn live(deadline: Timestamp) -> Stored {
        Stored::from(Record {
            version: 1,
            writes: [Nonce(1)].into(),
            secret: SecretHash([1; 32]),
            retired: vec![],
            created: Timestamp(1),
            written: Timestamp(1),
            deadline,
            idle: Some(Duration::from_secs(100)),
            persistent: false,
            subject: None,
            vault: Jar::default(),
            homes: Homes::default(),
            data: "{}".into(),
        })
    }

    fn tombstone(until: Timestamp) -> Stored {
        let retired = vec![Retired(SecretHash([2; 32]), until), Retired(SecretHash([1; 32]), Timestamp(2))];
        Stored::from(Tombstone { version: 2, writes: [Nonce(1)].into(), retired })
    }

    fn at(stored: Stored, expires: Timestamp) -> Parcel {
        Parcel { handle: Locator::from_random([7; 16]).handle(), stored, expires }
    }

    fn seconds(count: u64) -> Timestamp {
        NOW.after(Duration::from_secs(count))
    }

    #[test]
    fn a_life_ends_when_the_parcel_says_and_never_later_than_the_record_or_a_use_at_this_moment() {
        let policy = Policy::default();
        for (parcel, wanted) in [
            (at(live(seconds(500)), seconds(50)), Ok(50)),
            (at(live(seconds(500)), seconds(400)), Ok(110)), // idle timeout and one touch step
            (at(live(seconds(60)), seconds(400)), Ok(60)),
            (at(live(seconds(60)), NOW), Err(Fate::Ended)),
            (at(live(NOW), seconds(60)), Err(Fate::Ended)),
            (at(live(Timestamp(u64::MAX)), seconds(60)), Err(Fate::Endless)),
            (at(live(NOW.after(FARTHEST)), Timestamp(u64::MAX)), Ok(110)),
            (at(tombstone(seconds(10)), seconds(5)), Ok(5)),
            (at(tombstone(seconds(10)), seconds(50)), Ok(10)),
            (at(tombstone(NOW), seconds(5)), Err(Fate::Ended)),
            (at(tombstone(Timestamp(u64::MAX)), seconds(5)), Err(Fate::Endless)),
        ] {
            assert_eq!(life(&parcel, NOW, &policy), wanted.map(Duration::from_secs), "{parcel:?}");
        }
    }

    #[test]
    fn what_never_expires_in_the_store_leaves_with_its_own_end() {
        let parcel = |stored, left| parcel(at(live(NOW), NOW).handle, stored, left, NOW).map(|parcel| parcel.expires);
        let second = Duration::from_secs(1);
        assert_eq!(parcel(live(seconds(500)), second), Some(seconds(1)));
        assert_eq!(parcel(live(seconds(500)), Duration::MAX), Some(seconds(500)));
        assert_eq!(parcel(live(NOW), second), None);
        assert_eq!(parcel(tombstone(seconds(10)), Duration::MAX), Some(seconds(10)));
        assert_eq!(parcel(tombstone(NOW), Duration::MAX), None);
    }
}
