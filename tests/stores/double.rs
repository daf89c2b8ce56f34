//! A stand-in for a Redis server: it takes a real one's place on the wire and does, when told to, what no real one does.
//!
//! Every command that arrives is shown to a rule, which says what becomes of it. The rule of a new double is to ask the
//! real server and to pass its answer on, byte for byte.

use std::{
    io::{self, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::support::{Command, PATIENCE, let_pass, read_answer, read_command};

/// What becomes of a command.
pub(crate) enum Deed {
    /// The real server answers it.
    Forward,
    /// The real server carries it out, and the connection breaks before its answer is passed on.
    LoseAnswer,
    /// As before, but the connection breaks only when the test says so.
    LoseAnswerLater(Held),
    /// The connection breaks; nobody has heard the command.
    Break,
    /// These bytes are the answer; the real server hears nothing.
    Say(Vec<u8>),
    /// These bytes, and from then on nothing more on this connection.
    SayAndHush(Vec<u8>),
    /// These bytes, one every now and then.
    Drip(Vec<u8>),
    /// The first bytes, and then the others again and again, as long as anybody listens.
    Flood(&'static [u8], &'static [u8]),
}

/// A flood ends at last: more than any answer measures.
pub(crate) const FLOOD: usize = 256 * 1024 * 1024;

type Rule = Box<dyn FnMut(&Command) -> Deed + Send>;

/// The double. Dropping it breaks every connection.
pub(crate) struct Double {
    port: u16,
    stage: Arc<Stage>,
}

struct Stage {
    target: Option<u16>,
    rule: Mutex<Rule>,
    arrivals: Mutex<Vec<Instant>>,
    floods: Mutex<Vec<usize>>,
    streams: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

impl Double {
    /// A double of the server on this port.
    pub(crate) fn of(target: u16) -> Self {
        Self::start(Some(target))
    }

    /// A double of nobody: whoever is forwarded is cut off.
    pub(crate) fn of_nobody() -> Self {
        Self::start(None)
    }

    fn start(target: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the double");
        let port = listener.local_addr().expect("the double's address").port();
        let stage = Arc::new(Stage {
            target,
            rule: Mutex::new(Box::new(|_| Deed::Forward)),
            arrivals: Mutex::default(),
            floods: Mutex::default(),
            streams: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&stage);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if acceptor.closed.load(Ordering::SeqCst) {
                    return;
                }
                acceptor.arrivals.lock().expect("double").push(Instant::now());
                let stage = Arc::clone(&acceptor);
                thread::spawn(move || drop(stage.play(stream)));
            }
        });
        Self { port, stage }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// From now on this rule decides.
    pub(crate) fn rule(&self, rule: impl FnMut(&Command) -> Deed + Send + 'static) {
        *self.stage.rule.lock().expect("double") = Box::new(rule);
    }

    /// From now on it is the real server's faithful double.
    pub(crate) fn behave(&self) {
        self.rule(|_| Deed::Forward);
    }

    /// How many bytes of each flood found a listener, those in the sockets included.
    pub(crate) fn floods(&self) -> Vec<usize> {
        self.stage.floods.lock().expect("double").clone()
    }

    /// When connections were opened.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.stage.arrivals.lock().expect("double").clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stage.closed.store(true, Ordering::SeqCst);
        for stream in self.stage.streams.lock().expect("double").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
    }
}

impl Stage {
    fn play(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        self.streams.lock().expect("double").push(client.try_clone()?);
        let mut heard = BufReader::new(client.try_clone()?);
        let mut original = None;
        while let Some(command) = read_command(&mut heard)? {
            let deed = self.rule.lock().expect("double")(&command);
            match deed {
                Deed::Forward => client.write_all(&self.ask(&mut original, &command)?)?,
                Deed::LoseAnswer => {
                    self.ask(&mut original, &command)?;
                    return client.shutdown(Shutdown::Both);
                }
                Deed::LoseAnswerLater(held) => {
                    self.ask(&mut original, &command)?;
                    held.wait();
                    return client.shutdown(Shutdown::Both);
                }
                Deed::Break => return client.shutdown(Shutdown::Both),
                Deed::Say(answer) => client.write_all(&answer)?,
                Deed::SayAndHush(answer) => {
                    client.write_all(&answer)?;
                    io::copy(&mut heard, &mut io::sink())?;
                }
                Deed::Drip(answer) => {
                    for byte in answer {
                        client.write_all(&[byte])?;
                        let_pass(Duration::from_millis(50));
                    }
                }
                Deed::Flood(first, others) => {
                    client.write_all(first)?;
                    let others = others.repeat(64 * 1024 / others.len());
                    let mut said = 0;
                    while said < FLOOD && client.write_all(&others).is_ok() {
                        said += others.len();
                    }
                    self.floods.lock().expect("double").push(said);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The real server's answer, as it stands on the wire.
    fn ask(&self, original: &mut Option<BufReader<TcpStream>>, command: &Command) -> io::Result<Vec<u8>> {
        if original.is_none() {
            let target = self.target.ok_or(io::ErrorKind::NotConnected)?;
            *original = Some(BufReader::new(TcpStream::connect(("127.0.0.1", target))?));
        }
        let original = original.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        original.get_mut().write_all(&command.raw)?;
        read_answer(original)
    }
}

/// The test's end of a hold.
pub(crate) struct Hold {
    reached: oneshot::Receiver<()>,
    release: mpsc::Sender<()>,
}

/// The double's end of a hold.
pub(crate) struct Held {
    reached: oneshot::Sender<()>,
    release: mpsc::Receiver<()>,
}

/// A moment at which the double waits for the test.
pub(crate) fn hold() -> (Hold, Held) {
    let (announce, reached) = oneshot::channel();
    let (release, released) = mpsc::channel();
    (Hold { reached, release }, Held { reached: announce, release: released })
}

impl Hold {
    /// Waits until the double waits.
    pub(crate) async fn reached(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.reached)
            .await
            .expect("the double gets there")
            .expect("the double lives");
    }

    /// Lets the double go on.
    pub(crate) fn release(self) {
        let _ = self.release.send(());
    }
}

impl Held {
    fn wait(self) {
        let _ = self.reached.send(());
        let _ = self.release.recv_timeout(PATIENCE);
    }
}
