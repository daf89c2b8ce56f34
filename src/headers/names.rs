//! Names that this room needs and that crate `http` does not hold, and the sets of names that rules speak of.
//!
//! All are lower case, as [`HeaderName::as_str`] is. No rule is applied here.

use http::HeaderName;

use super::fold;

macro_rules! names {
    ($($constant:ident = $text:literal;)*) => {
        $(pub(super) const $constant: HeaderName = HeaderName::from_static($text);)*
    };
}

names! {
    KEEP_ALIVE = "keep-alive";
    PROXY_CONNECTION = "proxy-connection";
    PROXY = "proxy";
    X_FORWARDED_FOR = "x-forwarded-for";
    X_FORWARDED_PROTO = "x-forwarded-proto";
    X_FORWARDED_HOST = "x-forwarded-host";
    X_REQUEST_ID = "x-request-id";
    CDN_CACHE_CONTROL = "cdn-cache-control";
    SURROGATE_CONTROL = "surrogate-control";
}

/// Every name that begins like this is a claim.
pub(super) const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Claims about where a request came from, or what it asked for, which applications believe. `x-forwarded-*` besides.
pub(super) const CLAIMS: [&str; 12] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
];

/// Framing and hop-by-hop names that have a look-alike: one that CGI, WSGI and PHP read as the name itself.
pub(super) const FRAMING: [&str; 6] =
    ["transfer-encoding", "content-length", "keep-alive", "proxy-connection", "proxy-authorization", "x-request-id"];

/// Whether `name`, folded, is a claim about the client (threats S-15).
pub fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'x' | b'f' | b't') => {}
        _ => return false,
    }
    fold::starts_with(name, FORWARDED_PREFIX) || CLAIMS.iter().any(|claim| fold::same(name, claim))
}

/// Whether `name` is not a framing or hop-by-hop name but folds to one, like `transfer_encoding` (threats F-06).
pub(super) fn is_framing_lookalike(name: &HeaderName) -> bool {
    let name = name.as_str();
    FRAMING.iter().any(|framing| fold::same(name, framing) && name != *framing)
}

/// Whether `name` is a claim in another spelling than its own, like `x_forwarded_for`. No proxy writes these.
pub(super) fn is_claim_lookalike(name: &HeaderName) -> bool {
    fold::is_unusual(name.as_str()) && is_claim(name)
}
