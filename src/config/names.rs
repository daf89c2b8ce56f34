//! Header names that the configuration may give to something of its own, and those that have a meaning already.

use http::HeaderName;

use super::{faults::Report, file::Node, units};
use crate::headers::is_claim;

/// Names that mean something to browsers, proxies or applications, as [`fold`] writes them.
const TAKEN: &[&str] = &[
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "referrer-policy",
    "retry-after",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-request-id",
    "cdn-cache-control",
    "surrogate-control",
];
const TAKEN_FAMILIES: &[&str] = &["accept", "access-control-", "content-", "if-", "proxy-", "sec-", "x-forwarded-"];

/// What clients say of the user may be said of the user by the session as well.
const OF_THE_USER: &[&str] = &["accept-language", "authorization", "from"];

/// What a name is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearing {
    /// Token, update or control.
    Ours,
    /// A request header made of session data.
    Injected,
    /// A response header that is kept in the session.
    Captured,
}

/// Reads a header name that has no meaning yet.
pub(super) fn header_name(text: &str, node: &Node, report: &Report, bearing: Bearing) -> Option<HeaderName> {
    let cure = match bearing {
        Bearing::Ours => "write a name of your own, such as \"X-Session\"",
        Bearing::Injected => "write a name of the application's own, such as X-Remote-User",
        Bearing::Captured => "write a name of the application's own, such as X-Auth-User",
    };
    let Ok(name) = text.parse::<HeaderName>() else {
        return units::fault(node, report, &format!("\"{text}\" is not a header name"), cure);
    };
    let folded = fold(&name);
    let in_family = TAKEN_FAMILIES.iter().any(|family| folded.starts_with(family));
    let excused = bearing == Bearing::Injected && OF_THE_USER.contains(&folded.as_str());
    let claim = bearing == Bearing::Injected && is_claim(&name);
    if (TAKEN.contains(&folded.as_str()) || in_family || claim) && !excused {
        return units::fault(node, report, &format!("{name} has a meaning already"), cure);
    }
    Some(name)
}

/// Names that CGI, WSGI and PHP cannot tell apart are one name (contract section 4).
pub(super) fn fold(name: &HeaderName) -> String {
    name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
