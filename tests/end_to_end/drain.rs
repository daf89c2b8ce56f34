//! Contract 7, the end of the process: `/readyz` first, then no new connections, what is under way finishes, exit 0; and
//! no request fails (threats R-17, P-12).

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, Ask, Browser, Connection, Gate, Http2, Proxy, SCRIPT, Store, let_pass, until, world};

fn readiness(proxy: &Proxy) -> u16 {
    let mut connection = Connection::at(proxy.admin(), proxy.ledger());
    connection.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sending");
    connection.reply("GET").expect("an answer").status
}

#[test]
fn during_the_delay_everything_is_served_and_nobody_is_asked_to_stay() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("drain.delay = \"3s\"");
        let (mut kept, browser) = (proxy.connect(), w.browser(&proxy));
        let ask = |connection: &mut Connection| {
            let key = w.expect(Answer::ok());
            let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n\r\n");
            connection.send(head.as_bytes()).expect("sending");
            connection.reply("GET").expect("an answer").passed(200)
        };
        assert_eq!(ask(&mut kept).header("connection"), None);
        assert_eq!(readiness(&proxy), 200);
        let begun = Instant::now();
        proxy.ask_to_end();
        until("/readyz to turn", || (readiness(&proxy) == 503).then_some(()));
        assert_eq!(ask(&mut kept).header("connection"), Some("close"));
        assert!(kept.head().is_err(), "the connection ends with its answer");
        browser.visit();
        proxy.ended();
        assert!(begun.elapsed() + Duration::from_millis(50) >= Duration::from_secs(3), "{:?}", begun.elapsed());
    });
}

#[test]
fn idle_and_unused_connections_are_closed_at_once() {
    world(Store::Memory, |w| {
        let (tls, certificate) = w.certificate("one");
        let (plain, secure) = (w.proxy(), w.proxy_with(&tls));
        let idle = [Http2::plain(&plain), Http2::tls(&secure, &certificate)];
        for (proxy, idle) in [plain, secure].iter().zip(idle) {
            let unused = proxy.connect();
            let begun = Instant::now();
            proxy.terminate();
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            let _ = idle.ended();
            drop(unused);
        }
    });
}

/// P-12: 50 streams under way, and one that comes too late.
#[test]
fn http_2_requests_under_way_finish_after_the_goaway() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let mut client = Http2::plain(&proxy);
        let gate = Gate::for_all(50);
        let request =
            |key: &str| http::Request::get("http://localhost/").header(SCRIPT, key).body(()).expect("a request");
        let streams: Vec<_> = (0..50)
            .map(|_| client.send(request(&w.expect(Answer::ok().body("whole").after(&gate))), true).expect("a stream"))
            .collect();
        gate.arrived();
        proxy.ask_to_end();
        until("no new connections", || proxy.try_connect().err());
        gate.release();
        for stream in streams {
            assert_eq!(client.reply(stream.answer).expect("an answer").passed(200).text(), "whole");
        }
        assert!(client.ended().is_ok(), "the connection ends in order");
        proxy.ended();
    });
}

#[test]
fn what_does_not_finish_in_time_is_cut_off() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("drain.timeout = \"300ms\"");
        let browser = w.browser(&proxy);
        let gate = Gate::new();
        let exchange = browser.open(Ask::get("/"), Answer::ok().after(&gate));
        gate.arrived();
        proxy.terminate();
        assert!(exchange.into_connection().head().is_err());
        gate.release();
    });
}

/// As a shell tells it of a process that a signal ended: 128 and the signal's number. What was acknowledged stays.
#[test]
fn an_interrupt_cuts_the_end_short() {
    world(Store::File, |w| {
        let proxy = w.proxy_with("drain.delay = \"1s\"");
        let browser = w.browser(&proxy);
        for turn in 1..3 {
            browser.update(&format!(r#"{{"n":{turn}}}"#));
            let gate = Gate::new();
            let exchange = browser.open(Ask::get("/"), Answer::ok().after(&gate));
            gate.arrived();
            let begun = Instant::now();
            proxy.ask_to_end();
            if turn == 1 {
                until("/readyz to turn", || (readiness(&proxy) == 503).then_some(()));
            } else {
                until("no new connections", || proxy.try_connect().err());
            }
            proxy.interrupt();
            proxy.ended_with(130);
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?} of 30 s", begun.elapsed());
            assert!(exchange.into_connection().head().is_err());
            gate.release();
            proxy.restart();
            assert_eq!(browser.data(), format!(r#"{{"n":{turn}}}"#).as_str());
        }
    });
}

/// Whoever supervises a process may send its signal again.
#[test]
fn to_be_asked_to_end_again_changes_nothing() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let gate = Gate::new();
        let exchange = w.browser(&proxy).open(Ask::get("/"), Answer::ok().body("whole").after(&gate));
        gate.arrived();
        proxy.ask_to_end();
        until("no new connections", || proxy.try_connect().err());
        proxy.ask_to_end();
        gate.release();
        assert_eq!(exchange.reply().passed(200).text(), "whole");
        proxy.ask_to_end();
        proxy.ended();
    });
}

/// A change out of band whose head the proxy has, and of whose body all but the last byte.
fn begin_patch(proxy: &Proxy, bearer: &str, key: &str) -> Connection {
    let mut connection = Connection::at(proxy.application(), proxy.ledger());
    let head = format!(
        "PATCH /v1/session HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nExpect: 100-continue\r\n\
         Content-Type: application/merge-patch+json\r\nContent-Length: 7\r\n\r\n"
    );
    connection.send(head.as_bytes()).expect("sending");
    assert_eq!(connection.interim().expect("the request has begun"), 100);
    connection.send(format!(r#"{{"{key}":1"#).as_bytes()).expect("sending");
    connection
}

fn finish(patch: &mut Connection) -> u16 {
    patch.send(b"}").expect("the last byte");
    patch.head().expect("an answer").status
}

fn token(browser: &Browser) -> String {
    browser
        .get("/", Answer::ok())
        .passed(200)
        .seen
        .expect("the request")
        .headers
        .first("x-session")
        .expect("one")
        .into()
}

/// Browsers' requests are done first, since their applications may need it; then this listener closes too.
#[test]
fn a_change_out_of_band_under_way_is_saved_before_the_store_is_closed() {
    world(Store::File, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"n":0}"#);
        let bearer = token(&browser);
        let mut patch = begin_patch(&proxy, &bearer, "a");
        let mut kept = Connection::at(proxy.application(), proxy.ledger());
        kept.send(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n").expect("sending");
        assert_eq!(kept.reply("GET").expect("an answer").status, 200);
        let unused = Connection::at(proxy.application(), proxy.ledger());
        let gate = Gate::new();
        let exchange = browser.start(Ask::get("/"), Answer::ok().after(&gate));
        gate.arrived();
        proxy.ask_to_end();
        until("no new connections", || proxy.try_connect().err());
        assert_eq!(finish(&mut begin_patch(&proxy, &bearer, "b")), 204, "a browser's request is under way");
        gate.release();
        exchange.reply().passed(200);
        until("no new connections of applications", || TcpStream::connect(proxy.application()).err());
        for mut waiting in [kept, unused] {
            assert!(waiting.head().is_err(), "a connection that waits for nothing is closed");
        }
        assert_eq!(finish(&mut patch), 204);
        proxy.ended();
        assert!(!proxy.log().contains("drain.timeout has passed"));
        proxy.restart();
        assert_eq!(browser.data(), r#"{"n":0,"b":1,"a":1}"#);
    });
}

#[test]
fn a_change_out_of_band_that_does_not_finish_in_time_is_cut_off() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("drain.timeout = \"300ms\"");
        let browser = w.browser(&proxy);
        browser.update(r#"{"n":0}"#);
        let mut patch = begin_patch(&proxy, &token(&browser), "a");
        proxy.terminate();
        assert!(patch.head().is_err());
        assert!(proxy.log().contains("drain.timeout has passed"));
    });
}

/// R-17: ends under load. The clients do what a balancer does: whoever has seen `/readyz` turn opens no more connections,
/// and whoever is told `Connection: close` opens another one until then. `CLOAKROOM_ENDS` says how many ends (3).
#[test]
fn ends_under_load_fail_no_request() {
    let ends: usize = std::env::var("CLOAKROOM_ENDS").map_or(3, |text| text.parse().expect("a number"));
    world(Store::Memory, |w| {
        let config = format!("drain.delay = \"500ms\"\nupstreams.app.servers = [\"{}\"]", crate::load::echo());
        let proxy = w.proxy_with_arguments(&config, &["--log", "info"]);
        for end in 0..ends {
            if end > 0 {
                proxy.restart();
            }
            let (leave, answered) = (AtomicBool::new(false), AtomicU64::new(0));
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| keep_asking(&proxy, &leave, &answered));
                }
                until("load", || (answered.load(Ordering::SeqCst) > 200).then_some(()));
                proxy.ask_to_end();
                until("/readyz to turn", || (readiness(&proxy) == 503).then_some(()));
                let_pass(Duration::from_millis(100));
                leave.store(true, Ordering::SeqCst);
            });
            proxy.ended();
        }
    });
}

fn keep_asking(proxy: &Proxy, leave: &AtomicBool, answered: &AtomicU64) {
    let begun = Instant::now();
    // A failed test must end as well.
    while !leave.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
        let mut connection = proxy.connect();
        loop {
            connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
            let reply = connection.reply("GET").expect("an answer").passed(200);
            answered.fetch_add(1, Ordering::SeqCst);
            if reply.header("connection") == Some("close") {
                break;
            }
        }
    }
}
