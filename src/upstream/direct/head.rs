//! Heads as bytes: a request's written, an answer's read.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::super::error::Breakdown;
use crate::headers::{field, lists};

/// Header lines in an answer, and trailers behind it.
pub(super) const MOST_FIELDS: usize = 100;
/// Room for what is added to an answer's header on its way to the browser.
const ADDED: usize = 4;

/// What an answer's head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Said {
    Nothing,
    /// One length, and no coding.
    Length(u64),
    /// What has to be looked at more closely.
    More,
}

/// An answer's head among the bytes that were read.
pub(super) struct Found {
    pub(super) head: Response<()>,
    pub(super) length: usize,
    pub(super) said: Said,
    /// The server keeps the connection (RFC 9112 §9.3).
    pub(super) lasts: bool,
}

/// Appends the head of a request that has no body. `more`: lines with their ends.
pub(super) fn write<B>(out: &mut Vec<u8>, request: &Request<B>, more: [&[u8]; 2]) {
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
    for lines in more {
        out.extend_from_slice(lines);
    }
    out.extend_from_slice(b"\r\n");
}

/// The head that these bytes begin with; `None` if it is not whole.
///
/// # Errors
/// It is none.
pub(super) fn read(bytes: &Bytes) -> Result<Option<Found>, Breakdown> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    let Status::Complete(length) = status.map_err(Breakdown::Malformed)? else { return Ok(None) };
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| Breakdown::Malformed(httparse::Error::Status))?;
    *head.version_mut() = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    *head.headers_mut() = HeaderMap::with_capacity(parsed.headers.len() + ADDED);
    let (mut keeps, mut closes, mut said) = (parsed.version == Some(1), false, Said::Nothing);
    for line in parsed.headers.iter() {
        let (name, value) =
            field(bytes, line.name, line.value).ok_or(Breakdown::Malformed(httparse::Error::HeaderName))?;
        if name == CONNECTION {
            keeps |= lists(&value, b"keep-alive");
            closes |= lists(&value, b"close");
        } else if name == CONTENT_LENGTH {
            said = if said == Said::Nothing { length_of(&value) } else { Said::More };
        } else if name == TRANSFER_ENCODING {
            said = Said::More;
        }
        head.headers_mut().append(name, value);
    }
    let reason = parsed.reason.filter(|reason| Some(*reason) != head.status().canonical_reason());
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok()) {
        head.extensions_mut().insert(reason);
    }
    Ok(Some(Found { head, length, said, lasts: keeps && !closes }))
}

/// What a `Content-Length` of nothing but digits says.
fn length_of(value: &HeaderValue) -> Said {
    let is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
    let length = value.to_str().ok().filter(|_| is_number).and_then(|digits| digits.parse().ok());
    length.map_or(Said::More, Said::Length)
}

/// Whether somewhere in these bytes an empty line ends a head.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &'static str) -> Found {
        read(&Bytes::from_static(text.as_bytes())).ok().flatten().unwrap()
    }

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nhi";
        for cut in 0..text.len() - 2 {
            assert!(matches!(read(&Bytes::from_static(&text.as_bytes()[..cut])), Ok(None)), "{cut}");
        }
        let found = found(text);
        assert_eq!(found.length, text.len() - 2);
        assert_eq!(found.head.status(), 200);
        let values: Vec<_> = found.head.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(found.head.extensions().get::<ReasonPhrase>().is_none());
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
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(read(&Bytes::from(text)).ok().flatten().unwrap().said, said, "{lines:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_seen_from_far() {
        for (text, ends) in [("a\r\n\r\n", true), ("a\n\n", true), ("a\r\n\r", false), ("a\r\n", false), ("", false)] {
            assert_eq!(has_end(text.as_bytes()), ends, "{text:?}");
        }
    }

    #[test]
    fn a_reason_of_its_own_is_kept() {
        let found = found("HTTP/1.1 200 Jolly Good\r\n\r\n");
        assert_eq!(found.head.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"Jolly Good");
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
            assert!(read(&Bytes::from_static(text.as_bytes())).is_err(), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: 1\r\n".repeat(MOST_FIELDS + 1));
        assert!(read(&Bytes::from(many)).is_err());
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
            assert_eq!(found(text).lasts, lasts, "{text:?}");
        }
    }

    #[test]
    fn a_request_is_written_as_it_is() {
        let request = Request::get("/a?b=c").header("Host", "a").header("X", "1").header("X", "2").body(()).unwrap();
        let mut out = Vec::new();
        write(&mut out, &request, [b"y: 3\r\nz: 4\r\n", b"a: 5\r\n"]);
        let lines = "host: a\r\nx: 1\r\nx: 2\r\ny: 3\r\nz: 4\r\na: 5\r\n";
        assert_eq!(out, format!("GET /a?b=c HTTP/1.1\r\n{lines}\r\n").as_bytes());
        let all = Request::options("*").body(()).unwrap();
        out.clear();
        write(&mut out, &all, [b""; 2]);
        assert_eq!(out, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_target_without_a_path_asks_for_the_root() {
        for (asked, wanted) in [("http://a", "/"), ("http://a?b", "/?b"), ("http://a/?b", "/?b")] {
            let mut out = Vec::new();
            let target = asked.parse::<http::Uri>().unwrap().path_and_query().unwrap().clone();
            write(&mut out, &Request::get(http::Uri::from(target)).body(()).unwrap(), [b""; 2]);
            assert_eq!(out, format!("GET {wanted} HTTP/1.1\r\n\r\n").as_bytes(), "{asked}");
        }
    }
}
