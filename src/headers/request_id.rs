//! `X-Request-Id`: which ids of others are taken over, and how the field is set or written.
//!
//! Making fresh ones needs randomness and is not done here. Whether the peer is trusted is the caller's to know.

use http::{HeaderMap, HeaderValue};

use super::fold;
use super::names::X_REQUEST_ID;
use super::remove_where;

/// The longest id that is taken over, in bytes.
const LONGEST: usize = 128;

/// A request's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequestId {
    /// Digits that we made.
    Fresh([u8; 32]),
    /// What a trusted peer gave it.
    Given(HeaderValue),
}

impl RequestId {
    /// The id itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fresh(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Self::Given(id) => id.to_str().unwrap_or_default(),
        }
    }

    /// Appends the line that says it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let id = match self {
            Self::Fresh(digits) => &digits[..],
            Self::Given(id) => id.as_bytes(),
        };
        for part in [X_REQUEST_ID.as_str().as_bytes(), b": ", id, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }

    /// Sets the field. What else folds to its name must be gone.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        let value = match self {
            Self::Fresh(digits) => HeaderValue::from_bytes(digits).unwrap_or_else(|_| HeaderValue::from_static("0")),
            Self::Given(id) => id.clone(),
        };
        headers.insert(X_REQUEST_ID, value);
    }
}

/// The id that the peer sent, if it is one line of 1 to 128 visible ASCII characters. Ask only for a trusted peer.
pub fn accepted_request_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut lines = headers.get_all(X_REQUEST_ID).into_iter();
    let (Some(id), None) = (lines.next(), lines.next()) else { return None };
    let bytes = id.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic))
        .then(|| RequestId::Given(id.clone()))
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
        for id in [RequestId::Fresh(*b"0123456789abcdef0123456789abcdef"), RequestId::Given("a/~".parse().unwrap())] {
            let (mut out, mut headers) = (b"a: b\r\n".to_vec(), map(&[("x-request-id", "another")]));
            id.write(&mut out);
            assert_eq!(out, format!("a: b\r\nx-request-id: {}\r\n", id.as_str()).into_bytes());
            id.put_into(&mut headers);
            assert_eq!(names(&headers), ["x-request-id"]);
            assert_eq!(lines(&headers, "x-request-id"), [id.as_str()]);
        }
    }
}
