//! The head of an answer as bytes, and how its body is framed (RFC 9112 §6).
//!
//! What frames the message and what says whether the connection goes on is decided here, from the body and the request;
//! of what the fields say of either only a length that nobody else knows, and a wish to close, count.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING},
};
use itoa::Buffer;

use super::{date, head::Asked};
use crate::{headers::lists, proxy::Beside};

/// A field line is about so long, and so is what comes beside those of the application.
const LINE: usize = 40;
const ROOM: usize = 160;

/// How a body is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framing {
    /// Not at all.
    Nothing,
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks; these trailers may follow.
    Chunked(Vec<HeaderName>),
    /// Up to the end of the connection.
    UntilClose,
}

/// Writes the head of an answer, with what is `beside` its map, and whose body has this length, if that is known; whether
/// the connection goes on after it.
pub(super) fn write<B>(
    out: &mut Vec<u8>,
    answer: &Response<B>,
    beside: Beside<'_>,
    length: Option<u64>,
    asked: &Asked,
) -> (Framing, bool) {
    let (status, fields) = (answer.status(), answer.headers());
    let framing = framing(status, fields, length, asked);
    let (mut close, mut dated) = (false, beside.aside.is_dated());
    out.reserve(ROOM + fields.len() * LINE);
    status_line(out, status, asked.version);
    beside.aside.text().for_each(|lines| out.extend_from_slice(lines));
    if let Some(id) = beside.id {
        id.write(out);
    }
    if beside.varies {
        out.extend_from_slice(b"vary: Cookie\r\n");
    }
    for (name, value) in fields {
        match *name {
            CONTENT_LENGTH | TRANSFER_ENCODING => continue,
            TRAILER if !matches!(framing, Framing::Chunked(_)) => continue,
            CONNECTION => close |= lists(value.as_bytes(), b"close"),
            DATE => dated = true,
            _ => {}
        }
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match &framing {
        Framing::Length(length) => length_line(out, *length),
        Framing::Chunked(_) => line(out, b"transfer-encoding", b"chunked"),
        Framing::Nothing => unsent_length(out, (status, fields), length, asked),
        Framing::UntilClose => {}
    }
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let stays = asked.stays && !close && !switches && framing != Framing::UntilClose;
    match (stays, asked.version) {
        (false, Version::HTTP_11) if !close && !switches => line(out, b"connection", b"close"),
        (true, Version::HTTP_10) => line(out, b"connection", b"keep-alive"),
        _ => {}
    }
    if !dated {
        date::write(out);
    }
    out.extend_from_slice(b"\r\n");
    (framing, stays)
}

fn framing(status: StatusCode, fields: &HeaderMap, length: Option<u64>, asked: &Asked) -> Framing {
    if asked.is_head || is_bodyless(status) {
        return Framing::Nothing;
    }
    match length.or_else(|| declared(fields)) {
        Some(0) => Framing::Nothing,
        Some(length) => Framing::Length(length),
        None if asked.version == Version::HTTP_10 => Framing::UntilClose,
        None => Framing::Chunked(if asked.trailers { announced(fields) } else { Vec::new() }),
    }
}

fn is_bodyless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// What the fields say of the body's length.
fn declared(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The length where there is no body: of nothing, or of the body that would be (RFC 9110 §8.6).
fn unsent_length(out: &mut Vec<u8>, (status, fields): (StatusCode, &HeaderMap), length: Option<u64>, asked: &Asked) {
    let would_be = asked.is_head || status == StatusCode::NOT_MODIFIED;
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return;
    }
    match (would_be, fields.get(CONTENT_LENGTH), length) {
        (false, ..) => line(out, b"content-length", b"0"),
        (true, Some(said), _) => line(out, b"content-length", said.as_bytes()),
        (true, None, Some(length @ 1..)) if asked.is_head => length_line(out, length),
        (true, None, _) => {}
    }
}

/// The trailers that the head announces.
fn announced(fields: &HeaderMap) -> Vec<HeaderName> {
    let lines = fields.get_all(TRAILER).into_iter().map(HeaderValue::as_bytes);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

fn status_line(out: &mut Vec<u8>, status: StatusCode, version: Version) {
    if (status, version) == (StatusCode::OK, Version::HTTP_11) {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn length_line(out: &mut Vec<u8>, length: u64) {
    line(out, b"content-length", Buffer::new().format(length).as_bytes());
}

/// Writes one line.
pub(super) fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::header::SERVER;

    use super::*;
    use crate::headers::{Laid, Lay};

    const GET: Asked = Asked { version: Version::HTTP_11, is_head: false, stays: true, trailers: false };
    const HEAD: Asked = Asked { is_head: true, ..GET };
    const OLD: Asked = Asked { version: Version::HTTP_10, stays: false, ..GET };
    const OLD_THAT_STAYS: Asked = Asked { stays: true, ..OLD };

    /// The lines of an answer but for its `date`, how its body is framed, and whether the connection goes on.
    fn written(status: u16, lines: &[(&str, &str)], length: Option<u64>, asked: Asked) -> (String, Framing, bool) {
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        let response = response.body(()).unwrap();
        let mut out = Vec::new();
        let (framing, stays) = write(&mut out, &response, Beside::default(), length, &asked);
        let text = String::from_utf8(out).unwrap();
        let lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        (lines.filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("|"), framing, stays)
    }

    #[test]
    fn a_body_is_framed_by_what_is_known_of_it() {
        let chunked = || Framing::Chunked(Vec::new());
        for (status, said, length, asked, head, framing, stays) in [
            (200, None, Some(5), GET, "HTTP/1.1 200 OK|content-length: 5", Framing::Length(5), true),
            (200, Some("5"), None, GET, "HTTP/1.1 200 OK|content-length: 5", Framing::Length(5), true),
            (200, Some("5"), Some(5), GET, "HTTP/1.1 200 OK|content-length: 5", Framing::Length(5), true),
            (404, None, Some(0), GET, "HTTP/1.1 404 Not Found|content-length: 0", Framing::Nothing, true),
            (200, None, None, GET, "HTTP/1.1 200 OK|transfer-encoding: chunked", chunked(), true),
            (204, Some("0"), Some(0), GET, "HTTP/1.1 204 No Content", Framing::Nothing, true),
            (304, Some("12"), Some(0), GET, "HTTP/1.1 304 Not Modified|content-length: 12", Framing::Nothing, true),
            (304, None, Some(0), GET, "HTTP/1.1 304 Not Modified", Framing::Nothing, true),
            (200, Some("12"), Some(0), HEAD, "HTTP/1.1 200 OK|content-length: 12", Framing::Nothing, true),
            (200, None, Some(0), HEAD, "HTTP/1.1 200 OK", Framing::Nothing, true),
            (200, None, None, HEAD, "HTTP/1.1 200 OK", Framing::Nothing, true),
            (404, None, Some(9), HEAD, "HTTP/1.1 404 Not Found|content-length: 9", Framing::Nothing, true),
            (200, None, Some(5), OLD, "HTTP/1.0 200 OK|content-length: 5", Framing::Length(5), false),
            (200, None, None, OLD, "HTTP/1.0 200 OK", Framing::UntilClose, false),
            (200, None, None, OLD_THAT_STAYS, "HTTP/1.0 200 OK", Framing::UntilClose, false),
            (
                200,
                None,
                Some(5),
                OLD_THAT_STAYS,
                "HTTP/1.0 200 OK|content-length: 5|connection: keep-alive",
                Framing::Length(5),
                true,
            ),
        ] {
            let lines: Vec<_> = said.map(|said| ("content-length", said)).into_iter().collect();
            let found = written(status, &lines, length, asked);
            assert_eq!(found, (head.to_owned(), framing, stays), "{status} {said:?} {length:?} {asked:?}");
        }
    }

    #[test]
    fn the_connection_ends_if_either_side_says_so_and_the_client_is_told_once() {
        let told = |lines: &[(&str, &str)], asked| {
            let (head, _, stays) = written(200, lines, Some(0), asked);
            (head.matches("connection: close").count(), stays)
        };
        assert_eq!(told(&[], GET), (0, true));
        assert_eq!(told(&[("connection", "Close")], GET), (0, false));
        assert_eq!(told(&[("connection", "close")], Asked { stays: false, ..GET }), (1, false));
        assert_eq!(told(&[], Asked { stays: false, ..GET }), (1, false));
        let (head, framing, stays) = written(101, &[("connection", "upgrade"), ("upgrade", "x")], Some(0), GET);
        assert_eq!(head, "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: x");
        assert_eq!((framing, stays), (Framing::Nothing, false));
    }

    #[test]
    fn trailers_follow_where_they_are_announced_and_asked_for() {
        let announced = [("trailer", "X-Sum, a b"), ("trailer", "grpc-status")];
        let (head, framing, _) = written(200, &announced, None, Asked { trailers: true, ..GET });
        assert!(head.contains("trailer: X-Sum, a b|trailer: grpc-status"));
        let names = ["x-sum", "grpc-status"].map(HeaderName::from_static).to_vec();
        assert_eq!(framing, Framing::Chunked(names));
        assert_eq!(written(200, &announced, None, GET).1, Framing::Chunked(Vec::new()));
        assert!(!written(200, &announced, Some(3), GET).0.contains("trailer"));
    }

    #[test]
    fn lines_that_were_laid_aside_go_out_as_they_came_and_a_date_where_there_is_none() {
        let written = |lines: &str, more: &[(HeaderName, &str)]| {
            let text = format!("{lines}\r\n").into_bytes();
            let (mut places, mut laid) = ([httparse::EMPTY_HEADER; 3], Laid::default());
            let (_, parsed) = httparse::parse_headers(&text, &mut places).unwrap().unwrap();
            assert!(parsed.iter().all(|line| laid.lay(&text, line) == Lay::Done));
            let mut response = Response::builder();
            for (name, value) in more {
                response = response.header(name, *value);
            }
            let response = response.body(()).unwrap();
            let mut out = Vec::new();
            write(&mut out, &response, Beside { aside: laid.of(&text), ..Beside::default() }, Some(0), &GET);
            let text = String::from_utf8(out).unwrap();
            (text.contains(lines), text.to_lowercase().matches("\r\ndate: ").count())
        };
        assert_eq!(written("", &[]), (true, 1));
        assert_eq!(written("", &[(DATE, "Sun, 22 Nov 2026 00:00:00 GMT")]), (true, 1));
        assert_eq!(written("Server: a\r\nAge: 1\r\n", &[]), (true, 1));
        assert_eq!(written("Server: a\r\nDate: b\r\n", &[(SERVER, "c")]), (true, 1));
    }
}
