//! `X-Request-Id`: which ids of others are taken over, and how the field is set or written.
//!
//! Making fresh ones needs randomness and is not done here. Whether the peer is trusted is the caller's to know.

use std::ops::Range;

use http::{HeaderMap, HeaderValue};

use super::fold;
use super::names::X_REQUEST_ID;
use super::remove_where;

/// The longest id that is taken over, in bytes.
const LONGEST: usize = 128;

/// The line of an id of our own, before its digits are filled in.
const LINE: &[u8; 48] = b"x-request-id: 00000000000000000000000000000000\r\n";
const DIGITS: Range<usize> = 14..46;

/// A request's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestId(Origin);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Origin {
    /// We made it, of these digits.
    Fresh([u8; DIGITS.end - DIGITS.start]),
    /// A trusted peer gave it.
    Given(HeaderValue),
}

impl RequestId {
    /// One of our own, of these digits.
    pub fn fresh(digits: &[u8; DIGITS.end - DIGITS.start]) -> Self {
        Self(Origin::Fresh(*digits))
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Origin::Fresh(digits) => digits,
            Origin::Given(id) => id.as_bytes(),
        }
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Appends the line that says it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Origin::Fresh(digits) => {
                let mut line = *LINE;
                line[DIGITS].copy_from_slice(digits);
                out.extend_from_slice(&line);
            }
            Origin::Given(id) => {
                for part in [&LINE[..DIGITS.start], id.as_bytes(), &LINE[DIGITS.end..]] {
                    out.extend_from_slice(part);
                }
            }
        }
    }

    /// Sets the field. What else folds to its name must be gone.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_bytes(self.as_bytes()) {
            headers.insert(X_REQUEST_ID, id);
        }
    }
}

/// The id that the peer sent, if it is one line of 1 to 128 visible ASCII characters. Ask only for a trusted peer.
pub fn accepted_request_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut lines = headers.get_all(X_REQUEST_ID).into_iter();
    let (Some(id), None) = (lines.next(), lines.next()) else { return None };
    let bytes = id.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic))
        .then(|| RequestId(Origin::Given(id.clone())))
}

/// Removes the field, in every spelling.
pub fn strip_request_id(headers: &mut HeaderMap) {
    remove_where(headers, |name| fold::same(name.as_str(), X_REQUEST_ID.as_str()));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map, names};
    use super::*;

    #[test]
    fn a_plain_id_is_taken_over() {
        for id in ["a", "7f3c-12/~", "x".repeat(128).as_str()] {
            assert_eq!(accepted_request_id(&map(&[("x-request-id", id)])).unwrap().as_str(), id);
        }
    }

    #[test]
    fn other_ids_are_not() {
        for id in ["", "a b", "caf\u{e9}", "a\tb", "x".repeat(129).as_str()] {
            assert_eq!(accepted_request_id(&map(&[("x-request-id", id)])), None, "{id:?}");
        }
        assert_eq!(accepted_request_id(&map(&[("x-request-id", "a"), ("x-request-id", "a")])), None);
        assert_eq!(accepted_request_id(&HeaderMap::new()), None);
    }

    #[test]
    fn no_spelling_of_it_is_left() {
        let mut headers = map(&[("x-request-id", "a"), ("x-request-id", "b"), ("x_request_id", "c")]);
        strip_request_id(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn an_id_is_the_same_as_text_as_a_line_and_in_a_head() {
        for id in
            [RequestId::fresh(b"0123456789abcdef0123456789abcdef"), RequestId(Origin::Given("a/~".parse().unwrap()))]
        {
            let (mut out, mut headers) = (b"a: b\r\n".to_vec(), map(&[("x-request-id", "another")]));
            id.write(&mut out);
            assert_eq!(out, format!("a: b\r\nx-request-id: {}\r\n", id.as_str()).into_bytes());
            id.put_into(&mut headers);
            assert_eq!(names(&headers), ["x-request-id"]);
            assert_eq!(lines(&headers, "x-request-id"), [id.as_str()]);
        }
    }
}
