//! What a response must tell caches (contract section 2; RFC 9111 §5.2, RFC 9110 §12.5.5).
//!
//! A response that needs no change keeps its fields byte for byte. Directives are split outside quoted strings only, and
//! those that stay keep their bytes.

use http::header::{CACHE_CONTROL, Entry, VARY};
use http::{HeaderMap, HeaderValue};

use super::names::{CDN_CACHE_CONTROL, SURROGATE_CONTROL};
use super::{list_of, remove_where, trim};

/// Says that the response depends on the request's `Cookie`: merged into `Vary`, unless it or `*` is there.
pub fn vary_on_cookie(headers: &mut HeaderMap) {
    let ours = HeaderValue::from_static("Cookie");
    if let Entry::Vacant(place) = headers.entry(VARY) {
        place.insert(ours);
        return;
    }
    if list_of(headers, &VARY).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie")) {
        return;
    }
    let mut lines = headers.get_all(VARY).into_iter();
    let merged = match (lines.next(), lines.next()) {
        (Some(_), Some(_)) => {
            headers.append(VARY, ours);
            return;
        }
        (Some(line), None) if !trim(line.as_bytes()).is_empty() => {
            HeaderValue::from_bytes(&[trim(line.as_bytes()), b", Cookie"].concat()).unwrap_or(ours)
        }
        _ => ours,
    };
    headers.insert(VARY, merged);
}

/// Keeps a response that carries our `Set-Cookie` out of every shared cache. Unless it says `no-store` or an unqualified
/// `private`: adds `private`, removes `public` and `s-maxage`. `CDN-Cache-Control` (also a vendor's, like
/// `Cloudflare-CDN-Cache-Control`) and `Surrogate-Control` go in any case.
pub fn forbid_shared_caching(headers: &mut HeaderMap) {
    remove_where(headers, |name| {
        *name == CDN_CACHE_CONTROL || *name == SURROGATE_CONTROL || name.as_str().ends_with("-cdn-cache-control")
    });
    if headers.get_all(CACHE_CONTROL).into_iter().any(|line| directives(line.as_bytes()).any(forbids)) {
        return;
    }
    // `private` comes first: behind a quote that is never closed it would say nothing.
    let mut lines: Vec<HeaderValue> = Vec::new();
    for line in headers.get_all(CACHE_CONTROL) {
        if let Some(left) = without_permissions(line) {
            lines.push(left);
        }
    }
    let first = match lines.first() {
        Some(line) => HeaderValue::from_bytes(&[b"private, ", line.as_bytes()].concat()).ok(),
        None => None,
    };
    headers.insert(CACHE_CONTROL, first.unwrap_or(HeaderValue::from_static("private")));
    for line in lines.into_iter().skip(1) {
        headers.append(CACHE_CONTROL, line);
    }
}

/// The line without what permits shared caches; unchanged if nothing does, `None` if nothing is left.
fn without_permissions(line: &HeaderValue) -> Option<HeaderValue> {
    if !directives(line.as_bytes()).any(permits) {
        return (!trim(line.as_bytes()).is_empty()).then(|| line.clone());
    }
    let kept: Vec<&[u8]> = directives(line.as_bytes()).filter(|directive| !permits(directive)).collect();
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b", "[..])).ok() }
}

fn forbids(directive: &[u8]) -> bool {
    name_of(directive).eq_ignore_ascii_case(b"no-store") || directive.eq_ignore_ascii_case(b"private")
}

fn permits(directive: &[u8]) -> bool {
    let name = name_of(directive);
    name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
}

fn name_of(directive: &[u8]) -> &[u8] {
    trim(directive.split(|&byte| byte == b'=').next().unwrap_or_default())
}

/// The directives of one line, trimmed, empty ones left out. Commas within quoted strings (RFC 9110 §5.6.4) do not count.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        byte == b',' && !quoted
    })
    .map(trim)
    .filter(|directive| !directive.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map, names};
    use super::*;

    fn vary(sent: &[&str]) -> Vec<String> {
        let mut headers = map(&sent.iter().map(|line| ("vary", *line)).collect::<Vec<_>>());
        vary_on_cookie(&mut headers);
        lines(&headers, "vary")
    }

    fn control(sent: &[&str]) -> Vec<String> {
        let mut headers = map(&sent.iter().map(|line| ("cache-control", *line)).collect::<Vec<_>>());
        forbid_shared_caching(&mut headers);
        lines(&headers, "cache-control")
    }

    #[test]
    fn cookie_is_merged_into_vary() {
        assert_eq!(vary(&[]), ["Cookie"]);
        assert_eq!(vary(&[""]), ["Cookie"]);
        assert_eq!(vary(&["Accept-Encoding"]), ["Accept-Encoding, Cookie"]);
        assert_eq!(vary(&["Accept", "Origin"]), ["Accept", "Origin", "Cookie"]);
        assert_eq!(vary(&["Cookie2"]), ["Cookie2, Cookie"]);
    }

    #[test]
    fn vary_that_says_it_already_stays_byte_for_byte() {
        for stays in [&["*"][..], &["Accept , cOOkie"], &["Accept", "Cookie"], &["Accept, *"]] {
            assert_eq!(vary(stays), stays);
        }
    }

    #[test]
    fn private_is_added() {
        assert_eq!(control(&[]), ["private"]);
        assert_eq!(control(&[""]), ["private"]);
        assert_eq!(control(&["max-age=60"]), ["private, max-age=60"]);
        assert_eq!(control(&["max-age=60", "no-cache"]), ["private, max-age=60", "no-cache"]);
    }

    #[test]
    fn public_and_s_maxage_are_removed() {
        assert_eq!(control(&["Public, max-age=60,S-MaxAge=9"]), ["private, max-age=60"]);
        assert_eq!(control(&["public"]), ["private"]);
        assert_eq!(control(&["s-maxage=\"9\"", "max-age=1, public", "no-cache"]), ["private, max-age=1", "no-cache"]);
    }

    #[test]
    fn no_store_or_an_unqualified_private_stays_byte_for_byte() {
        for stays in [&["no-store"][..], &["public ,No-Store"], &["PRIVATE,max-age=1"], &["s-maxage=5", " private"]] {
            let expected: Vec<&str> = stays.to_vec();
            assert_eq!(control(stays), expected);
        }
    }

    #[test]
    fn quoted_strings_keep_their_bytes_and_mean_nothing() {
        assert_eq!(
            control(&["private=\"x\", no-cache=\"a, public, \\\", no-store\", public"]),
            ["private, private=\"x\", no-cache=\"a, public, \\\", no-store\""]
        );
        assert_eq!(control(&["no-cache=\"x, no-store"]), ["private, no-cache=\"x, no-store"]);
    }

    #[test]
    fn what_speaks_to_a_cdn_alone_goes_in_any_case() {
        let mut headers = map(&[
            ("cache-control", "no-store"),
            ("cdn-cache-control", "max-age=9"),
            ("cloudflare-cdn-cache-control", "max-age=9"),
            ("surrogate-control", "max-age=9"),
        ]);
        forbid_shared_caching(&mut headers);
        assert_eq!(names(&headers), ["cache-control"]);
        assert_eq!(lines(&headers, "cache-control"), ["no-store"]);
    }
}
