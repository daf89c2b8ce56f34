//! Header lines that were parsed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

/// A line's name and value, which are part of these bytes: the value is not copied. `None`: it is none (RFC 9110 §5).
pub fn field(head: &Bytes, name: &str, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, self::value(head, value)?))
}

/// A line's value, which is part of these bytes and not copied. `None`: it is none.
pub fn value(head: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()
}

/// The trailers that these bytes begin with, of so many lines at most, and their length; `None`: they are not whole.
///
/// # Errors
/// They are none (RFC 9112 §7.1.2).
pub fn trailers(bytes: &Bytes, most: usize) -> Result<Option<(usize, HeaderMap)>, httparse::Error> {
    let mut lines = vec![EMPTY_HEADER; most];
    let Status::Complete((length, lines)) = httparse::parse_headers(bytes, &mut lines)? else { return Ok(None) };
    let mut trailers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let (name, value) = field(bytes, line.name, line.value).ok_or(httparse::Error::HeaderName)?;
        trailers.append(name, value);
    }
    Ok(Some((length, trailers)))
}

/// Whether a list of tokens (`Connection`, `TE`) has this one.
pub fn lists(line: &[u8], token: &[u8]) -> bool {
    super::list(line).any(|element| element.eq_ignore_ascii_case(token))
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
            assert_eq!(lists(line.as_bytes(), b"close"), found, "{line:?}");
        }
    }
}
