//! How handles are spread over tables: by their own bits, for a handle is a digest of random bits.
//!
//! Nobody who could choose what is stored here chooses a handle, so there is nothing to defend with a keyed hash. A
//! handle is text, whose bits are unevenly set: one multiplication folds all of them into each bit of the result.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes hashes of handles.
pub(super) type Spread = BuildHasherDefault<Fold>;

/// Any odd number with as many ones as zeros; this is 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Default)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher};

    use super::*;
    use crate::session::ticket::Locator;

    /// Of 4,096 handles about 4 are in each of 1,024 maps, and their marks in the table (the upper 7 bits) differ.
    #[test]
    fn handles_are_spread_over_maps_and_within_them() {
        let (mut maps, mut marks, mut hashes) = (vec![0; 1024], vec![0; 128], HashSet::new());
        for seed in 0..4096_u128 {
            let hash = Spread::default().hash_one(Locator::from_random(seed.to_le_bytes()).handle());
            maps[(hash >> 32) as usize % 1024] += 1;
            marks[(hash >> 57) as usize] += 1;
            hashes.insert(hash);
        }
        let low: HashSet<u64> = hashes.iter().map(|hash| hash % 4096).collect();
        assert_eq!(hashes.len(), 4096);
        assert!(maps.iter().all(|&count| count < 20) && maps.iter().filter(|&&count| count == 0).count() < 60);
        assert!(marks.iter().all(|&count| (8..64).contains(&count)), "{marks:?}");
        assert!(low.len() > 2300, "{}", low.len());
    }
}
