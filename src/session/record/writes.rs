//! The last writes of a record, newest first. So few that they stand in it.

use std::{fmt, ops::Deref};

use super::Nonce;

/// How many writes a record remembers.
pub const WRITES: usize = 8;

/// Nonces of the last writes, newest first; what is older than [`WRITES`] is forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// Those that there are not are zero.
    nonces: [Nonce; WRITES],
    count: usize,
}

impl Writes {
    /// None yet.
    pub const NONE: Self = Self { nonces: [Nonce(0); WRITES], count: 0 };

    /// One more, in front.
    #[must_use]
    pub fn led_by(&self, nonce: Nonce) -> Self {
        let mut nonces = [nonce; WRITES];
        nonces[1..].copy_from_slice(&self.nonces[..WRITES - 1]);
        Self { nonces, count: WRITES.min(self.count + 1) }
    }
}

impl Deref for Writes {
    type Target = [Nonce];

    fn deref(&self) -> &[Nonce] {
        &self.nonces[..self.count]
    }
}

impl FromIterator<Nonce> for Writes {
    fn from_iter<I: IntoIterator<Item = Nonce>>(newest_first: I) -> Self {
        let mut writes = Self::NONE;
        for (place, nonce) in writes.nonces.iter_mut().zip(newest_first) {
            *place = nonce;
            writes.count += 1;
        }
        writes
    }
}

impl<const COUNT: usize> From<[Nonce; COUNT]> for Writes {
    fn from(newest_first: [Nonce; COUNT]) -> Self {
        newest_first.into_iter().collect()
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_eight_are_remembered() {
        let mut writes = Writes::NONE;
        for last in 1..=20_u64 {
            writes = writes.led_by(Nonce(last));
            let wanted: Vec<_> = (1..=last).rev().take(8).map(Nonce).collect();
            assert_eq!(*writes, *wanted);
            assert_eq!(writes, wanted.into_iter().chain([Nonce(0)]).take(8.min(last as usize)).collect());
        }
        assert_eq!(*Writes::from([Nonce(2), Nonce(1)]), [Nonce(2), Nonce(1)]);
        assert!(Writes::NONE.is_empty() && Writes::from([]) == Writes::NONE);
        assert_ne!(Writes::from([Nonce(0)]), Writes::NONE);
    }
}
