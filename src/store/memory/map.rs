//! One of the maps of `memory:`, under its lock: values by handle, and beside them the order in which they expire.
//!
//! Every value stands in exactly one of the two orders, at the moment when it expires, so that what has expired is at
//! hand without a search. Sessions take one of the `max_sessions` places, tombstones none: hence two orders.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    session::{Handle, Timestamp, record::Stamp},
    store::{Entry, Reading, spread::Spread},
};

/// A table that has this many times the room that it needs is made smaller, unless it is as small as that.
const SPARE: usize = 8;
const SMALL: usize = 64;

#[derive(Default)]
pub(super) struct Map {
    values: HashMap<Handle, Arc<Slot>, Spread>,
    orders: Orders,
}

/// Where a value stands, and is changed: whoever keeps the place need not look for it again. It is filled and emptied under
/// the map's lock; once it is empty it is of no map, and stays empty.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Value>>);

pub(super) struct Value {
    bytes: Bytes,
    expires: Timestamp,
}

impl Value {
    /// A copy, so that what is kept for long has no room to spare.
    pub(super) fn new(bytes: &[u8], expires: Timestamp) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), expires }
    }

    /// Whether it takes a place: tombstones do not.
    pub(super) fn takes_place(&self) -> bool {
        Stamp::of(&self.bytes).is_some_and(|stamp| stamp.is_live())
    }

    fn read(&self, now: Timestamp) -> Option<Entry> {
        (self.expires > now).then(|| Entry { bytes: self.bytes.clone(), left: self.expires.since(now) })
    }

    /// Whether these are its very bytes; whoever has them keeps anything else from standing at their address.
    fn is(&self, bytes: &Bytes) -> bool {
        std::ptr::eq(&*self.bytes, &**bytes)
    }
}

impl Slot {
    fn locked(&self) -> MutexGuard<'_, Option<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands here, for somebody who has these bytes; `None`: it is empty, and what there is stands elsewhere.
    pub(super) fn read(self: &Arc<Self>, known: Option<&Bytes>, now: Timestamp) -> Option<Reading> {
        let value = self.locked();
        let value = value.as_ref()?;
        if value.expires > now && known.is_some_and(|known| value.is(known)) {
            return Some(Reading::Same(value.expires.since(now)));
        }
        Some(value.read(now).map_or(Reading::Nothing, |entry| Reading::Other(entry, Some(Spot(Arc::clone(self))))))
    }
}

/// Where a session was read.
#[derive(Clone)]
pub struct Spot(pub(super) Arc<Slot>);

impl Map {
    pub(super) fn read(&self, handle: &Handle, now: Timestamp) -> Option<Entry> {
        self.values.get(handle).and_then(|slot| slot.locked().as_ref()?.read(now))
    }

    pub(super) fn slot(&self, handle: &Handle) -> Option<&Arc<Slot>> {
        self.values.get(handle)
    }

    /// The handles of what can be read, in no order.
    pub(super) fn alive(&self, now: Timestamp) -> impl Iterator<Item = Handle> {
        let is_alive = move |slot: &Slot| slot.locked().as_ref().is_some_and(|value| value.expires > now);
        self.values.iter().filter(move |(_, slot)| is_alive(slot)).map(|(handle, _)| *handle)
    }

    /// Whether what can be read there has this stamp; `None`: whether there is nothing to be read.
    pub(super) fn is_at(&self, handle: &Handle, expected: Option<&Stamp>, now: Timestamp) -> bool {
        let slot = self.values.get(handle).map(|slot| slot.locked());
        let alive = slot.as_ref().and_then(|slot| slot.as_ref()).filter(|value| value.expires > now);
        match (alive, expected) {
            (Some(value), Some(stamp)) => value.bytes.starts_with(&stamp.0),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether what is there, expired or not, takes a place.
    pub(super) fn takes_place(&self, handle: &Handle) -> bool {
        self.values.get(handle).is_some_and(|slot| slot.locked().as_ref().is_some_and(Value::takes_place))
    }

    pub(super) fn put(&mut self, handle: Handle, value: Value) {
        self.orders.of(&value).insert((value.expires, handle));
        let entered = (value.takes_place(), value.expires);
        let old = self.values.entry(handle).or_default().locked().replace(value);
        if let Some(old) = old.filter(|old| (old.takes_place(), old.expires) != entered) {
            self.orders.of(&old).remove(&(old.expires, handle));
        }
    }

    pub(super) fn remove(&mut self, handle: &Handle) {
        if let Some(value) = self.values.remove(handle).and_then(|slot| slot.locked().take()) {
            self.orders.of(&value).remove(&(value.expires, *handle));
        }
    }

    /// Extends the life of what has this stamp.
    pub(super) fn touch(&mut self, handle: &Handle, expected: &Stamp, ttl: Duration, now: Timestamp) {
        let expires = now.after(ttl);
        if self.is_at(handle, Some(expected), now)
            && let Some(slot) = self.values.get(handle)
            && let Some(value) = slot.locked().as_mut()
            && value.expires < expires
        {
            let order = self.orders.of(value);
            order.remove(&(value.expires, *handle));
            order.insert((expires, *handle));
            value.expires = expires;
        }
    }

    /// When the first of its sessions expires.
    pub(super) fn earliest(&self) -> Timestamp {
        self.orders.sessions.first().map_or(Timestamp(u64::MAX), |(expires, _)| *expires)
    }

    /// Takes out at most `most` of what has expired, sessions first; returns how many places that frees.
    pub(super) fn sweep(&mut self, most: usize, now: Timestamp) -> usize {
        let mut freed = 0;
        for _ in 0..most {
            let session = pop_expired(&mut self.orders.sessions, now);
            freed += usize::from(session.is_some());
            let Some(handle) = session.or_else(|| pop_expired(&mut self.orders.tombstones, now)) else { break };
            self.values.remove(&handle).into_iter().for_each(|slot| *slot.locked() = None);
        }
        let room = self.values.capacity();
        if room > SMALL && room / SPARE > self.values.len() {
            self.values.shrink_to(2 * self.values.len());
        }
        freed
    }
}

#[cfg(test)]
impl Map {
    /// How many values there are, expired or not.
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.values.len(), self.orders.sessions.len() + self.orders.tombstones.len());
        self.values.len()
    }

    /// How many of them take a place.
    pub(super) fn sessions(&self) -> usize {
        self.values.keys().filter(|handle| self.takes_place(handle)).count()
    }

    /// For how many values there is room.
    pub(super) fn room(&self) -> usize {
        self.values.capacity()
    }
}

type Order = BTreeSet<(Timestamp, Handle)>;

#[derive(Default)]
struct Orders {
    sessions: Order,
    tombstones: Order,
}

impl Orders {
    fn of(&mut self, value: &Value) -> &mut Order {
        if value.takes_place() { &mut self.sessions } else { &mut self.tombstones }
    }
}

fn pop_expired(order: &mut Order, now: Timestamp) -> Option<Handle> {
    order.first().filter(|(expires, _)| *expires <= now)?;
    order.pop_first().map(|(_, handle)| handle)
}
