//! A scripted HTTP/1.1 application on a raw socket. It records every request exactly and answers each as the test
//! said, by the header `X-Script`, which names each request's own answer.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use super::answer::{Answer, Content, Fields, Piece, Reading};
use super::token::{Token, Trust};
use super::wire::{Framing, Headers, Wire, parse_head};

/// Names a request's own answer. The proxy passes it on like any unknown header.
pub(crate) const SCRIPT: &str = "X-Script";
/// Names, in the answer, the request that it belongs to, so that mixed-up answers are noticed.
pub(crate) const ANSWERED: &str = "X-Answered";

/// A request exactly as it arrived.
pub(crate) struct Request {
    pub(crate) raw_head: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Headers,
    /// Empty when the answer only counts.
    pub(crate) body: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) trailers: Headers,
    /// Whether the body arrived whole.
    pub(crate) complete: bool,
    trust: Trust,
    at: SystemTime,
}

impl Request {
    /// The token, if exactly one header is called `X-Session` (however spelled) and it verifies.
    pub(crate) fn verified(&self) -> Result<Token, String> {
        match self.headers.like("x-session").as_slice() {
            [(name, compact)] if name.eq_ignore_ascii_case("x-session") => Token::verify(compact, &self.trust, self.at),
            others => Err(format!("expected one X-Session, found {others:?}")),
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.verified().unwrap_or_else(|fault| panic!("{} {}: {fault}", self.method, self.target))
    }

    pub(crate) fn script(&self) -> Option<&str> {
        self.headers.first(SCRIPT)
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// The scripted application. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Stage>);

struct Stage {
    address: SocketAddr,
    trust: Trust,
    closed: AtomicBool,
    accepted: AtomicUsize,
    scripts: Mutex<HashMap<String, Answer>>,
    requests: Mutex<Vec<Arc<Request>>>,
    /// Connections by the peer's port.
    open: Mutex<HashMap<u16, TcpStream>>,
}

impl Upstream {
    pub(crate) fn start(trust: Trust) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the upstream");
        let stage = Arc::new(Stage {
            address: listener.local_addr().expect("the upstream's address"),
            trust,
            closed: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            scripts: Mutex::default(),
            requests: Mutex::default(),
            open: Mutex::default(),
        });
        let upstream = Self(stage);
        let acceptor = upstream.clone();
        thread::spawn(move || acceptor.accept(&listener));
        upstream
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Stops listening and breaks every connection.
    pub(crate) fn close(&self) {
        if !self.0.closed.swap(true, Ordering::SeqCst) {
            let _ = TcpStream::connect(self.0.address); // wakes the acceptor
            for (_, stream) in self.0.open.lock().expect("open").drain() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Lays down the answer to the request that will carry `X-Script: <key>`.
    pub(super) fn script(&self, key: &str, answer: Answer) {
        self.0.scripts.lock().expect("scripts").insert(key.to_owned(), answer);
    }

    /// How many connections were ever made to it.
    pub(crate) fn connections(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Everything that has arrived, in order.
    pub(crate) fn requests(&self) -> Vec<Arc<Request>> {
        self.0.requests.lock().expect("requests").clone()
    }

    /// The request that carried this script.
    pub(crate) fn seen(&self, key: &str) -> Option<Arc<Request>> {
        self.requests().into_iter().find(|request| request.script() == Some(key))
    }

    fn accept(&self, listener: &TcpListener) {
        while let Ok((stream, peer)) = listener.accept() {
            if self.0.closed.load(Ordering::SeqCst) {
                return;
            }
            self.0.accepted.fetch_add(1, Ordering::SeqCst);
            let twin = stream.try_clone().expect("a second handle of a connection");
            self.0.open.lock().expect("open").insert(peer.port(), twin);
            let server = self.clone();
            thread::spawn(move || {
                let mut wire = Wire::new(stream);
                while matches!(server.serve_one(&mut wire), Ok(true)) {}
                server.0.open.lock().expect("open").remove(&peer.port());
            });
        }
    }

    /// One request and its answer; whether the connection goes on.
    fn serve_one(&self, wire: &mut Wire) -> io::Result<bool> {
        if !wire.has_more()? {
            return Ok(false);
        }
        let raw_head = wire.head()?;
        let (first, headers) = parse_head(&raw_head);
        let mut words = first.split(' ').map(str::to_owned);
        let mut request = Request {
            raw_head,
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers,
            body: Vec::new(),
            length: 0,
            trailers: Headers::default(),
            complete: false,
            trust: self.0.trust.clone(),
            at: SystemTime::now(),
        };
        let answer = self.answer_to(&request);
        if request.headers.first("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let read = read_body(wire, &mut request, &answer.reading);
        request.complete = read.is_ok();
        let (method, key) = (request.method.clone(), request.script().map(str::to_owned));
        self.0.requests.lock().expect("requests").push(Arc::new(request));
        read?;
        if let Some(gate) = &answer.gate {
            gate.pass();
        }
        answer.write(wire, &method, key.as_deref())
    }

    fn answer_to(&self, request: &Request) -> Answer {
        let own = request.script().and_then(|key| self.0.scripts.lock().expect("scripts").get(key).cloned());
        own.unwrap_or_else(Answer::ok)
    }
}

fn read_body(wire: &mut Wire, request: &mut Request, reading: &Reading) -> io::Result<()> {
    let mut framing = Framing::of_request(&request.headers);
    let chunked = matches!(framing, Framing::Chunked(_));
    let mut paused = false;
    while let Some(piece) = wire.piece(&mut framing)? {
        request.length += piece.len() as u64;
        match reading {
            Reading::Kept => request.body.extend(piece),
            Reading::PausedAfter(bytes, gate) if request.length >= *bytes && !paused => {
                paused = true;
                gate.pass();
            }
            Reading::PausedAfter(..) => {}
        }
    }
    if chunked {
        request.trailers = wire.trailers()?.1;
    }
    Ok(())
}

impl Answer {
    /// Writes the answer; whether the connection goes on.
    fn write(&self, wire: &mut Wire, method: &str, key: Option<&str>) -> io::Result<bool> {
        if let Content::Raw(bytes) = &self.body {
            wire.send(bytes)?;
            return Ok(false);
        }
        for (status, fields) in &self.interim {
            wire.send(&head(*status, fields))?;
        }
        let bodiless = method == "HEAD" || matches!(self.status, 101 | 204 | 304);
        wire.send(&head(self.status, &self.fields(key)))?;
        match &self.body {
            _ if bodiless => Ok(true),
            Content::Fixed(body) => wire.send(body).map(|()| true),
            Content::Pieces(pieces) => self.write_pieces(wire, pieces),
            Content::Generated(bytes) => self.write_generated(wire, *bytes),
            Content::Raw(_) => Ok(false),
        }
    }

    fn fields(&self, key: Option<&str>) -> Fields {
        let mut fields = self.headers.clone();
        fields.extend(key.map(|key| (ANSWERED.to_owned(), key.as_bytes().to_vec())));
        if matches!(self.status, 101 | 204 | 304) {
            return fields;
        }
        fields.push(match &self.body {
            Content::Fixed(body) => ("Content-Length".to_owned(), body.len().to_string().into_bytes()),
            _ => ("Transfer-Encoding".to_owned(), b"chunked".to_vec()),
        });
        if !self.trailers.is_empty() {
            let names: Vec<_> = self.trailers.iter().map(|(name, _)| name.as_str()).collect();
            fields.push(("Trailer".to_owned(), names.join(", ").into_bytes()));
        }
        fields
    }

    fn write_pieces(&self, wire: &mut Wire, pieces: &[Piece]) -> io::Result<bool> {
        for piece in pieces {
            match piece {
                Piece::Data(text) => wire.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?,
                Piece::Wait(gate) => gate.pass(),
                Piece::Abort => {
                    wire.reset_on_drop();
                    return Ok(false);
                }
            }
        }
        self.finish_chunks(wire)
    }

    fn write_generated(&self, wire: &mut Wire, bytes: u64) -> io::Result<bool> {
        let mut left = bytes;
        while left > 0 {
            let size = left.min(64 * 1024);
            let mut chunk = format!("{size:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + size as usize, b'.');
            chunk.extend(b"\r\n");
            wire.send(&chunk)?;
            left -= size;
        }
        self.finish_chunks(wire)
    }

    fn finish_chunks(&self, wire: &mut Wire) -> io::Result<bool> {
        let mut end = b"0\r\n".to_vec();
        write_fields(&mut end, &self.trailers);
        end.extend(b"\r\n");
        wire.send(&end).map(|()| true)
    }
}

fn head(status: u16, fields: &Fields) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
    write_fields(&mut head, fields);
    head.extend(b"\r\n");
    head
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields {
        out.extend(name.as_bytes());
        out.extend(b": ");
        out.extend(value);
        out.extend(b"\r\n");
    }
}
