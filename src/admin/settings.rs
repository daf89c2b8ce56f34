//! What the admin listener is told, and the token that opens it: a secret that is compared in constant time, never printed.

use std::fmt;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::socket::Address;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where operators ask.
    pub address: Address,
    /// What they must show, unless they come over a Unix socket.
    pub token: Option<Token>,
}

/// What an operator shows: visible ASCII characters.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token of this text, if it can stand in a header.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(Self(text))
    }

    /// What goes behind `Bearer`.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it. How long that takes depends on neither of them.
    pub(super) fn matches(&self, given: &[u8]) -> bool {
        let [ours, theirs] = [self.0.as_bytes(), given].map(|text| digest::digest(&digest::SHA256, text));
        ours.as_ref().ct_eq(theirs.as_ref()).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches_and_nothing_prints_it() {
        let token = Token::new("aB3-canary".to_owned()).unwrap();
        assert!(token.matches(b"aB3-canary"));
        for given in [&b""[..], b"aB3-canar", b"aB3-canary ", b"aB3-canaryy", b"ab3-canary", b"\xff"] {
            assert!(!token.matches(given), "{given:?}");
        }
        assert!(!format!("{token:?}").contains("canary"));
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_no_token() {
        for text in ["", "a b", "a\n", "\u{e9}", "a\u{7f}"] {
            assert!(Token::new(text.to_owned()).is_none(), "{text:?}");
        }
    }
}
