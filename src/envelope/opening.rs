//! What all tokens that are made for one audience in one second begin with.
//!
//! Whoever they tell of, they say the same up to their expiry. That text is kept once for all of them, encoded and signed as
//! far as it goes; each adds what is its own. Nothing here depends on a visitor.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use triomphe::ThinArc;

use super::keys::{Begun, Key};

/// Text that several lines have in common, and how long the name in it is.
pub(super) type Shared = ThinArc<usize, u8>;

/// The beginning, of one second.
pub struct Opening {
    pub(super) second: u64,
    /// The header line, as far as no claim behind can change it.
    pub(super) line: Shared,
    /// The claims that are not in it: they fill no group of base64.
    pub(super) rest: Box<[u8]>,
    pub(super) begun: Begun,
}

impl Opening {
    /// With these claims, in a line of this name, by this key.
    pub(super) fn new(name: &str, key: &Key, claims: &[u8], second: u64) -> Self {
        let (groups, rest) = claims.split_at(claims.len() / 3 * 3);
        let token = format!("{}{}", key.header, BASE64.encode(groups));
        let line = ThinArc::from_header_and_slice(name.len(), format!("{name}: {token}").as_bytes());
        Self { second, line, rest: rest.into(), begun: key.begin(token.as_bytes()) }
    }

    /// How much of the line stands before the token.
    pub(super) fn before(&self) -> usize {
        self.line.header.header + ": ".len()
    }
}
