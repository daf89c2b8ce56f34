//! One process of the binary under test: its configuration, its life, its memory, its log.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use toml::Table;

use super::connection::{Connection, Reply};
use super::ledger::Ledger;
use super::scrape::Scrape;
use super::shared::free_port;
use super::shared::{PATIENCE, until};

/// The binary under test; `CLOAKROOM_BINARY` names another one, such as a release build.
pub(crate) fn binary() -> OsString {
    std::env::var_os("CLOAKROOM_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_cloakroom").into())
}

/// Puts one configuration over another; arrays are replaced whole.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// The address that a test gave a room.
fn named<'a>(config: &'a mut Table, room: &str) -> Option<&'a mut toml::Value> {
    config.get_mut(room)?.get_mut("address")
}

/// A running proxy. Dropping it kills it.
pub(crate) struct Proxy {
    folder: PathBuf,
    /// What the test wants of the file; the addresses of the moment are added to it.
    config: Mutex<Table>,
    arguments: Vec<String>,
    ledger: Arc<Ledger>,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    addresses: [(&'static str, SocketAddr); 3],
}

impl Proxy {
    /// `config` lacks the addresses, which are found here. `folder` is the proxy's own.
    pub(super) fn start(folder: &Path, config: Table, arguments: &[&str], ledger: &Arc<Ledger>) -> Arc<Self> {
        let proxy = Self {
            folder: folder.to_owned(),
            config: Mutex::new(config),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ledger: ledger.clone(),
            running: Mutex::new(None),
        };
        proxy.restart();
        Arc::new(proxy)
    }

    /// Starts it (again), on new ports, with the configuration and the keys that it had.
    pub(crate) fn restart(&self) {
        self.kill();
        for _ in 0..5 {
            match self.spawn() {
                Ok(running) => {
                    *self.running.lock().expect("proxy") = Some(running);
                    return;
                }
                Err(status) if !self.log().to_ascii_lowercase().contains("in use") => {
                    panic!("the proxy ended with {status} instead of listening\n{}\n{}", self.text(), self.log());
                }
                Err(_) => {}
            }
        }
        panic!("no free ports\n{}", self.log());
    }

    /// The process, once it listens; its exit status if it ends instead.
    fn spawn(&self) -> Result<Running, ExitStatus> {
        let addresses =
            ["listen", "admin", "application"].map(|room| (room, SocketAddr::from(([127, 0, 0, 1], free_port()))));
        self.write(&addresses);
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log file");
        let mut child = Command::new(binary())
            .args(["run", "--config", "cloakroom.toml"])
            .env("CLOAKROOM_LOG", "trace")
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("starting the proxy");
        let what = "the proxy to listen on all its addresses";
        until(what, || match child.try_wait().expect("the proxy's state") {
            Some(status) => Some(Err(status)),
            None => addresses.iter().all(|(room, address)| self.listens(room, *address)).then_some(Ok(())),
        })?;
        Ok(Running { child, addresses })
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.lock().expect("proxy").as_ref().expect("a running proxy").child.id()
    }

    /// Where its configuration is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the configuration. A room whose address the test names keeps it; to a list of public addresses ours is added.
    fn write(&self, addresses: &[(&'static str, SocketAddr)]) {
        let mut config = self.config.lock().expect("the configuration").clone();
        for (room, address) in addresses {
            match named(&mut config, room) {
                Some(toml::Value::Array(list)) => list.push(address.to_string().into()),
                Some(_) => {}
                None => {
                    let text = format!("[{room}]\naddress = \"{address}\"");
                    merge(&mut config, text.parse().expect("addresses in TOML"));
                }
            }
        }
        fs::write(self.folder.join("cloakroom.toml"), config.to_string()).expect("writing the configuration");
    }

    fn listens(&self, room: &str, address: SocketAddr) -> bool {
        match named(&mut self.config.lock().expect("the configuration"), room) {
            Some(toml::Value::String(unix)) => UnixStream::connect(unix.trim_start_matches("unix:")).is_ok(),
            _ => TcpStream::connect(address).is_ok(),
        }
    }

    /// The configuration file with this put over it, if this is TOML.
    pub(crate) fn laid_over(&self, config: &str) -> Option<String> {
        let mut whole: Table = self.text().parse().expect("the configuration");
        merge(&mut whole, config.parse().ok()?);
        Some(whole.to_string())
    }

    /// Writes the configuration file, for the next reload.
    pub(crate) fn overwrite(&self, text: &str) {
        fs::write(self.folder.join("cloakroom.toml"), text).expect("writing the configuration");
    }

    /// Puts this over the configuration file, for the next reload and the next start.
    pub(crate) fn configure(&self, config: &str) {
        merge(&mut self.config.lock().expect("the configuration"), config.parse().expect("TOML"));
        let addresses = self.running.lock().expect("proxy").as_ref().expect("a running proxy").addresses;
        self.write(&addresses);
    }

    /// Sends SIGHUP and waits until the log says what became of it.
    pub(crate) fn reload(&self) -> String {
        self.reloaded_by(|| self.signal(Signal::HUP))
    }

    /// Has somebody else send SIGHUP and waits until the log says what became of it.
    pub(crate) fn reloaded_by(&self, signal: impl FnOnce()) -> String {
        let seen = self.log().len();
        signal();
        until("the reload to be logged", || {
            let log = self.log().split_off(seen);
            let over = ["the new configuration is at work", "the old configuration stays"];
            over.iter().any(|end| log.contains(end)).then_some(log)
        })
    }

    /// Puts this over the configuration file and has it read; it must be taken.
    #[track_caller]
    pub(crate) fn reconfigure(&self, config: &str) {
        self.configure(config);
        let log = self.reload();
        assert!(log.contains("the new configuration is at work"), "{log}");
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Where browsers ask.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// Where operators ask.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.address_of(1)
    }

    fn address_of(&self, room: usize) -> SocketAddr {
        self.running.lock().expect("proxy").as_ref().expect("a running proxy").addresses[room].1
    }

    /// Where applications ask.
    pub(crate) fn application(&self) -> SocketAddr {
        self.address_of(2)
    }

    /// What `/readyz` says.
    pub(crate) fn readiness(&self) -> (u16, String) {
        let reply = self.told("/readyz");
        (reply.status, reply.text())
    }

    /// What the admin listener says to anybody who asks for this.
    pub(crate) fn told(&self, path: &str) -> Reply {
        let mut connection =
            Connection::open(self.admin(), self.ledger.clone()).expect("connecting to the admin listener");
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("asking");
        connection.reply("GET").expect("an answer of the admin listener")
    }

    /// The metrics of the moment.
    pub(crate) fn scrape(&self) -> Scrape {
        let reply = self.told("/metrics");
        assert_eq!(reply.status, 200, "{}", reply.text());
        Scrape::read(&reply.text())
    }

    /// The metrics once every request is over that was answered before.
    pub(crate) fn settled(&self) -> Scrape {
        until("all requests to be over", || {
            Some(self.scrape()).filter(|scrape| scrape.value("cloakroom_requests_in_flight") == 0.0)
        })
    }

    /// A raw connection to the listener.
    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("connecting to the proxy")
    }

    pub(crate) fn try_connect(&self) -> io::Result<Connection> {
        Connection::open(self.address(), self.ledger.clone())
    }

    /// The configuration file.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.folder.join("cloakroom.toml")).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Everything it has written to standard error and standard output.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// What it has logged for each request, as JSON.
    pub(crate) fn access_lines(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line: &serde_json::Value| line["target"] == "cloakroom::access").collect()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.lock().expect("proxy").is_some()
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.lock().expect("proxy");
        let child = &running.as_ref().expect("a running proxy").child;
        kill_process(Pid::from_child(child), signal).expect("a signal to the proxy");
    }

    /// Waits for the end that was asked for; it must be a success.
    pub(crate) fn ended(&self) {
        self.ended_with(0);
    }

    /// Waits for the end that was asked for, with this exit code.
    #[track_caller]
    pub(crate) fn ended_with(&self, code: i32) {
        let mut running = self.running.lock().expect("proxy").take().expect("a running proxy");
        let status = until("the proxy to end after a signal", || running.child.try_wait().expect("the proxy's state"));
        assert_eq!(status.code(), Some(code), "the proxy ended with {status}\n{}", self.log());
    }

    /// SIGTERM, and exit status 0.
    pub(crate) fn terminate(&self) {
        self.ask_to_end();
        self.ended();
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        if let Some(mut running) = self.running.lock().expect("proxy").take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Limits the size of every file that it writes; `None` lifts the limit.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let running = self.running.lock().expect("proxy");
        let pid = Pid::from_child(&running.as_ref().expect("a running proxy").child);
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).expect("a limit of file sizes");
    }

    /// Leaves it room for so many more open files and connections; `None` lifts the limit.
    pub(crate) fn limit_open_files(&self, more: Option<u64>) {
        let open = fs::read_dir(self.proc_file("fd")).expect("/proc/PID/fd").count() as u64;
        let running = self.running.lock().expect("proxy");
        let pid = Pid::from_child(&running.as_ref().expect("a running proxy").child);
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = rustix::process::Rlimit { current: more.map_or(maximum, |more| Some(open + more)), maximum };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).expect("a limit of open files");
    }

    /// Bytes resident now.
    pub(crate) fn resident(&self) -> u64 {
        self.status_line("VmRSS:")
    }

    /// Bytes resident at most since the start or since `forget_peak`.
    pub(crate) fn peak(&self) -> u64 {
        self.status_line("VmHWM:")
    }

    /// Makes the present the peak.
    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc_file("clear_refs"), "5").expect("resetting the peak of resident memory");
    }

    fn status_line(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc_file("status")).expect("/proc/PID/status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of /proc/PID/status");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kibibytes * 1024
    }

    fn proc_file(&self, name: &str) -> String {
        let running = self.running.lock().expect("proxy");
        format!("/proc/{}/{name}", running.as_ref().expect("a running proxy").child.id())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a command that ends by itself said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary with these arguments in this folder until it ends.
pub(crate) fn cloakroom(folder: &Path, arguments: &[&str]) -> Said {
    cloakroom_with(folder, arguments, &[])
}

/// As [`cloakroom`], with these variables.
pub(crate) fn cloakroom_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let [out, err] = ["out", "err"].map(|name| folder.join(format!("said-{name}")));
    let file = |path: &Path| File::create(path).expect("a file for the output");
    let mut child = Command::new(binary())
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("starting the binary");
    let started = Instant::now();
    let status = until("the command to end", || {
        if started.elapsed() > PATIENCE / 2 {
            let _ = child.kill(); // a command that goes on although it must not
        }
        child.try_wait().expect("the command's state")
    });
    let read = |path: &Path| fs::read_to_string(path).expect("the output");
    Said { code: status.code(), out: read(&out), err: read(&err) }
}
