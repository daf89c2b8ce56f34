//! Heads as bytes: a request's written, an answer's read.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header::TRANSFER_ENCODING};
use httparse::{Header, ParserConfig, Status};

use super::{
    super::{Payload, error::Breakdown},
    body::has_body,
};
use crate::headers::{Laid, Lay, Passive, Tell, ToUs, Told, field, lists};

/// Header lines in an answer, and trailers behind it.
pub(super) const MOST_FIELDS: usize = 100;
/// Room for what is added to an answer's header on its way to the browser.
const ADDED: usize = 4;

/// What an answer's head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Said {
    /// That it ends with the connection.
    Nothing,
    /// One length, and no coding.
    Length(u64),
    /// The one coding that we can take off, and no length.
    Chunked,
    /// What has to be looked at more closely, or that there is none.
    More,
}

/// What decides how an answer's head is read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::upstream) struct Asked<'a> {
    /// The answer has no body, whatever it says.
    pub(super) is_head: bool,
    /// Lines that may be laid aside. If there are any the answer's length is told by its body, where it has one.
    pub(super) passive: Passive,
    /// Lines that are for us, if they need not come into the map.
    pub(super) to_us: Option<&'a ToUs>,
}

/// An answer's head among the bytes that were read.
pub(super) struct Found {
    pub(super) head: Response<()>,
    /// Lines of it that are not in its map.
    pub(super) apart: Apart,
    pub(super) length: usize,
    pub(super) said: Said,
    /// The server keeps the connection (RFC 9112 §9.3).
    pub(super) lasts: bool,
}

/// Lines of a head that are not in its map.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Apart {
    pub(in crate::upstream) laid: Laid,
    pub(in crate::upstream) told: Told,
}

/// The header lines of an answer.
struct Lines {
    fields: HeaderMap,
    apart: Apart,
    said: Said,
    is_old: bool,
    keeps: bool,
    closes: bool,
    /// They have to be looked at more closely.
    is_odd: bool,
}

/// Appends the head of a request that has no body, with more lines.
pub(super) fn write<B>(out: &mut Vec<u8>, request: &Request<B>, write_more: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    match request.uri().path_and_query() {
        // What has a query only has no path that could be sent.
        Some(target) if target.as_str().starts_with('?') => {
            out.push(b'/');
            out.extend_from_slice(target.as_str().as_bytes());
        }
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
        None => out.push(b'/'),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        if *name != TRANSFER_ENCODING {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    write_more(out);
    out.extend_from_slice(b"\r\n");
}

/// The head that these bytes begin with; `None` if it is not whole.
///
/// # Errors
/// It is none.
pub(super) fn read(bytes: &Bytes, asked: Asked<'_>) -> Result<Option<Found>, Breakdown> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    let Status::Complete(length) = status.map_err(Breakdown::Malformed)? else { return Ok(None) };
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| Breakdown::Malformed(httparse::Error::Status))?;
    let is_old = parsed.version == Some(0);
    *head.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    let bears = !asked.is_head && has_body(head.status()) && head.status().as_u16() < 600;
    let mut lines = Lines::new(is_old);
    lines.sort(bytes, parsed.headers, asked, bears)?;
    if lines.is_odd && !asked.is_plain() {
        lines = Lines::new(is_old);
        lines.sort(bytes, parsed.headers, Asked::default(), bears)?;
    }
    let Lines { fields, apart, said, keeps, closes, .. } = lines;
    *head.headers_mut() = fields;
    let said = if bears { said } else { Said::More };
    Ok(Some(Found { head, apart, length, said, lasts: keeps && !closes }))
}

impl<'a> Asked<'a> {
    /// By this request.
    pub(in crate::upstream) fn by<B: Payload>(request: &'a Request<B>) -> Self {
        let body = request.body();
        Self { is_head: *request.method() == Method::HEAD, passive: body.passive(), to_us: body.to_us() }
    }

    /// Whether every line comes into the map.
    fn is_plain(&self) -> bool {
        self.passive.is_none() && self.to_us.is_none()
    }
}

impl Lines {
    /// Of an answer of HTTP/1.0, or of a later one.
    fn new(is_old: bool) -> Self {
        let (fields, apart) = (HeaderMap::new(), Apart::default());
        Self { fields, apart, said: Said::Nothing, is_old, keeps: !is_old, closes: false, is_odd: false }
    }

    /// Takes every line to where it belongs: aside if it is passive or for us, nowhere if it has said all that it has to
    /// say, else into the map. `bears`: the answer has a body, which tells its length to whoever writes lines that were laid aside.
    fn sort(&mut self, head: &Bytes, lines: &[Header<'_>], asked: Asked<'_>, bears: bool) -> Result<(), Breakdown> {
        let Asked { passive, to_us, .. } = asked;
        let is_framed = bears && !passive.is_none();
        if passive.is_none() {
            self.fields.reserve(lines.len() + ADDED);
        }
        for line in lines {
            let lay = passive.has(line.name).then(|| self.apart.laid.lay(head, line));
            self.is_odd |= lay == Some(Lay::Untidy);
            if lay == Some(Lay::Done) || self.heeds(line, is_framed) {
                continue;
            }
            if let Some(names) = to_us {
                match self.apart.told.tell(head, line, names) {
                    Tell::Done => continue,
                    Tell::Others => {}
                    Tell::Unfit => self.is_odd = true,
                }
            }
            let (name, value) =
                field(head, line.name, line.value).ok_or(Breakdown::Malformed(httparse::Error::HeaderName))?;
            self.fields.append(name, value);
        }
        Ok(())
    }

    /// Notes what a line says about the body and the connection; whether that is all that anybody wants of it.
    fn heeds(&mut self, line: &Header<'_>, is_framed: bool) -> bool {
        let name = line.name.as_bytes();
        match name.len() {
            10 if is(name, b"Connection") => self.heeds_connection(line.value),
            14 if is(name, b"Content-Length") => self.notes(length_of(line.value), is_framed),
            17 if is(name, b"Transfer-Encoding") => self.notes(coding_of(line.value, self.is_old), is_framed),
            _ => false,
        }
    }

    fn heeds_connection(&mut self, value: &[u8]) -> bool {
        if is(value, b"keep-alive") {
            self.keeps = true;
        } else if is(value, b"close") {
            self.closes = true;
        } else {
            self.keeps |= lists(value, b"keep-alive");
            self.closes |= lists(value, b"close");
            // It may name lines that were laid aside.
            self.is_odd = true;
            return false;
        }
        true
    }

    fn notes(&mut self, said: Said, is_framed: bool) -> bool {
        self.said = if self.said == Said::Nothing { said } else { Said::More };
        self.is_odd |= self.said == Said::More;
        is_framed
    }
}

/// Whether it is this, in any case; it nearly always is in the usual one.
#[inline]
fn is<const N: usize>(text: &[u8], usual: &[u8; N]) -> bool {
    text == usual || text.eq_ignore_ascii_case(usual)
}

/// What a `Content-Length` of nothing but digits says.
fn length_of(value: &[u8]) -> Said {
    let next = |length: u64, byte: &u8| match byte {
        b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    let length = value.iter().try_fold(0, next).filter(|_| !value.is_empty());
    length.map_or(Said::More, Said::Length)
}

/// What a `Transfer-Encoding` says.
fn coding_of(value: &[u8], is_old: bool) -> Said {
    if !is_old && is(value, b"chunked") { Said::Chunked } else { Said::More }
}

/// Whether somewhere in these bytes an empty line ends a head.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::headers::Guarded;

    fn found(text: &str) -> Found {
        found_as(text, Asked::default())
    }

    fn found_as(text: &str, asked: Asked<'_>) -> Found {
        read(&Bytes::copy_from_slice(text.as_bytes()), asked).ok().flatten().unwrap()
    }

    /// What a browser's side takes that writes heads itself.
    fn sparing() -> Asked<'static> {
        let guarded = ["x-cache", "x-update", "x-control"].map(HeaderName::from_static);
        Asked { passive: Passive::but_for(&Guarded::new(guarded)), ..Asked::default() }
    }

    /// The lines of the map, and those that were laid aside.
    fn sorted(text: &str, asked: Asked<'_>) -> (String, String) {
        let Found { head, apart, .. } = found_as(text, asked);
        let lines = head.headers().iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        (
            lines.collect(),
            apart.laid.of(text.as_bytes()).text().map(|text| std::str::from_utf8(text).unwrap()).collect(),
        )
    }

    #[test]
    fn lines_that_mean_nothing_here_are_laid_aside_and_those_that_have_said_all_are_nowhere() {
        for (lines, map, aside) in [
            ("Server: a\r\nVary: 1\r\nDate: b\r\n", "vary: 1\r\n", "Server: a\r\nDate: b\r\n"),
            ("Server: a\r\nX-Own: 1\r\nX_Own: 2\r\n", "x_own: 2\r\n", "Server: a\r\nX-Own: 1\r\n"),
            ("Server:a\r\nX-Cache: b\r\n", "server: a\r\nx-cache: b\r\n", ""),
            ("Link: a\r\nLink:b\r\nLink: c\r\n", "link: a\r\nlink: b\r\nlink: c\r\n", ""),
            ("Link: a \r\nETag: b\r\n", "link: a\r\netag: b\r\n", ""),
            ("ETag: a\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n", "", "ETag: a\r\n"),
            ("ETag: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n", "", "ETag: a\r\n"),
            ("ETag: a\r\nTrailer: b\r\nTransfer-Encoding: chunked\r\n", "trailer: b\r\n", "ETag: a\r\n"),
            // What has to be looked at is looked at whole.
            ("ETag: a\r\nConnection: Server, ETag\r\n", "etag: a\r\nconnection: Server, ETag\r\n", ""),
            (
                "ETag: a\r\nConnection: close\r\nConnection: x\r\nContent-Length: 2\r\n",
                "etag: a\r\nconnection: x\r\ncontent-length: 2\r\n",
                "",
            ),
            (
                "ETag: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n",
                "etag: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n",
                "",
            ),
            (
                "Content-Length: 2\r\nETag: a\r\nTransfer-Encoding: chunked\r\n",
                "content-length: 2\r\netag: a\r\ntransfer-encoding: chunked\r\n",
                "",
            ),
            ("ETag: a\r\nTransfer-Encoding: gzip\r\n", "etag: a\r\ntransfer-encoding: gzip\r\n", ""),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(sorted(&text, sparing()), (map.to_owned(), aside.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn lines_for_us_are_kept_beside_the_map_or_all_of_the_head_is_in_it() {
        let names = ["x-update", "x-control"].map(HeaderName::from_static);
        let names = ToUs::new([&names[0], &names[1]]);
        for (lines, map, update, control) in [
            ("X-Update: a\r\nETag: b\r\n", "", "a", ""),
            ("X-Control: a\r\nx-update:b\r\nX_Update: c\r\n", "x_update: c\r\n", "b", "a"),
            ("X-Update: a\r\nETag: b\r\nx-update: c\r\n", "x-update: a\r\nx-update: c\r\netag: b\r\n", "", ""),
            ("X-Update: a\r\nETag: b\r\nX-Control:\r\n", "x-update: a\r\netag: b\r\nx-control: \r\n", "", ""),
            ("X-Update: a\r\nConnection: X-Update\r\n", "x-update: a\r\nconnection: X-Update\r\n", "", ""),
            ("X-Update: a\r\nETag:b\r\n", "x-update: a\r\netag: b\r\n", "", ""),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let asked = Asked { to_us: Some(&names), ..sparing() };
            assert_eq!(sorted(&text, asked).0, map, "{lines:?}");
            let told = found_as(&text, asked).apart.told.values(text.as_bytes());
            assert_eq!(told.map(Option::unwrap_or_default), [update.as_bytes(), control.as_bytes()], "{lines:?}");
        }
    }

    #[test]
    fn where_nothing_may_be_laid_aside_the_map_has_every_line_but_a_plain_connection() {
        let text = "HTTP/1.1 200 OK\r\nServer: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n";
        let map = "server: a\r\ncontent-length: 2\r\n".to_owned();
        assert_eq!(sorted(text, Asked::default()), (map, String::new()));
    }

    #[test]
    fn a_length_stays_where_no_body_tells_it() {
        for (status, asked) in [
            (304, sparing()),
            (204, sparing()),
            (103, sparing()),
            (999, sparing()),
            (200, Asked { is_head: true, ..sparing() }),
        ] {
            let text = format!("HTTP/1.1 {status} x\r\nETag: a\r\nContent-Length: 2\r\n\r\n");
            assert_eq!(sorted(&text, asked), ("content-length: 2\r\n".to_owned(), "ETag: a\r\n".to_owned()));
            assert_eq!(found_as(&text, asked).said, Said::More, "{status}");
        }
    }

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nhi";
        for cut in 0..text.len() - 2 {
            assert!(matches!(read(&Bytes::from_static(&text.as_bytes()[..cut]), Asked::default()), Ok(None)), "{cut}");
        }
        let found = found(text);
        assert_eq!(found.length, text.len() - 2);
        assert_eq!(found.head.status(), 200);
        let values: Vec<_> = found.head.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
    }

    #[test]
    fn what_a_head_says_plainly_of_its_body_is_known() {
        for (lines, said) in [
            ("", Said::Nothing),
            ("Content-Length: 12\r\n", Said::Length(12)),
            ("Content-Length: 012\r\n", Said::Length(12)),
            ("Content-Length: \r\n", Said::More),
            ("Content-Length: +1\r\n", Said::More),
            ("Content-Length: 1, 1\r\n", Said::More),
            ("Content-Length: 99999999999999999999\r\n", Said::More),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Said::More),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Said::More),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Said::More),
            ("Transfer-Encoding: CHUNKED\r\n", Said::Chunked),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Said::More),
            ("Transfer-Encoding: gzip, chunked\r\n", Said::More),
            ("Transfer-Encoding: \r\n", Said::More),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(found(&text).said, said, "{lines:?}");
            assert_eq!(found_as(&text, sparing()).said, said, "{lines:?}");
        }
        assert_eq!(found("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").said, Said::More);
    }

    #[test]
    fn the_end_of_a_head_is_seen_from_far() {
        for (text, ends) in [("a\r\n\r\n", true), ("a\n\n", true), ("a\r\n\r", false), ("a\r\n", false), ("", false)] {
            assert_eq!(has_end(text.as_bytes()), ends, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "no HTTP at all\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nSpace : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        ] {
            assert!(read(&Bytes::from_static(text.as_bytes()), Asked::default()).is_err(), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: 1\r\n".repeat(MOST_FIELDS + 1));
        assert!(read(&Bytes::from(many), Asked::default()).is_err());
    }

    #[test]
    fn a_server_keeps_the_connection_as_its_version_and_connection_header_say() {
        for (text, lasts) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: X, Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!((found(text).lasts, found_as(text, sparing()).lasts), (lasts, lasts), "{text:?}");
        }
    }

    #[test]
    fn a_request_is_written_as_it_is() {
        let request = Request::get("/a?b=c").header("Host", "a").header("X", "1").header("X", "2").body(()).unwrap();
        let mut out = Vec::new();
        write(&mut out, &request, |out| out.extend_from_slice(b"y: 3\r\n"));
        assert_eq!(out, b"GET /a?b=c HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\ny: 3\r\n\r\n");
        let all = Request::options("*").body(()).unwrap();
        out.clear();
        write(&mut out, &all, |_| {});
        assert_eq!(out, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_target_without_a_path_asks_for_the_root() {
        for (asked, wanted) in [("http://a", "/"), ("http://a?b", "/?b"), ("http://a/?b", "/?b")] {
            let mut out = Vec::new();
            let target = asked.parse::<http::Uri>().unwrap().path_and_query().unwrap().clone();
            write(&mut out, &Request::get(http::Uri::from(target)).body(()).unwrap(), |_| {});
            assert_eq!(out, format!("GET {wanted} HTTP/1.1\r\n\r\n").as_bytes(), "{asked}");
        }
    }
}
