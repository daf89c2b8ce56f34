//! An application server of which a test scripts every byte, on a port of its own: for what the scripted upstream of
//! each world cannot do, such as being one of several, dying and coming back, or speaking badly.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::wire::{Framing, Headers, Wire, parse_head};

/// A request whose head was read, and the connection that it came on.
pub(crate) struct Heard<'a> {
    pub(crate) first: String,
    pub(crate) headers: Headers,
    pub(crate) wire: &'a mut Wire,
    /// How many requests there were before this one on this connection.
    pub(crate) nth: usize,
}

impl Heard<'_> {
    pub(crate) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads the request's body.
    pub(crate) fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut framing = Framing::of_request(&self.headers);
        let mut body = Vec::new();
        while let Some(piece) = self.wire.piece(&mut framing)? {
            body.extend(piece);
        }
        Ok(body)
    }

    /// Answers 200 with this body; the connection goes on.
    pub(crate) fn ok(&mut self, body: &str) -> io::Result<bool> {
        self.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Sends these bytes; the connection goes on.
    pub(crate) fn send(&mut self, text: &str) -> io::Result<bool> {
        self.wire.send(text.as_bytes()).map(|()| true)
    }
}

type Script = Arc<dyn Fn(&mut Heard<'_>) -> io::Result<bool> + Send + Sync>;

/// A server. Dropping it stops it.
pub(crate) struct Backend {
    address: SocketAddr,
    script: Script,
    life: Mutex<Arc<Life>>,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Life {
    over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Backend {
    /// Whether the connection goes on is what the script says.
    pub(crate) fn start(script: impl Fn(&mut Heard<'_>) -> io::Result<bool> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for a backend");
        let backend = Self {
            address: listener.local_addr().expect("the backend's address"),
            script: Arc::new(script),
            life: Mutex::default(),
            heard: Arc::default(),
            connections: Arc::default(),
        };
        backend.run(listener);
        backend
    }

    /// Answers its name to everything.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |heard| heard.body().and_then(|_| heard.ok(name)))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first lines of the requests that arrived, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("backend").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops listening and breaks every connection.
    pub(crate) fn stop(&self) {
        let life = self.life.lock().expect("backend").clone();
        if !life.over.swap(true, Ordering::SeqCst) {
            let _ = TcpStream::connect(self.address); // wakes the acceptor, which lets go of the port
            self.break_all();
            while TcpStream::connect(self.address).is_ok() {}
        }
    }

    /// Breaks every connection and goes on listening.
    pub(crate) fn break_all(&self) {
        let life = self.life.lock().expect("backend").clone();
        for stream in life.streams.lock().expect("backend").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again where it did.
    pub(crate) fn come_back(&self) {
        *self.life.lock().expect("backend") = Arc::default();
        self.run(TcpListener::bind(self.address).expect("the backend's port"));
    }

    fn run(&self, listener: TcpListener) {
        let (life, script) = (self.life.lock().expect("backend").clone(), self.script.clone());
        let (heard, connections) = (self.heard.clone(), self.connections.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if life.over.load(Ordering::SeqCst) {
                    return;
                }
                let twin = stream.try_clone().expect("a second handle of a connection");
                life.streams.lock().expect("backend").push(twin);
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, heard) = (script.clone(), heard.clone());
                thread::spawn(move || drop(serve(stream, &script, &heard)));
            }
        });
    }
}

fn serve(stream: TcpStream, script: &Script, all: &Mutex<Vec<String>>) -> io::Result<()> {
    let end = stream.try_clone()?;
    let mut wire = Wire::new(stream);
    for nth in 0.. {
        if !wire.has_more()? {
            break;
        }
        let (first, headers) = parse_head(&wire.head()?);
        all.lock().expect("backend").push(first.clone());
        if !script(&mut Heard { first, headers, wire: &mut wire, nth })? {
            break;
        }
    }
    end.shutdown(Shutdown::Both)
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}
