//! Which host a request is for (RFC 9112 §3.2, RFC 9110 §7.2): one answer, or a fault that becomes a 400.
//!
//! Stricter than the grammar where servers differ in how they read it: a host is letters, digits, `-`, `.`, `_`, `~`
//! or an IPv6 address in brackets; no userinfo, no list, no percent-encoding, no empty label.

use std::fmt;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri, Version};

/// The host of a request: for routing, and as it goes upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    text: HeaderValue,
    host: String,
}

impl Authority {
    /// Lower case, without port and without a trailing dot; IPv6 in brackets. Empty for HTTP/1.0 without `Host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What to send as `Host`: as the client wrote it. Empty for HTTP/1.0 without `Host`: send the upstream's own name.
    pub fn header(&self) -> &HeaderValue {
        &self.text
    }

    /// Whether [`authority_of`] would find this very host again. May say no where it would.
    pub fn is_of(&self, target: &Uri, version: Version, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(HOST).into_iter();
        let named = match (target.authority(), lines.next(), lines.next()) {
            (None, Some(line), None) if target.scheme().is_none() => line.as_bytes(),
            (Some(named), None, None) if version == Version::HTTP_2 && is_http(target) => named.as_str().as_bytes(),
            _ => return false,
        };
        !named.is_empty() && named == self.text.as_bytes()
    }

    /// The same, with nothing of the request's bytes, to be kept for longer than that.
    pub fn detached(self) -> Self {
        Self { text: HeaderValue::from_bytes(self.text.as_bytes()).unwrap_or(self.text), host: self.host }
    }
}

/// Why a request has no host that all servers would agree on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostFault {
    /// HTTP/1.1 without `Host`, or HTTP/2 without `:authority` and `host`.
    Missing,
    /// `Host:` with nothing in it, or only a port.
    Empty,
    /// More than one `Host` line, equal ones too.
    Several,
    /// `a, b`.
    List,
    /// `user@host`.
    Userinfo,
    /// A character, or an empty label, that no host name has.
    Name,
    /// Not digits, or above 65535.
    Port,
    /// Brackets without an IPv6 address between them.
    Ipv6,
    /// Neither a path nor an `http(s)` URL: `GET admin` would become `GET /` on the host `admin`.
    Target,
    /// HTTP/2: `host` says something else than `:authority` (RFC 9113 §8.3.1).
    Contradiction,
}

impl fmt::Display for HostFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            HostFault::Missing => "the request names no host",
            HostFault::Empty => "the host is empty",
            HostFault::Several => "there is more than one Host line",
            HostFault::List => "Host is a list",
            HostFault::Userinfo => "the host has userinfo before it",
            HostFault::Name => "the host has characters or labels that no host has",
            HostFault::Port => "the port is not a number up to 65535",
            HostFault::Ipv6 => "the brackets hold no IPv6 address",
            HostFault::Target => "the target is neither a path nor an http(s) URL",
            HostFault::Contradiction => "host differs from :authority",
        })
    }
}

impl std::error::Error for HostFault {}

/// The host of a request. An absolute-form target or `:authority` wins over `Host`, which must be sound all the same.
///
/// # Errors
/// A [`HostFault`]; answer 400.
pub fn authority_of(target: &Uri, version: Version, headers: &HeaderMap) -> Result<Authority, HostFault> {
    match (target.scheme_str(), target.authority()) {
        (None, Some(_)) => return Err(HostFault::Target),
        (Some(_), _) if !is_http(target) => return Err(HostFault::Target),
        (None | Some(_), _) => {}
    }
    let mut lines = headers.get_all(HOST).into_iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(HostFault::Several);
    }
    let from_line =
        line.map(|text| Ok(Authority { text: text.clone(), host: host_in(text.as_bytes())? })).transpose()?;
    match (target.authority(), from_line) {
        (Some(named), from_line) => from_target(named.as_str(), version, line.is_some(), from_line),
        (None, Some(authority)) => Ok(authority),
        (None, None) if version < Version::HTTP_11 => {
            Ok(Authority { text: HeaderValue::from_static(""), host: String::new() })
        }
        (None, None) => Err(HostFault::Missing),
    }
}

fn is_http(target: &Uri) -> bool {
    matches!(target.scheme_str(), Some("http" | "https"))
}

fn from_target(named: &str, version: Version, has_line: bool, line: Option<Authority>) -> Result<Authority, HostFault> {
    let host = host_in(named.as_bytes())?;
    if !has_line && version == Version::HTTP_11 {
        return Err(HostFault::Missing);
    }
    let differs = |line: Authority| !line.text.as_bytes().eq_ignore_ascii_case(named.as_bytes());
    if version >= Version::HTTP_2 && line.is_some_and(differs) {
        return Err(HostFault::Contradiction);
    }
    let text = HeaderValue::from_str(named).map_err(|_| HostFault::Name)?;
    Ok(Authority { text, host })
}

/// The lower-case host in `host[:port]`.
fn host_in(text: &[u8]) -> Result<String, HostFault> {
    let text = std::str::from_utf8(text).map_err(|_| HostFault::Name)?;
    // Neither sign is in any sound host, so they are looked for only to say what is wrong.
    sound_host(text).map_err(|fault| match fault {
        _ if text.contains(',') => HostFault::List,
        _ if text.contains('@') => HostFault::Userinfo,
        fault => fault,
    })
}

fn sound_host(text: &str) -> Result<String, HostFault> {
    if text.is_empty() {
        return Err(HostFault::Empty);
    }
    let (host, port) = split(text)?;
    if port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return Err(HostFault::Port);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.starts_with('[') {
        check_name(host)?;
    }
    Ok(host.to_ascii_lowercase())
}

fn split(text: &str) -> Result<(&str, Option<&str>), HostFault> {
    if !text.starts_with('[') {
        return Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))));
    }
    let end = text.find(']').ok_or(HostFault::Ipv6)?;
    text[1..end].parse::<Ipv6Addr>().map_err(|_| HostFault::Ipv6)?;
    match &text[end + 1..] {
        "" => Ok((text, None)),
        rest => Ok((&text[..=end], Some(rest.strip_prefix(':').ok_or(HostFault::Port)?))),
    }
}

fn check_name(host: &str) -> Result<(), HostFault> {
    if host.is_empty() {
        return Err(HostFault::Empty);
    }
    let mut label = 0;
    for byte in host.bytes() {
        label = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => label + 1,
            b'.' if label > 0 => 0,
            _ => return Err(HostFault::Name),
        };
    }
    if label > 0 && host.len() <= 255 { Ok(()) } else { Err(HostFault::Name) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    fn of(target: &str, version: Version, lines: &[(&str, &str)]) -> Result<(String, String), HostFault> {
        let found = authority_of(&target.parse().unwrap(), version, &map(lines))?;
        Ok((found.host().to_owned(), found.header().to_str().unwrap().to_owned()))
    }

    fn pair(host: &str, text: &str) -> Result<(String, String), HostFault> {
        Ok((host.to_owned(), text.to_owned()))
    }

    #[test]
    fn the_host_is_lower_case_without_port_and_goes_upstream_as_it_came() {
        for (text, host) in [
            ("A.test:8080", "a.test"),
            ("a.test", "a.test"),
            ("a.test.", "a.test"),
            ("my_app-1", "my_app-1"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
        ] {
            assert_eq!(of("/p", Version::HTTP_11, &[("host", text)]), pair(host, text), "{text}");
        }
    }

    #[test]
    fn a_host_is_known_again_only_where_it_would_be_found_again() {
        let known = authority_of(&"/".parse().unwrap(), Version::HTTP_11, &map(&[("host", "A.test:8080")])).unwrap();
        let known = known.detached();
        for (target, version, lines) in [
            ("/", Version::HTTP_11, &[("host", "A.test:8080")][..]),
            ("/other", Version::HTTP_10, &[("host", "A.test:8080"), ("cookie", "a=1")]),
            ("https://A.test:8080/", Version::HTTP_2, &[]),
        ] {
            assert!(known.is_of(&target.parse().unwrap(), version, &map(lines)), "{target} {lines:?}");
            assert_eq!(authority_of(&target.parse().unwrap(), version, &map(lines)).as_ref(), Ok(&known));
        }
        for (target, version, lines) in [
            ("/", Version::HTTP_11, &[][..]),
            ("/", Version::HTTP_11, &[("host", "a.test:8080")]),
            ("/", Version::HTTP_11, &[("host", "A.test:8080"), ("host", "A.test:8080")]),
            ("http://other.test/", Version::HTTP_11, &[("host", "A.test:8080")]),
            ("http://A.test:8080/", Version::HTTP_11, &[]),
            ("ftp://A.test:8080/", Version::HTTP_2, &[]),
            ("A.test:8080", Version::HTTP_2, &[]),
            ("https://A.test:8080/", Version::HTTP_2, &[("host", "other.test")]),
        ] {
            assert!(!known.is_of(&target.parse().unwrap(), version, &map(lines)), "{target} {lines:?}");
        }
        let nameless = authority_of(&"/".parse().unwrap(), Version::HTTP_10, &map(&[])).unwrap();
        assert!(!nameless.is_of(&"/".parse().unwrap(), Version::HTTP_11, &map(&[])));
        assert!(!nameless.is_of(&"/".parse().unwrap(), Version::HTTP_11, &map(&[("host", "")])));
    }

    #[test]
    fn a_host_that_servers_read_in_different_ways_is_a_fault() {
        for (text, fault) in [
            ("", HostFault::Empty),
            (":80", HostFault::Empty),
            (".", HostFault::Empty),
            ("a, b", HostFault::List),
            ("u@a", HostFault::Userinfo),
            ("a/b", HostFault::Name),
            ("a b", HostFault::Name),
            ("caf\u{e9}", HostFault::Name),
            ("a%2eb", HostFault::Name),
            ("a..b", HostFault::Name),
            (".a", HostFault::Name),
            ("a:99999", HostFault::Port),
            ("a:+1", HostFault::Port),
            ("a:", HostFault::Port),
            ("a:1:2", HostFault::Port),
            ("::1", HostFault::Port),
            ("[::1", HostFault::Ipv6),
            ("[::x]", HostFault::Ipv6),
            ("[::1]a", HostFault::Port),
            ("[fe80::1%25eth0]", HostFault::Ipv6),
        ] {
            assert_eq!(of("/p", Version::HTTP_11, &[("host", text)]), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_target_that_is_no_path_and_no_url_does_not_name_the_host() {
        for target in ["admin", "a:1", "ftp://a/p"] {
            assert_eq!(of(target, Version::HTTP_11, &[("host", "b")]), Err(HostFault::Target), "{target}");
        }
        for target in ["/admin", "*", "http://b/p", "HTTPS://b/p"] {
            assert_eq!(of(target, Version::HTTP_11, &[("host", "b")]), pair("b", "b"), "{target}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_a_fault() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_bytes(b"caf\xc3\xa9\xff").unwrap());
        assert_eq!(authority_of(&Uri::from_static("/"), Version::HTTP_11, &headers), Err(HostFault::Name));
    }

    #[test]
    fn two_host_lines_are_a_fault_also_if_equal() {
        assert_eq!(of("/", Version::HTTP_11, &[("host", "a"), ("host", "a")]), Err(HostFault::Several));
    }

    #[test]
    fn a_missing_host_is_a_fault_since_http_1_1() {
        assert_eq!(of("/", Version::HTTP_11, &[]), Err(HostFault::Missing));
        assert_eq!(of("/", Version::HTTP_2, &[]), Err(HostFault::Missing));
        assert_eq!(of("http://a.test/", Version::HTTP_11, &[]), Err(HostFault::Missing));
        assert_eq!(of("/", Version::HTTP_10, &[]), pair("", ""));
    }

    #[test]
    fn an_absolute_target_wins_over_host() {
        let found = of("http://Evil.test:81/p", Version::HTTP_11, &[("host", "a.test")]);
        assert_eq!(found, pair("evil.test", "Evil.test:81"));
        assert_eq!(of("http://a.test/p", Version::HTTP_11, &[("host", "a, b")]), Err(HostFault::List));
        assert_eq!(of("http://u@a.test/p", Version::HTTP_11, &[("host", "a")]), Err(HostFault::Userinfo));
    }

    #[test]
    fn http_2_takes_authority_and_refuses_another_host() {
        assert_eq!(of("https://a.test/p", Version::HTTP_2, &[]), pair("a.test", "a.test"));
        assert_eq!(of("https://a.test/p", Version::HTTP_2, &[("host", "A.test")]), pair("a.test", "a.test"));
        assert_eq!(of("https://a.test/p", Version::HTTP_2, &[("host", "b.test")]), Err(HostFault::Contradiction));
        assert_eq!(of("/p", Version::HTTP_2, &[("host", "b.test")]), pair("b.test", "b.test"));
    }
}
