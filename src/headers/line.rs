//! One header line of a head that was parsed.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// A line's name and value, which are part of these bytes: the value is not copied. `None`: it is none (RFC 9110 §5).
pub fn field(head: &Bytes, name: &str, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()?))
}

/// Whether a list of tokens (`Connection`, `TE`) has this one.
pub fn lists(line: &HeaderValue, token: &[u8]) -> bool {
    super::list(line.as_bytes()).any(|element| element.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_part_of_its_head() {
        let head = Bytes::from_static(b"X-A: one");
        let (name, value) = field(&head, "X-A", &head[5..]).unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-a", &b"one"[..]));
        assert_eq!(value.as_bytes().as_ptr(), head[5..].as_ptr());
        assert!(field(&head, "X A", &head[5..]).is_none());
    }

    #[test]
    fn a_token_is_found_among_others_whole_and_in_any_case() {
        for (line, found) in
            [("close", true), ("a, CLOSE ,b", true), ("closed", false), ("not close", false), ("", false)]
        {
            assert_eq!(lists(&HeaderValue::from_static(line), b"close"), found, "{line:?}");
        }
    }
}
