//! One element of `Forwarded` (RFC 7239 §4): reading `for`, `host` and `proto`, and writing them.
//!
//! Reading never fails: what is malformed says nothing. Writing quotes whatever is no token, IPv6 in brackets (§6).

use std::net::{IpAddr, SocketAddr};

use super::trim;

/// What one element says; unquoted.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Element {
    pub(super) node: Option<String>,
    pub(super) proto: Option<String>,
}

/// The elements of a whole `Forwarded` value, in order.
pub(super) fn elements(value: &[u8]) -> Vec<Element> {
    split_unquoted(value, b',').into_iter().filter(|element| !element.is_empty()).map(element).collect()
}

fn element(text: &[u8]) -> Element {
    let mut found = Element::default();
    for pair in split_unquoted(text, b';') {
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = (trim(&pair[..equals]), unquote(trim(&pair[equals + 1..])));
        if name.eq_ignore_ascii_case(b"for") {
            found.node = value;
        } else if name.eq_ignore_ascii_case(b"proto") {
            found.proto = value;
        }
    }
    found
}

fn split_unquoted(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        byte == separator && !quoted
    })
    .map(trim)
    .collect()
}

fn unquote(value: &[u8]) -> Option<String> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        [b'"', ..] => return None,
        token => token,
    };
    Some(std::str::from_utf8(inner).ok()?.replace('\\', ""))
}

/// The address in a `for` value or an element of `X-Forwarded-For`: with or without port, IPv6 with or without brackets.
pub(super) fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    bare.parse()
        .or_else(|_| node.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

/// Writes `for=…;host=…;proto=…`, without `host` if it is empty.
pub(super) fn write(node: Option<IpAddr>, host: &[u8], proto: &str, out: &mut Vec<u8>) {
    write_node(node, out);
    if !host.is_empty() {
        out.extend_from_slice(b";host=");
        write_value(host, out);
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(proto.as_bytes());
}

/// Writes `for=…` (RFC 7239 §6): IPv6 quoted and in brackets, `unknown` for what has no address.
pub(super) fn write_node(node: Option<IpAddr>, out: &mut Vec<u8>) {
    let (before, after) = match node {
        None => return out.extend_from_slice(b"for=unknown"),
        Some(IpAddr::V4(_)) => ("for=", ""),
        Some(IpAddr::V6(_)) => ("for=\"[", "]\""),
    };
    out.extend_from_slice(before.as_bytes());
    node.iter().for_each(|ip| write_address(*ip, out));
    out.extend_from_slice(after.as_bytes());
}

/// Writes an address as text. Numbers of IPv4 go without the formatter: every request has one.
pub(super) fn write_address(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V6(ip) => out.extend_from_slice(ip.to_string().as_bytes()),
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                if octet > 99 {
                    out.push(b'0' + octet / 100);
                }
                if octet > 9 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
    }
}

fn write_value(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for piece in value.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
        match piece {
            [before @ .., special @ (b'"' | b'\\')] => {
                out.extend_from_slice(before);
                out.extend_from_slice(&[b'\\', *special]);
            }
            plain => out.extend_from_slice(plain),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_outside_quotes_only() {
        let found =
            elements(b"For=\"[2001:db8::1]:4711\";proto=https;by=\"a,b;proto=http\", for=192.0.2.1 , ;proto = HTTP");
        let nodes: Vec<_> = found.iter().map(|e| (e.node.as_deref(), e.proto.as_deref())).collect();
        assert_eq!(
            nodes,
            [(Some("[2001:db8::1]:4711"), Some("https")), (Some("192.0.2.1"), None), (None, Some("HTTP"))]
        );
    }

    #[test]
    fn addresses_are_found_with_and_without_port() {
        for (node, ip) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(node), Some(ip.parse().unwrap()), "{node}");
        }
        for node in ["", "unknown", "_hidden", "a.test"] {
            assert_eq!(address(node), None, "{node}");
        }
    }
}
