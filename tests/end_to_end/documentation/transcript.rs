//! A page that is followed to the letter: its files are written, its servers started, its commands run, and what they
//! print is held against what the page says they print. `...` stands for anything, alone on a line for any lines.
//!
//! Only the ports are others than on the page.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::blocks::Block;
use crate::support::{free_port, until};

/// What the page says is typed by hand elsewhere: it builds or tests the whole project.
const NOT_HERE: [&str; 3] = ["cargo run --release -- demo", "tests/run", "export PATH=\"$PWD/target/release:$PATH\""];

/// A reader at work.
pub(super) struct Transcript {
    folder: TempDir,
    ports: Vec<(&'static str, u16)>,
    /// Each by the program that was typed.
    servers: Vec<(String, Child)>,
    status: i32,
    answered: usize,
}

impl Transcript {
    /// Everything is to be started on ports of our own.
    pub(super) fn new() -> Self {
        Self::with_ports(["8080", "3000", "6379"].map(|port| (port, free_port())).into())
    }

    /// Whoever wrote the page named these ports; here they are others.
    pub(super) fn with_ports(ports: Vec<(&'static str, u16)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(".curlrc"), "silent\nshow-error\n").expect("settings for curl");
        Self { folder, ports, servers: Vec::new(), status: 0, answered: 0 }
    }

    /// How many commands were run and answered as the page says.
    pub(super) fn answered(&self) -> usize {
        self.answered
    }

    /// Does what the block says.
    pub(super) fn follow(&mut self, block: &Block<'_>) {
        let text = self.with_our_ports(block.text);
        match block.kind {
            "toml" | "python" if named(&text).is_some() => self.write(named(&text).unwrap_or_default(), &text),
            "toml" if !self.path("cloakroom.toml").exists() => self.write("cloakroom.toml", &text),
            "toml" | "text" => {} // loaded by another test, or nothing to type
            "toml broken" => self.write("broken.toml", &text),
            "sh" => self.start(&text),
            "console" => self.converse(&text, block.line),
            other => panic!("line {}: what is a {other:?} block?", block.line),
        }
    }

    fn with_our_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (port, ours)| text.replace(port, &ours.to_string()))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the page");
        fs::write(path, text).expect("a file of the page");
    }

    /// Starts servers, each in place of the same program that runs, or stops one.
    fn start(&mut self, text: &str) {
        let port = |named: &str| self.ports.iter().find(|(port, _)| *port == named).expect("a port of the page").1;
        let [proxy, application, redis] = ["8080", "3000", "6379"].map(port);
        for line in text.lines().filter(|line| !line.is_empty() && !NOT_HERE.contains(line)) {
            let program = line.split(' ').next().unwrap_or_default();
            let (command, port) = match program {
                "python3" => (line.to_owned(), application),
                "redis-server" => (format!("{line} --bind 127.0.0.1 --port {redis} --save ''"), redis),
                "cloakroom" => (format!("{line} --listen 127.0.0.1:{proxy}"), proxy),
                "systemctl" => {
                    let stopped = line.strip_prefix("systemctl stop ").expect("something to stop");
                    assert!(self.stop(|program| program == stopped) > 0, "{stopped} did not run");
                    continue;
                }
                _ => panic!("the page says to type {line:?}, and no test does"),
            };
            self.stop(|running| running == program);
            let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
            let mut bash = self.bash(&format!("exec {command}"));
            bash.stdout(log.try_clone().expect("the log")).stderr(log);
            self.servers.push((program.to_owned(), bash.spawn().expect("bash")));
            until(line, || TcpStream::connect(("127.0.0.1", port)).ok());
        }
    }

    /// Stops the servers whose program this is; says how many.
    fn stop(&mut self, which: impl Fn(&str) -> bool) -> usize {
        let stopped = self.servers.extract_if(.., |(program, _)| which(program));
        let ended = stopped.map(|(_, mut server)| {
            let _ = server.kill();
            let _ = server.wait();
        });
        ended.count()
    }

    /// Types each line that begins with `$` and compares the answers.
    fn converse(&mut self, text: &str, line: usize) {
        for exchange in text.trim_start_matches("$ ").split("\n$ ") {
            let (command, promised) = exchange.split_once('\n').unwrap_or((exchange, ""));
            let typed = format!("(exit {}); {command}", self.status);
            let output = self.bash(&typed).output().expect("bash");
            let said =
                [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).replace('\r', "")).concat();
            self.status = output.status.code().unwrap_or(-1);
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            let (want, got): (Vec<_>, Vec<_>) =
                (promised.trim_end().lines().collect(), said.trim_end().lines().collect());
            assert!(same(&want, &got), "line {line}: $ {command}\n{said}\ninstead of\n{promised}\n\n{log}");
            self.answered += 1;
        }
    }

    fn bash(&self, command: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_cloakroom")).parent().expect("the binary's folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut bash = Command::new("bash");
        bash.args(["-c", command]).current_dir(self.folder.path()).env("PATH", path);
        bash.env("CURL_HOME", self.folder.path()).stdin(Stdio::null());
        bash
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        self.stop(|_| true);
    }
}

/// The name of a file in its first line.
fn named(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("# ").filter(|name| name.ends_with(".py") || name.ends_with(".toml"))
}

/// Whether these lines are what was promised.
fn same(promised: &[&str], said: &[&str]) -> bool {
    match (promised, said) {
        ([], []) => true,
        (["...", rest @ ..], _) => (0..=said.len()).any(|skipped| same(rest, &said[skipped..])),
        ([first, promised @ ..], [line, said @ ..]) => same_line(first, line) && same(promised, said),
        ([_, ..], []) | ([], [_, ..]) => false,
    }
}

fn same_line(promised: &str, line: &str) -> bool {
    match promised.split_once("...") {
        None => promised == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|left| {
            (0..=left.len()).filter(|at| left.is_char_boundary(*at)).any(|at| same_line(rest, &left[at..]))
        }),
    }
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    let same =
        |promised: &str, said: &str| same(&promised.lines().collect::<Vec<_>>(), &said.lines().collect::<Vec<_>>());
    for (promised, said) in
        [("", ""), ("a\n...\nb", "a\nb"), ("a\n...\nb", "a\nx\ny\nb"), ("a: ...; c", "a: x; b; c"), ("...b", "ab")]
    {
        assert!(same(promised, said), "{promised} {said}");
    }
    for (promised, said) in
        [("", "a"), ("a", ""), ("a\n...\nb", "a\nx"), ("a: ...; c", "a: x; b"), ("a", "a\nb"), ("...b", "abc")]
    {
        assert!(!same(promised, said), "{promised} {said}");
    }
}
