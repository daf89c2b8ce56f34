//! JSON Pointers (RFC 6901): how settings and patches name a place in the data.
//!
//! A pointer is kept as its decoded tokens, so that prefixes are compared on token boundaries (`/cart` covers
//! `/cart/total`, not `/cartoon`). Whether a token is a key or an array index depends on what it meets: that is
//! decided by whoever walks, not here.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// A place in a JSON document, RFC 6901. The empty pointer is the whole document.
///
/// Pointers sort so that every pointer is followed by those that lie within it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    tokens: Vec<Box<str>>,
}

/// Why a text is not a JSON Pointer (RFC 6901 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointerError {
    /// It is neither empty nor begins with `/`.
    NoLeadingSlash,
    /// A `~` that is followed by neither `0` nor `1`.
    BadEscape,
}

impl Pointer {
    /// The whole document.
    pub fn root() -> Pointer {
        Pointer::default()
    }

    /// Reads the string form, e.g. `/user/name`; `~0` is `~` and `~1` is `/` (RFC 6901 section 3).
    ///
    /// # Errors
    /// [`PointerError`] if the text is not a pointer. The fragment form (`#/a`) is none.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        if text.is_empty() {
            return Ok(Pointer::root());
        }
        let rest = text.strip_prefix('/').ok_or(PointerError::NoLeadingSlash)?;
        let tokens = rest.split('/').map(unescape).collect::<Result<_, _>>()?;
        Ok(Pointer { tokens })
    }

    /// The decoded tokens, from the root down.
    pub fn tokens(&self) -> &[Box<str>] {
        &self.tokens
    }

    /// Whether this is the whole document.
    pub fn is_root(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether this place is `ancestor` or lies within it.
    pub fn starts_with(&self, ancestor: &Pointer) -> bool {
        self.tokens.starts_with(&ancestor.tokens)
    }

    /// The place one step further down; `token` is taken as it is, unescaped.
    #[must_use]
    pub fn child(&self, token: &str) -> Pointer {
        let mut tokens = Vec::with_capacity(self.tokens.len() + 1);
        tokens.extend_from_slice(&self.tokens);
        tokens.push(token.into());
        Pointer { tokens }
    }

    /// The place one step up; `None` for the whole document.
    pub fn parent(&self) -> Option<Pointer> {
        let (_, up) = self.tokens.split_last()?;
        Some(Pointer { tokens: up.to_vec() })
    }
}

/// A token read as an array index: digits without leading zeros (RFC 6901 section 4).
pub(crate) fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { token.parse().ok() } else { None }
}

fn unescape(token: &str) -> Result<Box<str>, PointerError> {
    let mut parts = token.split('~');
    let mut text = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let (character, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(PointerError::BadEscape),
        };
        text.push(character);
        text.push_str(rest);
    }
    Ok(text.into())
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Pointer, PointerError> {
        Pointer::parse(text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            write!(out, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl fmt::Display for PointerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            PointerError::NoLeadingSlash => "a JSON Pointer is empty or begins with `/`",
            PointerError::BadEscape => "`~` in a JSON Pointer is followed by `0` or `1`",
        })
    }
}

impl Error for PointerError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    #[test]
    fn tokens_are_decoded_and_display_encodes_them_again() {
        for (text, tokens) in [
            ("", &[][..]),
            ("/", &[""]),
            ("/a/b", &["a", "b"]),
            ("/a~1b/m~0n/~01", &["a/b", "m~n", "~1"]),
            ("//", &["", ""]),
            ("/ /é", &[" ", "é"]),
        ] {
            let parsed = pointer(text);
            assert_eq!(parsed.tokens().iter().map(|token| &**token).collect::<Vec<_>>(), tokens, "{text}");
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn what_does_not_begin_with_a_slash_or_has_a_bad_escape_is_no_pointer() {
        for text in ["a", "#/a", " /a"] {
            assert_eq!(Pointer::parse(text), Err(PointerError::NoLeadingSlash), "{text}");
        }
        for text in ["/~", "/a~2", "/~~0", "/a/~é"] {
            assert_eq!(Pointer::parse(text), Err(PointerError::BadEscape), "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_on_a_token_boundary() {
        assert!(pointer("/cart/total").starts_with(&pointer("/cart")));
        assert!(pointer("/cart").starts_with(&pointer("/cart")));
        assert!(pointer("/cart").starts_with(&Pointer::root()));
        assert!(!pointer("/cartoon").starts_with(&pointer("/cart")));
        assert!(!pointer("/cart").starts_with(&pointer("/cart/total")));
        assert!(!pointer("/cart").starts_with(&pointer("/cart/")));
    }

    #[test]
    fn an_index_has_digits_only_and_no_leading_zero() {
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("10"), Some(10));
        for text in ["", "00", "01", "-1", "+1", "-", "1e0", " 1", "99999999999999999999999"] {
            assert_eq!(array_index(text), None, "{text}");
        }
    }

    #[test]
    fn parent_and_child_undo_each_other() {
        assert_eq!(pointer("/a").child("b/c"), pointer("/a/b~1c"));
        assert_eq!(pointer("/a").child("b").parent(), Some(pointer("/a")));
        assert_eq!(Pointer::root().parent(), None);
    }
}
