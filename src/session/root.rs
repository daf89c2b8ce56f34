//! Keys from a root (`keys.root`): one for each purpose, so that what one of them gives away is of no use for another.
//!
//! `HKDF-SHA256(salt "cloakroom", root, purpose)`. A purpose names what the key does and the format that it does it in; a
//! key of a purpose is used for nothing else.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The `N` bytes of this root's key for a purpose; `N` is at most 255 times 32.
pub fn derive<const N: usize>(root: &[u8], purpose: &str) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"cloakroom").extract(root);
    let filled = extracted.expand(&[purpose.as_bytes()], Length(N)).and_then(|okm| okm.fill(&mut key[..]));
    debug_assert!(filled.is_ok(), "HKDF-SHA256 gives so many bytes");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_and_every_purpose_has_a_key_of_its_own() {
        let keys = [(1, "ticket 1"), (2, "ticket 1"), (1, "record 1"), (1, "record 11"), (1, "")]
            .map(|(root, purpose)| derive::<32>(&[root; 32], purpose));
        for (at, key) in keys.iter().enumerate() {
            assert!(keys[..at].iter().all(|other| other != key), "key {at}");
            assert!(key.iter().any(|byte| *byte != 0));
        }
        assert_eq!(derive::<32>(&[1; 32], "ticket 1"), keys[0]);
    }
}
