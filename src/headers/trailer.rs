//! Trailers: which fields may come after a body (RFC 9110 §6.5.1).
//!
//! They are passed on as trailers or not at all, never merged into a head. Whether the other side takes any (`TE:
//! trailers`, `Trailer`) is for whoever writes them to decide; here goes what no trailer may carry.

use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, DATE, EXPECT, EXPIRES, HOST, LOCATION, MAX_FORWARDS, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    RANGE, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, VIA, WARNING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{KEEP_ALIVE, PROXY, PROXY_CONNECTION, is_claim, is_framing_lookalike};
use super::{Guarded, list_of, remove_where};

const FORBIDDEN: [HeaderName; 32] = [
    AGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    EXPECT,
    EXPIRES,
    HOST,
    KEEP_ALIVE,
    LOCATION,
    MAX_FORWARDS,
    PRAGMA,
    PROXY,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    RANGE,
    RETRY_AFTER,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VARY,
    VIA,
    WARNING,
    WWW_AUTHENTICATE,
];

/// Removes from trailers, in either direction, our own names, claims about the client, and everything that frames,
/// routes, authenticates or steers (RFC 9110 §6.5.1; threats F-17).
pub fn strip_trailers(trailers: &mut HeaderMap, guarded: &Guarded) {
    remove_where(trailers, |name| is_refused(name, guarded));
}

/// Removes from `Trailer`, in either direction, the names of fields that [`strip_trailers`] would remove: nobody shall
/// be told what does not come, least of all that it would have been ours.
pub fn strip_announcements(headers: &mut HeaderMap, guarded: &Guarded) {
    if !headers.contains_key(TRAILER) {
        return;
    }
    let passes = |name: &&[u8]| HeaderName::from_bytes(name).is_ok_and(|name| !is_refused(&name, guarded));
    let kept: Vec<&[u8]> = list_of(headers, &TRAILER).filter(passes).collect();
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(left) if !left.is_empty() => drop(headers.insert(TRAILER, left)),
        Ok(_) | Err(_) => drop(headers.remove(TRAILER)),
    }
}

fn is_refused(name: &HeaderName, guarded: &Guarded) -> bool {
    FORBIDDEN.contains(name) || guarded.covers(name) || is_claim(name) || is_framing_lookalike(name)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map, names};
    use super::*;

    #[test]
    fn ordinary_trailers_pass() {
        let mut trailers = map(&[("x-t", "1"), ("grpc-status", "0"), ("etag", "\"x\"")]);
        strip_trailers(&mut trailers, &Guarded::default());
        assert_eq!(names(&trailers), ["etag", "grpc-status", "x-t"]);
    }

    #[test]
    fn trailers_cannot_frame_route_or_authenticate() {
        let mut trailers = map(&[
            ("content-length", "9"),
            ("host", "b"),
            ("transfer-encoding", "chunked"),
            ("content_length", "9"),
            ("set-cookie", "a=1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("authorization", "x"),
        ]);
        strip_trailers(&mut trailers, &Guarded::default());
        assert!(trailers.is_empty());
    }

    #[test]
    fn trailers_cannot_carry_our_names() {
        let mut trailers = map(&[("x_session", "forged"), ("x-session", "forged")]);
        strip_trailers(&mut trailers, &Guarded::new([HeaderName::from_static("x-session")]));
        assert!(trailers.is_empty());
    }

    #[test]
    fn only_what_may_come_is_announced() {
        let guarded = Guarded::new([HeaderName::from_static("x-session-update")]);
        let announced = |said: &[(&str, &str)]| {
            let mut headers = map(said);
            strip_announcements(&mut headers, &guarded);
            lines(&headers, "trailer").join("; ")
        };
        assert_eq!(announced(&[("trailer", "X-T, X-Session-Update"), ("trailer", "grpc-status")]), "X-T, grpc-status");
        assert_eq!(announced(&[("trailer", "x_session_update,Host")]), "");
        assert_eq!(announced(&[("trailer", "a b, X-T")]), "X-T");
        assert_eq!(announced(&[]), "");
    }
}
