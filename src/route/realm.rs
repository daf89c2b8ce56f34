//! Realms: whose cookie it is (contract section 1).
//!
//! A ticket of another realm counts as forged, so two routes share sessions exactly if this gives both the same text.

use super::HostPattern;
use super::host::{canonical, is_below};

/// The realm of a route, and whether `cookie.domain` applies to its cookie: the domain where it covers the pattern or
/// there is none, else the pattern; neither: one empty realm.
pub fn realm(cookie_domain: Option<&str>, pattern: Option<&HostPattern>) -> (String, bool) {
    match (cookie_domain, pattern) {
        (Some(domain), None) => (canonical(domain).into_owned(), true),
        (Some(domain), Some(pattern)) if covers(&canonical(domain), pattern) => (canonical(domain).into_owned(), true),
        (_, Some(pattern)) => (pattern.to_string(), false),
        (None, None) => (String::new(), false),
    }
}

fn covers(domain: &str, pattern: &HostPattern) -> bool {
    pattern.domain() == domain || is_below(pattern.domain(), domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(domain: Option<&str>, pattern: Option<&str>) -> (String, bool) {
        realm(domain, pattern.map(|text| HostPattern::parse(text).unwrap()).as_ref())
    }

    #[test]
    fn the_cookie_domain_is_the_realm_where_it_covers_the_pattern() {
        for pattern in
            [None, Some("example.com"), Some("a.example.com"), Some("*.example.com"), Some("*.a.example.com")]
        {
            assert_eq!(of(Some("Example.com"), pattern), ("example.com".to_owned(), true), "{pattern:?}");
        }
    }

    #[test]
    fn elsewhere_the_pattern_is_the_realm() {
        assert_eq!(of(Some("a.example.com"), Some("*.example.com")), ("*.example.com".to_owned(), false));
        assert_eq!(of(Some("example.com"), Some("notexample.com")), ("notexample.com".to_owned(), false));
        assert_eq!(of(None, Some("a.test")), ("a.test".to_owned(), false));
    }

    #[test]
    fn without_both_there_is_one_empty_realm() {
        assert_eq!(of(None, None), (String::new(), false));
    }
}
