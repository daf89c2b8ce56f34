//! Contract 10, logs: one line for each request with the promised fields, and nobody who chooses a byte of it can add a line
//! or speak to a terminal, in text or in JSON.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::support::{Answer, Ask, Backend, Proxy, Store, every_store, until, world};

/// What a client or an application may try to have written.
const HOSTILE: [&[u8]; 8] = [
    b"a\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
    b"a\n2026-11-22T00:00:00Z ERROR forged",
    b"\x1b[2J\x1b[31mred",
    b"\x1b]0;title\x07",
    "\u{9b}2J\u{85}\u{2028}forged".as_bytes(),
    b"\x7f\x08\x08\x08",
    b"\0",
    b"\xff\xfe\x9b",
];

/// Sends bytes, and waits for whatever is said until the connection ends.
fn throw(proxy: &Proxy, bytes: &[u8]) {
    let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Puts every hostile text into every place of a request.
fn attack(proxy: &Proxy) -> usize {
    let mut thrown = 0;
    for hostile in HOSTILE {
        for (before, after) in [
            (&b""[..], &b" / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
            (b"GET /", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (b"GET /?q=", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (b"GET http://", b"/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: ", b"\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ", b"\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b": x\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: __Host-session=", b"\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: ", b"\r\n\r\n"),
            (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\nx\r\n0\r\n\r\n"),
            (b"GET / HTTP/", b"\r\nHost: localhost\r\n\r\n"),
        ] {
            throw(proxy, &[before, hostile, after].concat());
            thrown += 1;
        }
    }
    thrown
}

/// An application whose answers are hostile in each part.
fn hostile_application() -> Backend {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    Backend::start(move |heard| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let hostile = String::from_utf8_lossy(HOSTILE[turn % HOSTILE.len()]);
        heard.send(&match turn / HOSTILE.len() % 5 {
            0 => format!("HTTP/1.1 200 {hostile}\r\nContent-Length: 2\r\n\r\nok"),
            1 => format!("HTTP/1.1 200 OK\r\nX-Session-Update: {{\"{hostile}\r\nContent-Length: 2\r\n\r\nok"),
            2 => format!("HTTP/1.1 200 OK\r\nX-Session-Control: {hostile}\r\nContent-Length: 2\r\n\r\nok"),
            3 => format!("HTTP/1.1 200 OK\r\n{hostile}: x\r\nContent-Length: 2\r\n\r\nok"),
            _ => format!("{hostile}\r\n\r\n"),
        })?;
        Ok(false)
    })
}

fn assert_plain(log: &str) {
    for line in log.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.starts_with('{') || serde_json::from_str::<Value>(line).is_ok(), "{line:?}");
    }
}

#[test]
fn nobody_can_write_a_line_of_the_log_or_speak_to_a_terminal() {
    for format in ["text", "json"] {
        world(Store::Memory, |w| {
            let application = hostile_application();
            let config = format!(
                "listen.trusted_proxies = [\"127.0.0.1/32\"]\nupstreams.app.servers = [{:?}]",
                application.url()
            );
            let proxy = w.proxy_with_arguments(&config, &["--log-format", format]);
            attack(&proxy);
            let browser = w.browser(&proxy);
            for _ in 0..5 * HOSTILE.len() {
                browser.ask(Ask::get("/the-last%0a%1b[31m"), Answer::ok());
            }
            until("the last line", || {
                (proxy.log().matches("/the-last%0a%1b[31m").count() >= 5 * HOSTILE.len()).then_some(())
            });
            let log = proxy.log();
            assert_plain(&log);
            let forged = |line: &str| match format {
                "json" => serde_json::from_str::<Value>(line).expect("JSON")["message"] == "forged",
                _ => !line.starts_with("20") || line.contains("Z ERROR forged") && !line.contains("cloakroom::"),
            };
            assert_eq!(log.lines().find(|line| forged(line)), None);
        });
    }
}

every_store! {
    fn each_request_leaves_one_line_with_what_is_promised(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        let created = browser.ask(Ask::post("/a/path?secret=query", "a body"), Answer::updating(r#"{"n":1}"#).body("eleven byte"));
        let handle = browser.visit().handle().to_owned();
        browser.get("/", Answer::status(404)).passed(404);
        let lines = until("three lines", || Some(proxy.access_lines()).filter(|lines| lines.len() == 3));
        let line = &lines[0];
        let fields: BTreeSet<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        let promised = "bytes level message method outcome path request_id route session status store_ms target \
                        timestamp total_ms upstream_ms";
        assert_eq!(fields, promised.split_whitespace().collect());
        assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("POST"), Some("/a/path")));
        assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(11)));
        assert_eq!((line["route"].as_str(), line["outcome"].as_str()), (Some("/"), Some("created")));
        assert_eq!(line["session"].as_str(), Some(handle.as_str()));
        assert_eq!(line["request_id"].as_str(), created.header("x-request-id"));
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("INFO"), Some("request")));
        let ms = |name: &str| line[name].as_f64().expect("milliseconds");
        assert!(ms("total_ms") >= ms("upstream_ms") && ms("upstream_ms") > 0.0 && ms("total_ms") >= ms("store_ms"), "{line}");
        assert_eq!((lines[1]["outcome"].as_str(), lines[2]["status"].as_u64()), (Some("live"), Some(404)));
        assert!(!proxy.log().contains("secret=query"));
    }
}
