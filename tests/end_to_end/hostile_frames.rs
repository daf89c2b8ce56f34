//! Threats, section 8 and section 7 (D-10 to D-16): HTTP/2 that no browser speaks. What is malformed never reaches the
//! application; what is meant to exhaust us ends in a `GOAWAY` and costs bounded memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, Frame, Frames, Gate, Store, World, until, world};

type Field<'a> = (&'a str, &'a [u8]);

const GOOD: [Field<'static>; 4] =
    [(":method", b"GET"), (":scheme", b"http"), (":authority", b"localhost"), (":path", b"/")];

/// A sound request with these fields instead of or beside its own; what is `REMOVED` is not sent.
fn request<'a>(changes: &[Field<'a>], key: &'a str) -> Vec<Field<'a>> {
    let changed = |name: &str| changes.iter().find(|(other, _)| *other == name);
    let mut fields: Vec<Field<'a>> = GOOD.iter().map(|own| *changed(own.0).unwrap_or(own)).collect();
    fields.extend(changes.iter().filter(|(name, _)| !GOOD.iter().any(|(own, _)| own == name)));
    fields.push(("x-script", key.as_bytes()));
    fields.retain(|(_, value)| *value != REMOVED);
    fields
}

const REMOVED: &[u8] = b"\xffremoved";

/// How a request is refused.
#[derive(Debug, PartialEq)]
enum Refused {
    /// `RST_STREAM` or `GOAWAY`.
    ByProtocol,
    With(u16),
}

fn verdict(w: &World, address: std::net::SocketAddr, fields: &[Field<'_>]) -> Refused {
    let mut frames = Frames::open(address);
    frames.request(1, fields).expect("a request");
    let verdict = match frames.next_of(&[Frame::HEADERS, Frame::RESET, Frame::GO_AWAY]) {
        Some(frame) if frame.kind == Frame::HEADERS => Refused::With(frame.status()),
        Some(_) | None => Refused::ByProtocol,
    };
    assert!(w.upstream.requests().is_empty(), "{fields:?} reached the application");
    verdict
}

/// P-03 to P-08.
#[test]
fn a_malformed_request_never_reaches_the_application() {
    let rows: &[&[Field<'static>]] = &[
        &[("connection", b"x")],
        &[("transfer-encoding", b"chunked")],
        &[("te", b"gzip")],
        &[("upgrade", b"websocket")],
        &[("keep-alive", b"1")],
        &[("proxy-connection", b"close")],
        &[("content-length", b"1")],
        &[("content-length", b"3"), ("x-1", b"1"), ("content-length", b"4")],
        &[("x-a", b"a\r\nb: c")],
        &[("x-a", b"a\nb")],
        &[("x-a", b"a\0b")],
        &[("x-a\r\nb", b"c")],
        &[("x:a", b"c")],
        &[("X-Upper", b"c")],
        &[("", b"c")],
        &[("x a", b"c")],
        &[(":path", b"/a\r\nb: c")],
        &[(":path", b"/ b")],
        &[(":path", b"")],
        &[(":path", b"p")],
        &[(":path", b"http://evil.test/p")],
        &[(":path", b"*")],
        &[(":path", REMOVED)],
        &[(":method", b"G\r\nET")],
        &[(":method", b"")],
        &[(":method", REMOVED)],
        &[(":authority", b"local\r\nhost")],
        &[(":authority", b"user@localhost")],
        &[(":authority", b"a, b")],
        &[(":authority", b"")],
        &[(":authority", REMOVED)],
        &[(":scheme", b"ht\ntp")],
        &[(":scheme", b"ftp")],
        &[(":scheme", REMOVED)],
        &[(":unknown", b"1")],
        &[(":status", b"200")],
        &[(":protocol", b"websocket")],
        &[("host", b"elsewhere")],
        &[("host", b"localhost"), ("x-1", b"1"), ("host", b"localhost")],
    ];
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        for changes in rows {
            let key = w.expect(Answer::ok());
            let refused = verdict(w, proxy.address(), &request(changes, &key));
            assert!(refused == Refused::ByProtocol || refused == Refused::With(400), "{changes:?}: {refused:?}");
        }
        for late in [":path", ":method", ":authority", ":scheme"] {
            let key = w.expect(Answer::ok());
            let mut fields = request(&[], &key);
            fields.push((late, b"/"));
            assert_eq!(verdict(w, proxy.address(), &fields), Refused::ByProtocol, "{late} twice and late");
        }
    });
}

/// P-04.
#[test]
fn a_body_that_contradicts_its_length_is_broken_off() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        for length in [&b"9"[..], b"1", b"0"] {
            let key = w.expect(Answer::ok());
            let mut frames = Frames::open(proxy.address());
            let fields = request(&[(":method", b"POST"), ("content-length", length)], &key);
            frames.headers(1, &fields, Frame::END_HEADERS).expect("a head");
            frames.frame(Frame::DATA, Frame::END_STREAM, 1, b"abc").expect("a body");
            assert!(frames.next_of(&[Frame::RESET, Frame::GO_AWAY]).is_some(), "{length:?} for three bytes");
        }
        w.browser(&proxy).visit();
        let whole = w.upstream.requests().iter().filter(|request| request.complete).count();
        assert_eq!(whole, 1, "the visit and nothing else");
    });
}

/// P-10.
#[test]
fn pseudo_fields_in_trailers_go_no_further() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let key = w.expect(Answer::ok());
        let mut frames = Frames::open(proxy.address());
        frames.headers(1, &request(&[(":method", b"POST")], &key), Frame::END_HEADERS).expect("a head");
        frames.frame(Frame::DATA, 0, 1, b"abc").expect("a body");
        let trailers: [Field<'_>; 2] = [(":path", b"/evil"), ("x-session", b"forged")];
        frames.headers(1, &trailers, Frame::END_HEADERS | Frame::END_STREAM).expect("trailers");
        frames.next_of(&[Frame::HEADERS, Frame::RESET, Frame::GO_AWAY]).expect("an answer");
        let seen = w.upstream.seen(&key);
        assert!(seen.is_none_or(|request| request.target == "/" && request.trailers.iter().count() == 0));
    });
}

/// D-10.
#[test]
fn requests_that_are_taken_back_at_once_end_the_connection() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let mut frames = Frames::open(proxy.address());
        let mut burst = Vec::new();
        for number in 0..3_000 {
            let key = w.expect(Answer::ok());
            burst.extend(Frames::encoded_request(2 * number + 1, &request(&[], &key)));
            burst.extend(Frames::encoded(Frame::RESET, 0, 2 * number + 1, &8_u32.to_be_bytes()));
        }
        let mut reader = frames.twin();
        let writer = thread::spawn(move || frames.raw(&burst));
        let end = reader.next_of(&[Frame::GO_AWAY]).expect("a GOAWAY");
        assert_eq!(end.code(), 11, "ENHANCE_YOUR_CALM");
        let _ = writer.join();
        assert!(w.upstream.requests().len() < 1_000, "{}", w.upstream.requests().len());
    });
}

/// What is taken back is still answered, so it counts: nobody has more under way than `limits.streams`.
#[test]
fn requests_that_are_taken_back_while_they_are_answered_count_as_under_way() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.streams = 5");
        let mut frames = Frames::open(proxy.address());
        let gates: Vec<Gate> = (0..5).map(|_| Gate::new()).collect();
        for (gate, stream) in gates.iter().zip((1..).step_by(2)) {
            let key = w.expect(Answer::ok().after(gate));
            frames.request(stream, &request(&[], &key)).expect("a request");
            gate.arrived();
            frames.frame(Frame::RESET, 0, stream, &8_u32.to_be_bytes()).expect("a reset");
        }
        let key = w.expect(Answer::ok());
        frames.request(11, &request(&[], &key)).expect("one more");
        let told = [Frame::HEADERS, Frame::GO_AWAY].map(|_| frames.next_of(&[Frame::HEADERS, Frame::GO_AWAY]));
        let kinds = told.map(|frame| frame.expect("a refusal and a GOAWAY").kind);
        assert!(kinds.contains(&Frame::GO_AWAY), "{kinds:?}");
        assert!(w.upstream.seen(&key).is_none());
        gates.iter().for_each(Gate::release);
    });
}

/// D-12.
#[test]
fn a_head_without_end_ends_the_connection() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        proxy.forget_peak();
        let before = proxy.peak();
        for payload in [Vec::new(), Frames::block(&[("x-a", &[b'a'; 4_000])])] {
            let mut frames = Frames::open(proxy.address());
            frames.headers(1, &request(&[], "none"), Frame::END_STREAM).expect("a head that goes on");
            let mut reader = frames.twin();
            let writer = thread::spawn(move || {
                (0..100_000).take_while(|_| frames.frame(Frame::CONTINUATION, 0, 1, &payload).is_ok()).count()
            });
            while let Some(frame) = reader.next() {
                assert_ne!(frame.kind, Frame::HEADERS, "an answer to a head that never ended");
            }
            let sent = writer.join().expect("the writer");
            assert!(sent < 100_000, "all frames were taken");
        }
        assert!(proxy.peak() - before < 16 << 20, "{} bytes more", proxy.peak() - before);
        assert!(w.upstream.requests().is_empty());
    });
}

/// A field that the other side is to remember: a literal with indexing (RFC 7541 section 6.2.1).
fn entry() -> Vec<u8> {
    let literal = Frames::block(&[("x-bomb", &[b'a'; 3_000])]);
    [&[0x40], &literal[1..]].concat()
}

/// The field that was remembered last (RFC 7541 section 6.1).
const AGAIN: u8 = 0xbe;

/// Issue 5, "must hold" 2: as many requests as may be, each as large as may be and only bytes on the wire, and none of
/// the answers is taken. They cost less than 32 MB, and end with the connection's time (a minute, unless it is set).
#[test]
fn requests_that_unfold_to_their_limit_and_wait_are_bounded_and_reaped() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits = { idle_timeout = \"3s\" }");
        w.browser(&proxy).get("/", Answer::ok().generated(1 << 20)).passed(200);
        proxy.forget_peak();
        let before = proxy.resident();
        let mut frames = Frames::silent(proxy.address());
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface");
        frames.frame(Frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).expect("a window of nothing");
        for number in 0..100 {
            let key = w.expect(Answer::ok().generated(1 << 20));
            let fields = Frames::block(&request(&[], &key));
            let bomb = match number {
                0 => [&fields[..], &entry(), &[AGAIN; 9]].concat(),
                _ => [&fields[..], &[AGAIN; 10]].concat(),
            };
            frames
                .frame(Frame::HEADERS, Frame::END_STREAM | Frame::END_HEADERS, 2 * number + 1, &bomb)
                .expect("a bomb");
        }
        for _ in 0..100 {
            assert_eq!(frames.next_of(&[Frame::HEADERS]).expect("an answer").status(), 200);
        }
        assert_eq!(w.upstream.requests().len(), 101);
        let begun = Instant::now();
        until("the connection to be closed", || frames.is_closed().then_some(()));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let more = proxy.peak().saturating_sub(before);
        assert!(more < 32_000_000, "{more} bytes more");
    });
}

/// D-16: a small block that unfolds to megabytes.
#[test]
fn a_head_that_unfolds_is_refused_by_its_unfolded_size() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        proxy.forget_peak();
        let before = proxy.peak();
        let mut frames = Frames::open(proxy.address());
        let bomb = [&Frames::block(&request(&[], "none"))[..], &entry(), &[AGAIN; 8_000]].concat();
        frames.frame(Frame::HEADERS, Frame::END_STREAM | Frame::END_HEADERS, 1, &bomb).expect("a bomb");
        let end = frames.next_of(&[Frame::HEADERS, Frame::RESET, Frame::GO_AWAY]).expect("a refusal");
        assert!(end.kind != Frame::HEADERS || end.status() == 431, "{end:?}");
        assert!(proxy.peak() - before < 16 << 20, "{} bytes more", proxy.peak() - before);
        assert!(w.upstream.requests().is_empty());
    });
}

/// D-13: floods of what must be answered or remembered. They buy no time: the connection ends as if nothing were said.
#[test]
fn floods_of_control_frames_are_bounded_and_end_with_the_time() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits = { head_timeout = \"1s\", idle_timeout = \"1s\" }");
        proxy.forget_peak();
        let before = proxy.peak();
        let increment = 1_u32.to_be_bytes();
        for (kind, stream, payload) in [
            (Frame::PING, 0, &[7; 8][..]),
            (Frame::SETTINGS, 0, &[0, 4, 0, 0, 255, 255]),
            (Frame::WINDOW_UPDATE, 0, &increment),
            (2, 1, &[0, 0, 0, 0, 16]),
        ] {
            for reads in if kind == Frame::PING { &[true, false][..] } else { &[true] } {
                let frames = Frames::open(proxy.address());
                let (mut writer, mut reader, over) = (frames.twin(), frames.twin(), AtomicBool::new(false));
                let flood = Frames::encoded(kind, 0, stream, payload).repeat(100);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut going = true;
                        while going && !over.load(Ordering::SeqCst) {
                            going = writer.raw(&flood).is_ok();
                        }
                    });
                    if *reads {
                        let end = reader.next_of(&[Frame::GO_AWAY]);
                        assert!(end.is_some() || kind != Frame::PING, "no GOAWAY for {kind}");
                        while reader.next().is_some() {}
                    } else {
                        until("the connection to be closed", || reader.is_closed().then_some(()));
                    }
                    over.store(true, Ordering::SeqCst);
                    frames.close();
                });
            }
        }
        assert!(proxy.peak() - before < 16 << 20, "{} bytes more", proxy.peak() - before);
    });
}

/// D-13: frames of no bytes are no use of the window, so nothing holds them back.
#[test]
fn empty_data_frames_cost_no_memory_while_the_application_does_not_read() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let gate = Gate::new();
        let key = w.expect(Answer::ok().reading_until(1, &gate));
        let mut frames = Frames::open(proxy.address());
        frames.headers(1, &request(&[(":method", b"POST")], &key), Frame::END_HEADERS).expect("a head");
        frames.frame(Frame::DATA, 0, 1, b"x").expect("a byte");
        gate.arrived();
        proxy.forget_peak();
        let before = proxy.peak();
        let flood = Frames::encoded(Frame::DATA, 0, 1, b"").repeat(1_000);
        for _ in 0..1_000 {
            if frames.raw(&flood).is_err() {
                break;
            }
        }
        let _ = frames.frame(Frame::PING, 0, 0, &[1; 8]);
        while frames.next().is_some_and(|frame| frame.kind != Frame::PING || frame.flags != Frame::ACK) {}
        let more = proxy.peak() - before;
        gate.release();
        assert!(more < 32 << 20, "{more} bytes more");
    });
}
