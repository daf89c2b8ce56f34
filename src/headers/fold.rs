//! Name comparison the way CGI, WSGI and PHP do it: case folded, and every character that is neither letter nor digit
//! treated alike, so that `x_session` *is* `X-Session` (contract section 4; threats S-03).
//!
//! One character stays one character: names of different length never match, which is also the quick way out. A
//! [`HeaderName`] is lower case already, so folding is one look at each byte and never allocates.

use http::{HeaderMap, HeaderName};

use super::remove_where;

/// The names that are ours: nobody else may send them, in any spelling.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    names: Vec<HeaderName>,
    /// Bit `min(length, 63)` of every name.
    lengths: u64,
    /// Bit 0..=25 for a first letter, 26 for any other first character.
    initials: u32,
}

impl Guarded {
    /// Guards `names`. Names that fold to the same one count once.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Guarded {
        let mut guarded = Guarded::default();
        for name in names {
            if !guarded.covers(&name) {
                guarded.lengths |= length_bit(name.as_str());
                guarded.initials |= initial_bit(name.as_str());
                guarded.names.push(name);
            }
        }
        guarded
    }

    /// Those that are guarded.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.names.iter()
    }

    /// Whether `name`, folded, is one of ours.
    pub fn covers(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        self.lengths & length_bit(name) != 0
            && self.initials & initial_bit(name) != 0
            && self.names.iter().any(|ours| same(name, ours.as_str()))
    }

    /// Removes every field whose folded name is one of ours, all its lines; says whether there was any. For request
    /// heads, response heads and trailers. Allocates nothing if there is none.
    pub fn strip(&self, headers: &mut HeaderMap) -> bool {
        remove_where(headers, |name| self.covers(name))
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

fn initial_bit(name: &str) -> u32 {
    match name.as_bytes().first() {
        Some(letter @ b'a'..=b'z') => 1 << (letter - b'a'),
        _ => 1 << 26,
    }
}

/// Whether two lower-case names are the same once folded.
pub(super) fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && (left == right || starts_with(left, right))
}

/// Whether the folded `name` starts with the folded `prefix`; both lower case.
pub(super) fn starts_with(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(left, right)| fold(left) == fold(right))
}

/// Whether a lower-case name has characters other than letters, digits and `-`: only such a name can be a look-alike.
pub(super) fn is_unusual(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{lines, map, names};
    use super::*;

    fn ours() -> Guarded {
        Guarded::new([
            HeaderName::from_static("x-session"),
            HeaderName::from_static("x-session-update"),
            HeaderName::from_static("x_remote.user"),
        ])
    }

    #[test]
    fn every_character_that_is_no_letter_or_digit_is_treated_alike() {
        for name in ["x-session", "X-SESSION", "x_session", "X.Session", "x~session", "x!session", "x-remote-user"] {
            assert!(ours().covers(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["x-sessio", "x-sessions", "xsession", "x-session-", "x--session", "y-session", "xasession"] {
            assert!(!ours().covers(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
    }

    #[test]
    fn stripping_removes_every_line_of_every_spelling_and_nothing_else() {
        let mut headers = map(&[
            ("x-session", "forged"),
            ("accept", "a"),
            ("X_Session", "forged"),
            ("x-session", "again"),
            ("accept", "b"),
            ("x.session.update", "{}"),
            ("x-sessions", "stays"),
        ]);
        assert!(ours().strip(&mut headers));
        assert_eq!(names(&headers), ["accept", "x-sessions"]);
        assert_eq!(lines(&headers, "accept"), ["a", "b"]);
    }

    #[test]
    fn stripping_says_so_when_there_was_nothing() {
        let mut headers = map(&[("accept", "a")]);
        assert!(!ours().strip(&mut headers));
        assert!(!Guarded::default().strip(&mut headers));
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn names_longer_than_the_bit_set_are_still_compared() {
        let long = "a".repeat(70);
        let guarded = Guarded::new([HeaderName::from_bytes(long.as_bytes()).unwrap()]);
        assert!(guarded.covers(&HeaderName::from_bytes(long.as_bytes()).unwrap()));
        assert!(!guarded.covers(&HeaderName::from_bytes("a".repeat(71).as_bytes()).unwrap()));
    }

    proptest! {
        #[test]
        fn no_field_that_folds_to_ours_is_left_and_no_other_is_lost(
            sent in proptest::collection::vec("[xX][-_.~!a]([sS]ession|remote)([-_.^](update|user))?", 0..20),
        ) {
            let lines: Vec<(&str, &str)> = sent.iter().map(|name| (name.as_str(), "v")).collect();
            let mut headers = map(&lines);
            ours().strip(&mut headers);
            let slow = |name: &str| -> String {
                name.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
            };
            let mut expected: Vec<String> = sent.iter().map(|name| name.to_ascii_lowercase())
                .filter(|name| !["x-session", "x-session-update", "x-remote-user"].contains(&slow(name).as_str()))
                .collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(names(&headers), expected);
        }
    }
}
