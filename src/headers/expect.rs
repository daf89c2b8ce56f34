//! `Expect` (RFC 9110 §10.1.1): whether a client waits with its body.

use http::header::EXPECT;
use http::{HeaderMap, Version};

/// What a request expects before its body comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expectation {
    /// Nothing.
    Nothing,
    /// `100-continue`.
    Continue,
    /// Something else, for which the answer is 417.
    Unknown,
}

/// What `Expect` says. HTTP/1.0 can expect nothing.
pub fn expectation_of(headers: &HeaderMap, version: Version) -> Expectation {
    let mut lines = headers.get_all(EXPECT).into_iter();
    let expects = |line: &http::HeaderValue| line.as_bytes().eq_ignore_ascii_case(b"100-continue");
    match (lines.next(), lines.next()) {
        (None, _) => Expectation::Nothing,
        (Some(_), _) if version < Version::HTTP_11 => Expectation::Nothing,
        (Some(line), None) if expects(line) => Expectation::Continue,
        (Some(_), _) => Expectation::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    #[test]
    fn only_100_continue_can_be_expected() {
        for (lines, expected) in [
            (&[][..], Expectation::Nothing),
            (&["100-continue"], Expectation::Continue),
            (&["100-Continue"], Expectation::Continue),
            (&["100-continue", "100-continue"], Expectation::Unknown),
            (&["100-continue, 100-continue"], Expectation::Unknown),
            (&["100-continue;x"], Expectation::Unknown),
            (&["200-ok"], Expectation::Unknown),
            (&[""], Expectation::Unknown),
        ] {
            let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("expect", *line)).collect();
            assert_eq!(expectation_of(&map(&lines), Version::HTTP_11), expected, "{lines:?}");
            assert_eq!(expectation_of(&map(&lines), Version::HTTP_10), Expectation::Nothing, "{lines:?}");
        }
    }
}
