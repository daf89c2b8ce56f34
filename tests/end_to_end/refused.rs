//! RFC 9113 section 8.7: a request that an HTTP/2 server says it has not processed is sent again, whatever its method; any
//! other failure of a `POST` is not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Frame, Frames, Store, world};

const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    /// 200, and the number of the connection.
    Answer,
    /// A reset of the stream with this code.
    Reset(u32),
    /// A `GOAWAY` with this code, which says that this request's stream is not processed; the connection goes on.
    GoAway(u32),
    /// The same, and the connection is closed.
    GoAwayAndClose(u32),
}

/// An HTTP/2 server that follows a script; when that is over it answers. Ends with the test's process.
struct Server {
    address: SocketAddr,
    script: Arc<Mutex<Vec<Deed>>>,
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (script, asked) = (Arc::<Mutex<Vec<Deed>>>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let (deeds, heard) = (script.clone(), asked.clone());
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (deeds, heard) = (deeds.clone(), heard.clone());
                thread::spawn(move || serve(&mut stream.expect("a connection"), number, &deeds, &heard));
            }
        });
        Self { address, script, asked }
    }

    fn will(&self, deeds: &[Deed]) {
        *self.script.lock().expect("the script") = deeds.iter().rev().copied().collect();
    }

    /// The numbers of the connections on which it was asked since the last time.
    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut *self.asked.lock().expect("the list"))
    }
}

/// Serves a connection to its end.
fn serve(stream: &mut TcpStream, number: usize, script: &Mutex<Vec<Deed>>, asked: &Mutex<Vec<usize>>) -> Option<()> {
    stream.read_exact(&mut [0; 24]).ok()?;
    stream.write_all(&Frames::encoded(Frame::SETTINGS, 0, 0, b"")).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).ok()?;
        let (kind, flags, id) = (head[3], head[4], u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]));
        let answer = match kind {
            Frame::SETTINGS | Frame::PING if flags & Frame::ACK == 0 => {
                let payload = if kind == Frame::PING { &payload[..] } else { b"" };
                Frames::encoded(kind, Frame::ACK, 0, payload)
            }
            Frame::HEADERS => {
                asked.lock().expect("the list").push(number);
                let deed = script.lock().expect("the script").pop().unwrap_or(Deed::Answer);
                let gone = |code: u32| [&(id - 2).to_be_bytes()[..], &code.to_be_bytes()].concat();
                match deed {
                    // ":status: 200", RFC 7541 appendix A
                    Deed::Answer => [
                        Frames::encoded(Frame::HEADERS, Frame::END_HEADERS, id, &[0x88]),
                        Frames::encoded(Frame::DATA, Frame::END_STREAM, id, number.to_string().as_bytes()),
                    ]
                    .concat(),
                    Deed::Reset(code) => Frames::encoded(Frame::RESET, 0, id, &code.to_be_bytes()),
                    Deed::GoAway(code) => Frames::encoded(Frame::GO_AWAY, 0, 0, &gone(code)),
                    Deed::GoAwayAndClose(code) => {
                        stream.write_all(&Frames::encoded(Frame::GO_AWAY, 0, 0, &gone(code))).ok()?;
                        return None;
                    }
                }
            }
            _ => continue,
        };
        stream.write_all(&answer).ok()?;
    }
}

#[test]
fn what_was_not_processed_is_sent_again_and_nothing_else() {
    world(Store::Memory, |w| {
        for (method, body, deed, answered) in [
            ("POST", "", Deed::Reset(REFUSED_STREAM), true),
            ("POST", "", Deed::GoAway(0), true),
            ("POST", "", Deed::GoAwayAndClose(0), true),
            ("PATCH", "", Deed::Reset(REFUSED_STREAM), true),
            ("GET", "", Deed::Reset(REFUSED_STREAM), true),
            ("GET", "", Deed::Reset(INTERNAL_ERROR), true),
            ("POST", "", Deed::Reset(INTERNAL_ERROR), false),
            ("POST", "", Deed::GoAwayAndClose(INTERNAL_ERROR), false),
            // Nothing of a body is kept.
            ("POST", "body", Deed::Reset(REFUSED_STREAM), false),
        ] {
            let server = Server::start();
            let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"h2\"", server.address);
            let proxy = w.proxy_with(&config);
            let mut connection = proxy.connect();
            let mut ask = |method: &str, body: &str| {
                let length = body.len();
                let head = format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
                connection.send(head.as_bytes()).expect("sending");
                connection.reply(method).expect("a reply")
            };
            assert_eq!(ask("GET", "").passed(200).text(), "0");
            server.will(&[deed]);
            server.asked();
            let reply = ask(method, body);
            let case = format!("{method} {body:?} {deed:?}");
            if answered {
                assert_eq!((reply.passed(200).text().as_str(), server.asked()), ("1", vec![0, 1]), "{case}");
            } else {
                reply.refused(502, "upstream-failed");
                assert_eq!(server.asked(), [0], "{case}");
            }
        }
    });
}

#[test]
fn a_server_that_refuses_everything_is_passed_over_for_another_and_not_asked_without_end() {
    world(Store::Memory, |w| {
        let (full, other) = (Server::start(), Server::start());
        full.will(&[Deed::Reset(REFUSED_STREAM); 100]);
        let config = format!(
            "[upstreams.app]\nservers = [\"http://{}\", \"http://{}\"]\nprotocol = \"h2\"",
            full.address, other.address
        );
        let proxy = w.proxy_with(&config);
        let mut connection = proxy.connect();
        let mut post = || {
            connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").expect("sending");
            connection.reply("POST").expect("a reply")
        };
        for _ in 0..4 {
            post().passed(200);
        }
        assert!(!full.asked().is_empty() && other.asked().len() == 4);
        other.will(&[Deed::Reset(REFUSED_STREAM); 100]);
        post().refused(502, "upstream-failed");
        assert!(
            full.asked().len() + other.asked().len() <= 4,
            "each server has one try on a used connection and a fresh one"
        );
    });
}
