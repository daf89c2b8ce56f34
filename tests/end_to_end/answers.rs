//! Contract 7, the response side: what an application answers is passed on equal in meaning, or not at all.
//! Threats H-04, H-06, H-11, H-13, F-30, F-38, F-39, W-02, W-04.

use std::time::Duration;

use crate::support::{Answer, Ask, Backend, Browser, Connection, Framing, Gate, Proxy, Store, let_pass, world};

const MIB: u64 = 1024 * 1024;

#[track_caller]
fn assert_refused(browser: &Browser, raw: &str) {
    let shown = &raw[..raw.len().min(120)];
    let reply = browser.ask(Ask::post("/", "x"), Answer::raw(raw));
    assert_eq!(reply.status, 502, "{shown:?}: {}", reply.text());
    reply.refused(502, "upstream-failed").without_cookie();
}

#[test]
fn an_answer_that_could_be_read_in_two_ways_is_none() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
        let long = format!("X: {}\r\n", "x".repeat(300 * 1024));
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2;\r\n",
            "HTTP/1.1 304 No\r\nContent-Length: 2, 3\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n",
            "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 99 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n",
            "ICY 200 OK\r\nContent-Length: 2\r\n",
            &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n"),
            &format!("HTTP/1.1 200 OK\r\n{long}Content-Length: 2\r\n"),
        ] {
            assert_refused(&browser, &format!("{head}X-Session-Control: destroy\r\n\r\nok"));
        }
        assert_refused(&browser, "HTTP/1.1 102 Processing\r\n\r\n");
        assert_refused(&browser, "HTTP/1.1 200 OK\r\nContent-Le");
        assert_refused(&browser, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes");
    });
}

#[test]
fn what_is_only_untidy_is_passed_on_tidy() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let tidy = |raw: &str| {
            let reply = browser.get("/", Answer::raw(raw)).passed(200);
            assert_eq!((reply.text().as_str(), reply.complete), ("ok", true), "{raw:?}");
            reply
        };
        let same = tidy("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(same.headers.all("content-length"), ["2"]);
        let both =
            tidy("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        assert_eq!(
            (both.headers.all("content-length"), both.headers.all("transfer-encoding")),
            (vec![], vec!["chunked"])
        );
        let bare = tidy("HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\n\nok");
        assert_eq!(bare.headers.all("x"), ["1"]);
        let until_close = tidy("HTTP/1.1 200 OK\r\n\r\nok");
        assert_eq!(until_close.headers.all("transfer-encoding"), ["chunked"]);
    });
}

#[test]
fn a_second_answer_behind_the_first_is_given_to_nobody() {
    world(Store::Memory, |w| {
        let backend = Backend::start(|heard| {
            heard.ok("first")?;
            heard.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        });
        let browser = w.browser(&w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url())));
        for _ in 0..10 {
            assert_eq!(browser.get("/", Answer::ok()).passed(200).text(), "first");
        }
    });
}

#[test]
fn informational_answers_are_dropped_however_many() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.get("/", Answer::ok()).passed(200);
        for (status, count) in [(100, 1), (102, 1), (103, 1), (102, 5_000)] {
            proxy.forget_peak();
            let before = proxy.resident();
            let mut answer = Answer::ok();
            for _ in 0..count {
                answer = answer.interim(status, &[("Link", "</a>"), ("X-Session-Update", "{\"never\":\"ever\"}")]);
            }
            let reply = browser.get("/", answer).passed(200).without_cookie();
            assert_eq!((reply.text().as_str(), reply.interim), ("ok", vec![]));
            let growth = proxy.peak().saturating_sub(before);
            assert!(growth < 8 * MIB, "{growth} bytes for {count} × {status}");
        }
    });
}

#[test]
fn a_length_without_a_body_is_kept_where_it_means_something() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let length = |ask: Ask, answer: Answer, status| {
            let reply = browser.ask(ask, answer.header("ETag", "\"x\"")).passed(status);
            assert_eq!((reply.body.len(), reply.complete), (0, true));
            reply.headers.all("content-length").join("|")
        };
        assert_eq!(length(Ask::of("HEAD", "/"), Answer::ok().body("twelve bytes"), 200), "12");
        assert_eq!(length(Ask::get("/"), Answer::status(304).header("Content-Length", "12"), 304), "12");
        assert_eq!(length(Ask::get("/"), Answer::status(204).header("Content-Length", "0"), 204), "");
        assert_eq!(length(Ask::get("/"), Answer::ok().body(""), 200), "0");
        assert_eq!(length(Ask::of("HEAD", "/"), Answer::ok().generated(5), 200), "");
    });
}

#[test]
fn what_concerns_one_connection_only_ends_here() {
    world(Store::Memory, |w| {
        let backend = Backend::start(|heard| {
            heard.send(
                "HTTP/1.1 200 OK\r\nConnection: close, X-Foo\r\nX-Foo: 1\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: close\r\nUpgrade: h2c\r\nX-Bar: 2\r\nContent-Length: 2\r\n\r\nok",
            )?;
            Ok(false)
        });
        let proxy = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()));
        let mut connection = proxy.connect();
        for _ in 0..3 {
            connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
            let reply = connection.reply("GET").expect("an answer on the same connection").passed(200);
            for name in ["connection", "x-foo", "keep-alive", "proxy-connection", "upgrade"] {
                assert_eq!(reply.header(name), None, "{name}");
            }
            assert_eq!(reply.headers.all("x-bar"), ["2"]);
        }
    });
}

/// F-30: the application does not want the body. It need not be sent to the end for the answer to arrive.
#[test]
fn an_application_that_answers_before_the_upload_ends_is_heard_and_its_connection_not_used_again() {
    world(Store::Memory, |w| {
        for closes in [true, false] {
            let backend = Backend::start(move |heard| match heard.path() {
                "/upload" => {
                    heard.send("HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nX-Early: 1\r\n\r\ntoo much")?;
                    // Without closing, what was not read stays in the way of the next request on this connection.
                    while !closes && heard.wire.has_more()? {
                        let_pass(Duration::from_millis(50));
                    }
                    Ok(false)
                }
                _ => heard.ok("next"),
            });
            let proxy = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()));
            let browser = w.browser(&proxy);
            for _ in 0..5 {
                let mut connection = proxy.connect();
                let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\nbegins";
                connection.send(head.as_bytes()).expect("sending");
                let reply = connection.reply("POST").expect("the answer");
                assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
                assert_eq!(browser.get("/", Answer::ok()).passed(200).text(), "next");
            }
        }
    });
}

#[test]
fn an_answer_that_begins_before_the_upload_ends_goes_on_beside_it() {
    world(Store::Memory, |w| {
        let backend = Backend::start(|heard| {
            heard.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")?;
            let body = heard.body()?;
            heard.send(&format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8_lossy(&body)))
        });
        let proxy = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()));
        for _ in 0..3 {
            let mut connection = proxy.connect();
            connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n").expect("sending");
            assert_eq!(connection.head().expect("a head before the body").status, 200);
            connection.send(b" and late").ok();
            let mut framing = Framing::Chunked(0);
            let mut whole = Vec::new();
            while let Some(piece) = connection.piece(&mut framing).expect("the body") {
                whole.extend(piece);
            }
            assert_eq!(String::from_utf8_lossy(&whole), "early and lat");
        }
    });
}

fn upgrading(proxy: &Proxy, head: &str) -> Connection {
    let mut connection = proxy.connect();
    connection.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n").as_bytes()).expect("sending");
    connection
}

/// W-04 and W-06: what was not switched stays HTTP, and the next request on the connection is one of its own.
#[test]
fn an_answer_other_than_101_makes_no_tunnel() {
    world(Store::Memory, |w| {
        let backend = Backend::start(|heard| match heard.headers.first("upgrade") {
            Some(_) if heard.headers.first("sec-websocket-version") == Some("777") => {
                heard.send("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n")
            }
            Some(_) => heard
                .send("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno"),
            None => heard.ok("plain"),
        });
        let proxy = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()));
        for (version, status) in [("13", 200), ("777", 426)] {
            let wish = format!("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n");
            let mut connection = upgrading(&proxy, &wish);
            let reply = connection.reply("GET").expect("an answer");
            assert_eq!((reply.status, reply.header("upgrade"), reply.header("connection")), (status, None, None));
            connection.send(b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
            assert_eq!(connection.reply("GET").expect("an answer").passed(200).text(), "plain");
            assert!(backend.heard().contains(&"GET /next HTTP/1.1".to_owned()));
        }
    });
}

/// What came behind such a request waits for its answer, in whatever state the parser was meanwhile.
#[test]
fn a_request_behind_a_wish_to_upgrade_is_served_after_it() {
    world(Store::Memory, |w| {
        let gate = Gate::new();
        let held = gate.clone();
        let backend = Backend::start(move |heard| {
            if heard.headers.first("upgrade").is_some() {
                held.pass();
            }
            heard.ok("plain")
        });
        let mut connection = upgrading(
            &w.proxy_with(&format!("limits.head_timeout = \"10m\"\nupstreams.app.servers = [{:?}]", backend.url())),
            "Connection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nHost: localhost\r\n",
        );
        gate.arrived();
        gate.release();
        for _ in 0..2 {
            assert_eq!(connection.reply("GET").expect("an answer").passed(200).text(), "plain");
        }
        assert_eq!(backend.heard(), ["GET / HTTP/1.1", "GET /next HTTP/1.1"]);
    });
}

#[test]
fn a_wish_for_h2c_is_never_passed_on() {
    world(Store::Memory, |w| {
        let wishes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = wishes.clone();
        let backend = Backend::start(move |heard| {
            let lines = ["upgrade", "http2-settings", "connection"].map(|name| heard.headers.all(name).join("|"));
            noted.lock().expect("wishes").push(lines.join(";"));
            heard.ok("plain")
        });
        let proxy = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url()));
        for wish in ["h2c", "H2C", "h2c, TLS/1.0"] {
            let head =
                format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {wish}\r\nHTTP2-Settings: AAMAAABk\r\n");
            assert_eq!(upgrading(&proxy, &head).reply("GET").expect("an answer").passed(200).text(), "plain");
        }
        assert_eq!(*wishes.lock().expect("wishes"), [";;", ";;", ";;"]);
    });
}

/// R-13: a session is as it was after its application broke off.
#[test]
fn an_answer_that_breaks_off_is_not_whole_and_its_session_is_saved_as_its_head_said() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let broken = "HTTP/1.1 200 OK\r\nX-Session-Update: {\"user\":\"ada\"}\r\nContent-Length: 10\r\n\r\nhalf";
        let reply = browser.get("/", Answer::raw(broken));
        assert_eq!((reply.status, reply.complete), (200, false));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}
