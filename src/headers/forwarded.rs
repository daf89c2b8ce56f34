//! The forwarding fields: set *and* strip in one function, so that neither can be forgotten.
//!
//! From an untrusted peer every claim about the client is removed, in any spelling, and ours are written. From a
//! trusted one lists are appended to, in one line and in order; `X-Forwarded-Proto` and `-Host` are kept if they are there.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::forwarded_element::{address, write, write_address, write_node};
use super::names::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, is_claim, is_claim_lookalike};
use super::scheme::{Scheme, SchemePolicy, scheme_of};
use super::{joined, list, remove_where};

/// Bytes for a whole `Forwarded` element with a host of usual length.
const ROOM: usize = 96;

/// Who is at the other end of the connection; behind a PROXY header, whom that header names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// `None` on a Unix socket.
    pub addr: Option<IpAddr>,
    /// Whether TLS ends here.
    pub tls: bool,
}

impl Peer {
    /// The scheme of this very connection.
    pub(super) fn scheme(&self) -> Scheme {
        if self.tls { Scheme::Https } else { Scheme::Http }
    }

    fn address(&self) -> Option<IpAddr> {
        self.addr.map(|ip| ip.to_canonical())
    }
}

/// The setting `listen.trusted_proxies`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trust {
    /// Networks whose claims are believed.
    pub proxies: Vec<IpNet>,
    /// Whether those of a peer on a Unix socket are.
    pub unix: bool,
}

impl Trust {
    /// Whether the peer's claims are believed. A Unix socket has no address and is within no network, unless one of
    /// them is everybody (`0.0.0.0/0`, `::/0`).
    pub fn covers(&self, peer: &Peer) -> bool {
        match peer.addr {
            Some(ip) => self.covers_address(ip),
            None => self.unix || self.proxies.iter().any(|net| net.prefix_len() == 0),
        }
    }

    /// Whether `ip` is within a trusted network; `::ffff:10.0.0.1` is `10.0.0.1`.
    pub(super) fn covers_address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.proxies.iter().any(|net| net.contains(&ip))
    }
}

/// What is known of a request's way here.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The other end.
    pub peer: &'a Peer,
    /// Whom to believe.
    pub trust: &'a Trust,
    /// Setting `listen.scheme`.
    pub policy: SchemePolicy,
    /// The request's host as [`Authority::header`](super::Authority::header) gives it; may be empty.
    pub host: &'a HeaderValue,
}

/// Rewrites `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and their like for the upstream, and returns the scheme of the
/// browser's connection as [`scheme_of`] finds it. Where a trusted proxy sent `X-Forwarded-For` but no `Forwarded`, its
/// list becomes the `Forwarded` list too: an application that prefers one must not see another client than in the other.
pub fn rewrite_forwarding(headers: &mut HeaderMap, inbound: Inbound<'_>) -> Scheme {
    let scheme = scheme_of(headers, inbound.peer, inbound.trust, inbound.policy);
    if !inbound.trust.covers(inbound.peer) {
        strip_claims(headers);
        introduce(headers, inbound.peer, inbound.host, scheme);
        return scheme;
    }
    remove_where(headers, is_claim_lookalike);
    let clients = joined(headers, &X_FORWARDED_FOR);
    let forwarded = forwarded_for(headers, inbound, scheme, clients.as_deref());
    set(headers, FORWARDED, &forwarded);
    if let Some(ip) = inbound.peer.address() {
        let mut all = clients
            .map(|mut all| {
                all.extend_from_slice(b", ");
                all
            })
            .unwrap_or_default();
        write_address(ip, &mut all);
        set(headers, X_FORWARDED_FOR, &all);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    }
    if !headers.contains_key(X_FORWARDED_HOST) && !inbound.host.is_empty() {
        headers.insert(X_FORWARDED_HOST, inbound.host.clone());
    }
    scheme
}

/// Removes what a client claims about itself, in any spelling.
pub fn strip_claims(headers: &mut HeaderMap) {
    remove_where(headers, is_claim);
}

/// Writes what we know of a client that has said nothing (that counts) itself; `host` may be empty. It is the same for
/// every request of a connection that names the same host.
pub fn introduce(headers: &mut HeaderMap, peer: &Peer, host: &HeaderValue, scheme: Scheme) {
    let address = peer.address();
    let mut value = Vec::with_capacity(ROOM);
    if let Some(ip) = address {
        write_address(ip, &mut value);
        set(headers, X_FORWARDED_FOR, &value);
        value.clear();
    }
    write(address, host.as_bytes(), scheme.as_str(), &mut value);
    set(headers, FORWARDED, &value);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    if !host.is_empty() {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// The whole `Forwarded` value: the earlier elements, or else those that `X-Forwarded-For` implies, then ours.
fn forwarded_for(headers: &HeaderMap, inbound: Inbound<'_>, scheme: Scheme, clients: Option<&[u8]>) -> Vec<u8> {
    let mut own = inbound.peer.scheme();
    let mut value = match (joined(headers, &FORWARDED), clients) {
        (Some(earlier), _) => earlier,
        (None, Some(clients)) => implied(headers, inbound.host, scheme, clients),
        (None, None) => {
            own = scheme;
            Vec::new()
        }
    };
    if !value.is_empty() {
        value.extend_from_slice(b", ");
    }
    write(inbound.peer.address(), inbound.host.as_bytes(), own.as_str(), &mut value);
    value
}

/// The `Forwarded` elements of an `X-Forwarded-For` list (RFC 7239 §7.4); the first one has the host and the scheme.
fn implied(headers: &HeaderMap, host: &HeaderValue, scheme: Scheme, clients: &[u8]) -> Vec<u8> {
    let host = headers.get(X_FORWARDED_HOST).unwrap_or(host).as_bytes();
    let host = list(host).next().unwrap_or_default();
    let mut value = Vec::new();
    for client in list(clients) {
        let node = std::str::from_utf8(client).ok().and_then(address);
        if value.is_empty() {
            write(node, host, scheme.as_str(), &mut value);
        } else {
            value.extend_from_slice(b", ");
            write_node(node, &mut value);
        }
    }
    value
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    match HeaderValue::from_bytes(value) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map, names};
    use super::*;

    fn rewritten(peer: Option<&str>, tls: bool, host: &str, sent: &[(&str, &str)]) -> HeaderMap {
        let trust =
            Trust { proxies: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()], unix: false };
        let peer = Peer { addr: peer.map(|ip| ip.parse().unwrap()), tls };
        let host = HeaderValue::from_str(host).unwrap();
        let mut headers = map(sent);
        rewrite_forwarding(
            &mut headers,
            Inbound { peer: &peer, trust: &trust, policy: SchemePolicy::Auto, host: &host },
        );
        headers
    }

    fn has(headers: &HeaderMap, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            assert_eq!(lines(headers, name), [*value], "{name}");
        }
    }

    #[test]
    fn an_untrusted_peer_gets_ours_instead_of_its_own() {
        let claims = [
            ("x-forwarded-for", "1.2.3.4"),
            ("X_Forwarded_For", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/evil"),
            ("x.forwarded.user", "root"),
            ("forwarded", "for=1.2.3.4;proto=https"),
            ("x-real-ip", "1.2.3.4"),
            ("x_real_ip", "1.2.3.4"),
            ("x-original-url", "/admin"),
            ("x_rewrite_url", "/admin"),
            ("x-forward", "no claim"),
        ];
        let headers = rewritten(Some("192.0.2.1"), false, "a.test", &claims);
        let expected = ["forwarded", "x-forward", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        assert_eq!(names(&headers), expected);
        has(
            &headers,
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a.test"),
                ("forwarded", "for=192.0.2.1;host=a.test;proto=http"),
            ],
        );
    }

    #[test]
    fn ipv6_and_ports_are_quoted_in_forwarded() {
        let headers = rewritten(Some("2001:db9::1"), true, "[::1]:8080", &[]);
        has(
            &headers,
            &[
                ("x-forwarded-for", "2001:db9::1"),
                ("forwarded", "for=\"[2001:db9::1]\";host=\"[::1]:8080\";proto=https"),
            ],
        );
    }

    #[test]
    fn a_trusted_proxy_is_appended_to_in_order() {
        let sent = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "10.0.0.2"),
            ("forwarded", "for=198.51.100.7;proto=https"),
            ("forwarded", "for=10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.test"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "198.51.100.7"),
            ("x_real_ip", "forged"),
        ];
        let headers = rewritten(Some("2001:db8::1"), false, "a.test", &sent);
        has(
            &headers,
            &[
                ("x-forwarded-for", "198.51.100.7, 10.0.0.2, 2001:db8::1"),
                (
                    "forwarded",
                    "for=198.51.100.7;proto=https, for=10.0.0.2, for=\"[2001:db8::1]\";host=a.test;proto=http",
                ),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "shop.test"),
                ("x-forwarded-port", "443"),
                ("x-real-ip", "198.51.100.7"),
            ],
        );
        assert!(!headers.contains_key("x_real_ip"));
    }

    #[test]
    fn a_trusted_proxy_that_speaks_only_x_forwarded_names_the_same_client_in_forwarded() {
        let sent = [
            ("x-forwarded-for", "198.51.100.7, nonsense"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.test"),
        ];
        let headers = rewritten(Some("::ffff:10.0.0.1"), false, "a.test", &sent);
        has(
            &headers,
            &[
                ("x-forwarded-for", "198.51.100.7, nonsense, 10.0.0.1"),
                (
                    "forwarded",
                    "for=198.51.100.7;host=shop.test;proto=https, for=unknown, for=10.0.0.1;host=a.test;proto=http",
                ),
            ],
        );
    }

    #[test]
    fn a_unix_socket_is_nobody_in_particular() {
        let headers = rewritten(None, false, "", &[("x-forwarded-for", "1.2.3.4")]);
        assert_eq!(names(&headers), ["forwarded", "x-forwarded-proto"]);
        has(&headers, &[("forwarded", "for=unknown;proto=http")]);
    }

    #[test]
    fn a_unix_socket_is_trusted_only_with_everybody() {
        let trusts = |network: &str, unix| Trust { proxies: vec![network.parse().unwrap()], unix };
        let peer = Peer { addr: None, tls: false };
        assert!(!trusts("10.0.0.0/8", false).covers(&peer));
        assert!(trusts("10.0.0.0/8", true).covers(&peer));
        assert!(trusts("0.0.0.0/0", false).covers(&peer));
    }
}
