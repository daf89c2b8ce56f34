//! Threats D-02, D-03, D-15, D-20: a client that is slow in any phase of a connection is cut off when the time of that
//! phase is over, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use crate::support::{
    Answer, Ask, Frame, Frames, Gate, Proxy, SCRIPT, Store, World, latin1, let_pass, tls_client, until, world,
};

const LIMITS: &str = "limits = { head_timeout = \"1s\", idle_timeout = \"2s\" }";
const HEAD: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(2);

/// When the proxy closed this connection, or `None` if it did not.
fn closed_after(stream: &mut TcpStream, begun: Instant) -> Option<Duration> {
    said_before_it_closed(stream, begun).0
}

/// The same, with what it said before.
fn said_before_it_closed(stream: &mut TcpStream, begun: Instant) -> (Option<Duration>, String) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let mut said = Vec::new();
    let took = match stream.read_to_end(&mut said) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => None,
        Ok(_) | Err(_) => Some(begun.elapsed()),
    };
    (took, latin1(&said))
}

/// Whether this may be the beginning of an HTTP/1.1 request.
fn is_begun(beginning: &[u8]) -> bool {
    let other = [&b"PRI"[..], b"PROXY"].iter().any(|other| beginning.starts_with(other));
    beginning.first().is_some_and(u8::is_ascii_uppercase) && !other
}

/// Whoever has begun a request of HTTP/1.1 is told; nobody else would understand.
fn is_told(beginning: &[u8], said: &str) -> bool {
    if !is_begun(beginning) {
        return !said.contains("HTTP/1");
    }
    let (head, problem) = said.split_once("\r\n\r\n").unwrap_or_default();
    head.starts_with("HTTP/1.1 408 ")
        && head.to_ascii_lowercase().contains("\r\nconnection: close")
        && problem.contains("urn:cloakroom:error:head-too-slow")
}

/// Clocks of two processes: a little early is not early.
fn within(took: Option<Duration>, limit: Duration) -> bool {
    took.is_some_and(|took| took + Duration::from_millis(20) >= limit && took < limit + Duration::from_secs(10))
}

#[test]
fn whoever_is_slow_to_begin_is_cut_off_in_every_phase() {
    let settings = Frames::encoded(Frame::SETTINGS, 0, 0, b"");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let half_headers = [&[0, 0, 40, Frame::HEADERS, 5, 0, 0, 0, 1][..], b"half"].concat();
    let plain = [
        Vec::new(),
        b"G".to_vec(),
        b"P".to_vec(),
        b"PR".to_vec(),
        b"PROPFIND".to_vec(),
        b"GET / HT".to_vec(),
        b"GET / HTTP/1.1\r\nHost: local".to_vec(),
        b"PRI * HT".to_vec(),
        preface.to_vec(),
        [&preface[..], &settings].concat(),
        [&preface[..], &settings, &half_headers].concat(),
    ];
    world(Store::Memory, |w| {
        let proxies = [
            (w.proxy_with(LIMITS), plain.to_vec()),
            (
                w.proxy_with(&format!("{LIMITS}\n{}", w.certificate("one").0)),
                vec![vec![], b"\x16\x03\x01\x02\x00\x01".to_vec()],
            ),
            (
                w.proxy_with(&format!("{LIMITS}\nlisten.proxy_protocol = true")),
                vec![
                    vec![],
                    b"PROXY TCP4 192.0".to_vec(),
                    b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec(),
                    b"PROXY UNKNOWN\r\n".to_vec(),
                ],
            ),
        ];
        thread::scope(|scope| {
            for (proxy, beginnings) in &proxies {
                for beginning in beginnings {
                    let address = proxy.address();
                    scope.spawn(move || {
                        let mut stream = TcpStream::connect(address).expect("connecting");
                        let begun = Instant::now();
                        stream.write_all(beginning).expect("a beginning");
                        let (took, said) = said_before_it_closed(&mut stream, begun);
                        let beginning = (beginning, String::from_utf8_lossy(beginning));
                        assert!(within(took, HEAD), "{:?}: {took:?}", beginning.1);
                        assert!(is_told(beginning.0, &said), "{:?}: {said:?}", beginning.1);
                    });
                }
            }
        });
        assert!(w.upstream.requests().is_empty());
        let begun = plain.iter().filter(|beginning| is_begun(beginning)).count();
        let told = until("a line in the log for each answer", || {
            Some(proxies[0].0.access_lines()).filter(|lines| lines.len() >= begun)
        });
        assert!(told.len() == begun && told.iter().all(|line| line["status"] == 408), "{told:?}");
    });
}

#[test]
fn a_handshake_buys_no_time_and_neither_do_single_bytes() {
    world(Store::Memory, |w| {
        let (tls, certificate) = w.certificate("one");
        let secure = w.proxy_with(&format!("{LIMITS}\n{tls}"));
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = rustls::ClientConnection::new(tls_client(&certificate, &["h2"]), name).expect("a client");
        let mut stream = TcpStream::connect(secure.address()).expect("connecting");
        let begun = Instant::now();
        while client.is_handshaking() {
            client.complete_io(&mut stream).expect("a handshake");
        }
        let took = closed_after(&mut stream, begun);
        assert!(within(took, HEAD), "{took:?}");

        let proxy = w.proxy_with(LIMITS);
        let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
        let begun = Instant::now();
        let cut =
            b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter();
        let sent = cut.take_while(|byte| {
            let_pass(Duration::from_millis(100));
            stream.write_all(&[**byte]).is_ok()
        });
        assert!(sent.count() < 80 && within(Some(begun.elapsed()), HEAD), "{:?}", begun.elapsed());
    });
}

#[test]
fn between_requests_there_is_the_idle_time_and_in_a_head_that_of_a_head() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(LIMITS);
        for (more, limit) in [(&b""[..], IDLE), (b"GET / HTTP/1.1\r\nHo", HEAD), (b"\r\n", HEAD)] {
            let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
            let key = w.expect(Answer::ok());
            let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("an answer");
                answer.extend(byte);
            }
            let begun = Instant::now();
            stream.write_all(more).expect("the next head");
            let (took, said) = said_before_it_closed(&mut stream, begun);
            assert!(within(took, limit), "{took:?} instead of {limit:?}");
            assert!(is_told(more, &said), "{said:?}");
        }
    });
}

/// Nobody sees that a connection which is idle for a while has its parser put away.
#[test]
fn a_connection_that_rested_is_served_like_any_other() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits = { head_timeout = \"1s\" }");
        let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
        let request = |key: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n\r\n");
        let answer = |stream: &mut TcpStream| {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("an answer");
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", latin1(&answer));
        };
        let rested = |times: usize| {
            until("the connection to rest", || proxy.log().matches("a connection rests").nth(times - 1).map(|_| ()));
        };
        stream.write_all(request(&w.expect(Answer::ok())).as_bytes()).expect("a request");
        answer(&mut stream);
        rested(1);
        for piece in request(&w.expect(Answer::ok())).as_bytes().chunks(40) {
            stream.write_all(piece).expect("a piece of a request");
        }
        answer(&mut stream);
        rested(2);
        let both = [w.expect(Answer::ok()), w.expect(Answer::ok())].map(|key| request(&key)).concat();
        stream.write_all(both.as_bytes()).expect("two requests");
        answer(&mut stream);
        answer(&mut stream);
        rested(3);
        let begun = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHo").expect("half a head");
        let (took, said) = said_before_it_closed(&mut stream, begun);
        assert!(within(took, HEAD) && is_told(b"GET", &said), "{took:?}: {said}");
    });
}

#[test]
fn an_idle_http_2_connection_is_told_to_go_away() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(LIMITS);
        let key = w.expect(Answer::ok());
        let mut frames = Frames::open(proxy.address());
        request(w, &mut frames, &key);
        frames.next_of(&[Frame::HEADERS]).expect("an answer");
        let begun = Instant::now();
        assert_eq!(frames.next_of(&[Frame::GO_AWAY]).expect("a GOAWAY").code(), 0);
        while frames.next().is_some() {}
        assert!(within(Some(begun.elapsed()), IDLE), "{:?}", begun.elapsed());
    });
}

fn request(_: &World, frames: &mut Frames, key: &str) {
    let fields: [(&str, &[u8]); 5] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"localhost"),
        (":path", b"/"),
        ("x-script", key.as_bytes()),
    ];
    frames.request(1, &fields).expect("a request");
}

/// D-15, and D-03: a response that the client does not take.
#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(LIMITS);
        let mut frames = Frames::silent(proxy.address());
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface");
        frames.frame(Frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).expect("a window of nothing");
        let key = w.expect(Answer::ok().generated(1 << 20));
        request(w, &mut frames, &key);
        frames.next_of(&[Frame::HEADERS]).expect("a head");
        let begun = Instant::now();
        // Pings of the proxy are answered: the client lives, it only takes nothing.
        while let Some(frame) = frames.next() {
            assert_ne!(frame.kind, Frame::DATA);
            if frame.kind == Frame::PING && frame.flags == 0 {
                let _ = frames.frame(Frame::PING, Frame::ACK, 0, &frame.payload);
            }
        }
        assert!(within(Some(begun.elapsed()), IDLE), "{:?}", begun.elapsed());

        let browser = w.browser(&proxy);
        let mut exchange = browser.open(Ask::get("/"), Answer::ok().generated(64 << 20));
        exchange.head();
        until("the proxy to lose patience", || proxy.log().matches("a client has used up its time").nth(1).map(|_| ()));
    });
}

#[test]
fn an_answer_that_waits_for_the_application_is_not_timed() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits = { head_timeout = \"200ms\", idle_timeout = \"200ms\" }");
        let browser = w.browser(&proxy);
        let gate = Gate::new();
        let pending = browser.start(Ask::get("/"), Answer::ok().after(&gate));
        gate.arrived();
        let_pass(Duration::from_secs(1));
        gate.release();
        pending.reply().passed(200);
    });
}

/// A connection that sends one byte a second, or nothing more.
struct Slow {
    stream: TcpStream,
    begun: Instant,
    left: Vec<u8>,
    sent: Instant,
    limit: Duration,
    said: Vec<u8>,
}

impl Slow {
    fn begin(proxy: &Proxy, at_once: &[u8], left: &[u8], limit: Duration) -> Self {
        let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
        stream.write_all(at_once).expect("a beginning");
        stream.set_nonblocking(true).expect("a socket that does not wait");
        let begun = Instant::now();
        Self { stream, begun, left: left.iter().rev().copied().collect(), sent: begun, limit, said: Vec::new() }
    }

    /// When it was closed, if it is.
    fn closed(&mut self) -> Option<Duration> {
        let mut piece = [0; 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(count) if count > 0 => self.said.extend(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Ok(_) | Err(_) => return Some(self.begun.elapsed()),
            }
        }
    }

    fn trickle(&mut self) {
        if self.sent.elapsed() >= Duration::from_secs(1) {
            self.sent = Instant::now();
            if let Some(byte) = self.left.pop() {
                let _ = self.stream.write(&[byte]);
            }
        }
    }
}

/// A thousand clients that are slow in all ways at once, and one that is not.
#[test]
fn a_thousand_slow_connections_are_closed_in_time_while_others_are_served() {
    const LIMITS: &str = "limits = { head_timeout = \"3s\", idle_timeout = \"4s\", body_idle_timeout = \"2s\", \
                          connections = 2000 }";
    let (head, body) = (Duration::from_secs(3), Duration::from_secs(2));
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(LIMITS);
        let (proxy, over) = (&proxy, AtomicBool::new(false));
        let settings = Frames::encoded(Frame::SETTINGS, 0, 0, b"");
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let speaks_http_2 = [&preface[..], &settings].concat();
        let headers = Frames::encoded_request(1, &[(":method", b"GET"), (":path", b"/")]);
        let whole = b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Filler: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
        let half_a_body = |framing: &str| {
            let key = w.expect(Answer::ok());
            let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n{framing}");
            Slow::begin(proxy, head.as_bytes(), b"", body)
        };
        let slow = |number: usize| match number % 10 {
            // one byte a second
            0 => Slow::begin(proxy, &whole[..1], &whole[1..], head),
            1 => Slow::begin(proxy, &whole[..30], &whole[30..], head),
            2 => Slow::begin(proxy, &preface[..3], &preface[3..], head),
            3 => Slow::begin(proxy, &speaks_http_2, &headers, head),
            // no more
            4 => Slow::begin(proxy, b"", b"", head),
            5 => Slow::begin(proxy, &whole[..9], b"", head),
            6 => Slow::begin(proxy, &whole[..50], b"", head),
            7 => Slow::begin(proxy, &preface[..12], b"", head),
            8 => half_a_body("Content-Length: 10\r\n\r\nhalf"),
            _ => half_a_body("Transfer-Encoding: chunked\r\n\r\n8\r\nhalf"),
        };
        let (answered, begun) = (AtomicUsize::new(0), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                let browser = w.browser(proxy);
                // A failed test must end as well.
                while !over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
                    browser.get("/", Answer::ok()).passed(200);
                    answered.fetch_add(1, Ordering::SeqCst);
                    let_pass(Duration::from_millis(20));
                }
            });
            let mut open: Vec<(usize, Slow)> = (0..1_000).map(|number| (number, slow(number))).collect();
            while !open.is_empty() {
                open.retain_mut(|(number, slow)| match slow.closed() {
                    Some(took) => {
                        let said = latin1(&slow.said);
                        assert!(within(Some(took), slow.limit), "{number}: {took:?} of {:?}: {said}", slow.limit);
                        let told = matches!(*number % 10, 0 | 1 | 5 | 6 | 8 | 9);
                        assert_eq!(said.starts_with("HTTP/1.1 408 "), told, "{number}: {said}");
                        false
                    }
                    None => {
                        slow.trickle();
                        assert!(slow.begun.elapsed() < Duration::from_secs(30), "{number} is still open");
                        true
                    }
                });
                let_pass(Duration::from_millis(10));
            }
            over.store(true, Ordering::SeqCst);
        });
        assert!(answered.load(Ordering::SeqCst) > 20, "the others were hardly served");
    });
}
