//! A turnstile before a real redis-server: it passes every command and answer on, and stops a chosen command until the
//! test lets it through, so that what others do meanwhile comes between two chosen steps.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::patience::{Gate, let_pass, until};
use super::resp::{Command, read_answer, read_command};

/// A command that can be stopped, told by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The compare-and-set of a session.
    Swap,
    /// The extension of a session's life.
    Touch,
    /// The entry in a subject's index.
    Enter,
    /// The second look at a subject's epoch.
    Epoch,
}

impl Stop {
    fn covers(self, command: &Command) -> bool {
        let word = |index: usize| command.words.get(index).map_or(&[][..], Vec::as_slice);
        let (is_script, words) = (command.is_script(), &command.words);
        match self {
            Self::Swap => is_script && word(2) == b"1" && words.len() == 7,
            Self::Touch => is_script && word(2) == b"1" && words.len() == 6,
            Self::Enter => is_script && word(2) != b"1",
            Self::Epoch => command.name() == "GET" && word(1).windows(3).any(|part| part == b":e:"),
        }
    }
}

/// The turnstile. Dropping it breaks every connection.
pub(crate) struct Turnstile {
    port: u16,
    line: Arc<Line>,
}

struct Line {
    target: u16,
    held: Mutex<Vec<(Stop, Gate)>>,
    /// Seeds the delays, if commands are delayed.
    seed: Option<u64>,
    answered: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

impl Turnstile {
    pub(crate) fn before(target: u16) -> Self {
        Self::start(target, None)
    }

    /// One that makes some commands wait a little, so that what seldom comes between two steps often does.
    pub(crate) fn dawdling_before(target: u16, seed: u64) -> Self {
        Self::start(target, Some(seed))
    }

    fn start(target: u16, seed: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the turnstile");
        let port = listener.local_addr().expect("the turnstile's address").port();
        let line = Arc::new(Line {
            target,
            held: Mutex::default(),
            seed,
            answered: AtomicUsize::new(0),
            streams: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let acceptor = line.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if acceptor.closed.load(Ordering::SeqCst) {
                    return;
                }
                let line = acceptor.clone();
                thread::spawn(move || drop(line.pass(client)));
            }
        });
        Self { port, line }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Stops the next command of this kind, until the gate is released.
    pub(crate) fn hold(&self, stop: Stop) -> Gate {
        let gate = Gate::new();
        self.line.held.lock().expect("turnstile").push((stop, gate.clone()));
        gate
    }

    /// Waits until so many commands that were held have been carried out.
    pub(crate) fn carried_out(&self, count: usize) {
        until("the held command to be answered", || (self.line.answered.load(Ordering::SeqCst) >= count).then_some(()));
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.line.closed.store(true, Ordering::SeqCst);
        for stream in self.line.streams.lock().expect("turnstile").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
    }
}

impl Line {
    fn pass(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.target))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            self.streams.lock().expect("turnstile").push(stream.try_clone()?);
        }
        let (mut asked, mut answered) = (BufReader::new(client.try_clone()?), BufReader::new(server.try_clone()?));
        let mut delays = self.seed.map(StdRng::seed_from_u64);
        while let Some(command) = read_command(&mut asked)? {
            let gate = self.gate_for(&command);
            if let Some(gate) = &gate {
                gate.pass();
            }
            if let Some(delays) = delays.as_mut()
                && delays.random_bool(0.3)
            {
                let_pass(Duration::from_micros(delays.random_range(0..1_000)));
            }
            server.write_all(&command.raw)?;
            client.write_all(&read_answer(&mut answered)?)?;
            self.answered.fetch_add(usize::from(gate.is_some()), Ordering::SeqCst);
        }
        Ok(())
    }

    fn gate_for(&self, command: &Command) -> Option<Gate> {
        let mut held = self.held.lock().expect("turnstile");
        let index = held.iter().position(|(stop, _)| stop.covers(command))?;
        Some(held.remove(index).1)
    }
}
