//! Contract 7, the response side: the header lines of an answer arrive with their values byte for byte, whichever protocol
//! the browser speaks and whatever way the answer takes through us; what may not pass does not, on any of them.

use std::sync::Arc;

use http::Request;

use crate::support::{Answer, Backend, Headers, Http2, Proxy, Reply, Store, World, parse_head, world};

/// Answers, and what of their header lines may reach a browser.
const ANSWERS: [(&str, &[&str]); 8] = [
    (
        "Server: nginx/1.26.3\r\nDate: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\
         Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6a-7\"\r\nAccept-Ranges: bytes",
        &[
            "accept-ranges: bytes",
            "content-type: text/html",
            "date: Sun, 22 Nov 2026 00:00:00 GMT",
            "etag: \"6a-7\"",
            "last-modified: Sun, 22 Nov 2026 00:00:00 GMT",
            "server: nginx/1.26.3",
        ],
    ),
    (
        // More places than there is room for, repeated names, odd values.
        "X-A: 1\r\nServer: a\r\nX-A: 2\r\nLink: </x>\r\nX-B: \r\nLINK: </y>\r\nX-C: caf\u{e9}\r\nExpires: 0\r\n\
         Set-Cookie: a=b\r\nPragma: a  b\tc\r\nSet-Cookie: c=d\r\nAge: \u{e9}, \"\r\nContent-Length: 2\r\nDate: never\r\n\
         X-D: e\r\nX-Frame-Options:",
        &[
            "age: \u{c3}\u{a9}, \"",
            "date: never",
            "expires: 0",
            "link: </x>",
            "link: </y>",
            "pragma: a  b\tc",
            "server: a",
            "set-cookie: a=b",
            "set-cookie: c=d",
            "x-a: 1",
            "x-a: 2",
            "x-b: ",
            "x-c: caf\u{c3}\u{a9}",
            "x-d: e",
            "x-frame-options: ",
        ],
    ),
    (
        "Server:a\r\nDate:  b\t\r\nETag: c \nContent-Length: 2\r\nAge:\td",
        &["age: d", "date: b", "etag: c", "server: a"],
    ),
    ("Date: a\r\nServer: b\r\nContent-Length: 2\r\nConnection: close, Server\r\nAge: 1", &["age: 1", "date: a"]),
    ("Connection: keep-alive\r\nDate: a\r\nETag: b\r\nConnection: ETag\r\nContent-Length: 2", &["date: a"]),
    ("Date: a\r\nServer: b\r\nConnection: close\r\nContent-Length: 2, 2", &["date: a", "server: b"]),
    (
        "Date: a\r\nTransfer-Encoding: chunked\r\nServer: b\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
         X-Request-Id: forged\r\nX_Request_Id: forged\r\nX-Session-Update: {}\r\nX_Session_Control: \r\nTrailer: X-Sum",
        &["date: a", "server: b", "trailer: X-Sum"],
    ),
    ("Date: a\r\nContent-Length: 99\r\nServer: b\r\nTransfer-Encoding: chunked", &["date: a", "server: b"]),
];

/// An application that answers `/N` with the answer N.
fn application() -> Backend {
    Backend::start(|heard| {
        heard.body()?;
        let (lines, _) = ANSWERS[heard.path().trim_start_matches('/').parse::<usize>().expect("a number")];
        let body = if lines.contains("chunked") { "2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n" } else { "ok" };
        heard.send(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}"))?;
        Ok(!lines.contains("close"))
    })
}

fn proxy(w: &World, backend: &Backend) -> Arc<Proxy> {
    w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()))
}

/// What a head says, without what frames it and what we add.
#[track_caller]
fn said(headers: &Headers) -> Vec<String> {
    assert_eq!(headers.all("vary"), ["Cookie"]);
    let [id] = headers.all("x-request-id")[..] else { panic!("one id") };
    assert_eq!(id.len(), 32);
    let framing = ["content-length", "transfer-encoding", "connection", "vary", "x-request-id"];
    let lines = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let mut lines: Vec<_> = lines.filter(|(name, _)| !framing.contains(&name.as_str())).collect();
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// The same of a whole answer, the body of which is always the same.
#[track_caller]
fn said_by(reply: &Reply) -> Vec<String> {
    assert_eq!((reply.status, reply.text().as_str(), reply.complete), (200, "ok", true));
    said(&reply.headers)
}

#[test]
fn the_lines_of_an_answer_arrive_whoever_asks_and_however() {
    world(Store::Memory, |w| {
        let backend = application();
        let proxy = proxy(w, &backend);
        let (mut connection, mut http2) = (proxy.connect(), Http2::plain(&proxy));
        for (number, (lines, wanted)) in ANSWERS.iter().enumerate() {
            let mut ask = |method: &str, rest: &str| {
                let head = format!("{method} /{number} HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n{rest}");
                connection.send(head.as_bytes()).expect("sending");
                connection.reply(method).expect("an answer")
            };
            let reply = ask("GET", "\r\n");
            assert_eq!(said_by(&reply), *wanted, "{lines:?}");
            assert_eq!(reply.trailers.all("x-sum") == ["2"], wanted.contains(&"trailer: X-Sum"));
            // With a body it takes another way to the application.
            assert_eq!(said_by(&ask("POST", "Content-Length: 3\r\n\r\nabc")), *wanted, "{lines:?}");
            let reply = http2.ask(Request::get(format!("http://localhost/{number}")).body(()).expect("a request"));
            assert_eq!(said_by(&reply.expect("an answer")), *wanted, "{lines:?}");
            let mut old = proxy.connect();
            old.send(format!("GET /{number} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).expect("sending");
            let (first, headers) = parse_head(&old.bytes(b"\r\n\r\n").expect("a head"));
            let wanted: Vec<_> = wanted.iter().filter(|line| !line.starts_with("trailer")).copied().collect();
            assert_eq!(first, "HTTP/1.0 200 OK");
            assert_eq!(said(&headers), wanted, "{lines:?}");
            assert!(headers.all("transfer-encoding").is_empty() && old.bytes(b"ok").is_ok());
        }
    });
}

#[test]
fn an_answer_keeps_the_length_that_no_body_tells() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        for (status, line) in [("304 Not Modified", Some("12")), ("204 No Content", None)] {
            let raw = format!("HTTP/1.1 {status}\r\nServer: a\r\nContent-Length: 12\r\nETag: b\r\n\r\n");
            let reply = browser.get("/", Answer::raw(&raw));
            assert_eq!((reply.header("server"), reply.header("etag")), (Some("a"), Some("b")));
            assert_eq!(reply.header("content-length"), line, "{status}");
        }
    });
}

#[test]
fn a_header_to_which_the_configuration_gives_a_meaning_is_no_ordinary_line() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(
            r#"
            token.control_header = "X-Cache"
            routes = [
                { path = "/", upstream = "app" },
                { path = "/by", upstream = "app", capture = { X-Powered-By = "/by" } },
                { path = "/in", upstream = "app", capture = { X-Runtime = "/in" }, keep_captured = true },
            ]
            "#,
        );
        let browser = w.browser(&proxy);
        let ask = |path: &str, cache: &str| {
            let answer = Answer::ok().header("Server", "a").header("X-Powered-By", "b").header("X-Runtime", "c");
            let answer = if cache.is_empty() { answer } else { answer.header("X-Cache", cache) };
            let reply = browser.get(path, answer.header("ETag", "d")).passed(200);
            ["server", "x-powered-by", "x-runtime", "x-cache", "etag"].map(|name| reply.headers.all(name).join("|"))
        };
        assert_eq!(ask("/", ""), ["a", "b", "c", "", "d"]);
        assert_eq!(ask("/by", ""), ["a", "", "c", "", "d"]);
        assert_eq!(ask("/in", ""), ["a", "b", "c", "", "d"]);
        assert_eq!(browser.data(), r#"{"by":"b","in":"c"}"#);
        assert_eq!(ask("/", "clear"), ["a", "b", "c", "", "d"]);
        assert_eq!(browser.data(), "{}");
    });
}
