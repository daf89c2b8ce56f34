//! Header hygiene: what may pass between a browser and an application, and what each is told about the other.
//!
//! Every function takes a [`HeaderMap`](http::HeaderMap) and facts about the connection; none opens a socket, reads a
//! clock or writes a log, and none imports another room. The order on the way in is fixed (threats, section 1): refuse
//! bytes that servers read in different ways ([`HeadScan`], [`Chunks`]), refuse a bad host ([`authority_of`]), remove our own names ([`Guarded::strip`]), note the upgrade ([`upgrade_of`]),
//! remove hop-by-hop fields ([`strip_request_hop_by_hop`]), rewrite the forwarding fields ([`rewrite_forwarding`]), and
//! only then inject. What a head lacks is known from one look at its names ([`Seen`]).
//! Lines of answers of which no rule speaks ([`Passive`]), or that are for us alone ([`ToUs`]), may never come into a map at all. Removing a field may reorder *different* names; lines of one name keep their order.

mod accept;
mod aside;
mod caching;
mod chunks;
mod expect;
mod fold;
mod forwarded;
mod forwarded_element;
mod head;
mod hop;
mod host;
mod line;
mod max_forwards;
mod names;
mod navigation;
mod request_id;
mod scheme;
mod seen;
mod told;
mod trailer;
mod upgrade;
mod via;

pub use accept::asks_for_html;
pub use aside::{Aside, Laid, Lay, Passive};
pub use caching::{forbid_shared_caching, vary_on_cookie};
pub use chunks::{ChunkFault, Chunks, Piece};
pub use expect::{Expectation, expectation_of};
pub use fold::Guarded;
pub use forwarded::{Inbound, Peer, Trust, introduce, rewrite_forwarding, strip_claims};
pub use head::{Announced, Framing, HeadBounds, HeadFault, HeadScan, announced_by};
pub use hop::{frame_unknown_length, strip_request_hop_by_hop, strip_response_hop_by_hop};
pub use host::{Authority, HostFault, authority_of};
pub use line::{field, lists, trailers, value};
pub use max_forwards::{Reach, count_forward};
pub use names::is_claim;
pub use navigation::is_navigation;
pub use request_id::{RequestId, accepted_request_id, strip_request_id};
pub use scheme::{Scheme, SchemePolicy, is_loopback_host, scheme_of, unclaimed_scheme};
pub use seen::{Mark, Seen};
pub use told::{Tell, ToUs, Told};
pub use trailer::{strip_announcements, strip_trailers};
pub use upgrade::upgrade_of;
pub use via::{append_via, passes_through_us};

/// The elements of a comma-separated field value, trimmed, empty ones left out (RFC 9110 §5.6.1). Quotes mean nothing
/// here: use it for lists of tokens only. Bytes that are no text spoil their own element and no other.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// The elements of all lines of one field.
fn list_of<'a>(headers: &'a http::HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().flat_map(|line| list(line.as_bytes()))
}

/// `text` without outer white space as HTTP means it: SP and HTAB (RFC 9110 §5.6.3).
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// All lines of one field as one list in one line, in order; `None` if there is no line that says anything.
fn joined(headers: &http::HeaderMap, name: &http::HeaderName) -> Option<Vec<u8>> {
    let mut whole: Vec<u8> = Vec::new();
    for line in headers.get_all(name) {
        let line = trim(line.as_bytes());
        if line.is_empty() {
            continue;
        }
        if !whole.is_empty() {
            whole.extend_from_slice(b", ");
        }
        whole.extend_from_slice(line);
    }
    (!whole.is_empty()).then_some(whole)
}

/// Removes every field that `unwanted` picks; allocates nothing if there is none.
fn remove_where(headers: &mut http::HeaderMap, unwanted: impl Fn(&http::HeaderName) -> bool) -> bool {
    let mut found = Vec::new();
    for name in headers.keys() {
        if unwanted(name) {
            found.push(name.clone());
        }
    }
    for name in &found {
        headers.remove(name);
    }
    !found.is_empty()
}

#[cfg(test)]
mod testing {
    use http::{HeaderMap, HeaderName, HeaderValue};

    /// A map of raw lines, in order.
    pub(super) fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    /// All lines of one name, as text.
    pub(super) fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).into_iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
    }

    /// All names, sorted.
    pub(super) fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }
}
