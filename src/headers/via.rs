//! `Via` (RFC 9110 §7.6.3): that a message passed here, and how often it did already.
//!
//! Our pseudonym is `cloakroom`. Counting refuses nothing: how many passes are a loop is the line's decision.

use http::header::{Entry, VIA};
use http::{HeaderMap, HeaderValue, Version};

use super::{joined, list_of};

const PSEUDONYM: &str = "cloakroom";

/// Appends `<received version> cloakroom` to the list, in one line.
pub fn append_via(headers: &mut HeaderMap, received: Version) {
    let ours = match received {
        Version::HTTP_10 => "1.0 cloakroom",
        Version::HTTP_2 => "2.0 cloakroom",
        _ => "1.1 cloakroom",
    };
    let ours = HeaderValue::from_static(ours);
    if let Entry::Vacant(place) = headers.entry(VIA) {
        place.insert(ours);
        return;
    }
    let value = match joined(headers, &VIA) {
        None => ours,
        Some(mut earlier) => {
            earlier.extend_from_slice(b", ");
            earlier.extend_from_slice(ours.as_bytes());
            HeaderValue::from_bytes(&earlier).unwrap_or(ours)
        }
    };
    headers.insert(VIA, value);
}

/// How often `Via` says that this message passed a Cloakroom. A client can only raise it, and hurts itself.
pub fn passes_through_us(headers: &HeaderMap) -> usize {
    if !headers.contains_key(VIA) {
        return 0;
    }
    let is_us = |hop: &&[u8]| hop.split(u8::is_ascii_whitespace).nth(1) == Some(PSEUDONYM.as_bytes());
    list_of(headers, &VIA).filter(is_us).count()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map};
    use super::*;

    #[test]
    fn via_is_added() {
        for (version, via) in [(Version::HTTP_10, "1.0"), (Version::HTTP_11, "1.1"), (Version::HTTP_2, "2.0")] {
            let mut headers = HeaderMap::new();
            append_via(&mut headers, version);
            assert_eq!(lines(&headers, "via"), [format!("{via} cloakroom")]);
        }
    }

    #[test]
    fn via_is_appended_to_an_existing_one() {
        let mut headers = map(&[("via", "1.0 fred"), ("via", "1.1 p.example (x)")]);
        append_via(&mut headers, Version::HTTP_11);
        assert_eq!(lines(&headers, "via"), ["1.0 fred, 1.1 p.example (x), 1.1 cloakroom"]);
    }

    #[test]
    fn passes_are_counted() {
        let mut headers = map(&[("via", "1.1 not-cloakroom, 1.1 cloakroomy"), ("via", "1.1 edge")]);
        assert_eq!(passes_through_us(&headers), 0);
        append_via(&mut headers, Version::HTTP_11);
        append_via(&mut headers, Version::HTTP_2);
        assert_eq!(passes_through_us(&headers), 2);
    }
}
