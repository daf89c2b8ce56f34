//! Trailers: which fields may come after a body (RFC 9110 §6.5.1).
//!
//! They are passed on as trailers or not at all, never merged into a head. Whether the other side takes any (`TE:
//! trailers`, `Trailer`) is for hyper and the line to decide; here goes what no trailer may carry.

use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, DATE, EXPECT, EXPIRES, HOST, LOCATION, MAX_FORWARDS, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    RANGE, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, VIA, WARNING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName};

use super::names::{KEEP_ALIVE, PROXY, PROXY_CONNECTION, is_claim, is_framing_lookalike};
use super::{Guarded, remove_where};

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
    remove_where(trailers, |name| {
        FORBIDDEN.contains(name) || guarded.covers(name) || is_claim(name) || is_framing_lookalike(name)
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{map, names};
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
}
