//! An application's `Set-Cookie` line, read as browsers read it (RFC 6265bis §5.6), for cookies that shall not reach one.
//!
//! Name and value are bytes as they were sent. Of the attributes only those that matter away from a browser are looked
//! at: `Path`, `Max-Age`, `Expires`; the last of each counts. Dates are read by crate `cookie`.

use std::time::Duration;

use cookie::Cookie;

use super::LONGEST_MAX_AGE;
use super::scan::{pieces, split_pair, trim};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// Never empty.
    pub name: &'a [u8],
    /// Trimmed of white space.
    pub value: &'a [u8],
    /// Begins with a slash; `None`: that of the request.
    pub path: Option<&'a [u8]>,
    /// How long it is kept.
    pub life: Life,
}

/// How long a cookie is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As long as the session.
    Session,
    /// So long from now (`Max-Age`); at most 400 days.
    Span(Duration),
    /// Until so many milliseconds after the epoch (`Expires`); before the epoch is at the epoch.
    Until(u64),
    /// It is deleted.
    Over,
}

/// Longer values of attributes are not looked at.
const LONGEST_ATTRIBUTE: usize = 1024;

impl<'a> SetCookie<'a> {
    /// Reads a line; `None` for one without a name, which is no cookie that could be told apart.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = pieces(line);
        let (name, value) = split_pair(parts.next()?).filter(|(name, _)| !name.is_empty())?;
        let mut cookie = SetCookie { name, value: trim(value), path: None, life: Life::Session };
        let (mut max_age, mut expires) = (None, None);
        for part in parts {
            let (key, value) = split_pair(part).map_or((trim(part), &b""[..]), |(key, value)| (key, trim(value)));
            if value.len() > LONGEST_ATTRIBUTE {
                continue;
            }
            if key.eq_ignore_ascii_case(b"path") {
                cookie.path = Some(value).filter(|path| path.starts_with(b"/"));
            } else if key.eq_ignore_ascii_case(b"max-age") {
                max_age = seconds(value).or(max_age);
            } else if key.eq_ignore_ascii_case(b"expires") {
                expires = date(value).or(expires);
            }
        }
        cookie.life = max_age.or(expires).unwrap_or(Life::Session);
        Some(cookie)
    }
}

/// `Max-Age`: digits, perhaps behind a minus sign; anything else is as if it were not there.
fn seconds(value: &[u8]) -> Option<Life> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX).min(LONGEST_MAX_AGE);
    let over = seconds == 0 || digits.len() < value.len();
    Some(if over { Life::Over } else { Life::Span(Duration::from_secs(seconds)) })
}

/// `Expires`: the day of the week, which says nothing, need not be right.
fn date(value: &[u8]) -> Option<Life> {
    let text = std::str::from_utf8(value).ok()?;
    let text = text.split_once(',').map_or(text, |(_, date)| date).trim_matches([' ', '\t', '"']);
    let text = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |date| format!("{date}GMT"));
    let at = Cookie::parse(format!("x=x; Expires={text}")).ok()?.expires_datetime()?;
    let ms = at.unix_timestamp().saturating_mul(1000);
    Some(Life::Until(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn life(attributes: &str) -> Life {
        SetCookie::parse(format!("id=1; {attributes}").as_bytes()).unwrap().life
    }

    #[test]
    fn name_and_value_are_as_they_were_sent() {
        for (line, name, value) in [
            (&b"id=1"[..], &b"id"[..], &b"1"[..]),
            (b" id\t= 1 ;Path=/", b"id", b"1"),
            (b"id=", b"id", b""),
            (b"id=a=b", b"id", b"a=b"),
            (b"id=\"a b\"", b"id", b"\"a b\""),
            (b"id=%20,\xe9\xff", b"id", b"%20,\xe9\xff"),
            (b"i d=1", b"i d", b"1"),
        ] {
            let cookie = SetCookie::parse(line).unwrap();
            assert_eq!((cookie.name, cookie.value), (name, value));
        }
        for line in [&b""[..], b"id", b"=1", b" =id=1", b";id=1", b"; Path=/"] {
            assert_eq!(SetCookie::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_path_begins_with_a_slash_and_the_last_one_counts() {
        for (attributes, path) in [
            ("", None),
            ("Path=/a", Some("/a")),
            ("pAtH = /a/ ", Some("/a/")),
            ("Path=a", None),
            ("Path=", None),
            ("Path", None),
            ("Path=/a; Path=/b", Some("/b")),
            ("Path=/a; Path=b", None),
            ("Paths=/a", None),
        ] {
            let line = format!("id=1; {attributes}");
            assert_eq!(SetCookie::parse(line.as_bytes()).unwrap().path, path.map(str::as_bytes), "{attributes}");
        }
        let long = format!("id=1; Path=/{}", "x".repeat(1024));
        assert_eq!(SetCookie::parse(long.as_bytes()).unwrap().path, None);
    }

    #[test]
    fn how_long_it_is_kept() {
        let span = |seconds| Life::Span(Duration::from_secs(seconds));
        let at = Life::Until(1_445_412_480_000);
        for (attributes, wanted) in [
            ("", Life::Session),
            ("HttpOnly; Secure; SameSite=Lax; Domain=a.test", Life::Session),
            ("Max-Age=60", span(60)),
            ("max-age=060", span(60)),
            ("Max-Age=0", Life::Over),
            ("Max-Age=-1", Life::Over),
            ("Max-Age=99999999999999999999999", span(LONGEST_MAX_AGE)),
            ("Max-Age=60; Max-Age=x", span(60)),
            ("Max-Age=60; Max-Age=0", Life::Over),
            ("Max-Age=", Life::Session),
            ("Max-Age=+1", Life::Session),
            ("Max-Age=1.5", Life::Session),
            ("Max-Age=-", Life::Session),
            ("Expires=Wed, 21 Oct 2015 07:28:00 GMT", at),
            ("expires=Wed, 21-Oct-2015 07:28:00 GMT", at),
            ("Expires=Wednesday, 21-Oct-15 07:28:00 GMT", at),
            ("Expires=Fri, 21 Oct 2015 07:28:00 UTC", at),
            ("Expires=\"Wed, 21 Oct 2015 07:28:00 GMT\"", at),
            ("Expires=21 Oct 2015 07:28:00 GMT", at),
            ("Expires=Thu, 01-Jan-1970 00:00:01 GMT", Life::Until(1000)),
            ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", Life::Until(0)),
            ("Expires=Mon, 01-Jan-0001 00:00:00 GMT", Life::Until(978_307_200_000)),
            ("Expires=Mon, 01-Jan-1900 00:00:00 GMT", Life::Until(0)),
            ("Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=60", span(60)),
            ("Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", span(60)),
            ("Expires=tomorrow", Life::Session),
            ("Expires=0", Life::Session),
            ("Expires", Life::Session),
        ] {
            assert_eq!(life(attributes), wanted, "{attributes}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..60), attributes in "(; ?(Expires|Max-Age|Path)=[-0-9A-Za-z:, /]{0,30}){0,3}") {
            let _ = SetCookie::parse(&line);
            let _ = SetCookie::parse(format!("id=1{attributes}").as_bytes());
        }
    }
}
