//! The ticket: what the browser carries and nobody else may see.
//!
//! Wire form (107 characters of base64url without padding, canonical): `locator (16) ‖ secret (32) ‖ mac (32)`,
//! where `mac = HMAC-SHA256(key, locator ‖ secret ‖ realm)` and `key = HKDF-SHA256(root, "cloakroom ticket 1")`.
//! Whoever holds a [`Ticket`] holds one that was authenticated or made here: there is no other way to get one.
//! None of the types that hold a locator or a secret can be printed.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroize;

use super::root;

const LOCATOR: usize = 16;
const SECRET: usize = 32;
const MAC: usize = 32;
const RAW: usize = LOCATOR + SECRET + MAC;
/// Length of a ticket's text in characters.
pub const TICKET_LEN: usize = 107;
/// Length of a handle's text in characters.
pub const HANDLE_LEN: usize = 43;

/// Public name of a session: base64url(SHA-256(locator)). Store key, logs, token claim; nobody gets in with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle([u8; HANDLE_LEN]);

/// A handle is a digest of random bits already: its first characters are as good as all of them.
impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Handle {
    /// Comes before every handle, and is none.
    pub const LEAST: Self = Self([0; HANDLE_LEN]);

    /// The handle whose text this is, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let raw = URL_SAFE_NO_PAD.decode(text).ok().filter(|raw| raw.len() == 32)?;
        Some(Self::of_digest(&raw))
    }

    fn of_digest(digest: &[u8]) -> Self {
        let mut text = [0; HANDLE_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(digest, &mut text);
        debug_assert_eq!(written.ok(), Some(HANDLE_LEN));
        Self(text)
    }

    /// The 43 characters, as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The 43 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SHA-256 of a secret: what the store may know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Compares in constant time.
    pub fn matches(&self, other: &SecretHash) -> bool {
        let words = self.0.as_chunks::<8>().0.iter().zip(other.0.as_chunks::<8>().0);
        let same = words.map(|(own, others)| u64::from_ne_bytes(*own).ct_eq(&u64::from_ne_bytes(*others)));
        same.fold(Choice::from(1), |all, word| all & word).into()
    }
}

/// The fixed half of a ticket: finds the session.
#[derive(Clone, PartialEq, Eq)]
pub struct Locator([u8; LOCATOR]);

/// The changing half of a ticket: new on every rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET]);

impl Locator {
    /// A locator of these 128 random bits.
    pub fn from_random(bits: [u8; LOCATOR]) -> Self {
        Self(bits)
    }

    /// The handle of the session that this locator finds.
    pub fn handle(&self) -> Handle {
        Handle::of_digest(digest::digest(&digest::SHA256, &self.0).as_ref())
    }
}

impl Secret {
    /// A secret of these 256 random bits.
    pub fn from_random(bits: [u8; SECRET]) -> Self {
        Self(bits)
    }

    /// What the store keeps of it.
    pub fn hash(&self) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        SecretHash(hash)
    }
}

impl Drop for Locator {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// An authentic ticket: its MAC was checked, or it was made here.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Finds the session.
    pub locator: Locator,
    /// Opens it.
    pub secret: Secret,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.locator.handle())
    }
}

/// Why a value is no ticket of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not have the form of one.
    Malformed,
    /// No key of ours made its MAC for this realm.
    Forged,
}

/// The keys that authenticate tickets: one signs, all are accepted.
pub struct Keyring {
    active: hmac::Key,
    accepted: Vec<hmac::Key>,
}

impl Keyring {
    /// A keyring whose first root signs and whose `older` roots are still accepted. Roots are at least 32 bytes
    /// (the configuration sees to it).
    pub fn new(root: &[u8], older: &[&[u8]]) -> Self {
        Self { active: derive(root), accepted: older.iter().map(|root| derive(root)).collect() }
    }

    /// The text of a ticket in this realm.
    pub fn seal(&self, ticket: &Ticket, realm: &str) -> String {
        let mut raw = [0; RAW];
        raw[..LOCATOR].copy_from_slice(&ticket.locator.0);
        raw[LOCATOR..LOCATOR + SECRET].copy_from_slice(&ticket.secret.0);
        let mac = mac(&self.active, &raw[..LOCATOR + SECRET], realm);
        raw[LOCATOR + SECRET..].copy_from_slice(mac.as_ref());
        let text = URL_SAFE_NO_PAD.encode(raw);
        raw.zeroize();
        text
    }

    /// The ticket of a cookie's value. Needs no store.
    ///
    /// # Errors
    /// It does not have the form, or not this realm's MAC.
    pub fn open(&self, value: &[u8], realm: &str) -> Result<Ticket, Fault> {
        if value.len() != TICKET_LEN {
            return Err(Fault::Malformed);
        }
        let mut raw = [0; RAW + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(value, &mut raw).map_err(|_| Fault::Malformed)?;
        let authentic = length == RAW
            && std::iter::once(&self.active).chain(&self.accepted).any(|key| verifies(key, &raw[..RAW], realm));
        let ticket = authentic.then(|| Ticket {
            locator: Locator(copy(&raw[..LOCATOR])),
            secret: Secret(copy(&raw[LOCATOR..LOCATOR + SECRET])),
        });
        raw.zeroize();
        ticket.ok_or(Fault::Forged)
    }
}

fn copy<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

fn verifies(key: &hmac::Key, raw: &[u8], realm: &str) -> bool {
    let mut context = hmac::Context::with_key(key);
    context.update(&raw[..LOCATOR + SECRET]);
    context.update(realm.as_bytes());
    context.sign().as_ref().ct_eq(&raw[LOCATOR + SECRET..]).into()
}

fn mac(key: &hmac::Key, raw: &[u8], realm: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(raw);
    context.update(realm.as_bytes());
    context.sign()
}

fn derive(root: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &root::derive::<32>(root, "ticket 1")[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(seed: u8) -> Ticket {
        Ticket { locator: Locator::from_random([seed; 16]), secret: Secret::from_random([seed ^ 0xff; 32]) }
    }

    fn keyring() -> Keyring {
        Keyring::new(&[1; 32], &[])
    }

    #[test]
    fn a_sealed_ticket_opens_in_its_realm_only() {
        let text = keyring().seal(&ticket(7), "a.example");
        assert_eq!(text.len(), TICKET_LEN);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(keyring().open(text.as_bytes(), "a.example"), Ok(ticket(7)));
        assert_eq!(keyring().open(text.as_bytes(), "b.example"), Err(Fault::Forged));
        assert_eq!(keyring().open(text.as_bytes(), ""), Err(Fault::Forged));
    }

    #[test]
    fn no_changed_character_is_accepted() {
        let text = keyring().seal(&ticket(7), "");
        for i in 0..text.len() {
            for c in [b'A', b'B', b'_', b'=', b' ', 0xff] {
                let mut forged = text.clone().into_bytes();
                if forged[i] != c {
                    forged[i] = c;
                    assert!(keyring().open(&forged, "").is_err(), "character {i} as {c}");
                }
            }
        }
    }

    #[test]
    fn only_the_exact_length_is_looked_at() {
        let text = keyring().seal(&ticket(7), "");
        for value in ["", "a", &text[1..], &text[..106], &format!("{text}A"), &"A".repeat(107), &"A".repeat(5000)] {
            let fault = if value.len() == TICKET_LEN { Fault::Forged } else { Fault::Malformed };
            assert_eq!(keyring().open(value.as_bytes(), ""), Err(fault));
        }
    }

    #[test]
    fn older_roots_are_accepted_and_the_first_signs() {
        let (old, both) = (Keyring::new(&[1; 32], &[]), Keyring::new(&[2; 32], &[&[1; 32]]));
        assert_eq!(both.open(old.seal(&ticket(3), "").as_bytes(), ""), Ok(ticket(3)));
        assert_eq!(old.open(both.seal(&ticket(3), "").as_bytes(), ""), Err(Fault::Forged));
    }

    #[test]
    fn the_handle_depends_on_the_locator_only_and_reads_back() {
        let (a, mut b) = (ticket(1), ticket(1));
        b.secret = Secret::from_random([9; 32]);
        assert_eq!(a.locator.handle(), b.locator.handle());
        assert_eq!(Handle::parse(a.locator.handle().as_str()), Some(a.locator.handle()));
        assert_eq!(a.locator.handle().as_str().len(), HANDLE_LEN);
        assert_eq!(Handle::parse("short"), None);
    }

    #[test]
    fn printing_a_ticket_shows_its_handle_only() {
        let shown = format!("{:?}", ticket(5));
        assert_eq!(shown, format!("Ticket({})", ticket(5).locator.handle()));
    }
}
