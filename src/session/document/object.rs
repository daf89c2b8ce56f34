//! The members of a JSON object: in order, and no key twice.
//!
//! A vector, since session data has a few keys. Where there are many, the places that would be quadratic (looking for
//! repeated keys, comparing, merging) sort first; to look up one key is linear.

use std::fmt;

use super::json::Json;

/// Up to this many members, looking at each is faster than sorting.
const FEW: usize = 16;

/// The members of a JSON object in order; no key occurs twice.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object {
    members: Vec<(Box<str>, Json)>,
}

impl Object {
    /// `None` if a key occurs twice.
    pub(super) fn from_members(members: Vec<(Box<str>, Json)>) -> Option<Object> {
        let object = Object { members };
        (!object.repeats_a_key()).then_some(object)
    }

    /// Keys and values as they are stored.
    pub(super) fn members(&self) -> &[(Box<str>, Json)] {
        &self.members
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.members.iter().map(|(key, value)| (&**key, value))
    }

    /// The value of a key.
    pub fn member(&self, key: &str) -> Option<&Json> {
        self.position(key).map(|place| &self.members[place].1)
    }

    pub(crate) fn member_mut(&mut self, key: &str) -> Option<&mut Json> {
        self.position(key).map(|place| &mut self.members[place].1)
    }

    /// The value of a key, which is `null` if it was not there.
    pub(super) fn slot(&mut self, key: &str) -> &mut Json {
        let place = self.position(key).unwrap_or_else(|| {
            self.members.push((key.into(), Json::Null));
            self.members.len() - 1
        });
        &mut self.members[place].1
    }

    /// The members that a choice makes something of, in the same order.
    pub(super) fn filter_map(&self, mut choose: impl FnMut(&str, &Json) -> Option<Json>) -> Object {
        let chosen = self.members.iter().filter_map(|(key, value)| Some((key.clone(), choose(key, value)?)));
        Object { members: chosen.collect() }
    }

    /// Sets a key: one that is there keeps its place, a new one comes last.
    pub(crate) fn insert(&mut self, key: &str, value: Json) {
        *self.slot(key) = value;
    }

    /// Takes a member out; the others keep their order.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Json> {
        self.position(key).map(|place| self.members.remove(place).1)
    }

    /// Adds the members of another object by a rule (RFC 7396): `merge` gets what a key has and what it is to take in,
    /// and leaves `None` in place of a member that goes. In time n log n.
    pub(crate) fn absorb(&mut self, other: Object, mut merge: impl FnMut(&mut Option<Json>, Json)) {
        let known = self.members.len();
        let sorted = (known > FEW && other.len() > FEW).then(|| self.sorted());
        let mut gone = Vec::new();
        for (key, change) in other.members {
            let place = match &sorted {
                None => self.members[..known].iter().position(|(own, _)| *own == key),
                Some(sorted) => sorted.binary_search_by(|at| self.members[*at].0.cmp(&key)).ok().map(|at| sorted[at]),
            };
            let mut slot = place.map(|place| std::mem::replace(&mut self.members[place].1, Json::Null));
            merge(&mut slot, change);
            match (place, slot) {
                (Some(place), Some(value)) => self.members[place].1 = value,
                (Some(place), None) => gone.push(place),
                (None, Some(value)) => self.members.push((key, value)),
                (None, None) => {}
            }
        }
        self.drop_places(gone);
    }

    fn drop_places(&mut self, mut gone: Vec<usize>) {
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        let (mut gone, mut place) = (gone.into_iter().peekable(), 0);
        self.members.retain(|_| {
            let goes = gone.next_if_eq(&place).is_some();
            place += 1;
            !goes
        });
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.members.iter().position(|(own, _)| **own == *key)
    }

    /// The places of the members in the order of their keys.
    fn sorted(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.members.len()).collect();
        places.sort_unstable_by_key(|place| &*self.members[*place].0);
        places
    }

    fn repeats_a_key(&self) -> bool {
        let members = &self.members;
        if members.len() <= FEW {
            return members.iter().enumerate().any(|(at, (key, _))| members[..at].iter().any(|(seen, _)| seen == key));
        }
        self.sorted().windows(2).any(|pair| members[pair[0]].0 == members[pair[1]].0)
    }

    /// See [`Json::equals`].
    pub(super) fn equals(&self, other: &Object) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.len() <= FEW {
            return self.iter().all(|(key, value)| other.member(key).is_some_and(|twin| value.equals(twin)));
        }
        self.sorted().into_iter().zip(other.sorted()).all(|(one, two)| {
            let ((key, value), (twin_key, twin)) = (&self.members[one], &other.members[two]);
            key == twin_key && value.equals(twin)
        })
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Object({} members)", self.len())
    }
}
