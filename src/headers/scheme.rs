//! Whether the *browser's* connection is HTTPS (contract section 2).
//!
//! A claim counts only from a trusted peer. In a list, the element that describes the browser's connection is found from
//! our end: past every hop that is a trusted proxy itself, and no further, because what stands before was not written
//! by anybody we trust.

use std::net::Ipv4Addr;

use http::HeaderMap;
use http::header::FORWARDED;

use super::forwarded::{Peer, Trust};
use super::forwarded_element::{self, Element, address};
use super::names::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use super::{joined, list_of};

/// How the browser reaches the outermost proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The setting `listen.scheme`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SchemePolicy {
    /// As the connection and trusted proxies say.
    #[default]
    Auto,
    /// TLS ends before us and nothing says so: always HTTPS.
    Https,
}

/// The scheme of the browser's connection. What a trusted proxy says wins over our own connection to that proxy;
/// `X-Forwarded-Proto` wins over `Forwarded`, which many proxies pass on as the client sent it. Ask before
/// [`rewrite_forwarding`](super::rewrite_forwarding).
pub fn scheme_of(headers: &HeaderMap, peer: &Peer, trust: &Trust, policy: SchemePolicy) -> Scheme {
    let claimed = match policy {
        SchemePolicy::Auto if trust.covers(peer) => claimed_scheme(headers, trust),
        SchemePolicy::Auto | SchemePolicy::Https => None,
    };
    claimed.unwrap_or(unclaimed_scheme(peer, policy))
}

/// The scheme of the browser's connection where nobody who is believed says anything.
pub fn unclaimed_scheme(peer: &Peer, policy: SchemePolicy) -> Scheme {
    match policy {
        SchemePolicy::Https => Scheme::Https,
        SchemePolicy::Auto => peer.scheme(),
    }
}

fn claimed_scheme(headers: &HeaderMap, trust: &Trust) -> Option<Scheme> {
    if headers.contains_key(X_FORWARDED_PROTO) {
        let protos: Vec<&[u8]> = list_of(headers, &X_FORWARDED_PROTO).collect();
        let nodes: Vec<&[u8]> = list_of(headers, &X_FORWARDED_FOR).collect();
        let trusted = |at: usize| std::str::from_utf8(nodes[at]).is_ok_and(|node| trusts_node(trust, node));
        let at =
            if nodes.len() == protos.len() { browser_end(nodes.len(), trusted) } else { protos.len().wrapping_sub(1) };
        return protos.get(at).and_then(|proto| parse(proto));
    }
    let elements: Vec<Element> = forwarded_element::elements(&joined(headers, &FORWARDED)?);
    let at =
        browser_end(elements.len(), |at| elements[at].node.as_deref().is_some_and(|node| trusts_node(trust, node)));
    parse(elements.get(at)?.proto.as_deref()?.as_bytes())
}

/// Walks from the last element towards the first, past the trusted ones.
fn browser_end(count: usize, trusted: impl Fn(usize) -> bool) -> usize {
    let mut at = count.saturating_sub(1);
    while at > 0 && trusted(at) {
        at -= 1;
    }
    at
}

fn trusts_node(trust: &Trust, node: &str) -> bool {
    address(node).is_some_and(|ip| trust.covers_address(ip))
}

fn parse(proto: &[u8]) -> Option<Scheme> {
    match proto.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(Scheme::Https),
        b"http" | b"ws" => Some(Scheme::Http),
        _ => None,
    }
}

/// Whether browsers take `Secure` cookies from this host without TLS: `localhost`, `*.localhost`, `127.0.0.0/8` in
/// dotted form, `[::1]`; with or without port, any case.
pub fn is_loopback_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix("[::1]") {
        return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends_in_localhost = name.len() >= 9 && name.as_bytes()[name.len() - 9..].eq_ignore_ascii_case(b"localhost");
    if ends_in_localhost {
        let before = &name.as_bytes()[..name.len() - 9];
        return before.is_empty() || (before.len() > 1 && before.ends_with(b"."));
    }
    name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    fn scheme(peer: &str, tls: bool, lines: &[(&str, &str)]) -> Scheme {
        let trust = Trust { proxies: vec!["10.0.0.0/8".parse().unwrap()], unix: false };
        let peer = Peer { addr: Some(peer.parse().unwrap()), tls };
        scheme_of(&map(lines), &peer, &trust, SchemePolicy::Auto)
    }

    #[test]
    fn a_tls_connection_is_https() {
        assert_eq!(scheme("192.0.2.1", true, &[]), Scheme::Https);
        assert_eq!(scheme("192.0.2.1", false, &[]), Scheme::Http);
        assert_eq!(scheme("10.0.0.1", true, &[]), Scheme::Https);
    }

    #[test]
    fn the_setting_makes_every_connection_https() {
        let peer = Peer { addr: None, tls: false };
        assert_eq!(scheme_of(&HeaderMap::new(), &peer, &Trust::default(), SchemePolicy::Https), Scheme::Https);
    }

    #[test]
    fn an_untrusted_peer_is_not_believed() {
        assert_eq!(scheme("192.0.2.1", false, &[("x-forwarded-proto", "https")]), Scheme::Http);
        assert_eq!(scheme("192.0.2.1", false, &[("forwarded", "proto=https")]), Scheme::Http);
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        for (name, value, expected) in [
            ("x-forwarded-proto", "https", Scheme::Https),
            ("x-forwarded-proto", "HTTPS", Scheme::Https),
            ("x-forwarded-proto", "wss", Scheme::Https),
            ("x-forwarded-proto", "http", Scheme::Http),
            ("x-forwarded-proto", "gopher", Scheme::Http),
            ("x-forwarded-proto", "", Scheme::Http),
            ("forwarded", "for=192.0.2.1;proto=https", Scheme::Https),
            ("forwarded", "proto=\"https\"", Scheme::Https),
            ("forwarded", "for=\"x;proto=https\"", Scheme::Http),
            ("forwarded", "", Scheme::Http),
        ] {
            assert_eq!(scheme("10.0.0.1", false, &[(name, value)]), expected, "{name}: {value}");
        }
        assert_eq!(scheme("10.0.0.1", true, &[("x-forwarded-proto", "http")]), Scheme::Http);
    }

    #[test]
    fn of_a_list_the_element_that_a_trusted_proxy_wrote_counts() {
        assert_eq!(scheme("10.0.0.1", false, &[("x-forwarded-proto", "https, http")]), Scheme::Http);
        assert_eq!(
            scheme("10.0.0.1", false, &[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")]),
            Scheme::Https
        );
        let forged = [("x-forwarded-for", "10.9.9.9, 192.0.2.7"), ("x-forwarded-proto", "https, http")];
        assert_eq!(scheme("10.0.0.1", false, &forged), Scheme::Http);
        let chain = [("x-forwarded-for", "192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "https, http")];
        assert_eq!(scheme("10.0.0.1", false, &chain), Scheme::Https);
        let beyond =
            [("x-forwarded-for", "192.0.2.8, 192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "https, http, https")];
        assert_eq!(scheme("10.0.0.1", false, &beyond), Scheme::Http);
        let chain = [("forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2;proto=http")];
        assert_eq!(scheme("10.0.0.1", false, &chain), Scheme::Https);
        let forged = [("forwarded", "for=10.9.9.9;proto=https, for=192.0.2.7;proto=http")];
        assert_eq!(scheme("10.0.0.1", false, &forged), Scheme::Http);
    }

    #[test]
    fn x_forwarded_proto_wins_over_forwarded() {
        let both = [("forwarded", "proto=https"), ("x-forwarded-proto", "http")];
        assert_eq!(scheme("10.0.0.1", false, &both), Scheme::Http);
    }

    #[test]
    fn loopback_hosts_are_those_that_browsers_trust() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "a.localhost",
            "a.b.Localhost:1",
            "127.0.0.1",
            "127.255.0.9:80",
            "[::1]",
            "[::1]:8080",
            "localhost.",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "localhost.example.com",
            "127.0.0.1.example.com",
            "notlocalhost",
            "128.0.0.1",
            "0.0.0.0",
            "127.1",
            ".localhost",
            "[::2]",
            "[::1]x",
            "[::1]:",
            "localhost:x",
            "localhost:80:80",
            "",
            "::1",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
