//! Which host a request is for.

use super::{join, shown};
use crate::row::{Row, passed, refused, seen};

const HOST: &str = "RFC 9112 §3.2";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for host in [
        &b""[..],
        b" ",
        b"a, b",
        b"a b",
        b"u@a",
        b"u:p@a",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"a:99999",
        b"a:65536",
        b"a:-1",
        b"a:+80",
        b"a:",
        b"a:b",
        b"a:80:80",
        b":80",
        b"[::1",
        b"::1]",
        b"[::1]x",
        b"[]",
        b"[::g]",
        b"[::1%25eth0]",
        b"[1.2.3.4]",
        b"::1",
        b"caf\xc3\xa9",
        b"caf\xe9",
        b"a..b",
        b".a",
        b".",
        b"a%00b",
        b"a%2eb",
        b"a;b",
        b"a=b",
        b"a'b",
        b"a\"b",
        b"<a>",
        b"a|b",
        b"a^b",
        b"a`b",
        b"{a}",
        b"a$b",
        b"a&b",
        b"a*b",
        b"(a)",
        b"a!b",
        b"http://a",
        b"a\t b",
        b"*",
        b"*.a",
    ] {
        let send = join(&[b"GET /p HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"]);
        rows.push(refused(400, format!("Host: {}", shown(host)), HOST, send));
    }
    let long = format!("GET /p HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300));
    rows.push(refused(400, "Host: 300 characters", "RFC 1035 §2.3.4", long));
    for (name, lines) in [
        ("missing", "X: y\r\n"),
        ("two that are the same", "Host: a\r\nHost: a\r\n"),
        ("two that differ", "Host: a\r\nHost: b\r\n"),
        ("two in other case", "Host: a\r\nhOST: b\r\n"),
        ("two apart", "Host: a\r\nX: y\r\nHost: b\r\n"),
        ("three", "Host: a\r\nHost: a\r\nHost: a\r\n"),
        ("one empty, one not", "Host:\r\nHost: a\r\n"),
        ("only a look-alike", "Ho_st: a\r\n"),
    ] {
        rows.push(refused(400, format!("Host: {name}"), HOST, format!("GET /p HTTP/1.1\r\n{lines}\r\n")));
    }
    for host in [
        "a",
        "A.Test",
        "a:80",
        "a:0",
        "a:65535",
        "a.b.c",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[2001:DB8::1]:443",
        "a.",
        "my_app",
        "a-b",
        "xn--caf-dma",
        "a~b",
    ] {
        let field = format!("host: {host}");
        let send = format!("GET /p HTTP/1.1\r\nHost: {host}\r\n\r\n");
        rows.push(passed(format!("the host {host}"), HOST, send, vec![seen("GET /p", &[&field], "")]));
    }
    for nomination in ["Host", "close, Host", "host, Cookie"] {
        let send = format!("GET /p HTTP/1.1\r\nConnection: {nomination}\r\nHost: a\r\n\r\n");
        let row = passed(
            format!("Connection: {nomination} keeps Host"),
            "RFC 9110 §7.6.1",
            send,
            vec![seen("GET /p", &["host: a"], "")],
        );
        rows.push(if nomination.contains("close") { row.closed() } else { row });
    }
    rows
}
