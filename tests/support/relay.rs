//! A TCP relay between the proxy and its store: the network that fails without telling anybody, and the name that leads
//! to another server after a fail-over.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// A relay to a port of 127.0.0.1.
pub(crate) struct Relay {
    port: u16,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    silent: bool,
    closed: bool,
    target: u16,
    arrivals: Vec<Instant>,
    streams: Vec<TcpStream>,
}

impl Relay {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
        let port = listener.local_addr().expect("the relay's address").port();
        let line = Arc::new(Line::default());
        line.state.lock().expect("relay").target = target;
        let acceptor = line.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let mut state = acceptor.state.lock().expect("relay");
                if state.closed {
                    return;
                }
                state.arrivals.push(Instant::now());
                drop(state);
                let line = acceptor.clone();
                thread::spawn(move || line.connect(client));
            }
        });
        Self { port, line }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// New connections are led to this port of 127.0.0.1; old ones stay where they are.
    pub(crate) fn lead_to(&self, target: u16) {
        self.line.state.lock().expect("relay").target = target;
    }

    /// When connections were opened.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.line.state.lock().expect("relay").arrivals.clone()
    }

    /// From now on bytes vanish in both directions, and a connection whose bytes vanished is dead for good. New
    /// connections are accepted and hear nothing.
    pub(crate) fn swallow(&self) {
        self.line.state.lock().expect("relay").silent = true;
    }

    /// The network works again: for connections that have lost nothing, and for those that were opened meanwhile.
    pub(crate) fn release(&self) {
        self.line.state.lock().expect("relay").silent = false;
        self.line.changed.notify_all();
    }

    /// Breaks every connection; new ones work.
    pub(crate) fn cut(&self) {
        for stream in self.line.state.lock().expect("relay").streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.state.lock().expect("relay").closed = true;
        self.release();
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
    }
}

impl Line {
    fn connect(self: Arc<Self>, client: TcpStream) {
        {
            let state = self.state.lock().expect("relay");
            let mut state = self.changed.wait_while(state, |state| state.silent && !state.closed).expect("relay");
            let Ok(server) = TcpStream::connect(("127.0.0.1", state.target)) else { return };
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
                state.streams.extend(stream.try_clone());
            }
            let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else { return };
            let back = self.clone();
            thread::spawn(move || back.pump(from, to));
            drop(state);
            self.clone().pump(client, server);
        }
    }

    fn pump(self: Arc<Self>, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 16 * 1024];
        let mut dead = false;
        while let Ok(count) = from.read(&mut piece) {
            dead |= self.state.lock().expect("relay").silent;
            if count == 0 || (!dead && to.write_all(&piece[..count]).is_err()) {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn a_silent_relay_swallows_and_a_released_one_lets_new_connections_through() {
    let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = echo.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in echo.incoming().map_while(Result::ok) {
            let mut twin = stream.try_clone().expect("a second handle");
            thread::spawn(move || std::io::copy(&mut stream, &mut twin));
        }
    });
    let relay = Relay::to(port);
    let say = |stream: &mut TcpStream, text: &[u8]| stream.write_all(text).expect("sending");
    let hear = |stream: &mut TcpStream| {
        let mut byte = [0];
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a limit");
        stream.read_exact(&mut byte).map(|()| byte[0])
    };
    let connect = || TcpStream::connect(("127.0.0.1", relay.port)).expect("connecting");
    let mut old = connect();
    say(&mut old, b"1");
    assert_eq!(hear(&mut old).ok(), Some(b'1'));
    relay.swallow();
    let mut new = connect();
    say(&mut new, b"2");
    say(&mut old, b"3");
    old.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a limit");
    assert!(old.read_exact(&mut [0]).is_err());
    relay.release();
    assert_eq!(hear(&mut new).ok(), Some(b'2'));
    relay.cut();
    assert!(hear(&mut old).is_err());
}
