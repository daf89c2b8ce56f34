//! Places for connections (`limits.connections`): as many as a number says that may change while they are taken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// All places.
pub(super) struct Places {
    taken: AtomicUsize,
    most: AtomicUsize,
}

/// One of them, until it is dropped.
pub(super) struct Place(Arc<Places>);

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) })
    }

    /// From now on there are so many. Nobody loses a place.
    pub(super) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many are taken, and how many there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.taken.load(Ordering::Relaxed), self.most.load(Ordering::Relaxed))
    }

    /// A place, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        let others = self.taken.fetch_add(1, Ordering::Relaxed);
        (others < self.most.load(Ordering::Relaxed)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_number_says_at_the_moment() {
        let places = Places::new(2);
        let (one, two) = (places.take(), places.take());
        assert!(one.is_some() && two.is_some() && places.take().is_none());
        drop(one);
        let three = places.take();
        assert!(three.is_some() && places.take().is_none());
        places.resize(1);
        drop(two);
        assert!(places.take().is_none());
        drop(three);
        assert!(places.take().is_some());
    }
}
