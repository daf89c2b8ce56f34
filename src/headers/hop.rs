//! Hop-by-hop fields (RFC 9110 §7.6.1): what concerns one connection only ends here, in both directions.
//!
//! `Connection` may name more fields to remove, but never one that would change whose request it is, where it goes, or
//! where its body ends, nor one of our own ([`Guarded`]). Framing is decided anew for the next hop: `Transfer-Encoding`
//! always goes, and takes a `Content-Length` beside it along (RFC 9112 §6.3). Run this before anything is injected.
//!
//! `Trailer` is not hop-by-hop since RFC 9110 and stays: only trailers that it announces are written. `TE` becomes
//! exactly `trailers` or goes. `Proxy-Authorization` and its like go: they are for the first proxy that asks (RFC 9110
//! §11.7), we do not ask, and an application must not see them.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, Entry, HOST,
    SET_COOKIE, TE, TRANSFER_ENCODING, VARY, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{X_REQUEST_ID, is_claim, is_framing_lookalike};
use super::{Guarded, Mark, Seen, list_of, remove_where};

/// What `Connection` cannot remove, besides claims about the client and our own names.
const END_TO_END: [HeaderName; 12] = [
    HOST,
    COOKIE,
    SET_COOKIE,
    AUTHORIZATION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CACHE_CONTROL,
    VARY,
    VIA,
    X_REQUEST_ID,
    TRANSFER_ENCODING,
];

/// Removes from a request what must not reach the upstream, `Proxy` (httpoxy) and look-alikes of framing fields
/// (`Content_Length`) included. Take [`upgrade_of`](super::upgrade_of) first: the wish is gone afterwards. `seen`: of
/// these headers.
pub fn strip_request_hop_by_hop(headers: &mut HeaderMap, guarded: &Guarded, seen: Seen) {
    strip_connection(headers, guarded, seen);
    if !seen.has(Mark::Hop) {
        return;
    }
    let trailers = list_of(headers, &TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    remove_where(headers, |name| {
        is_of_one_connection(name)
            || matches!(name.as_str(), "proxy-authorization" | "http2-settings" | "proxy")
            || is_framing_lookalike(name)
    });
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from a response what must not reach the browser. On a 101 that is passed on, put `Connection` and `Upgrade`
/// back afterwards. `seen`: of these headers.
pub fn strip_response_hop_by_hop(headers: &mut HeaderMap, guarded: &Guarded, seen: Seen) {
    strip_connection(headers, guarded, seen);
    if !seen.has(Mark::Hop) {
        return;
    }
    remove_where(headers, |name| {
        is_of_one_connection(name) || matches!(name.as_str(), "proxy-authenticate" | "proxy-authentication-info")
    });
}

/// Declares a body whose length nobody knows for an HTTP/1.1 upstream, whatever the method: without this, hyper sends
/// `GET` and `HEAD` without their body (threats section 0, fault 3). Call it after the hop-by-hop fields are gone,
/// only if there is a body; does nothing where `Content-Length` says how long it is.
pub fn frame_unknown_length(headers: &mut HeaderMap) {
    if !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Removes `Connection` with what it names, and the framing.
fn strip_connection(headers: &mut HeaderMap, guarded: &Guarded, seen: Seen) {
    if seen.has(Mark::Connection)
        && let Entry::Occupied(lines) = headers.entry(CONNECTION)
    {
        // Nearly always there is one token in one line.
        if lines.iter().all(|line| names_nothing(line.as_bytes())) {
            lines.remove();
        } else {
            strip_named(headers, guarded);
            headers.remove(CONNECTION);
        }
    }
    if seen.has(Mark::Coding) && headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
}

fn is_of_one_connection(name: &HeaderName) -> bool {
    matches!(name.as_str(), "keep-alive" | "proxy-connection" | "te" | "upgrade")
}

/// Removes what `Connection` names.
fn strip_named(headers: &mut HeaderMap, guarded: &Guarded) {
    let named: Vec<HeaderName> = list_of(headers, &CONNECTION)
        .filter(|token| !names_nothing(token))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| headers.contains_key(name) && !is_protected(name, guarded))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// The tokens that everybody sends name nothing, or something that goes anyway.
fn names_nothing(token: &[u8]) -> bool {
    token == b"keep-alive"
        || ["keep-alive", "close", "upgrade", "te"].iter().any(|usual| token.eq_ignore_ascii_case(usual.as_bytes()))
}

fn is_protected(name: &HeaderName, guarded: &Guarded) -> bool {
    END_TO_END.contains(name) || is_claim(name) || guarded.covers(name)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map, names};
    use super::*;

    fn ours() -> Guarded {
        Guarded::new([HeaderName::from_static("x-session"), HeaderName::from_static("x-session-update")])
    }

    fn request(sent: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(sent);
        let seen = Seen::of(&headers, &ours());
        strip_request_hop_by_hop(&mut headers, &ours(), seen);
        headers
    }

    fn response(sent: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(sent);
        let seen = Seen::of(&headers, &ours());
        strip_response_hop_by_hop(&mut headers, &ours(), seen);
        headers
    }

    #[test]
    fn hop_by_hop_fields_of_a_request_are_removed() {
        let left = request(&[
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("proxy-authorization", "Basic eDp5"),
            ("proxy", "http://evil/"),
            ("accept", "*/*"),
        ]);
        assert_eq!(names(&left), ["accept"]);
    }

    #[test]
    fn hop_by_hop_fields_of_a_response_are_removed() {
        let left = response(&[
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("connection", "close, X-Foo"),
            ("x-foo", "1"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("server", "u"),
        ]);
        assert_eq!(names(&left), ["server"]);
    }

    #[test]
    fn what_connection_names_is_removed() {
        let left = request(&[
            ("connection", "X-A"),
            ("connection", "close ,\tx-b,,"),
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-c", "3"),
        ]);
        assert_eq!(names(&left), ["x-c"]);
    }

    #[test]
    fn connection_cannot_remove_what_makes_the_request() {
        let kept = [
            ("host", "a.test"),
            ("cookie", "a=1"),
            ("content-length", "3"),
            ("authorization", "Bearer x"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-prefix", "/p"),
            ("forwarded", "for=192.0.2.1"),
            ("via", "1.1 edge"),
            ("x-session", "genuine"),
            ("x_session_update", "genuine"),
        ];
        for (name, value) in kept {
            let left = request(&[("connection", name), (name, value)]);
            assert_eq!(lines(&left, name), [value], "{name}");
        }
    }

    #[test]
    fn a_response_cannot_hide_an_update_behind_connection() {
        let left = response(&[("connection", "close, X-Session-Update"), ("x-session-update", "{}")]);
        assert_eq!(lines(&left, "x-session-update"), ["{}"]);
    }

    #[test]
    fn eight_bit_bytes_in_connection_hide_no_other_token() {
        let mut headers = map(&[("x-hop", "1"), ("x-end", "2")]);
        headers.insert(CONNECTION, HeaderValue::from_bytes(b"\xff\xfe, x-hop, \xff").unwrap());
        let seen = Seen::of(&headers, &ours());
        strip_request_hop_by_hop(&mut headers, &ours(), seen);
        assert_eq!(names(&headers), ["x-end"]);
    }

    #[test]
    fn te_trailers_is_kept_alone() {
        for (sent, left) in [
            ("trailers", Some("trailers")),
            ("Trailers", Some("trailers")),
            ("gzip;q=0.5, trailers", Some("trailers")),
            ("gzip", None),
            ("trailers2", None),
            ("", None),
        ] {
            let headers = request(&[("te", sent)]);
            assert_eq!(lines(&headers, "te"), left.into_iter().collect::<Vec<_>>(), "{sent:?}");
        }
        assert_eq!(lines(&request(&[("te", "trailers"), ("connection", "te")]), "te"), ["trailers"]);
    }

    #[test]
    fn the_announcement_of_trailers_is_kept() {
        assert_eq!(lines(&request(&[("trailer", "x-t"), ("te", "trailers")]), "trailer"), ["x-t"]);
        assert_eq!(lines(&response(&[("trailer", "grpc-status")]), "trailer"), ["grpc-status"]);
    }

    #[test]
    fn transfer_encoding_goes_and_takes_content_length_along() {
        let sent = [("transfer-encoding", "chunked"), ("content-length", "3"), ("connection", "transfer-encoding")];
        assert!(names(&request(&sent)).is_empty());
        assert!(names(&response(&sent)).is_empty());
    }

    #[test]
    fn look_alikes_of_framing_fields_are_removed() {
        let left = request(&[
            ("transfer_encoding", "chunked"),
            ("content_length", "44"),
            ("content.length", "44"),
            ("content-length", "3"),
            ("my_field", "stays"),
        ]);
        assert_eq!(names(&left), ["content-length", "my_field"]);
    }

    #[test]
    fn a_body_of_unknown_length_is_declared_chunked() {
        let mut headers = HeaderMap::new();
        frame_unknown_length(&mut headers);
        assert_eq!(lines(&headers, "transfer-encoding"), ["chunked"]);
        let mut headers = map(&[("content-length", "3")]);
        frame_unknown_length(&mut headers);
        assert_eq!(names(&headers), ["content-length"]);
    }
}
