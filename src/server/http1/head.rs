//! A request's head, found whole by `headers::HeadScan` and judged by `headers::announced_by`: here its fields are read. Most
//! heads are so plain that they need neither.
//!
//! `httparse` reads the lines; values are slices of the head's own bytes. What it refuses is refused in words of our own:
//! nothing of the client's bytes is in them.

use std::{fmt, mem::MaybeUninit, ops::Range};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, COOKIE, TE},
};

use crate::{
    headers::{Expectation, HeadBounds, HeadFault, expectation_of, field, lists, value},
    proxy::{Inflow, Rejection, Upload},
};

/// So many fields are read without a place for them on the heap.
const FEW: usize = 64;
/// Fields that the line may add to most requests: with room for them the map need not grow.
const ADDED: usize = 2;
/// `http::Uri` holds no more.
const LONGEST_TARGET: usize = 65_534;

/// A head that is sound.
pub(super) struct Head {
    /// Nothing of what comes behind it. Boxed from the beginning, for it is handed on many times.
    request: Box<Request<Upload>>,
    cookie: Cookie,
    said: Said,
}

/// What its field lines are.
struct Fields<'a> {
    fields: &'a mut HeaderMap,
    cookie: Cookie,
    said: Said,
}

/// The `Cookie` lines of a head.
#[derive(Debug)]
enum Cookie {
    Nothing,
    /// The only one, which is not among the fields: where its value stands.
    Only(Range<usize>),
    /// All are fields.
    Several,
}

/// What its fields say about the connection.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    close: bool,
    keep_alive: bool,
    trailers: bool,
}

/// Why a head that ends is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Method,
    Target,
    TargetTooLong,
    Version,
    Field,
    TooManyFields,
    /// What was seen before its fields were read.
    Whole(HeadFault),
}

impl From<HeadFault> for Fault {
    fn from(fault: HeadFault) -> Self {
        Self::Whole(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Method => "invalid HTTP method",
            Self::Target => "invalid URI",
            Self::Version => "invalid HTTP version",
            Self::Field => "invalid HTTP header",
            Self::TargetTooLong => return HeadFault::TargetTooLong.fmt(out),
            Self::TooManyFields => return HeadFault::TooManyFields.fmt(out),
            Self::Whole(fault) => return fault.fmt(out),
        })
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TargetTooLong => Self::TargetTooLong,
            Fault::TooManyFields => Self::HeadTooLarge,
            Fault::Whole(fault) => fault.into(),
            Fault::Method | Fault::Target | Fault::Version | Fault::Field => Self::BadRequest(fault.to_string()),
        }
    }
}

/// What an answer must know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// The answer has no body, whatever it says.
    pub(super) is_head: bool,
    /// The client would go on with this connection.
    pub(super) stays: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
}

impl Asked {
    /// By a head of which nothing is known but how it begins.
    pub(super) fn unsoundly(head: &[u8]) -> Self {
        let is_head = head.starts_with(b"HEAD ");
        Self { version: Version::HTTP_11, is_head, stays: false, trailers: false }
    }
}

impl Head {
    /// Reads a head of so many field lines.
    pub(super) fn read(bytes: &Bytes, lines: usize) -> Result<Self, Fault> {
        if lines <= FEW {
            Self::read_into(bytes, &mut [const { MaybeUninit::uninit() }; FEW])
        } else {
            Self::read_into(bytes, &mut vec![MaybeUninit::uninit(); lines])
        }
    }

    /// Reads a head of the plainest kind, which `HeadScan` would take for one as well: all of these bytes, with no word of a
    /// body or of another protocol. Of any other those who look closely are the judges.
    pub(super) fn read_plain(bytes: &Bytes, bounds: &HeadBounds) -> Option<Self> {
        let mut places = [const { MaybeUninit::uninit() }; FEW];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut places);
        let is_whole = parsed == Ok(httparse::Status::Complete(bytes.len())) && bytes.len() <= bounds.bytes;
        (is_whole && is_plain(bytes, &request, bounds)).then(|| Self::of(bytes, &request).ok()).flatten()
    }

    fn read_into<'b>(bytes: &'b Bytes, places: &mut [MaybeUninit<httparse::Header<'b>>]) -> Result<Self, Fault> {
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, places) {
            Ok(httparse::Status::Complete(_)) => Self::of(bytes, &request),
            Ok(httparse::Status::Partial) | Err(httparse::Error::NewLine | httparse::Error::Status) => {
                Err(Fault::Field)
            }
            Err(httparse::Error::Token) if request.method.is_none() => Err(Fault::Method),
            Err(httparse::Error::Token) => Err(Fault::Target),
            Err(httparse::Error::Version) => Err(Fault::Version),
            Err(httparse::Error::TooManyHeaders) => Err(Fault::TooManyFields),
            Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => Err(Fault::Field),
        }
    }

    /// What was parsed.
    fn of(bytes: &Bytes, parsed: &httparse::Request<'_, '_>) -> Result<Self, Fault> {
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Fault::Field);
        };
        if target.len() > LONGEST_TARGET {
            return Err(Fault::TargetTooLong);
        }
        let mut read = Box::<Request<Upload>>::default();
        let Fields { cookie, said, .. } = Fields::read(bytes, parsed.headers, read.headers_mut())?;
        let target = bytes.slice_ref(target.as_bytes());
        *read.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Method)?;
        *read.uri_mut() = Uri::from_maybe_shared(target).map_err(|_| Fault::Target)?;
        *read.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
        Ok(Self { request: read, cookie, said })
    }

    pub(super) fn version(&self) -> Version {
        self.request.version()
    }

    /// What its answer must know.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            version: self.version(),
            is_head: self.request.method() == Method::HEAD,
            stays: self.stays(),
            trailers: self.said.trailers,
        }
    }

    /// Whether a body is held back until `100 Continue`.
    pub(super) fn holds_its_body(&self) -> bool {
        expectation_of(self.request.headers(), self.version()) == Expectation::Continue
    }

    /// The request, with what comes behind its head, which was read from these bytes; and its `Cookie` line, if there is
    /// just one.
    pub(super) fn into_request(mut self, bytes: Bytes, inflow: Inflow) -> (Box<Request<Upload>>, Option<Bytes>) {
        if !matches!(inflow, Inflow::Nothing) {
            *self.request.body_mut() = inflow.into();
        }
        let cookie = match self.cookie {
            Cookie::Only(value) => Some(part(bytes, value)),
            Cookie::Nothing | Cookie::Several => None,
        };
        (self.request, cookie)
    }

    fn stays(&self) -> bool {
        !self.said.close && (self.version() == Version::HTTP_11 || self.said.keep_alive)
    }
}

impl<'a> Fields<'a> {
    /// Reads them into this map.
    fn read(bytes: &Bytes, lines: &[httparse::Header<'_>], fields: &'a mut HeaderMap) -> Result<Self, Fault> {
        fields.try_reserve(lines.len() + ADDED).map_err(|_| Fault::TooManyFields)?;
        let mut read = Self { fields, cookie: Cookie::Nothing, said: Said::default() };
        for line in lines {
            if line.name.eq_ignore_ascii_case(COOKIE.as_str()) {
                read.note_cookie(bytes, line.value)?;
                continue;
            }
            let (name, value) = field(bytes, line.name, line.value).ok_or(Fault::Field)?;
            if name == CONNECTION {
                read.said.close |= lists(value.as_bytes(), b"close");
                read.said.keep_alive |= lists(value.as_bytes(), b"keep-alive");
            } else if name == TE {
                read.said.trailers |= lists(value.as_bytes(), b"trailers");
            }
            read.append(name, value)?;
        }
        Ok(read)
    }

    /// Lays the first aside; as soon as there are more, all are fields like others.
    fn note_cookie(&mut self, bytes: &Bytes, line: &[u8]) -> Result<(), Fault> {
        match std::mem::replace(&mut self.cookie, Cookie::Several) {
            Cookie::Nothing => {
                let at = line.as_ptr().addr() - bytes.as_ptr().addr();
                self.cookie = Cookie::Only(at..at + line.len());
                return Ok(());
            }
            Cookie::Only(first) => self.append(COOKIE, value(bytes, &bytes[first]).ok_or(Fault::Field)?)?,
            Cookie::Several => {}
        }
        self.append(COOKIE, value(bytes, line).ok_or(Fault::Field)?)
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
        self.fields.try_append(name, value).map(drop).map_err(|_| Fault::TooManyFields)
    }
}

/// Whether a head that was parsed is plain: it begins with its first line, every line ends in CR LF, and none is about a body
/// or another protocol.
fn is_plain(bytes: &[u8], parsed: &httparse::Request<'_, '_>, bounds: &HeadBounds) -> bool {
    let ends_before = |name: &str| bytes[..name.as_ptr().addr() - bytes.as_ptr().addr()].ends_with(b"\r\n");
    let is_other = |name: &str| match name.len() {
        7 => name.eq_ignore_ascii_case("upgrade"),
        14 => name.eq_ignore_ascii_case("content-length"),
        17 => name.eq_ignore_ascii_case("transfer-encoding"),
        _ => false,
    };
    bytes.ends_with(b"\r\n\r\n")
        && parsed.method.is_some_and(|method| std::ptr::eq(method.as_ptr(), bytes.as_ptr()))
        && parsed.headers.len() <= bounds.fields
        && parsed.headers.iter().all(|line| ends_before(line.name) && !is_other(line.name))
}

/// These of the bytes, without another owner of them.
fn part(mut bytes: Bytes, place: Range<usize>) -> Bytes {
    bytes.truncate(place.end);
    bytes.advance(place.start);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Result<Head, Fault> {
        Head::read(&Bytes::copy_from_slice(text.as_bytes()), text.matches("\r\n").count())
    }

    #[test]
    fn a_head_is_its_line_and_its_fields_in_order() {
        let head = read("GET /a?b HTTP/1.1\r\nHost: x\r\nX-Own:  one \r\nx-own:\r\nAccept: */*\r\n\r\n").unwrap();
        assert_eq!((head.request.method(), head.version()), (&Method::GET, Version::HTTP_11));
        assert_eq!(head.request.uri(), "/a?b");
        let lines: Vec<_> =
            head.request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(lines, [("host", &b"x"[..]), ("x-own", b"one"), ("x-own", b""), ("accept", b"*/*")]);
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(300));
        assert_eq!(read(&many).unwrap().request.headers().len(), 300);
    }

    #[test]
    fn the_only_cookie_line_is_laid_aside_and_several_are_fields_in_order() {
        for (lines, cookie, fields) in [
            ("", None, &[][..]),
            ("Cookie: a=1; b=2 \r\n", Some("a=1; b=2"), &[]),
            ("cOOKIE:\r\nAccept: b\r\n", Some(""), &[("accept", "b")]),
            ("Cookies: a\r\nX-Cookie: b\r\n", None, &[("cookies", "a"), ("x-cookie", "b")]),
            ("Cookie: a=1\r\nCookie: b=2\r\n", None, &[("cookie", "a=1"), ("cookie", "b=2")]),
            (
                "Cookie: a\r\nA: b\r\nCookie: b\r\ncookie: c\r\n",
                None,
                &[("a", "b"), ("cookie", "a"), ("cookie", "b"), ("cookie", "c")],
            ),
        ] {
            let text = Bytes::from(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
            let (request, laid) = Head::read(&text, 9).unwrap().into_request(text, Inflow::Nothing);
            assert_eq!(laid.as_deref(), cookie.map(str::as_bytes), "{lines:?}");
            let mut read: Vec<_> =
                request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            read.sort_by_key(|(name, _)| *name);
            assert_eq!(read, fields, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_line_that_is_laid_aside_is_one_that_may_be_a_field() {
        for byte in 0..=u8::MAX {
            let line = [b"a=", &[byte][..], b"b"].concat();
            let text = [b"GET / HTTP/1.1\r\nCookie: ", &line[..], b"\r\n\r\n"].concat();
            let is_read = byte != b'\n' && Head::read(&text.into(), 2).is_ok();
            assert_eq!(is_read, HeaderValue::from_bytes(&line).is_ok(), "{byte}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(LONGEST_TARGET));
        for (text, fault) in [
            ("G(T / HTTP/1.1\r\n\r\n", Fault::Method),
            ("GET\r\n\r\n", Fault::Method),
            ("GET /\u{1b} HTTP/1.1\r\n\r\n", Fault::Target),
            ("GET  / HTTP/1.1\r\n\r\n", Fault::Target),
            ("GET a:b:c HTTP/1.1\r\n\r\n", Fault::Target),
            (&long, Fault::TargetTooLong),
            ("GET / HTTP/3.7\r\n\r\n", Fault::Version),
            ("GET / HTTP/2.0\r\n\r\n", Fault::Version),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Fault::Field),
            ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", Fault::Field),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", Fault::Field),
        ] {
            assert_eq!(read(text).err(), Some(fault), "{:?}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn who_stays_says_so_in_the_way_of_its_version() {
        for (version, lines, stays) in [
            ("1.1", "", true),
            ("1.0", "", false),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE \r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
            ("1.0", "Connection: upgrade\r\n", false),
        ] {
            let head = read(&format!("GET / HTTP/{version}\r\n{lines}\r\n")).unwrap();
            assert_eq!(head.asked().stays, stays, "{version} {lines:?}");
        }
    }

    #[test]
    fn an_answer_knows_what_its_request_allows() {
        let asked = read("HEAD / HTTP/1.1\r\nTE: gzip, Trailers\r\n\r\n").unwrap().asked();
        assert!(asked.is_head && asked.trailers);
        let asked = read("GET / HTTP/1.1\r\nTE: trailer\r\n\r\n").unwrap().asked();
        assert!(!asked.is_head && !asked.trailers);
        assert!(Asked::unsoundly(b"HEAD / ").is_head && !Asked::unsoundly(b"HEADS / ").is_head);
    }
}
