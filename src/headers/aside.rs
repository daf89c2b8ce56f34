//! Header lines of answers that no rule speaks of: laid aside as bytes, for whoever writes the head itself.
//!
//! Which names may be laid aside is a list of those that may, never of those that may not, and besides it what begins with
//! `X-`, where nothing but our own rules and the configuration gives a name a meaning: such a name is in the map as soon as
//! it resembles one of those. A name to which the configuration gives a meaning is taken off the list
//! ([`Passive::but_for`]). A line goes out as it came, so only one that is written as we would write it is laid aside. What
//! `Connection` names is no matter of this file: where it names any field, nothing may be laid aside.

use http::HeaderName;
use httparse::Header;

use super::{Guarded, names};

/// The names as they are mostly written, in the order of their lengths. Nothing reads, writes or removes these fields of
/// answers.
pub(super) const NAMES: [&str; 50] = [
    "Age",
    "NEL",
    "P3P",
    "Date",
    "ETag",
    "Link",
    "Pragma",
    "Server",
    "Alt-Svc",
    "Expires",
    "X-Cache",
    "Location",
    "Report-To",
    "X-Runtime",
    "Retry-After",
    "Content-Type",
    "X-Powered-By",
    "X-Robots-Tag",
    "Accept-Ranges",
    "Content-Range",
    "Last-Modified",
    "Server-Timing",
    "Referrer-Policy",
    "X-Frame-Options",
    "X-UA-Compatible",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "X-XSS-Protection",
    "Permissions-Policy",
    "X-Download-Options",
    "Content-Disposition",
    "Reporting-Endpoints",
    "Timing-Allow-Origin",
    "Origin-Agent-Cluster",
    "Access-Control-Max-Age",
    "X-Content-Type-Options",
    "X-DNS-Prefetch-Control",
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "Cross-Origin-Opener-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Cross-Origin-Embedder-Policy",
    "Cross-Origin-Resource-Policy",
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Credentials",
    "X-Permitted-Cross-Domain-Policies",
    "Content-Security-Policy-Report-Only",
];

/// For each length where its names begin; the next one is where they end.
const BEGINNINGS: [u8; 64] = beginnings();

const fn beginnings() -> [u8; 64] {
    let (mut beginnings, mut length) = ([0; 64], 0);
    while length < beginnings.len() {
        let mut at = 0;
        while at < NAMES.len() && NAMES[at].len() < length {
            at += 1;
        }
        beginnings[length] = at as u8;
        length += 1;
    }
    beginnings
}

/// Which names may be laid aside; at first none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passive {
    /// Of the list, a bit for each.
    listed: u64,
    own: Own,
}

impl Passive {
    /// All but those that are guarded.
    pub fn but_for(guarded: &Guarded) -> Self {
        let free = |name: &str| HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| !guarded.covers(&name));
        let names = NAMES.into_iter().enumerate();
        let listed = names.filter(|(_, name)| free(name)).fold(0, |bits, (at, _)| bits | 1 << at);
        Self { listed, own: Own::but_for(guarded.names().map(HeaderName::as_str)) }
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self.listed == 0
    }

    /// Whether a line of this name may be laid aside.
    #[inline]
    pub fn has(self, name: &str) -> bool {
        self.lists(name) || self.own.has(name.as_bytes())
    }

    fn lists(self, name: &str) -> bool {
        let name = name.as_bytes();
        let (Some([from, to]), Some(first)) = (BEGINNINGS.get(name.len()..name.len() + 2), name.first()) else {
            return false;
        };
        (*from..*to).any(|at| {
            let known = NAMES[usize::from(at)].as_bytes();
            known[0] | 0x20 == first | 0x20
                && self.listed & 1 << at != 0
                && (known == name || known.eq_ignore_ascii_case(name))
        })
    }
}

/// Names of applications' own: `X-`, then letters, digits and hyphens. Which of them mean something is told by length and
/// first letter, so that some which mean nothing are taken for such: a bit for each pair of these, several for one bit.
/// At first there are none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Own(u128);

impl Own {
    /// All but what resembles one of these, or a name that means something to one of our rules.
    fn but_for<'a>(guarded: impl Iterator<Item = &'a str>) -> Self {
        let rules = names::CLAIMS.into_iter().chain(names::FRAMING).filter(|name| name.starts_with("x-"));
        Self(guarded.chain(rules).fold(!0, |free, name| free & !pair_bit(name.as_bytes())))
    }

    fn has(self, name: &[u8]) -> bool {
        // Of `X-Forwarded-` there is any length.
        matches!(name, [b'x' | b'X', b'-', third, ..] if third | 0x20 != b'f')
            && self.0 & pair_bit(name) != 0
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    }
}

/// The bit of this name's length and of the letter behind `X-`: in any case, and what is no letter is all the same.
fn pair_bit(name: &[u8]) -> u128 {
    let letter = match name.get(2).map(|third| third | 0x20) {
        Some(letter @ b'a'..=b'z') => letter - b'a',
        Some(_) | None => 26,
    };
    1 << ((27 * name.len() + usize::from(letter)) % 128)
}

/// Lines of a head are in so many places at most. What is in more is not laid aside.
const PLACES_LAID: usize = 4;

/// Where the lines of a head are that were laid aside.
#[derive(Debug, Default)]
pub struct Laid {
    places: [(u16, u16); PLACES_LAID],
    count: u8,
    is_dated: bool,
}

/// What became of a line that was to be laid aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lay {
    /// It was.
    Done,
    /// It was not, and none that comes after it will be: lines of one name keep their order.
    NoRoom,
    /// It is not written as we would write it. Others of its name may be, and must not overtake it.
    Untidy,
}

impl Laid {
    /// Lays a line aside that was parsed in this head.
    pub fn lay(&mut self, head: &[u8], line: &Header<'_>) -> Lay {
        let Some((start, end)) = whole_line(head, line) else { return Lay::Untidy };
        let count = usize::from(self.count);
        match self.places[..count].last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            Some(_) | None if count == PLACES_LAID => return Lay::NoRoom,
            Some(_) | None => {
                self.places[count] = (start, end);
                self.count += 1;
            }
        }
        self.is_dated |= line.name.eq_ignore_ascii_case("date");
        Lay::Done
    }

    /// The lines, in the head that they are of.
    pub fn of<'a>(&'a self, head: &'a [u8]) -> Aside<'a> {
        Aside { head, places: &self.places[..usize::from(self.count)], is_dated: self.is_dated }
    }
}

/// Lines that were laid aside, each with its end; at first none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aside<'a> {
    head: &'a [u8],
    places: &'a [(u16, u16)],
    is_dated: bool,
}

impl<'a> Aside<'a> {
    /// Whether `Date` is among them.
    pub fn is_dated(&self) -> bool {
        self.is_dated
    }

    /// The lines.
    pub fn text(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { head, places, .. } = *self;
        places.iter().filter_map(move |&(start, end)| head.get(usize::from(start)..usize::from(end)))
    }
}

/// Where a line is, if it is written in the plainest way: one space before the value, nothing behind it but the line's
/// end.
fn whole_line(head: &[u8], line: &Header<'_>) -> Option<(u16, u16)> {
    let offset = |part: &[u8]| part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    let (start, value) = (offset(line.name.as_bytes()), offset(line.value));
    let (colon, end) = (start.checked_add(line.name.len())?, value.checked_add(line.value.len())?);
    let is_plain =
        value == colon.checked_add(2)? && head.get(colon..value)? == b": " && head.get(end..)?.starts_with(b"\r\n");
    let place = |at: usize| u16::try_from(at).ok();
    place(start).zip(place(end + 2)).filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Seen, *};

    fn all() -> Passive {
        Passive::but_for(&Guarded::default())
    }

    #[test]
    fn names_stand_in_the_order_of_their_lengths() {
        assert!(NAMES.is_sorted_by_key(|name| name.len()) && NAMES.len() <= 64);
        assert!(NAMES.iter().all(|name| name.parse::<HeaderName>().is_ok()));
        assert!(NAMES.iter().all(|name| NAMES.iter().filter(|other| *other == name).count() == 1));
    }

    #[test]
    fn a_passive_name_is_known_in_any_case_and_no_other_is() {
        for name in NAMES {
            assert!(all().has(name) && all().has(&name.to_uppercase()) && all().has(&name.to_lowercase()), "{name}");
            assert!(!Passive::default().has(name));
            let odd = name.replace('-', "_");
            for other in [&name[1..], &name[..name.len() - 1], &format!("{name}s"), &format!("y-{name}"), &odd] {
                let known = NAMES.iter().any(|name| name.eq_ignore_ascii_case(other));
                assert_eq!(all().has(other), known || all().own.has(other.as_bytes()), "{other}");
            }
        }
        for other in ["", "x", "x-", "set-cookie", "vary", "cache-control", &"x".repeat(300)] {
            assert!(!all().has(other), "{other}");
        }
    }

    #[test]
    fn what_begins_with_x_is_passive_unless_it_resembles_what_means_something() {
        let names = ["x-session", "x-session-update", "x-session-control", "X_Auth.User"];
        let left = Passive::but_for(&Guarded::new(names.map(|name| name.parse().unwrap())));
        for name in ["X-Own", "x-a-1", "X-Replace-Session", "x-sessions", "X-1", &format!("X-{}", "a".repeat(300))] {
            assert!(left.has(name) && !Passive::default().has(name), "{name}");
        }
        let resembling = ["x-seasons", "X-SESSION-CONTROL", "x-auth-user", "X-Auth.User", "x-auto-date", "x-session"];
        let rules = ["x-request-id", "X-Forwarded-For", "X-Forwarded", "x-forwarded-else", "x-real-ip", "x-scheme"];
        for name in
            resembling.into_iter().chain(rules).chain(["x-a_b", "x-", "x", "y-own", "x_own", "xown", "x--\u{e9}"])
        {
            assert!(!left.has(name), "{name}");
        }
    }

    proptest! {
        /// Whatever is laid aside is not looked at: no rule may have had anything to say of it.
        #[test]
        fn nothing_passive_is_guarded_or_marked(
            guarded in prop::collection::vec("[xX][-_.][a-z0-9._-]{1,9}", 0..5),
            name in prop_oneof![
                "[xX]-[a-zA-Z0-9-]{1,9}",
                "[a-zA-Z-]{1,20}",
                prop::sample::select(names::CLAIMS.into_iter().chain(names::FRAMING).collect::<Vec<_>>()).prop_map(str::to_owned),
                "x-forwarded-[a-z-]{0,60}",
            ],
            takes in any::<prop::sample::Index>(),
            own in any::<bool>(),
        ) {
            let chosen = if own && !guarded.is_empty() { takes.get(&guarded).replace(['_', '.'], "-") } else { name };
            let guarded = Guarded::new(guarded.iter().map(|name| name.parse().unwrap()));
            let name: HeaderName = chosen.parse().unwrap();
            let map = [(name.clone(), http::HeaderValue::from_static("a"))].into_iter().collect();
            if Passive::but_for(&guarded).has(&chosen) {
                prop_assert!(!guarded.covers(&name), "{} is guarded", name);
                prop_assert_eq!(Seen::of(&map, &guarded), Seen::default(), "{} is marked", name);
            }
        }
    }

    #[test]
    fn a_name_that_means_something_here_is_passive_no_more() {
        let guarded = Guarded::new(["x-powered-by", "last_modified", "x-user"].map(HeaderName::from_static));
        let left = Passive::but_for(&guarded);
        for name in NAMES {
            assert_eq!(left.has(name), !["X-Powered-By", "Last-Modified"].contains(&name), "{name}");
        }
        assert!(Passive::but_for(&Guarded::new(NAMES.map(|name| name.parse().unwrap()))).is_none());
    }

    /// The lines that were laid aside, how many were not, and whether there is a date.
    fn laid(text: &str) -> (String, usize, bool) {
        let (mut places, mut laid) = ([httparse::EMPTY_HEADER; 100], Laid::default());
        let mut parsed = httparse::Response::new(&mut places);
        assert!(parsed.parse(text.as_bytes()).unwrap().is_complete());
        let may = |line: &Header<'_>| all().has(line.name);
        let rest =
            parsed.headers.iter().filter(|line| !(may(line) && laid.lay(text.as_bytes(), line) == Lay::Done)).count();
        let aside = laid.of(text.as_bytes());
        let found: Vec<u8> = aside.text().flatten().copied().collect();
        (String::from_utf8(found).unwrap(), rest, aside.is_dated())
    }

    #[test]
    fn lines_go_out_as_they_came() {
        for (text, wanted, rest) in [
            ("", "", 0),
            ("X: 1\r\n", "", 1),
            ("Server: a\r\ndate: b\r\n", "Server: a\r\ndate: b\r\n", 0),
            ("Server: a\r\nX: 1\r\nETag: \"c d\"\r\nX: 2\r\n", "Server: a\r\nETag: \"c d\"\r\n", 2),
            ("Server: a\tb\r\nSERVER: c\r\n", "Server: a\tb\r\nSERVER: c\r\n", 0),
            // What we would write in another way is left to those who write it.
            ("Server:a\r\n", "", 1),
            ("Server:  a\r\n", "", 1),
            ("Server: \ta\r\n", "", 1),
            ("Server:\ta\r\n", "", 1),
            ("Server: a \r\n", "", 1),
            ("Server: a\t\r\n", "", 1),
            ("Server: a\n", "", 1),
            ("Server:\r\n", "", 1),
            ("Server: \r\n", "Server: \r\n", 0),
        ] {
            let (found, left, _) = laid(&format!("HTTP/1.1 200 OK\r\n{text}\r\nbody"));
            assert_eq!((found.as_str(), left), (wanted, rest), "{text:?}");
        }
        let (found, ..) = laid("HTTP/1.1 200 OK\r\nServer: caf\u{e9}\r\n\r\n");
        assert_eq!(found, "Server: caf\u{e9}\r\n");
    }

    #[test]
    fn what_is_in_too_many_places_or_too_far_off_is_not_laid_aside() {
        let (found, rest, _) =
            laid(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "Age: 1\r\nX: 2\r\n".repeat(PLACES_LAID + 2)));
        assert_eq!((found, rest), ("Age: 1\r\n".repeat(PLACES_LAID), PLACES_LAID + 4));
        let far = |length: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\nAge: 1\r\nAge: 2\r\n\r\n", "x".repeat(length));
        let before = far(0).len() - "Age: 2\r\n\r\n".len();
        let last = usize::from(u16::MAX) - before;
        assert_eq!(laid(&far(last)).0, "Age: 1\r\n");
        assert_eq!(laid(&far(last - 8)).0, "Age: 1\r\nAge: 2\r\n");
        assert_eq!(laid(&far(last + 1)).0, "");
    }

    #[test]
    fn whether_there_is_a_date_is_known() {
        for (text, dated) in
            [("Date: x\r\n", true), ("Server: a\r\nDATE: x\r\n", true), ("Date:x\r\n", false), ("Age: 1\r\n", false)]
        {
            assert_eq!(laid(&format!("HTTP/1.1 200 OK\r\n{text}\r\n")).2, dated, "{text:?}");
        }
    }

    #[test]
    fn a_line_of_another_head_is_not_laid_aside() {
        let (head, other) = (*b"Age: 1\r\n", String::from("Age: 1\r\n"));
        let line = Header { name: &other[..3], value: &other.as_bytes()[5..6] };
        assert_eq!(Laid::default().lay(&head, &line), Lay::Untidy);
    }
}
