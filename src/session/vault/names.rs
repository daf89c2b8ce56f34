//! Which cookies are vaulted: names with `*` for any characters.
//!
//! Names are compared as the servers of unmodified applications read them, so that no spelling of a vaulted name gets
//! past: ASP.NET ignores case; PHP makes `_` of most punctuation, cuts at `[`, skips leading blanks, and once decoded `%`
//! and `+` in names first. What is taken from a browser under such a spelling is also kept from it.

use std::fmt;

/// What `[routes.vault]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// These are kept.
    pub cookies: Vec<Glob>,
    /// Another value of these means nothing.
    pub volatile: Vec<Glob>,
    /// These end with the session, whatever end they are given.
    pub session_only: Vec<Glob>,
}

/// A cookie name in which `*` stands for any characters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    readings: [Box<[u8]>; 2],
}

/// Why a text is no cookie name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobFault;

impl Names {
    /// Whether a cookie of this name is vaulted.
    pub fn covers(&self, name: &[u8]) -> bool {
        any(&self.cookies, name)
    }

    /// Whether it ends with the session, whatever end it is given.
    pub fn is_session_only(&self, name: &[u8]) -> bool {
        any(&self.session_only, name)
    }

    /// Whether another value of it means nothing.
    pub fn is_volatile(&self, name: &[u8]) -> bool {
        any(&self.volatile, name)
    }
}

fn any(globs: &[Glob], name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    let readings = readings(name);
    let is_read = |glob: &Glob| glob.readings.iter().any(|glob| readings.iter().any(|name| is_match(glob, name)));
    globs.iter().any(|glob| is_match(glob.text.as_bytes(), name) || is_read(glob))
}

impl Glob {
    /// Reads what was configured.
    ///
    /// # Errors
    /// [`GlobFault`]: it is empty, or has characters that no cookie name has.
    pub fn parse(text: &str) -> Result<Self, GlobFault> {
        let sound = |byte: u8| byte.is_ascii_graphic() && !b";,=\"\\".contains(&byte);
        if text.is_empty() || !text.bytes().all(sound) {
            return Err(GlobFault);
        }
        Ok(Self { text: text.into(), readings: readings(text.as_bytes()) })
    }

    /// The one name that it stands for, if it has no `*`.
    pub fn name(&self) -> Option<&str> {
        (!self.text.contains('*')).then_some(&self.text)
    }

    /// Whether a name of the other is one of this as well, as far as that can be told from the text.
    pub fn contains(&self, other: &Glob) -> bool {
        is_match(self.text.as_bytes(), other.text.as_bytes())
    }
}

/// The name as servers may read it: as a whole, and up to a bracket. `*` stays, which is harmless in a name.
fn readings(name: &[u8]) -> [Box<[u8]>; 2] {
    let spaced: Vec<u8> = name.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    let start = decoded.iter().position(|&byte| byte != b' ').unwrap_or(decoded.len());
    let whole = decoded[start..].split(|&byte| byte == 0).next().unwrap_or_default();
    let bracket = whole.iter().skip(1).position(|&byte| byte == b'[').map_or(whole.len(), |at| at + 1);
    let fold = |&byte: &u8| match byte {
        b'*' | 0x80.. => byte,
        _ if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
        _ => b'_',
    };
    [whole, &whole[..bracket]].map(|text| text.iter().map(fold).collect())
}

/// Whether `glob` stands for `name`: at a mismatch the last `*` takes in one more byte.
fn is_match(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut pos, mut retry) = (0, 0, None);
    while pos < name.len() {
        if glob.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, pos));
        } else if glob.get(at) == Some(&name[pos]) {
            (at, pos) = (at + 1, pos + 1);
        } else if let Some((after, taken)) = retry {
            (at, pos) = (after, taken + 1);
            retry = Some((after, taken + 1));
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

impl fmt::Display for GlobFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not the name of a cookie")
    }
}

impl std::error::Error for GlobFault {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(globs: &[&str]) -> Names {
        Names {
            cookies: globs.iter().map(|glob| Glob::parse(glob).unwrap()).collect(),
            volatile: vec![],
            session_only: vec![],
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (glob, name, wanted) in [
            ("PHPSESSID", "PHPSESSID", true),
            ("PHPSESSID", "PHPSESSID2", false),
            ("PHPSESSID", "XPHPSESSID", false),
            ("legacy_*", "legacy_", true),
            ("legacy_*", "legacy_cart", true),
            ("legacy_*", "legac", false),
            ("*_id", "cart_id", true),
            ("*_id", "cart_id_x", false),
            ("wp_*_key", "wp_a_key_b_key", true),
            ("wp_*_key", "wp_key", false),
            ("*", "anything", true),
            ("**", "x", true),
            ("*", "", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(names(&[glob]).covers(name.as_bytes()), wanted, "{glob} {name}");
        }
    }

    #[test]
    fn no_spelling_that_some_server_reads_as_a_vaulted_name_gets_past() {
        let vaulted = names(&["PHPSESSID", "legacy_*", "ASP.NET_SessionId", "user[id]", "%odd"]);
        for name in [
            "phpsessid",
            "PHPSESS%49D",
            "%50HPSESSID",
            "+PHPSESSID",
            "%20PHPSESSID",
            "PHPSESSID[x]",
            "PHPSESSID%5B0%5D",
            "PHPSESSID%00x",
            "legacy.cart",
            "legacy-x",
            "Legacy x",
            "legacy[x",
            "asp_net_sessionid",
            "user[name]",
            "user",
            "%odd",
        ] {
            assert!(vaulted.covers(name.as_bytes()), "{name}");
        }
        for name in ["PHPSESSIDX", "PHP_SESSID", "legacyx", "theme", "users", "[PHPSESSID]", "=PHPSESSID", "", "\u{e9}"]
        {
            assert!(!vaulted.covers(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_no_cookie_is_called_is_no_name() {
        for text in ["", "a b", "a;b", "a=b", "a,b", "a\tb", "é", "\"a\"", "a\n"] {
            assert_eq!(Glob::parse(text), Err(GlobFault), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_star_is_what_a_regular_expression_calls_it(glob in "[ab*]{1,6}", name in "[ab]{1,8}") {
            fn slow(glob: &[u8], name: &[u8]) -> bool {
                match glob {
                    [] => name.is_empty(),
                    [b'*', rest @ ..] => (0..=name.len()).any(|taken| slow(rest, &name[taken..])),
                    [first, rest @ ..] => name.first() == Some(first) && slow(rest, &name[1..]),
                }
            }
            prop_assert_eq!(is_match(glob.as_bytes(), name.as_bytes()), slow(glob.as_bytes(), name.as_bytes()));
        }
    }
}
