//! Contract 7: bodies are streamed both ways; memory does not depend on their size. Issue 2, "must hold" 5.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::Request;

use crate::support::{Answer, Ask, Gate, Http2, Piece, Proxy, SCRIPT, Store, let_pass, until, world};

const MIB: u64 = 1024 * 1024;
/// Where the reader pauses.
const PAUSE_AFTER: u64 = 30 * MIB;
const PAUSE: Duration = Duration::from_secs(10);
const GROWTH: u64 = 16 * MIB;

/// How large a large body is: so many MiB, or what `CLOAKROOM_BODY_MIB` says. Issue 5, "must hold" 2, is about 1024.
fn large(mib: u64) -> u64 {
    std::env::var("CLOAKROOM_BODY_MIB").map_or(mib, |text| text.parse().expect("a number")) * MIB
}

/// Watches the proxy's peak of resident memory from now on.
struct Scales {
    proxy: Arc<Proxy>,
    before: u64,
}

impl Scales {
    fn set(proxy: &Arc<Proxy>) -> Self {
        proxy.forget_peak();
        Self { proxy: proxy.clone(), before: proxy.resident() }
    }

    #[track_caller]
    fn assert_flat(&self) {
        let growth = self.proxy.peak().saturating_sub(self.before);
        assert!(growth < GROWTH, "the peak grew by {} KiB from {} KiB", growth / 1024, self.before / 1024);
    }
}

#[test]
fn an_upload_to_a_reader_that_pauses_needs_no_memory() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        browser.ask(Ask::post("/", &"x".repeat(MIB as usize)), Answer::ok()).passed(200);
        let scales = Scales::set(&proxy);
        let (gate, whole) = (Gate::new(), large(300));
        let ask = Ask::of("POST", "/upload").header("Content-Length", whole.to_string());
        let mut exchange = browser.open(ask, Answer::ok().reading_until(PAUSE_AFTER, &gate));
        let sender = thread::spawn(move || {
            let piece = vec![b'.'; MIB as usize];
            for _ in 0..whole / MIB {
                exchange.send(&piece).expect("sending the upload");
            }
            exchange.reply()
        });
        gate.arrived();
        let_pass(PAUSE);
        gate.release();
        let reply = sender.join().expect("the upload").passed(200);
        assert_eq!(reply.seen.expect("a request at the upstream").length, whole);
        scales.assert_flat();
    });
}

#[test]
fn a_download_by_a_reader_that_pauses_needs_no_memory() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        browser.get("/", Answer::ok().generated(MIB)).passed(200);
        let scales = Scales::set(&proxy);
        let whole = large(300);
        let mut exchange = browser.open(Ask::get("/download"), Answer::ok().generated(whole));
        let (reply, mut framing) = exchange.head();
        assert_eq!(reply.status, 200);
        let (mut received, mut paused) = (0, false);
        while let Some(piece) = exchange.piece(&mut framing).expect("the download") {
            received += piece.len() as u64;
            if received >= PAUSE_AFTER && !paused {
                paused = true;
                let_pass(PAUSE);
            }
        }
        assert_eq!(received, whole);
        scales.assert_flat();
    });
}

/// Sends a body of this length, piece by piece as the window allows.
fn upload(client: &Http2, body: &mut SendStream<Bytes>, length: u64) {
    let piece = Bytes::from(vec![b'.'; 16 * 1024]);
    let mut left = length;
    while left > 0 {
        client.within(async {
            body.reserve_capacity(piece.len());
            let capacity = poll_fn(|cx| body.poll_capacity(cx)).await.expect("an open stream").expect("a window");
            let count = usize::try_from(left).map_or(piece.len(), |left| piece.len().min(left)).min(capacity);
            left -= count as u64;
            body.send_data(piece.slice(..count), left == 0).expect("sending the upload");
        });
    }
}

#[test]
fn bodies_over_http_2_within_tls_need_no_memory() {
    world(Store::Memory, |w| {
        let (tls, certificate) = w.certificate("one");
        let proxy = w.proxy_with(&tls);
        let mut client = Http2::tls(&proxy, &certificate);
        let mut exchange = |length: u64| {
            let keys = [w.expect(Answer::ok()), w.expect(Answer::ok().generated(length))];
            let request =
                |key: &str| Request::post("https://localhost/").header(SCRIPT, key).body(()).expect("a request");
            let mut stream = client.send(request(&keys[0]), false).expect("a stream");
            upload(&client, &mut stream.body, length);
            client.reply(stream.answer).expect("an answer").passed(200);
            assert_eq!(w.upstream.seen(&keys[0]).expect("the upload").length, length);
            let stream = client.send(request(&keys[1]), true).expect("a stream");
            let mut body = client.within(stream.answer).expect("an answer").into_body();
            let mut received = 0;
            while let Some(piece) = client.within(body.data()) {
                let piece = piece.expect("the download");
                body.flow_control().release_capacity(piece.len()).expect("a window");
                received += piece.len() as u64;
            }
            assert_eq!(received, length);
        };
        exchange(MIB);
        let scales = Scales::set(&proxy);
        exchange(large(64));
        scales.assert_flat();
    });
}

#[test]
fn an_event_reaches_the_browser_before_the_stream_ends() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let gate = Gate::new();
        let events = [Piece::Data("data: one\n\n"), Piece::Wait(gate.clone()), Piece::Data("data: two\n\n")];
        let answer = Answer::updating(r#"{"user":"ada"}"#).header("Content-Type", "text/event-stream").pieces(events);
        let mut exchange = browser.open(Ask::get("/events"), answer);
        let (reply, mut framing) = exchange.head();
        reply.passed(200);
        let mut next = || exchange.piece(&mut framing).expect("a piece of the stream");
        assert_eq!(next().as_deref(), Some(&b"data: one\n\n"[..]));
        // Saved before seen: with the head there, another request has the change, although the body goes on.
        gate.arrived();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        gate.release();
        assert_eq!(next().as_deref(), Some(&b"data: two\n\n"[..]));
        assert_eq!(next(), None);
    });
}

#[test]
fn a_part_of_an_upload_reaches_the_application_before_the_upload_ends() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let gate = Gate::new();
        let ask = Ask::of("POST", "/").header("Transfer-Encoding", "chunked");
        let mut exchange = browser.open(ask, Answer::ok().reading_until(5, &gate));
        exchange.send(b"5\r\nfirst\r\n").expect("sending a part");
        gate.arrived();
        gate.release();
        exchange.send(b"6\r\nsecond\r\n0\r\n\r\n").expect("sending the rest");
        let reply = exchange.reply().passed(200);
        assert_eq!(reply.seen.expect("a request at the upstream").length, 11);
    });
}

#[test]
fn a_body_that_the_application_breaks_off_does_not_look_whole() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let gate = Gate::new();
        let broken = [Piece::Data("half of it"), Piece::Wait(gate.clone()), Piece::Abort];
        let pending = browser.start(Ask::get("/"), Answer::ok().pieces(broken));
        gate.arrived();
        gate.release();
        let reply = pending.reply();
        assert_eq!(reply.status, 200);
        assert!(!reply.complete, "{}", reply.text());
    });
}

#[test]
fn a_body_that_the_browser_breaks_off_is_aborted_at_the_application() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        for (framing, value, part) in
            [("Content-Length", "10", "short"), ("Transfer-Encoding", "chunked", "5\r\nshort\r\n")]
        {
            for half_close in [true, false] {
                let gate = Gate::new();
                let ask = Ask::of("POST", "/short").header(framing, value);
                let mut exchange = browser.open(ask, Answer::updating(r#"{"never":true}"#).reading_until(5, &gate));
                exchange.send(part.as_bytes()).expect("sending a part");
                gate.arrived();
                gate.release();
                let key = exchange.key().to_owned();
                let mut connection = exchange.into_connection();
                if half_close {
                    connection.finish_sending();
                    let status = connection.head().map_or(400, |reply| reply.status);
                    assert!([400, 408].contains(&status), "{status}");
                }
                drop(connection);
                let seen = until("the end of the request at the upstream", || w.upstream.seen(&key));
                assert!(!seen.complete, "a part was passed off as the whole");
                assert!(!browser.visit().is_live());
            }
        }
    });
}

/// RFC 9110 section 6.2: a proxy sends its own version.
#[test]
fn an_answer_of_http_1_0_is_passed_on_as_http_1_1() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let reply = browser.get("/", Answer::raw("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")).passed(200);
        assert_eq!(reply.text(), "ok");
    });
}

/// RFC 9112 section 7.1: chunks are not for a client of HTTP/1.0. H-03.
#[test]
fn a_client_of_http_1_0_gets_a_body_of_unknown_length_up_to_the_end_of_its_connection() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let pieces = [Piece::Data("one "), Piece::Data("two")];
        let key = w.expect(Answer::ok().pieces(pieces));
        let connection = proxy.connect();
        let mut stream = connection.stream();
        let request = format!("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n{SCRIPT}: {key}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sending");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer up to the end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("HTTP/1.0 200 ") && !head.to_ascii_lowercase().contains("transfer-encoding"),
            "{head}"
        );
        assert_eq!(body, "one two");
    });
}
