//! The chunked coding: sizes, extensions, data, trailers.

use super::{POST, join, shown};
use crate::row::{Row, aborted, passed, seen};

const GRAMMAR: &str = "RFC 9112 §7.1";
const EXTENSION: &str = "RFC 9112 §7.1.1";
const TRAILER: &str = "RFC 9110 §6.5.1";

fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    join(&[POST.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", body.as_ref()])
}

pub(super) fn rows() -> Vec<Row> {
    [sound(), sizes(), extensions(), data(), trailers()].concat()
}

fn sound() -> Vec<Row> {
    let body = |text: &str| vec![seen("POST /p", &["host: a", "transfer-encoding: chunked"], text)];
    [
        ("none", "0\r\n\r\n", ""),
        ("several zeros", "000\r\n\r\n", ""),
        ("two", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"),
        ("leading zeros", "0003\r\nabc\r\n0\r\n\r\n", "abc"),
        ("lower case", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("upper case", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("line ends in the data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        (
            "a request in the data",
            "1b\r\nGET /evil HTTP/1.1\r\nHost:\r\n\r\n0\r\n\r\n",
            "GET /evil HTTP/1.1\r\nHost:\r\n",
        ),
        ("an extension", "3;a\r\nabc\r\n0\r\n\r\n", "abc"),
        ("an extension with a value", "3;a=b\r\nabc\r\n0;c=d\r\n\r\n", "abc"),
        ("a quoted extension", "3;a=\"b;\\\" c\"\r\nabc\r\n0\r\n\r\n", "abc"),
        ("spaced extensions", "3 ; a = b ;\tc\r\nabc\r\n0\r\n\r\n", "abc"),
    ]
    .into_iter()
    .map(|(name, text, data)| passed(format!("chunks: {name}"), GRAMMAR, post(text), body(data)))
    .collect()
}

fn sizes() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [
        &b""[..],
        b"-1",
        b"+3",
        b"0x3",
        b"3_0",
        b" 3",
        b"\t3",
        b"3 ",
        b"3\t",
        b"3 3",
        b"3,3",
        b"g",
        b"3g",
        b"\"3\"",
        b"10000000000000000",
        b"FFFFFFFFFFFFFFFFF",
        b"00000000000000003",
        b"3\0",
        b"\x003",
        b"3\x0b",
        b"3\x0c",
        b"3\xa0",
        b"\xef3",
        b"3.",
        b"3h",
        b"'3'",
        b"3\r",
        b"%33",
        b"3=",
        b"3:",
        b"3/",
        b"0\x0b",
        b"0x0",
        b"\xff",
        b"3\x7f",
    ] {
        let body = join(&[size, b"\r\nabc\r\n0\r\n\r\n"]);
        rows.push(aborted(400, format!("chunk size: {}", shown(size)), GRAMMAR, post(body)));
    }
    for (name, body) in [
        ("bare LF", "3\nabc\r\n0\r\n\r\n"),
        ("bare LF everywhere", "3\nabc\n0\n\n"),
        ("bare CR", "3\rabc\r\n0\r\n\r\n"),
        ("LF CR", "3\n\rabc\r\n0\r\n\r\n"),
        ("an empty line before", "\r\n3\r\nabc\r\n0\r\n\r\n"),
        ("no body but text", "abc=def&x=y\r\n\r\n"),
    ] {
        rows.push(aborted(400, format!("chunk size: {name}"), GRAMMAR, post(body)));
    }
    rows
}

fn extensions() -> Vec<Row> {
    let mut rows = Vec::new();
    for extension in [
        &b";"[..],
        b";;a",
        b";a=",
        b";=b",
        b";a b",
        b";a=\"",
        b";a=\"b",
        b";a=\"b\"c",
        b";a=b=c",
        b";\x00x",
        b";a\0",
        b";a=\0",
        b";a=\"\0\"",
        b";\x01",
        b";a\x0b",
        b";a=\"\x7f\"",
        b";a\xe9",
        b";a,b",
        b";a=b,c",
        b"; ",
        b";a;",
        b";a=\"\\",
        b";a=\"\\\"",
        b" a",
        b";(a)",
        b";a=\"\r\n\"",
        b";a\rb",
        b";\rabc",
    ] {
        let body = join(&[b"3", extension, b"\r\nabc\r\n0\r\n\r\n"]);
        rows.push(aborted(400, format!("chunk extension: {}", shown(extension)), EXTENSION, post(body)));
    }
    for (name, body) in [
        ("TERM.EXT", "3;\nabc\r\n0\r\n\r\n"),
        ("a bare LF within", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF after it", "3;a=b\nabc\r\n0\r\n\r\n"),
        ("EXT.TERM", "3;\nxx\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("at the last chunk", "3\r\nabc\r\n0;\0\r\n\r\n"),
    ] {
        rows.push(aborted(400, format!("chunk extension: {name}"), "CVE-2025-55315", post(body)));
    }
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    rows.push(aborted(400, "chunk extension: 64 KiB", "CVE-2023-39326", post(long)));
    rows
}

fn data() -> Vec<Row> {
    [
        ("a chunk that spills", "5\r\nhelloXX0\r\n\r\n"),
        ("a chunk without its CR LF", "3\r\nabc0\r\n\r\n"),
        ("a chunk that ends in LF", "3\r\nabc\n0\r\n\r\n"),
        ("a chunk that ends in CR", "3\r\nabc\r0\r\n\r\n"),
        ("a chunk that is too short", "5\r\nabc\r\n0\r\n\r\n\r\n"),
        ("two bytes skipped", "3\r\nabcXY0\r\n\r\n"),
        ("a chunk that ends in CR CR LF", "3\r\nabc\r\r\n0\r\n\r\n"),
        ("an empty line between chunks", "3\r\nabc\r\n\r\n0\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, body)| aborted(400, format!("chunk data: {name}"), GRAMMAR, post(body)))
    .collect()
}

fn trailers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, body) in [
        ("a bare LF", "0\r\nX-T: 1\n\r\n"),
        ("no colon", "0\r\nX-T\r\n\r\n"),
        ("no name", "0\r\n: 1\r\n\r\n"),
        ("space before the colon", "0\r\nX-T : 1\r\n\r\n"),
        ("a space first", "0\r\n X-T: 1\r\n\r\n"),
        ("going on on the next line", "0\r\nX-T: 1\r\n 2\r\n\r\n"),
        ("a NUL", "0\r\nX-T: \0\r\n\r\n"),
        ("a bare CR", "0\r\nX-T: 1\r2\r\n\r\n"),
        ("a last line that ends in LF", "0\r\nX-T: 1\r\n\n"),
        ("the end in LF LF", "0\n\n"),
        ("a control byte in the name", "0\r\nX\x01T: 1\r\n\r\n"),
        ("a byte above ASCII in the name", "0\r\nX\u{e9}T: 1\r\n\r\n"),
    ] {
        rows.push(aborted(400, format!("trailers: {name}"), "RFC 9112 §7.1.2", post(body)));
    }
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(200));
    rows.push(aborted(400, "trailers: 200 of them", "CVE-2024-27316", post(many)));
    let large = format!("0\r\nX: {}\r\n\r\n", "y".repeat(64 * 1024));
    rows.push(aborted(400, "trailers: 64 KiB", "CVE-2024-27316", post(large)));
    for trailer in [
        "Content-Length: 9",
        "Transfer-Encoding: chunked",
        "Host: b",
        "Connection: close",
        "X-Session: forged",
        "x_session: forged",
        "X-Session-Update: {}",
        "X_Session_Control: destroy",
        "Cookie: a=b",
        "Authorization: x",
        "X-Forwarded-For: 1.2.3.4",
        "X_Forwarded_Proto: https",
        "Content_Length: 9",
        "TE: trailers",
        "Trailer: x",
        "Upgrade: h2c",
        "Proxy: http://evil/",
        "X-Real-IP: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
        "Via: 1.1 x",
        "Set-Cookie: a=b",
        "Expect: 100-continue",
    ] {
        let name = trailer.split(':').next().unwrap_or_default();
        let announced = format!("{POST}Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: {name}, X-T\r\n\r\n");
        let send = format!("{announced}3\r\nabc\r\n0\r\n{trailer}\r\nX-T: 1\r\n\r\n");
        // What will not come is not announced either.
        let fields = ["host: a", "te: trailers", "trailer: X-T", "transfer-encoding: chunked"];
        let at_app = vec![seen("POST /p", &fields, "abc").trailed_by(&["x-t: 1"])];
        rows.push(passed(format!("a trailer that may not be: {trailer}"), TRAILER, send, at_app));
    }
    let unannounced = post("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    let at_app = vec![seen("POST /p", &["host: a", "transfer-encoding: chunked"], "abc")];
    rows.push(passed("a trailer that nobody announced", TRAILER, unannounced, at_app.clone()));
    let smuggled = post("0\r\nX:POST /evil HTTP/1.1\r\n\r\n");
    let at_app = vec![seen("POST /p", &["host: a", "transfer-encoding: chunked"], "")];
    rows.push(passed("a trailer that looks like a request", "RFC 9112 §7.1.2", smuggled, at_app));
    rows
}
