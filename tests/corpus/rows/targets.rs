//! Targets, methods, expectations, forwards.

use super::{GET, POST, join, shown};
use crate::row::{Row, passed, refused, seen};

const TARGET: &str = "RFC 9112 §3.2";

pub(super) fn rows() -> Vec<Row> {
    [targets(), methods(), absolute(), expectations(), forwards()].concat()
}

fn targets() -> Vec<Row> {
    let mut rows = Vec::new();
    for target in [
        "/p/../b/%2e%2e/c//d",
        "/p?x=%zz&y=[1]|{}^",
        "/p%00",
        "/p%0d%0aX-Session:%20f",
        "/p;a=b",
        "/p/%2f%5c",
        "/p?a?b",
        "/p?",
        "/p//",
        "//p",
        "/p/.",
        "/p/..;/x",
        "/p!$&'()*+,;=:@",
        "/p/%",
        "/p/%e9",
        "/p?q=http://b/",
        "/p?`",
        "/p?'",
        "/p[]|^",
        "/p{}",
        "/p\"",
    ] {
        let send = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        rows.push(passed(
            format!("the target {target}"),
            "RFC 9110 §4.2.3",
            send,
            vec![seen(&format!("GET {target}"), &["host: a"], "")],
        ));
    }
    for target in ["/p#fragment", "/p?q#", "/p#/x?y"] {
        let send = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let left = target.split('#').next().unwrap_or_default();
        rows.push(passed(
            format!("the fragment of {target} goes"),
            TARGET,
            send,
            vec![seen(&format!("GET {left}"), &["host: a"], "")],
        ));
    }
    for target in [
        &b"admin"[..],
        b"p",
        b"?p",
        b"#p",
        b"a:80",
        b"ftp://a/p",
        b"file:///p",
        b"javascript:1",
        b"data:,x",
        b"http://",
        b"http:///p",
        b"http:/p",
        b"http:p",
        b"*x",
        b"**",
        b"http://u@a/p",
        b"http://u:p@a/p",
        b"http://a:99999/p",
        b"http://a b/p",
        b"http://[::1/p",
        b"ws://a/p",
        b"\\p",
        b".",
        b"..",
        b"/p\xc0\xaf\x00",
        // Browsers encode these.
        b"/p?x=\"",
        b"/p?<",
        b"/p?>",
        b"/p`",
        b"/p<",
        b"/p>",
    ] {
        let send = join(&[b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"]);
        rows.push(refused(400, format!("the target {}", shown(target)), TARGET, send));
    }
    for method in ["GET", "POST", "HEAD"] {
        let send = format!("{method} * HTTP/1.1\r\nHost: a\r\n\r\n");
        rows.push(refused(400, format!("{method} *"), "RFC 9112 §3.2.4", send));
    }
    let star = "OPTIONS * HTTP/1.1\r\nHost: a\r\nX: /p\r\n\r\n";
    rows.push(passed("OPTIONS *", "RFC 9112 §3.2.4", star, vec![seen("OPTIONS *", &["host: a", "x: /p"], "")]));
    rows
}

fn methods() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, send) in [
        ("CONNECT to a store", "CONNECT 127.0.0.1:6379 HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\n"),
        ("CONNECT with a body", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\n\r\nabc"),
        ("CONNECT with chunks", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("CONNECT to a path", "CONNECT /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TRACE", "TRACE /p HTTP/1.1\r\nHost: a\r\nCookie: __Host-session=x\r\n\r\n"),
        ("TRACE with a body", "TRACE /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        ("TRACE that goes no further", "TRACE /p HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"),
        ("TRACE on HTTP/1.0", "TRACE /p HTTP/1.0\r\n\r\n"),
    ] {
        rows.push(refused(405, name, "RFC 9110 §9.3", send));
    }
    for method in ["get", "FOO", "GETT", "X-!#$%&'*+.^_`|~", "PRI"] {
        let send = format!("{method} /p HTTP/1.1\r\nHost: a\r\n\r\n");
        rows.push(passed(
            format!("the method {method}"),
            "RFC 9110 §9.1",
            send,
            vec![seen(&format!("{method} /p"), &["host: a"], "")],
        ));
    }
    let head = "HEAD /p HTTP/1.1\r\nHost: a\r\n\r\n";
    rows.push(passed("HEAD", "RFC 9110 §9.3.2", head, vec![seen("HEAD /p", &["host: a"], "")]));
    let faulty = "HEAD /p HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\n";
    rows.push(refused(400, "HEAD that is not sound gets no body", "RFC 9110 §9.3.2", faulty));
    rows.push(refused(400, "HEAD without Host gets no body", "RFC 9110 §9.3.2", "HEAD /p HTTP/1.1\r\n\r\n"));
    rows.push(
        passed(
            "HTTP/1.0",
            "RFC 9112 §2.3",
            "GET /p HTTP/1.0\r\nHost: a\r\n\r\n",
            vec![seen("GET /p", &["host: a"], "")],
        )
        .closed(),
    );
    let kept = "GET /p HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    rows.push(passed("HTTP/1.0 that keeps alive", "RFC 9112 §9.3", kept, vec![seen("GET /p", &["host: a"], "")]));
    rows
}

fn absolute() -> Vec<Row> {
    let mut rows = Vec::new();
    for (target, path, host) in [
        ("http://a/p", "/p", "a"),
        ("http://evil.test/p", "/p", "evil.test"),
        ("HTTP://Evil.Test:81/p?q", "/p?q", "Evil.Test:81"),
        ("https://a/p", "/p", "a"),
        ("http://169.254.169.254/p", "/p", "169.254.169.254"),
        ("http://[::1]:80/p", "/p", "[::1]:80"),
    ] {
        let field = format!("host: {host}");
        let send = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let at_app = vec![seen(&format!("GET {path}"), &[&field], "")];
        rows.push(passed(format!("the target {target}"), "RFC 9112 §3.2.2", send, at_app));
    }
    let bad = "GET http://a/p HTTP/1.1\r\nHost: a, b\r\n\r\n";
    rows.push(refused(400, "an absolute target beside a bad Host", "RFC 9112 §3.2", bad));
    rows.push(refused(400, "an absolute target without Host", "RFC 9112 §3.2", "GET http://a/p HTTP/1.1\r\n\r\n"));
    rows
}

fn expectations() -> Vec<Row> {
    let mut rows = Vec::new();
    for expectation in ["200-ok", "100-continue, 100-continue", "100-continue;x", "100", "", "continue"] {
        let send = format!("{POST}Expect: {expectation}\r\nContent-Length: 3\r\n\r\nabc");
        rows.push(refused(417, format!("Expect: {expectation}"), "RFC 9110 §10.1.1", send));
    }
    let twice = format!("{GET}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n");
    rows.push(refused(417, "Expect twice", "RFC 9110 §10.1.1", twice));
    let idle = format!("{GET}Expect: 100-continue\r\n\r\n");
    rows.push(passed("Expect without a body", "RFC 9110 §10.1.1", idle, vec![seen("GET /p", &["host: a"], "")]));
    let old = "POST /p HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    let at_app = vec![seen("POST /p", &["content-length: 3", "host: a"], "abc")];
    rows.push(passed("Expect on HTTP/1.0", "RFC 9110 §10.1.1", old, at_app).closed());
    rows
}

fn forwards() -> Vec<Row> {
    let options = |value: &str| format!("OPTIONS /p HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
    let at_app = |value: &str| vec![seen("OPTIONS /p", &["host: a", &format!("max-forwards: {value}")], "")];
    let cites = "RFC 9110 §7.6.2";
    vec![
        refused(204, "OPTIONS that goes no further", cites, options("0")).open(),
        passed("OPTIONS that goes one further", cites, options("1"), at_app("0")),
        passed("OPTIONS that goes two further", cites, options("2"), at_app("1")),
        passed("OPTIONS with a Max-Forwards of nonsense", cites, options("x"), at_app("x")),
        passed(
            "GET with Max-Forwards",
            cites,
            format!("{GET}Max-Forwards: 0\r\n\r\n"),
            vec![seen("GET /p", &["host: a", "max-forwards: 0"], "")],
        ),
        refused(508, "a loop", "RFC 9110 §7.6.3", format!("{GET}Via: {}\r\n\r\n", ["1.1 cloakroom"; 8].join(", ")))
            .open(),
        passed(
            "seven passes are no loop",
            "RFC 9110 §7.6.3",
            format!("{GET}Via: {}\r\n\r\n", ["1.1 cloakroom"; 7].join(", ")),
            vec![seen("GET /p", &["host: a"], "")],
        ),
    ]
}
