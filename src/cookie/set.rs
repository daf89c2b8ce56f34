//! The `Set-Cookie` lines that we write: a ticket, and its deletion (contract section 2).
//!
//! Crate `cookie` writes the attributes. A deletion has the same name, path, domain and attributes as what it deletes:
//! browsers would take it for another cookie otherwise. The lines are marked sensitive: `Debug` does not print them.

use cookie::time::{Duration, OffsetDateTime};
use cookie::{Cookie, CookieBuilder};
use http::HeaderValue;

use super::{SameSite, Settings};

/// The longest `Max-Age` that browsers honour, in seconds: 400 days.
pub const LONGEST_MAX_AGE: u64 = 400 * 24 * 60 * 60;

/// The line that gives the browser `value`, until it ends or, with `max_age`, for that many seconds (at most
/// [`LONGEST_MAX_AGE`]). `domain_applies`: whether the configured domain covers this route (the second half of
/// `route::realm`). Bytes that no cookie value may have (RFC 6265 §4.1.1) are left out of `value`.
pub fn issue(settings: &Settings, domain_applies: bool, value: &str, max_age: Option<u64>) -> HeaderValue {
    let value: String = value.chars().filter(|&char| is_cookie_octet(char)).collect();
    let mut cookie = base(settings, domain_applies, value);
    if let Some(seconds) = max_age {
        cookie = cookie.max_age(Duration::seconds(i64::try_from(seconds.min(LONGEST_MAX_AGE)).unwrap_or(i64::MAX)));
    }
    line(cookie)
}

/// The line that makes the browser forget the cookie.
pub fn delete(settings: &Settings, domain_applies: bool) -> HeaderValue {
    line(base(settings, domain_applies, String::new()).max_age(Duration::ZERO).expires(OffsetDateTime::UNIX_EPOCH))
}

fn base(settings: &Settings, domain_applies: bool, value: String) -> CookieBuilder<'_> {
    let scope = settings.scope();
    let mut cookie = Cookie::build((settings.name(), value)).path(scope.path()).http_only(settings.http_only());
    if scope.is_secure() {
        cookie = cookie.secure(true);
    }
    if scope.is_partitioned() {
        cookie = cookie.partitioned(true);
    }
    if let (true, Some(domain)) = (domain_applies, scope.domain()) {
        cookie = cookie.domain(domain);
    }
    cookie.same_site(match settings.same_site() {
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::None => cookie::SameSite::None,
    })
}

fn line(cookie: CookieBuilder<'_>) -> HeaderValue {
    // Cannot fail: settings and value are checked to be visible ASCII.
    let mut line = HeaderValue::try_from(cookie.build().to_string()).unwrap_or(HeaderValue::from_static(""));
    line.set_sensitive(true);
    line
}

fn is_cookie_octet(char: char) -> bool {
    char.is_ascii_graphic() && !matches!(char, '"' | ',' | ';' | '\\')
}

#[cfg(test)]
mod tests {
    use super::super::Parts;
    use super::*;

    /// The pair first, the attributes sorted.
    fn parts_of(line: &HeaderValue) -> Vec<String> {
        let mut parts: Vec<String> = line.to_str().unwrap().split("; ").map(str::to_owned).collect();
        parts[1..].sort();
        parts
    }

    fn settings(change: impl FnOnce(&mut Parts)) -> Settings {
        let mut parts = Parts::default();
        change(&mut parts);
        Settings::new(parts).unwrap()
    }

    #[test]
    fn by_default_the_cookie_ends_with_the_browser() {
        let line = issue(&settings(|_| ()), true, "v-_1", None);
        assert_eq!(parts_of(&line), ["__Host-session=v-_1", "HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
        assert!(line.is_sensitive());
    }

    #[test]
    fn a_persistent_cookie_has_max_age_of_at_most_400_days() {
        let max_age = |seconds| parts_of(&issue(&settings(|_| ()), true, "v", Some(seconds)))[2].clone();
        assert_eq!(max_age(3600), "Max-Age=3600");
        assert_eq!(max_age(u64::MAX), "Max-Age=34560000");
    }

    #[test]
    fn every_attribute_that_is_asked_for_is_there() {
        let all = settings(|p| {
            p.name = "s".into();
            p.path = "/app".into();
            p.domain = Some("example.com".into());
            p.same_site = SameSite::None;
            p.partitioned = true;
            p.http_only = false;
        });
        let line = parts_of(&issue(&all, true, "v", None));
        assert_eq!(line, ["s=v", "Domain=example.com", "Partitioned", "Path=/app", "SameSite=None", "Secure"]);
    }

    #[test]
    fn the_domain_is_left_out_where_it_does_not_apply() {
        let s = settings(|p| (p.name, p.domain) = ("s".into(), Some("example.com".into())));
        assert_eq!(parts_of(&issue(&s, false, "v", None)), ["s=v", "HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
        assert!(!delete(&s, false).to_str().unwrap().contains("Domain"));
        assert!(delete(&s, true).to_str().unwrap().contains("; Domain=example.com"));
    }

    #[test]
    fn a_plain_cookie_has_no_secure() {
        let s = settings(|p| (p.name, p.secure, p.same_site) = ("s".into(), false, SameSite::Strict));
        assert_eq!(parts_of(&issue(&s, true, "v", None)), ["s=v", "HttpOnly", "Path=/", "SameSite=Strict"]);
    }

    #[test]
    fn a_deletion_differs_in_value_and_time_only() {
        let expected = [
            "__Host-session=",
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "HttpOnly",
            "Max-Age=0",
            "Path=/",
            "SameSite=Lax",
            "Secure",
        ];
        assert_eq!(parts_of(&delete(&settings(|_| ()), true)), expected);
    }

    #[test]
    fn a_value_cannot_add_attributes() {
        let line = issue(&settings(|_| ()), true, "v; Domain=evil\r\n\u{e9}", None);
        assert_eq!(parts_of(&line)[0], "__Host-session=vDomain=evil");
    }
}
