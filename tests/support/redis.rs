//! A private, real redis-server that can be frozen, killed, restarted and watched.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redis::{Client, Connection, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::patience::until;
use super::ports::free_port;

/// A redis-server on a port of its own. Dropping it kills it.
pub(crate) struct Redis {
    folder: TempDir,
    port: u16,
    /// What the program is told beside its port and its folder.
    settings: Vec<String>,
    child: Mutex<Child>,
}

impl Redis {
    /// A server that forgets everything when it ends.
    pub(crate) fn start() -> Self {
        Self::with(|_| vec![])
    }

    /// A server that comes back with everything that it acknowledged.
    pub(crate) fn durable() -> Self {
        Self::with(|_| ["--appendonly", "yes", "--appendfsync", "always"].map(str::to_owned).into())
    }

    /// A server that is told more; `settings` is given its folder.
    pub(crate) fn with(settings: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = TempDir::new().expect("a folder for Redis");
        let settings = settings(folder.path());
        for _ in 0..5 {
            let port = free_port();
            let mut child = spawn(&folder, port, &settings);
            if listens(&mut child, port) {
                return Self { folder, port, settings, child: Mutex::new(child) };
            }
        }
        panic!("redis-server does not start: {}", log(&folder));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.lock().expect("redis")), signal).expect("a signal to redis-server");
    }

    /// SIGKILL: connections are refused from now on.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().expect("redis");
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Comes back on the same port.
    pub(crate) fn restart(&self) {
        self.kill();
        until("redis-server to come back", || {
            let mut child = spawn(&self.folder, self.port, &self.settings);
            let listening = listens(&mut child, self.port);
            *self.child.lock().expect("redis") = child;
            listening.then_some(())
        });
    }

    /// A raw command.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = connection(self.port).expect("a connection to Redis");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).expect("an answer of Redis")
    }

    /// The keys of sessions, tombstones included.
    pub(crate) fn sessions(&self) -> Vec<String> {
        self.command(&["KEYS", "cloakroom:s:*"])
    }

    /// Collects every command from now on.
    pub(crate) fn watch(&self) -> Watch {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection to Redis");
        stream.write_all(b"MONITOR\r\n").expect("MONITOR");
        let mut shown = BufReader::new(stream).split(b'\n').map_while(Result::ok);
        let mut shown = std::iter::from_fn(move || Some(String::from_utf8_lossy(&shown.next()?).into_owned()));
        assert_eq!(shown.next().expect("an answer to MONITOR"), "+OK\r");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        thread::spawn(move || shown.for_each(|line| sink.lock().expect("watch").push(line)));
        Watch { port: self.port, lines }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What MONITOR shows.
pub(crate) struct Watch {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// The names of the commands that clients have sent so far, upper case, in order; without those that only keep a
    /// connection, and without what scripts call.
    pub(crate) fn commands(&self) -> Vec<String> {
        let lines = self.lines();
        let names = lines.iter().filter(|line| !line.contains(" lua] ")).filter_map(|line| line.split('"').nth(1));
        let names = names.map(str::to_ascii_uppercase);
        names
            .filter(|name| {
                !["ECHO", "PING", "CLIENT", "HELLO", "INFO", "CONFIG", "SELECT", "SCRIPT"].contains(&name.as_str())
            })
            .collect()
    }

    /// Everything that was shown so far, as it was shown.
    pub(crate) fn lines(&self) -> Vec<String> {
        let marker = format!("marker-{:016x}", rand::random::<u64>());
        let mut connection = connection(self.port).expect("a connection to Redis");
        let _: String = redis::cmd("ECHO").arg(&marker).query(&mut connection).expect("an echo");
        let seen = || {
            let lines = self.lines.lock().expect("watch");
            lines.iter().any(|line| line.contains(&marker)).then(|| lines.clone())
        };
        until("MONITOR to show everything", seen)
    }

    /// Round trips to the store: `PTTL` and `TIME` travel with the command that they belong to.
    pub(crate) fn round_trips(&self) -> usize {
        self.commands().iter().filter(|name| !["PTTL", "TIME"].contains(&name.as_str())).count()
    }
}

/// `CLOAKROOM_REDIS_SERVER` names another program than the one on the PATH. It may be one without TLS, so a server that
/// is to speak it is always the latter.
fn spawn(folder: &TempDir, port: u16, settings: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("the log of Redis");
    let other = env::var_os("CLOAKROOM_REDIS_SERVER").filter(|_| !settings.iter().any(|word| word == "--tls-port"));
    let mut server = Command::new(other.unwrap_or_else(|| "redis-server".into()));
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    server.arg("--dir").arg(folder.path()).args(settings).stdin(Stdio::null());
    server.stdout(log.try_clone().expect("a second handle of the log")).stderr(log);
    server.spawn().expect("these tests need the program redis-server (package redis-server) on the PATH")
}

/// Waits until the server answers; false if it ends instead.
fn listens(child: &mut Child, port: u16) -> bool {
    until("redis-server to answer", || {
        if child.try_wait().expect("the state of redis-server").is_some() {
            return Some(false);
        }
        let mut connection = connection(port).ok()?;
        redis::cmd("PING").query::<String>(&mut connection).is_ok().then_some(true)
    })
}

fn connection(port: u16) -> redis::RedisResult<Connection> {
    let client = Client::open(format!("redis://127.0.0.1:{port}/0"))?;
    client.get_connection_with_timeout(Duration::from_secs(5))
}

fn log(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

#[test]
fn a_durable_server_comes_back_with_what_it_had() {
    let server = Redis::durable();
    let watch = server.watch();
    let _: String = server.command(&["SET", "a", "1"]);
    let _: i64 = server.command(&["EVAL", "redis.call('GET', KEYS[1]) return 1", "1", "a"]);
    assert_eq!(watch.commands(), ["SET", "EVAL"]);
    server.restart();
    let value: String = server.command(&["GET", "a"]);
    assert_eq!(value, "1");
}
