//! Contract 7 and 9: what a request may cost, who is asked for its body and when, and what is said of one that is refused.

use std::io::Write;
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{Answer, Ask, Backend, Gate, Proxy, Store, Wire, World, let_pass, until, world};

const WAITING: &str = "POST /wait HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

/// An application that serves one connection as it likes, and how the configuration names it.
fn application(serve: impl FnOnce(&mut Wire) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let config = format!("upstreams.app.servers = [\"http://{}\"]", listener.local_addr().expect("its address"));
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut wire = Wire::new(stream);
        let head = wire.head().expect("a head");
        let text = String::from_utf8(head).expect("a head of text");
        assert!(text.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"), "{text}");
        serve(&mut wire);
    });
    (config, thread)
}

/// A browser whose body goes out only after the proxy's own 100.
fn send_when_told(proxy: &Proxy) {
    let mut connection = proxy.connect();
    connection.send(WAITING.as_bytes()).expect("sending");
    assert_eq!(connection.interim().expect("a 100"), 100);
    connection.send(b"abc").expect("sending");
    assert_eq!(connection.reply("POST").expect("a reply").text(), "ok");
}

#[test]
fn a_browser_that_waits_hears_from_the_application_itself() {
    world(Store::Memory, |w| {
        let (config, served) = application(|wire| {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").expect("sending");
            assert_eq!(wire.until(b"abc").expect("the body"), b"abc");
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("sending");
        });
        send_when_told(&w.proxy_with(&config));
        served.join().expect("the application");
    });
}

#[test]
fn an_application_that_refuses_at_once_spares_the_body() {
    for status in [401, 417, 413] {
        world(Store::Memory, |w| {
            let (config, served) = application(move |wire| {
                let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
                wire.send(answer.as_bytes()).expect("sending");
                assert!(!wire.has_more().unwrap_or(false), "the body came all the same");
            });
            let mut connection = w.proxy_with(&config).connect();
            connection.send(WAITING.as_bytes()).expect("sending");
            let reply = connection.reply("POST").expect("a reply");
            assert_eq!((reply.status, reply.interim.len(), reply.text().as_str()), (status, 0, "no"));
            assert!(reply.complete);
            // The proxy's connection to it is given up, since nobody knows whether the body will come.
            served.join().expect("the application");
            assert!(connection.head().is_err(), "the browser's connection must not go on either");
        });
    }
}

#[test]
fn an_application_that_says_nothing_gets_the_body_after_a_second() {
    world(Store::Memory, |w| {
        let (config, served) = application(|wire| {
            assert_eq!(wire.until(b"abc").expect("the body"), b"abc");
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("sending");
        });
        send_when_told(&w.proxy_with(&config));
        served.join().expect("the application");
    });
}

/// Sends a part of a body and no more.
fn stops_half_way(w: &World, framing: &'static str, value: &'static str, part: &'static str) {
    let browser = w.browser(&w.proxy_with("limits.body_idle_timeout = \"300ms\""));
    let gate = Gate::new();
    gate.release();
    let ask = Ask::of("POST", "/").header(framing, value);
    let mut exchange = browser.open(ask, Answer::updating(r#"{"never":true}"#).reading_until(1, &gate));
    exchange.send(part.as_bytes()).expect("sending a part");
    let key = exchange.key().to_owned();
    exchange.reply().refused(408, "body-too-slow").without_cookie();
    let seen = until("the end of the request at the upstream", || w.upstream.seen(&key));
    assert!(!seen.complete, "a part was passed off as the whole");
    browser.visit();
}

#[test]
fn a_body_that_stops_half_way_is_given_up() {
    world(Store::Memory, |w| {
        stops_half_way(w, "Content-Length", "10", "short");
        stops_half_way(w, "Transfer-Encoding", "chunked", "5\r\nshort\r\n");
        stops_half_way(w, "Transfer-Encoding", "chunked", "5\r\nshort\r\n0\r\n");
    });
}

/// The application's time is counted from when it has the request; a browser has its own.
#[test]
fn a_browser_that_is_slow_to_send_does_not_use_up_the_applications_time() {
    const PIECES: usize = 8;
    world(Store::Memory, |w| {
        let config = "limits.body_idle_timeout = \"2s\"\nupstreams.app.response_timeout = \"400ms\"";
        let browser = w.browser(&w.proxy_with(config));
        let upload = || Ask::of("POST", "/").header("Content-Length", PIECES.to_string());
        let mut slow = browser.open(upload(), Answer::ok());
        for _ in 0..PIECES {
            slow.send(b"x").expect("a piece");
            let_pass(Duration::from_millis(600));
        }
        slow.reply().passed(200);
        let mut silent = browser.open(upload(), Answer::ok());
        silent.send(b"x").expect("a piece");
        silent.reply().refused(408, "body-too-slow");
        let gate = Gate::new();
        let mut whole = browser.open(upload(), Answer::ok().after(&gate));
        whole.send(&[b'x'; PIECES]).expect("the whole body");
        whole.reply().refused(504, "upstream-timeout");
        gate.release();
    });
}

#[test]
fn an_application_that_reads_slowly_is_not_the_browsers_fault() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with("limits.body_idle_timeout = \"300ms\""));
        let gate = Gate::new();
        let body = vec![b'x'; 16 * 1024 * 1024];
        let ask = Ask::of("POST", "/").header("Content-Length", body.len().to_string());
        let mut exchange = browser.open(ask, Answer::ok().reading_until(1, &gate));
        let sender = thread::spawn(move || {
            exchange.send(&body).expect("sending the body");
            exchange.reply()
        });
        gate.arrived();
        let_pass(Duration::from_secs(1));
        gate.release();
        sender.join().expect("the upload").passed(200);
    });
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_browser_can_read_why() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.body_bytes = \"1MiB\"");
        let browser = w.browser(&proxy);
        browser.ask(Ask::post("/", &"x".repeat(1024 * 1024)), Answer::ok()).passed(200);
        // While it is still sending.
        let mut connection = proxy.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n";
        connection.send(head.as_bytes()).expect("sending");
        connection.send(&vec![b'x'; 8_000_000]).expect("the proxy reads on, so that its answer arrives");
        connection.reply("POST").expect("a reply").refused(413, "body-too-large");
        // Found out on the way: the application sees a request that breaks off.
        let mut exchange =
            browser.open(Ask::of("POST", "/").header("Transfer-Encoding", "chunked"), Answer::updating(r#"{"a":1}"#));
        let key = exchange.key().to_owned();
        exchange.send(format!("100001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x0010_0001)).as_bytes()).expect("sending");
        exchange.reply().refused(413, "body-too-large").without_cookie();
        let seen = until("the end of the request at the upstream", || w.upstream.seen(&key));
        assert!(!seen.complete);
        assert!(!browser.visit().is_live());
    });
}

#[test]
fn a_head_that_is_refused_leaves_its_line_in_the_log_and_nothing_of_itself() {
    let long = |field: &str| format!("{field}canary{}\r\n\r\n", "a".repeat(140_000));
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.header_bytes = \"128KiB\"");
        for (status, request, said) in [
            // by the parser
            (400, "GET / HTTP/1.1\r\nHost: a\r\nCanary : x\r\n\r\n".to_owned(), "invalid HTTP header"),
            (400, "GET /canary\u{1b}[31m HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "invalid URI"),
            (400, "CANARY\r\n\r\n".to_owned(), "invalid"),
            (400, "G(canary / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "invalid HTTP method"),
            (400, "GET / HTTP/3.7canary\r\nHost: a\r\n\r\n".to_owned(), "invalid HTTP version"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: \0canary\r\n\r\n".to_owned(), "invalid HTTP header"),
            (414, format!("GET /canary{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)), "64 KiB"),
            // before it
            (400, "GET / HTTP/1.1\nHost: canary\n\n".to_owned(), "LF without CR"),
            (
                400,
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, canary\r\n\r\n".to_owned(),
                "not one decimal number",
            ),
            (414, long("GET /"), "limits.header_bytes"),
            (431, long("GET / HTTP/1.1\r\nHost: a\r\nX: "), "limits.header_bytes"),
            // behind it
            (400, "GET / HTTP/1.1\r\nHost: canary, b\r\n\r\n".to_owned(), "Host is a list"),
        ] {
            let shown = &request[..request.len().min(40)];
            let (before, lines) = (proxy.log().len(), proxy.access_lines().len());
            let mut connection = proxy.connect();
            let _ = connection.send(request.as_bytes());
            assert_eq!(connection.reply("GET").expect("a reply").status, status, "{shown:?}");
            assert!(connection.head().is_err(), "the connection goes on after {shown:?}");
            let told = until("the line in the log", || Some(proxy.access_lines()).filter(|told| told.len() > lines));
            assert_eq!((told.len(), &told[lines]["status"]), (lines + 1, &status.into()), "{told:?}");
            assert_eq!(told[lines]["outcome"], "rejected");
            let log = proxy.log()[before..].to_owned();
            let warnings: Vec<&str> =
                log.lines().filter(|line| line.contains("WARN") && !line.contains("cloakroom::config")).collect();
            assert!(warnings.len() == 1 && warnings[0].contains(said), "{shown:?}: {log}");
            assert!(!log.to_ascii_lowercase().contains("canary"), "{log}");
        }
        assert!(w.upstream.requests().is_empty());
        // The path of a request that can be read is logged, and cannot break out of its line.
        w.browser(&proxy).get("/canary%0a%1b", Answer::ok()).passed(200);
        assert!(!proxy.log().contains('\u{1b}'));
    });
}

#[test]
fn the_application_is_told_who_asks_and_a_trusted_proxy_is_believed() {
    world(Store::Memory, |w| {
        let claims = [
            ("X-Forwarded-For", "198.51.100.7"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.test"),
            ("Forwarded", "for=\"[2001:db8::7]\";proto=https"),
            ("X-Request-Id", "from-the-edge"),
            ("X_Forwarded_For", "forged"),
        ];
        let ask = claims.iter().fold(Ask::get("/"), |ask, (name, value)| ask.header(name, value));
        for (config, wanted) in [
            ("", ["127.0.0.1", "http", "localhost", "for=127.0.0.1;host=localhost;proto=http"]),
            (
                "listen.trusted_proxies = [\"127.0.0.0/8\"]",
                [
                    "198.51.100.7, 127.0.0.1",
                    "https",
                    "shop.test",
                    "for=\"[2001:db8::7]\";proto=https, for=127.0.0.1;host=localhost;proto=http",
                ],
            ),
        ] {
            let reply = w.browser(&w.proxy_with(config)).ask(ask.clone(), Answer::ok()).passed(200);
            let seen = reply.seen.as_ref().expect("a request");
            let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
            for (name, wanted) in names.into_iter().zip(wanted) {
                assert_eq!(seen.headers.like(name), [(name, wanted)], "{config}");
            }
            let id = seen.headers.first("x-request-id").expect("an id");
            assert_eq!(id == "from-the-edge", !config.is_empty());
            assert_eq!(reply.header("x-request-id"), Some(id));
        }
    });
}

#[test]
fn trailers_of_a_request_pass_where_they_are_announced() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        for (trailer, arrives) in [(Some("X-T, Content-Length, X-Session"), true), (None, false)] {
            let mut ask = Ask::of("POST", "/").header("Transfer-Encoding", "chunked");
            if let Some(trailer) = trailer {
                ask = ask.header("TE", "trailers").header("Trailer", trailer);
            }
            let mut exchange = browser.open(ask, Answer::ok());
            let body = b"3\r\nabc\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\nX-Session: forged\r\n\r\n";
            exchange.send(body).expect("sending");
            let reply = exchange.reply().passed(200);
            let seen = reply.seen.as_ref().expect("a request");
            let wanted: &[(&str, &str)] = if arrives { &[("x-t", "1")] } else { &[] };
            assert_eq!(seen.trailers.iter().collect::<Vec<_>>(), wanted);
            assert_eq!((seen.headers.first("x-t"), seen.body.as_slice()), (None, &b"abc"[..]));
        }
    });
}

/// A connection that is closed while bytes are unread is reset, and then the answer before them may be lost.
#[test]
fn an_answer_is_not_lost_because_more_was_sent_behind_its_request() {
    world(Store::Memory, |w| {
        let mut connection = w.proxy().connect();
        let ask = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Script: {}\r\n\r\n",
            w.expect(Answer::ok())
        );
        connection.send(ask.as_bytes()).expect("sending");
        connection.send(&b"GET /behind HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(5_000)).expect("sending");
        assert_eq!(connection.reply("GET").expect("an answer").status, 200);
        assert!(!connection.has_more().expect("an orderly end"), "nothing comes after it");
        connection.send(b"more").expect("a connection that was not reset");
    });
}

/// A URL may end behind its host, and its fragment is for nobody.
#[test]
fn a_target_without_a_path_asks_for_the_root() {
    world(Store::Memory, |w| {
        for (target, wanted) in [("", "/"), ("?q", "/?q"), ("#f", "/"), ("#/f?q", "/"), ("?q#f", "/?q")] {
            let (mut connection, key) = (w.proxy().connect(), w.expect(Answer::ok()));
            let head = format!("GET http://localhost{target} HTTP/1.1\r\nHost: localhost\r\nX-Script: {key}\r\n\r\n");
            connection.send(head.as_bytes()).expect("sending");
            assert_eq!(connection.reply("GET").expect("an answer").status, 200, "{target}");
            assert_eq!(w.upstream.seen(&key).expect("the request").target, wanted, "{target}");
        }
    });
}

/// A body whose end nobody knows ends with its connection there.
#[test]
fn http_1_0_is_not_told_that_the_connection_goes_on_where_only_its_end_ends_the_body() {
    world(Store::Memory, |w| {
        let backend = Backend::start(|heard| {
            heard.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        });
        let mut connection = w.proxy_with(&format!("upstreams.app.servers = [{:?}]", backend.url())).connect();
        connection.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").expect("sending");
        let answer = connection.bytes(b"\r\n\r\nok").expect("an answer");
        let answer = String::from_utf8(answer).expect("text").to_ascii_lowercase();
        assert!(!answer.contains("keep-alive") && !answer.contains("chunked"), "{answer}");
        assert!(!connection.has_more().expect("an orderly end"));
    });
}

/// An answer that switches protocols frees the bytes after it from all rules, also those that came too early.
#[test]
fn what_follows_a_switch_of_protocols_is_passed_as_it_is() {
    world(Store::Memory, |w| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let config = format!("upstreams.app.servers = [\"http://{}\"]", listener.local_addr().expect("its address"));
        let served = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut wire = Wire::new(stream);
            wire.head().expect("a head");
            wire.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").expect("sending");
            assert_eq!(wire.until(b"late").expect("the bytes"), b"\0\n\nearly\r\n\r\nlate");
            wire.stream().write_all(b"\0\nback").expect("sending");
        });
        let mut connection = w.proxy_with(&config).connect();
        let ask = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n\0\n\nearly\r\n\r\n";
        connection.send(ask.as_bytes()).expect("sending");
        assert_eq!(connection.head().expect("a head").status, 101);
        connection.send(b"late").expect("sending");
        assert_eq!(connection.bytes(b"back").expect("the bytes"), b"\0\nback");
        served.join().expect("the application");
    });
}

/// RFC 9112 section 9.6: who sends nothing more may still read.
#[test]
fn a_browser_that_closes_its_side_still_gets_its_answers() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let gate = Gate::new();
        let keys = [w.expect(Answer::ok().body("first").after(&gate)), w.expect(Answer::ok().generated(300_000))];
        let ask = |key: &String| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Script: {key}\r\n\r\n");
        let mut connection = proxy.connect();
        connection.send(keys.each_ref().map(ask).concat().as_bytes()).expect("sending");
        connection.finish_sending();
        gate.arrived();
        gate.release();
        assert_eq!(connection.reply("GET").expect("the first answer").passed(200).text(), "first");
        let last = connection.reply("GET").expect("the second answer").passed(200);
        assert_eq!((last.body.len(), last.header("connection")), (300_000, Some("close")));
        assert!(!connection.has_more().expect("an orderly end"));
    });
}

/// What has come of a body that nobody wants is skipped; what has not is not waited for.
#[test]
fn a_body_that_nobody_wants_does_not_become_the_next_request() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("routes = [{ path = \"/\", host = \"localhost\", upstream = \"app\" }]");
        let post = |length: usize, body: &str| {
            format!("POST / HTTP/1.1\r\nHost: nowhere.test\r\nContent-Length: {length}\r\n\r\n{body}")
        };
        let mut connection = proxy.connect();
        let body = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let key = w.expect(Answer::ok());
        let next = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Script: {key}\r\n\r\n");
        connection.send(format!("{}{next}", post(body.len(), body)).as_bytes()).expect("sending");
        let refused = connection.reply("POST").expect("an answer").refused(404, "no-route");
        assert_eq!(refused.header("connection"), None);
        connection.reply("GET").expect("an answer").passed(200);
        connection.send(post(body.len() + 1, body).as_bytes()).expect("sending");
        let refused = connection.reply("POST").expect("an answer").refused(404, "no-route");
        assert_eq!(refused.header("connection"), Some("close"));
        assert!(connection.head().is_err(), "the connection goes on");
        assert!(w.upstream.requests().iter().all(|request| request.target == "/"));
    });
}
