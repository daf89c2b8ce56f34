//! What a head has that some rule speaks of, found in one pass over its names.
//!
//! Most rules are about fields that most messages do not have: whoever knows that need not look for them one by one. A
//! mark may be there without its field, never the other way round, so a rule that is skipped for want of its mark would
//! have done nothing. Marks are of the head as it was when it was looked at: look before anything is put in.

use http::{HeaderMap, HeaderName};

use super::{Guarded, fold, names};

/// What rules speak of, in requests and responses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// A name that is guarded.
    Ours,
    /// `Connection`.
    Connection,
    /// `Transfer-Encoding`.
    Coding,
    /// Other fields of one connection only, in one direction at least, and look-alikes of framing fields.
    Hop,
    /// A claim about the client, in any spelling.
    Claim,
    /// `X-Request-Id`, in any spelling.
    RequestId,
    /// `Accept`.
    Accept,
    /// `Cookie`.
    Cookie,
    /// `Expect`.
    Expect,
    /// `Set-Cookie`.
    SetCookie,
    /// `Trailer`.
    Trailer,
    /// `Upgrade`.
    Upgrade,
    /// `Via`.
    Via,
}

/// The marks of a head.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen(u16);

impl Seen {
    /// Looks at every name once.
    pub fn of(headers: &HeaderMap, guarded: &Guarded) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            if guarded.covers(name) {
                seen.note(Mark::Ours);
            }
            if may_matter(name.as_str()) {
                seen.note_name(name);
            }
        }
        seen
    }

    /// Whether the head may have it.
    pub fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u16 != 0
    }

    /// Notes what is of the head and not among its names.
    pub fn note(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u16;
    }

    fn note_name(&mut self, name: &HeaderName) {
        match name.as_str() {
            // Nearly every message has these, and no rule is about their names.
            "content-length" | "host" => {}
            "connection" => self.note(Mark::Connection),
            "transfer-encoding" => self.note(Mark::Coding),
            "accept" => self.note(Mark::Accept),
            "cookie" => self.note(Mark::Cookie),
            "expect" => self.note(Mark::Expect),
            "set-cookie" => self.note(Mark::SetCookie),
            "trailer" => self.note(Mark::Trailer),
            "via" => self.note(Mark::Via),
            "upgrade" => {
                self.note(Mark::Upgrade);
                self.note(Mark::Hop);
            }
            plain if HOP.contains(&plain) => self.note(Mark::Hop),
            _ => self.note_folded(name),
        }
    }

    /// Names that count in any spelling.
    fn note_folded(&mut self, name: &HeaderName) {
        if fold::same(name.as_str(), names::X_REQUEST_ID.as_str()) {
            self.note(Mark::RequestId);
        }
        if names::is_claim(name) {
            self.note(Mark::Claim);
        }
        if names::is_framing_lookalike(name) {
            self.note(Mark::Hop);
        }
    }
}

/// Fields of one connection only, but for those with a mark of their own.
const HOP: [&str; 8] = [
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
];

/// The names with a mark of their own.
const OWN: [&str; 9] =
    ["accept", "connection", "cookie", "expect", "set-cookie", "trailer", "transfer-encoding", "upgrade", "via"];

/// For each length (63: that and more) the first letters of names with a mark: bit 0 is `a`. No first letter of those
/// names folds to anything else.
const INITIALS: [u32; 64] = initials();

const fn initials() -> [u32; 64] {
    let mut table = [0; 64];
    let lists: [&[&str]; 4] = [&HOP, &OWN, &names::CLAIMS, &names::FRAMING];
    let mut list = 0;
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            let name = lists[list][at].as_bytes();
            table[name.len()] |= 1 << (name[0] - b'a');
            at += 1;
        }
        list += 1;
    }
    let mut length = names::FORWARDED_PREFIX.len();
    while length < table.len() {
        table[length] |= 1 << (b'x' - b'a');
        length += 1;
    }
    table
}

/// Whether a name has the length and the first letter of one with a mark.
fn may_matter(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(letter @ b'a'..=b'z') => INITIALS[name.len().min(63)] & 1 << (letter - b'a') != 0,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Version};

    use super::super::{
        RequestId, accepted_request_id, append_via, aside::NAMES, forbid_shared_caching, passes_through_us,
        strip_announcements, strip_claims, strip_request_hop_by_hop, strip_request_id, strip_response_hop_by_hop,
        testing::map, upgrade_of, vary_on_cookie,
    };
    use super::*;

    const ALL: Seen = Seen(u16::MAX);

    fn guarded() -> Guarded {
        Guarded::new(["x-session", "x-session-update", "remote-user"].map(HeaderName::from_static))
    }

    /// Every name that some rule speaks of, what looks like it, and what nearly does.
    fn spellings() -> Vec<String> {
        let known = HOP.iter().chain(&OWN).chain(&names::CLAIMS).chain(&names::FRAMING).copied();
        let more =
            ["x-forwarded-for", "x-forwarded-", "x-session", "x-session-update", "remote-user", "host", "te2", "v"];
        let long = ["x-forwarded-", &"y".repeat(90)].concat();
        let plain = known.chain(more).map(str::to_owned).chain([long]);
        plain
            .flat_map(|name| {
                let (head, tail) = name.split_at(1);
                let variants = ['_', '.', '~', '!'].map(|odd| name.replace('-', &odd.to_string()));
                let others = [format!("_{tail}"), format!("{name}x"), format!("{head}{tail}-"), tail.to_owned()];
                variants
                    .into_iter()
                    .chain(others)
                    .chain([name.clone()])
                    .filter(|name| !name.is_empty())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// What the rules make of a head when those without a mark are skipped.
    fn outcome(sent: &HeaderMap, seen: Seen) -> (HeaderMap, HeaderMap, Option<RequestId>, Option<HeaderValue>, usize) {
        let (mut request, mut response) = (sent.clone(), sent.clone());
        let id = if seen.has(Mark::RequestId) { accepted_request_id(&request) } else { None };
        if seen.has(Mark::Ours) {
            guarded().strip(&mut request);
            guarded().strip(&mut response);
        }
        let passes = if seen.has(Mark::Via) { passes_through_us(&request) } else { 0 };
        let wish = upgrade_of(&Method::GET, &Version::HTTP_11, &request).filter(|_| seen.has(Mark::Upgrade));
        strip_request_hop_by_hop(&mut request, &guarded(), seen);
        strip_response_hop_by_hop(&mut response, &guarded(), seen);
        if seen.has(Mark::Trailer) {
            strip_announcements(&mut request, &guarded());
            strip_announcements(&mut response, &guarded());
        }
        if seen.has(Mark::RequestId) {
            strip_request_id(&mut request);
            strip_request_id(&mut response);
        }
        if seen.has(Mark::Claim) {
            strip_claims(&mut request);
        }
        append_via(&mut request, Version::HTTP_11);
        (request, response, id, wish, passes)
    }

    fn agrees(sent: &[(&str, &str)]) {
        let sent = map(sent);
        let seen = Seen::of(&sent, &guarded());
        assert_eq!(outcome(&sent, seen), outcome(&sent, ALL), "{sent:?} {seen:?}");
    }

    #[test]
    fn a_rule_without_its_mark_would_have_done_nothing() {
        for name in spellings() {
            agrees(&[(&name, "trailers")]);
            for other in ["connection", "upgrade", "transfer-encoding", "trailer", "via", "x_request_id"] {
                agrees(&[("content-length", "3"), (&name, "1.1 cloakroom"), (other, &name)]);
                agrees(&[(other, "upgrade"), (&name, "websocket"), ("host", "a"), (other, &name)]);
            }
        }
    }

    #[test]
    fn no_rule_speaks_of_a_name_that_may_be_laid_aside() {
        for name in NAMES {
            let sent = map(&[(name, "a"), (name, "b")]);
            assert_eq!(Seen::of(&sent, &guarded()), Seen::default(), "{name}");
            let mut left = outcome(&sent, ALL).1;
            vary_on_cookie(&mut left);
            forbid_shared_caching(&mut left);
            RequestId::fresh(&[b'1'; 32]).put_into(&mut left);
            for added in ["vary", "cache-control", "x-request-id"] {
                assert!(left.remove(added).is_some());
            }
            assert_eq!(left, sent);
        }
    }

    #[test]
    fn each_mark_is_that_of_its_field() {
        for name in spellings() {
            let sent = map(&[(&name, "1"), ("host", "a"), ("user-agent", "b"), (&name, "2")]);
            let seen = Seen::of(&sent, &guarded());
            let own = [
                (Mark::Accept, "accept"),
                (Mark::Connection, "connection"),
                (Mark::Coding, "transfer-encoding"),
                (Mark::Cookie, "cookie"),
                (Mark::Expect, "expect"),
                (Mark::SetCookie, "set-cookie"),
                (Mark::Trailer, "trailer"),
                (Mark::Upgrade, "upgrade"),
                (Mark::Via, "via"),
            ];
            for (mark, field) in own {
                assert_eq!(seen.has(mark), name == field, "{name} {mark:?}");
            }
            let parsed: HeaderName = name.parse().unwrap();
            assert_eq!(seen.has(Mark::Claim), names::is_claim(&parsed), "{name}");
            assert_eq!(seen.has(Mark::Ours), guarded().covers(&parsed), "{name}");
            assert_eq!(seen.has(Mark::RequestId), fold::same(&name, "x-request-id"), "{name}");
            let hop = HOP.contains(&&*name) || name == "upgrade" || names::is_framing_lookalike(&parsed);
            assert_eq!(seen.has(Mark::Hop), hop, "{name}");
        }
        assert_eq!(Seen::of(&HeaderMap::new(), &guarded()), Seen::default());
    }
}
