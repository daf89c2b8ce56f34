//! Host patterns: an exact host, or `*.` and a domain for one or more labels before it (never the domain itself).
//!
//! Kept in lower case and without a trailing dot; hosts are compared the same way.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use super::PatternFault;

/// Which hosts a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host below this domain.
    Below(String),
}

impl HostPattern {
    /// Reads `shop.example.com`, `[::1]` or `*.example.com`.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<HostPattern, PatternFault> {
        let lower = canonical(text).into_owned();
        if lower.starts_with('[') {
            return parse_ipv6(lower);
        }
        check_shape(text)?;
        let (domain, pattern): (&str, fn(String) -> HostPattern) = match lower.strip_prefix("*.") {
            Some(domain) => (domain, HostPattern::Below),
            None => (&lower, HostPattern::Exact),
        };
        if domain.contains('*') {
            let problem = format!("{text:?} has `*` elsewhere than as its first label");
            return Err(PatternFault::new(problem, "write \"*.example.com\", or a route for each host"));
        }
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
        };
        if domain.len() > 253 || !domain.split('.').all(is_label) {
            let cure = "write a name like \"shop.example.com\"; names that are not ASCII in their `xn--` form";
            return Err(PatternFault::new(format!("{text:?} is not a host name"), cure));
        }
        Ok(pattern(domain.to_owned()))
    }

    /// The domain: the host itself, or that below which the hosts are.
    pub(super) fn domain(&self) -> &str {
        match self {
            HostPattern::Exact(domain) | HostPattern::Below(domain) => domain,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => out.write_str(host),
            HostPattern::Below(domain) => write!(out, "*.{domain}"),
        }
    }
}

fn parse_ipv6(lower: String) -> Result<HostPattern, PatternFault> {
    let inner = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()) {
        return Ok(HostPattern::Exact(lower));
    }
    Err(PatternFault::new(format!("{lower:?} is not an IPv6 address in brackets"), "write \"[::1]\", without port"))
}

fn check_shape(text: &str) -> Result<(), PatternFault> {
    let (problem, cure) = if matches!(text, "" | "*" | "*.") {
        ("is every host", "leave `host` out".to_owned())
    } else if let Some((_, rest)) = text.split_once("://") {
        ("is a URL", format!("write {:?}", rest.split(['/', ':']).next().unwrap_or_default()))
    } else if text.parse::<Ipv6Addr>().is_ok() {
        ("lacks its brackets", format!("write \"[{text}]\""))
    } else if let Some((host, _)) = text.split_once(':') {
        ("has a port", format!("write {host:?}: routes are for every port"))
    } else if let Some((host, _)) = text.split_once('/') {
        ("has a path", format!("write `host = {host:?}` and the rest as `path`"))
    } else if let Some(domain) = text.strip_prefix('.') {
        ("starts with a dot", format!("write \"*.{domain}\""))
    } else {
        return Ok(());
    };
    Err(PatternFault::new(format!("{text:?} {problem}"), cure))
}

/// The host in lower case and without trailing dot; allocates only if it has capitals.
pub(super) fn canonical(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// Whether a canonical host lies below a canonical domain.
pub(super) fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')).is_some_and(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_in_any_case() {
        for (text, pattern) in [
            ("Shop.Example.com.", HostPattern::Exact("shop.example.com".into())),
            ("*.Example.com", HostPattern::Below("example.com".into())),
            ("[::1]", HostPattern::Exact("[::1]".into())),
            ("127.0.0.1", HostPattern::Exact("127.0.0.1".into())),
        ] {
            assert_eq!(HostPattern::parse(text), Ok(pattern), "{text}");
        }
        assert_eq!(HostPattern::parse("*.a.b").unwrap().to_string(), "*.a.b");
    }

    #[test]
    fn faults_say_what_to_write_instead() {
        for (text, cure) in [
            ("", "leave `host` out"),
            ("*", "leave `host` out"),
            ("a.test:80", "write \"a.test\""),
            ("https://a.test/x", "write \"a.test\""),
            ("a.test/x", "`host = \"a.test\"`"),
            (".a.test", "write \"*.a.test\""),
            ("::1", "write \"[::1]\""),
            ("[::1]:80", "write \"[::1]\""),
            ("a.*", "\"*.example.com\""),
            ("*a.test", "\"*.example.com\""),
            ("*.*.test", "\"*.example.com\""),
            ("*.", "leave `host` out"),
            ("a..b", "shop.example.com"),
            ("a b", "shop.example.com"),
            ("b\u{fc}cher.de", "xn--"),
        ] {
            let fault = HostPattern::parse(text).unwrap_err();
            assert!(fault.cure.contains(cure), "{text:?}: {fault}");
        }
    }

    #[test]
    fn a_domain_is_not_below_itself() {
        assert!(is_below("a.b.test", "b.test"));
        assert!(is_below("x.a.b.test", "b.test"));
        assert!(!is_below("b.test", "b.test"));
        assert!(!is_below("ab.test", "b.test"));
        assert!(!is_below(".b.test", "b.test"));
    }
}
