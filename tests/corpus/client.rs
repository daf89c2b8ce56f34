//! Sends the cases to a real proxy, many at a time, and holds what comes of each against its row.
//!
//! Segments: Nagle's algorithm is off, every piece is a write of its own, and between two pieces the task lets others
//! run. The proxy may still find two pieces in one read now and then; over all cuts of all rows that makes no difference.

use std::{
    io,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinSet, yield_now},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    application::{self, Notes},
    row::{Fate, P, Row, Upstream},
    support::{PATIENCE, free_port, until},
};

/// Where a row is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Nowhere,
    At(usize),
    Everywhere,
}

/// Connections at once.
const AT_ONCE: usize = 48;
/// Several, since the ports of closed connections rest for a while.
const LISTENERS: usize = 6;
/// The body limit of the proxy under test, so that rows can break it.
const BODY_LIMIT: &str = "64KiB";

struct Proxy {
    child: Child,
    addresses: Vec<SocketAddr>,
    folder: TempDir,
}

impl Proxy {
    fn start(upstream: SocketAddr) -> Self {
        let folder = TempDir::new().expect("a folder");
        let addresses: Vec<SocketAddr> =
            (0..LISTENERS).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
        let listen = addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "listen.address = [{listen}]\nlimits.body_bytes = \"{BODY_LIMIT}\"\n\
             [upstreams.app]\nservers = [\"http://{upstream}\"]\n"
        );
        std::fs::write(folder.path().join("cloakroom.toml"), config).expect("the configuration");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log");
        let binary = std::env::var_os("CLOAKROOM_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_cloakroom").into());
        let child = Command::new(binary)
            .args(["run", "--config", "cloakroom.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starting the proxy");
        until("the proxy to listen", || {
            addresses.iter().all(|address| std::net::TcpStream::connect(address).is_ok()).then_some(())
        });
        Self { child, addresses, folder }
    }

    /// Has it end in order: then it closes every connection, and sends nothing more.
    fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a signal to the proxy");
        let status = until("the proxy to end", || self.child.try_wait().expect("the proxy's state"));
        assert!(status.success(), "{status}\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("the log")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the cases; each must have its row's outcome. What arrived at the application is looked at when nothing more can.
pub(crate) fn run(cases: Vec<(Row, Cut)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let faults = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the application");
        let mut proxy = Proxy::start(listener.local_addr().expect("its address"));
        let (notes, connections, cases) = (Notes::default(), TaskTracker::new(), Arc::new(cases));
        let serving = tokio::spawn(application::serve(listener, notes.clone(), connections.clone()));
        let mut faults = all(&cases, &proxy.addresses).await;
        proxy.end();
        serving.abort();
        connections.close();
        timeout(PATIENCE, connections.wait()).await.expect("the end of the application's connections");
        faults.extend(cases.iter().enumerate().filter_map(|(number, (row, cut))| {
            let fault = arrived(row, number, &notes).err()?;
            Some(format!("{} ({cut:?}): {fault}", row.name))
        }));
        faults.extend(notes.stray().iter().map(|seen| format!("of no case: {seen:?}")));
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
        faults
    });
    assert!(
        faults.is_empty(),
        "{} faults, of which the first are:\n{}",
        faults.len(),
        faults[..faults.len().min(40)].join("\n")
    );
}

async fn all(cases: &Arc<Vec<(Row, Cut)>>, addresses: &[SocketAddr]) -> Vec<String> {
    let (mut running, mut faults) = (JoinSet::new(), Vec::new());
    for number in 0..cases.len() {
        if running.len() >= AT_ONCE {
            faults.extend(running.join_next().await.and_then(|done| done.expect("a case")));
        }
        let (cases, address) = (Arc::clone(cases), addresses[number % LISTENERS]);
        running.spawn(async move {
            let (row, cut) = &cases[number];
            let outcome = timeout(PATIENCE, case(row, *cut, number, address)).await;
            let fault = outcome.unwrap_or_else(|_| Err("it hangs".to_owned())).err()?;
            Some(format!("{} ({cut:?}): {fault}", row.name))
        });
    }
    faults.extend(running.join_all().await.into_iter().flatten());
    faults
}

async fn case(row: &Row, cut: Cut, number: usize, proxy: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(proxy).await.map_err(|error| format!("no connection: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut stream = BufReader::new(stream);
    send(&mut stream, &marked(&row.send, number), cut).await;
    if row.half_closes {
        let _ = stream.shutdown().await;
    }
    let methods: Vec<bool> = heads_of(&row.send);
    for (index, status) in row.answers.iter().enumerate() {
        let answer = answer(&mut stream, methods.get(index) == Some(&true)).await;
        let answer = answer.map_err(|error| format!("answer {index} is missing ({error})"))?;
        if answer != *status {
            return Err(format!("answer {index} is {answer}, not {status}"));
        }
    }
    let mut rest = Vec::new();
    match row.fate {
        Fate::Closed => match stream.read_to_end(&mut rest).await {
            Ok(0) => {}
            Ok(_) => return Err(format!("more than was to be answered: {}", rest.escape_ascii())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(format!("the end: {error}")),
        },
        Fate::Open => {
            let probe = "GET /probe HTTP/1.1\r\nHost: a\r\nX-Probe: /p0000000\r\n\r\n";
            send(&mut stream, &marked(probe.as_bytes(), number), Cut::Nowhere).await;
            match answer(&mut stream, false).await {
                Ok(200) => {}
                other => return Err(format!("the connection does not go on: {other:?}")),
            }
        }
    }
    Ok(())
}

/// Holds what the application noted against the row.
fn arrived(row: &Row, number: usize, notes: &Notes) -> Result<(), String> {
    let mut found = notes.of(number);
    if row.fate == Fate::Open {
        match found.pop() {
            Some(probe) if probe.line == "GET /probe HTTP/1.1" => {}
            other => return Err(format!("not the probe: {other:?}")),
        }
    }
    match &row.upstream {
        Upstream::Nothing if found.is_empty() => Ok(()),
        Upstream::Aborted if found.iter().all(|seen| !seen.complete) => Ok(()),
        Upstream::Aborted => Err(format!("whole at the application: {found:?}")),
        Upstream::Exactly(wanted) if *wanted == found => Ok(()),
        wanted => Err(format!("at the application:\n  {found:?}\nnot\n  {wanted:?}")),
    }
}

async fn send(stream: &mut BufReader<TcpStream>, bytes: &[u8], cut: Cut) {
    let step = match cut {
        Cut::Nowhere => bytes.len(),
        Cut::Everywhere => 1,
        Cut::At(at) => {
            let _ = stream.write_all(&bytes[..at]).await;
            for _ in 0..3 {
                yield_now().await;
            }
            let _ = stream.write_all(&bytes[at..]).await;
            return;
        }
    };
    for piece in bytes.chunks(step.max(1)) {
        // May be answered and closed before it is sent whole.
        if stream.write_all(piece).await.is_err() {
            return;
        }
        yield_now().await;
    }
}

/// The row with its number in its path.
fn marked(send: &[u8], number: usize) -> Vec<u8> {
    let (mut bytes, mark) = (send.to_vec(), format!("/p{number:07}"));
    while let Some(at) = bytes.windows(P.len()).position(|window| window == P.as_bytes()) {
        bytes[at..at + P.len()].copy_from_slice(mark.as_bytes());
        if number == 0 {
            break;
        }
    }
    bytes
}

/// For every request of a row, whether it is a HEAD; told by its line, wherever it begins.
fn heads_of(send: &[u8]) -> Vec<bool> {
    let lines = send.split(|&byte| byte == b'\n').filter(|line| line.windows(7).any(|window| window == b" HTTP/1"));
    lines.map(|line| line.starts_with(b"HEAD ")).collect()
}

/// The status of the next final answer, which must be framed by its length.
async fn answer(stream: &mut BufReader<TcpStream>, is_head: bool) -> io::Result<u16> {
    loop {
        let (mut status, mut length) = (None, None);
        loop {
            let mut line = Vec::new();
            stream.read_until(b'\n', &mut line).await?;
            let line = String::from_utf8(line).map_err(io::Error::other)?.to_ascii_lowercase();
            match line.trim_end() {
                "" if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                "" => break,
                text if status.is_none() => status = text.split(' ').nth(1).and_then(|word| word.parse().ok()),
                text => length = length.or(text.strip_prefix("content-length: ").and_then(|text| text.parse().ok())),
            }
        }
        let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
        if status < 200 {
            continue;
        }
        let length: usize = if is_head || status == 204 { 0 } else { length.ok_or(io::ErrorKind::InvalidData)? };
        stream.read_exact(&mut vec![0; length]).await?;
        return Ok(status);
    }
}
