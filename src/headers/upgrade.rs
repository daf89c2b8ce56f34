//! Which protocol a request asks to switch to (RFC 9110 §7.8).
//!
//! Only a bodyless HTTP/1.1 `GET` with `Connection: upgrade` can ask, and never for another HTTP or for TLS: who answers
//! `101` to `h2c` would be spoken to past every rule of this proxy (threats W-02, W-07).

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::{list_of, trim};

/// The `Upgrade` value to send upstream, or `None` if this is an ordinary request. Protocols that are not offered on
/// (`h2c`, `h2`, `HTTP/…`, `TLS/…`) and elements that are no protocol are left out. Ask before the hop-by-hop fields go.
pub fn upgrade_of(method: &Method, version: &Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(UPGRADE) || *version != Version::HTTP_11 || *method != Method::GET || has_body(headers) {
        return None;
    }
    if !list_of(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return None;
    }
    let offered: Vec<&[u8]> = list_of(headers, &UPGRADE).filter(|protocol| may_pass(protocol)).collect();
    if offered.is_empty() { None } else { HeaderValue::from_bytes(&offered.join(&b", "[..])).ok() }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).into_iter().any(|length| trim(length.as_bytes()) != b"0")
}

fn may_pass(protocol: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
    protocol.iter().all(is_token)
        && !["h2c", "h2", "http", "tls"].iter().any(|refused| name.eq_ignore_ascii_case(refused.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    fn asks(lines: &[(&str, &str)]) -> Option<String> {
        let found = upgrade_of(&Method::GET, &Version::HTTP_11, &map(lines))?;
        Some(found.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_websocket_handshake_asks_for_websocket() {
        let lines = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(asks(&lines).as_deref(), Some("websocket"));
        assert_eq!(
            asks(&[("connection", "upgrade"), ("upgrade", "foo/2"), ("content-length", "0")]).as_deref(),
            Some("foo/2")
        );
    }

    #[test]
    fn h2c_is_never_forwarded() {
        for value in ["h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0", "h2c, TLS/1.3", "", "a b", "\u{e9}"] {
            assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", value)]), None, "{value:?}");
        }
        let mixed = [("connection", "upgrade, HTTP2-Settings"), ("upgrade", "h2c, websocket"), ("upgrade", "x")];
        assert_eq!(asks(&mixed).as_deref(), Some("websocket, x"));
    }

    #[test]
    fn without_connection_upgrade_nothing_is_asked_for() {
        assert_eq!(asks(&[("upgrade", "websocket")]), None);
        assert_eq!(asks(&[("upgrade", "websocket"), ("connection", "upgraded")]), None);
    }

    #[test]
    fn a_request_with_a_body_does_not_upgrade() {
        for body in [("content-length", "3"), ("transfer-encoding", "chunked")] {
            assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", "websocket"), body]), None);
        }
    }

    #[test]
    fn only_get_on_http_1_1_upgrades() {
        let headers = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade_of(&Method::POST, &Version::HTTP_11, &headers), None);
        assert_eq!(upgrade_of(&Method::GET, &Version::HTTP_10, &headers), None);
        assert_eq!(upgrade_of(&Method::GET, &Version::HTTP_2, &headers), None);
    }
}
