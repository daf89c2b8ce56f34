//! `X-Request-Id`: which ids of others are taken over, and how the field is set.
//!
//! Making fresh ones needs randomness and is not done here. Whether the peer is trusted is the caller's to know.

use http::{HeaderMap, HeaderValue};

use super::fold;
use super::names::X_REQUEST_ID;
use super::remove_where;

/// The longest id that is taken over, in bytes.
const LONGEST: usize = 128;

/// The id that the peer sent, if it is one line of 1 to 128 visible ASCII characters. Ask only for a trusted peer.
pub fn accepted_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(X_REQUEST_ID).into_iter();
    let (Some(id), None) = (lines.next(), lines.next()) else { return None };
    let bytes = id.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)).then_some(id)
}

/// Sets the field. What else folds to its name must be gone.
pub fn set_request_id(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(X_REQUEST_ID, id);
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
            assert_eq!(accepted_request_id(&map(&[("x-request-id", id)])).unwrap(), id);
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
        set_request_id(&mut headers, HeaderValue::from_static("ours"));
        assert_eq!(names(&headers), ["x-request-id"]);
        assert_eq!(lines(&headers, "x-request-id"), ["ours"]);
    }
}
