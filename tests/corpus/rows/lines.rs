//! Request lines, line ends and the shape of field lines; sizes.

use super::{GET, join, shown};
use crate::row::{Row, passed, refused, seen};

const LINE: &str = "RFC 9112 §3";
const FIELD: &str = "RFC 9112 §5";

pub(super) fn rows() -> Vec<Row> {
    [request_lines(), line_ends(), fields(), values(), sizes()].concat()
}

fn request_lines() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in [
        &b"GET /\nHTTP/1.1"[..],
        b"GET\t/p\tHTTP/1.1",
        b"GET  /p HTTP/1.1",
        b"GET /p  HTTP/1.1",
        b" GET /p HTTP/1.1",
        b"GET /p HTTP/1.1 ",
        b"GET /p HTTP/1.32",
        b"GET /p HTTP/2.0",
        b"GET /p HTTP/3",
        b"GET /p HTTP/0.9",
        b"GET /p http/1.1",
        b"GET /p HTTP/ 1.1",
        b"GET /p HTTP/1.",
        b"GET /p HTTP/.1",
        b"GET /p HTTP/11",
        b"GET /p HTTP/1,1",
        b"GET /p HTTP/01.1",
        b"GET /p HTTP/1.01",
        b"GET /p HTP/1.1",
        b"GET /p HTTPS/1.1",
        b"GET /p HTTP 1.1",
        b"GET /p",
        b"GET",
        b"/p HTTP/1.1",
        b"",
        b"G ET /p HTTP/1.1",
        b"GET /p x HTTP/1.1",
        b"GET HTTP/1.1",
        b"G\0ET /p HTTP/1.1",
        b"G\xc9T /p HTTP/1.1",
        b"GET: /p HTTP/1.1",
        b"(GET) /p HTTP/1.1",
        b"GET\x0b/p HTTP/1.1",
        b"GET /p\x0bHTTP/1.1",
        b"GET /p HTTP/1.1\x0b",
        b"GET /p\tHTTP/1.1",
        b"GET\r/p HTTP/1.1",
        b"GET /p\rHTTP/1.1",
        b"GET /p HTTP/1.1\r",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-x",
        b"*1\r\n$4\r\nPING",
        b"GET /p HTTP/1.1, HTTP/1.1",
        b"GET /p \"HTTP/1.1\"",
        b"get\xa0/p HTTP/1.1",
    ] {
        // An empty line before a request is none of it.
        let send =
            if line.is_empty() { b"\r\nHost: a\r\n\r\n".to_vec() } else { join(&[line, b"\r\nHost: a\r\n\r\n"]) };
        rows.push(refused(400, format!("request line: {}", shown(line)), LINE, send));
    }
    rows
}

fn line_ends() -> Vec<Row> {
    let bare = "CVE-2024-52304";
    let mut rows: Vec<Row> = [
        ("bare LF throughout", "GET /p HTTP/1.1\nHost: a\n\n"),
        ("bare LF after the request line", "GET /p HTTP/1.1\nHost: a\r\n\r\n"),
        ("bare LF after a field", "GET /p HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
        ("bare LF that hides a field", "GET /p HTTP/1.1\r\nHost: a\r\nX: y\nX-Session: forged\r\n\r\n"),
        ("bare LF at the end", "GET /p HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare CR in a value", "GET /p HTTP/1.1\r\nHost: a\r\nX: y\rX-Session: forged\r\n\r\n"),
        ("bare CR at the end", "GET /p HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n"),
        ("LF CR", "GET /p HTTP/1.1\n\rHost: a\n\r\n\r"),
        ("a LF first", "\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("five empty lines first", "\r\n\r\n\r\n\r\n\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a NUL first", "\0GET /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a space first", " \r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a byte order mark first", "\u{feff}GET /p HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, send)| refused(400, name, bare, send))
    .collect();
    for empty in 1..=4 {
        let send = format!("{}{GET}\r\n", "\r\n".repeat(empty));
        rows.push(passed(
            format!("{empty} empty lines first"),
            "RFC 9112 §2.2",
            send,
            vec![seen("GET /p", &["host: a"], "")],
        ));
    }
    rows
}

fn fields() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in [
        &b"X-Session : forged"[..],
        b"X\t: y",
        b": y",
        b"X",
        b"X y",
        b" X: y",
        b"\tX: y",
        b"X: y\r\n z",
        b"X: y\r\n\tz",
        b"X: y\r\n \r\n z",
        b"X\0: y",
        b"\xefoo: b",
        b"X\x01: y",
        b"X\x7f: y",
        b"X y: z",
        b"(X): y",
        b"X\"Y\": z",
        b"X/Y: z",
        b"X[]: y",
        b"X{}: y",
        b"X@Y: z",
        b"X=Y: z",
        b"X\\Y: z",
        b"X;Y: z",
        b"X,Y: z",
        b"X<Y>: z",
        b"X?: y",
        b"=",
        b"\x0bX: y",
        b"X\x0b: y",
        b"Host : b",
        b"\"X\": y",
    ] {
        let send = join(&[GET.as_bytes(), line, b"\r\n\r\n"]);
        rows.push(refused(400, format!("field: {}", shown(line)), FIELD, send));
    }
    rows
}

fn values() -> Vec<Row> {
    let mut rows = Vec::new();
    for byte in (0..=0x1fu8).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let send = join(&[GET.as_bytes(), b"X: y", &[byte], b"z\r\n\r\n"]);
        rows.push(refused(400, format!("byte {byte:#04x} in a value"), "RFC 9110 §5.5", send));
    }
    for byte in (0..=0x20u8).chain([0x7f]).filter(|byte| !b" \r\n".contains(byte)) {
        let send = join(&[b"GET /p", &[byte], b"x HTTP/1.1\r\nHost: a\r\n\r\n"]);
        rows.push(refused(400, format!("byte {byte:#04x} in a path"), "RFC 9112 §3.2", send));
    }
    for (value, left) in
        [("y\tz", "y\tz"), ("\t y \t", "y"), ("", ""), ("a: b", "a: b"), ("\u{80}\u{ff}", "\u{80}\u{ff}")]
    {
        let bytes: Vec<u8> = value.chars().map(|c| c as u8).collect();
        let send = join(&[GET.as_bytes(), b"X: ", &bytes, b"\r\n\r\n"]);
        let field = format!("x: {left}");
        let at_app = vec![seen("GET /p", &["host: a", &field], "")];
        rows.push(passed(format!("the value {}", shown(&bytes)), "RFC 9110 §5.5", send, at_app));
    }
    rows
}

fn sizes() -> Vec<Row> {
    let head = |field: usize| format!("{GET}X: {}\r\n\r\n", "y".repeat(field));
    // The numbers in the paths are as long as the row's own `/p` is not: the limit is 32 KiB.
    let spare = 32 * 1024 - head(0).len() - "0000000".len();
    let exactly = format!("x: {}", "y".repeat(spare));
    let target = |length: usize| format!("GET /p?{} HTTP/1.1\r\nHost: a\r\n\r\n", "q".repeat(length));
    let many = |fields: usize| format!("{GET}{}\r\n", "X: y\r\n".repeat(fields - 1));
    let (size, number, long) = ("RFC 6585 §5", "RFC 6585 §5", "RFC 9110 §15.5.15");
    let lines = vec!["x: y"; 99];
    let query = format!("GET /p?{}", "q".repeat(8 * 1024));
    vec![
        passed("a head as large as may be", size, head(spare), vec![seen("GET /p", &["host: a", &exactly], "")]),
        refused(431, "a head one byte larger", size, head(spare + 1)),
        refused(431, "a head of 70 KiB", size, head(70 * 1024)),
        refused(431, "a name of 100 KiB", size, format!("{GET}{}: y\r\n\r\n", "X".repeat(100 * 1024))),
        refused(431, "a Cookie of 64 KiB", size, format!("{GET}Cookie: {}\r\n\r\n", "a=b;".repeat(16 * 1024))),
        refused(431, "a head that does not end", size, format!("{GET}X: {}", "y".repeat(40 * 1024))),
        passed("100 fields", number, many(100), vec![seen("GET /p", &[&["host: a"], &lines[..]].concat(), "")]),
        refused(431, "101 fields", number, many(101)),
        refused(431, "1000 fields", number, many(1000)),
        passed("a target of 8 KiB", long, target(8 * 1024), vec![seen(&query, &["host: a"], "")]),
        refused(414, "a target of 33 KiB", long, target(33 * 1024)),
        refused(414, "a target of 70 KiB", long, target(70 * 1024)),
        refused(414, "a target that does not end", long, format!("GET /p?{}", "q".repeat(40 * 1024))),
        refused(414, "a method of 40 KiB", long, format!("{} /p HTTP/1.1\r\nHost: a\r\n\r\n", "G".repeat(40 * 1024))),
    ]
}
