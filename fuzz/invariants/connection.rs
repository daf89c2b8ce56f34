//! A whole HTTP/1.1 connection through the server, the line and the upstream connections, to an application that reads
//! strictly: whatever a client sends, the application sees whole and well-formed requests with one genuine token each, or
//! one that breaks off, and the client is sent well-formed answers.
//!
//! The server runs in this process on a socket of its own, since that is where bytes come from.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use cloakroom::{
    config::{self, Overrides},
    server::{Listeners, Server},
    socket::Address,
};

static FAULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static PROXY: LazyLock<SocketAddr> = LazyLock::new(start);

/// What no client can say to the application.
const FORGED: &str = "forged";

/// The input is what a client sends before it ends its half of the connection.
pub(crate) fn check(input: &[u8]) {
    let mut stream = TcpStream::connect(*PROXY).expect("the proxy");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // May be answered and closed before it is sent whole.
    let _ = stream.write_all(input).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Ok(_) => assert!(are_answers(&answers), "{}", answers.escape_ascii()),
        Err(error) => assert!(error.kind() == std::io::ErrorKind::ConnectionReset, "the connection hangs: {error}"),
    }
    let faults = std::mem::take(&mut *FAULTS.lock().expect("the faults"));
    assert!(faults.is_empty(), "{faults:?}");
}

/// Whether this begins like an answer of ours and shows nothing of the inside. A tunnel may follow.
fn are_answers(bytes: &[u8]) -> bool {
    let shown = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 ") && !shown(b"X-Session-Update") && !shown(b"canary")
}

fn start() -> SocketAddr {
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let upstream = format!("http://{}", application.local_addr().expect("its address"));
    thread::spawn(move || {
        for stream in application.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let overrides = Overrides { upstream: Some(upstream), listen: Some("127.0.0.1:0".to_owned()), store: None };
    let loaded = config::load(None, &overrides, &|_| None).expect("the defaults");
    let (sender, address) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listeners = Listeners::bind(&loaded.server).await.expect("a port");
            let Address::Tcp(address) = listeners.addresses().remove(0) else { panic!("no address of TCP") };
            sender.send(address).expect("somebody who waits");
            let _server = Server::start(listeners, loaded.proxy, loaded.server).expect("a server");
            std::future::pending::<()>().await;
        });
    });
    address.recv().expect("the proxy's address")
}

/// The application: what it cannot read strictly is a fault, unless the connection ends there.
fn serve(stream: TcpStream) {
    let mut answers = stream.try_clone().expect("a second handle");
    let mut stream = BufReader::new(stream);
    while let Some(result) = read_request(&mut stream, &mut answers) {
        match result {
            Ok(is_head) => {
                let body: &[u8] = if is_head { b"" } else { b"ok" };
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Session-Update: {\"canary\":1}\r\n\r\n";
                if answers.write_all(&[head, body].concat()).is_err() {
                    return;
                }
            }
            Err(fault) => return FAULTS.lock().expect("the faults").push(fault),
        }
    }
}

/// `None` where the connection ends or breaks off.
fn read_request(stream: &mut BufReader<TcpStream>, answers: &mut TcpStream) -> Option<Result<bool, String>> {
    let first = line(stream)?;
    let words: Vec<&str> = first.split(' ').collect();
    if words.len() != 3 || words[2] != "HTTP/1.1" || ["CONNECT", "TRACE"].contains(&words[0]) {
        return Some(Err(format!("request line: {first:?}")));
    }
    let mut fields = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ").or(line.strip_suffix(":").map(|name| (name, ""))) else {
            return Some(Err(format!("field: {line:?}")));
        };
        fields.push((name.to_owned(), value.to_owned()));
    }
    let folded = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
    };
    let like = |wanted: &str| fields.iter().filter(|(name, _)| folded(name) == wanted).collect::<Vec<_>>();
    for (name, count) in [("x-session", 1), ("host", 1), ("x-session-update", 0), ("proxy", 0), ("x-forwarded-for", 1)]
    {
        if like(name).len() != count {
            return Some(Err(format!("{name}: {:?}", like(name))));
        }
    }
    if like("x-session")[0].1.contains(FORGED) || like("x-session")[0].1.split('.').count() != 3 {
        return Some(Err("a forged token".to_owned()));
    }
    if !like("expect").is_empty() {
        answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let body = match (like("content-length").as_slice(), like("transfer-encoding").as_slice()) {
        ([], []) => Ok(()),
        ([length], []) => match length.1.parse::<u64>() {
            Ok(length) => skip(stream, length)?,
            Err(_) => Err(format!("length: {length:?}")),
        },
        ([], [coding]) if coding.1 == "chunked" => skip_chunks(stream)?,
        both => Err(format!("framing: {both:?}")),
    };
    Some(body.map(|()| words[0] == "HEAD"))
}

fn skip(stream: &mut BufReader<TcpStream>, length: u64) -> Option<Result<(), String>> {
    let copied = std::io::copy(&mut stream.take(length), &mut std::io::sink()).ok()?;
    (copied == length).then_some(Ok(()))
}

fn skip_chunks(stream: &mut BufReader<TcpStream>) -> Option<Result<(), String>> {
    loop {
        let size = line(stream)?;
        let Ok(size) = u64::from_str_radix(&size, 16) else { return Some(Err(format!("chunk size: {size:?}"))) };
        if size == 0 {
            while !line(stream)?.is_empty() {}
            return Some(Ok(()));
        }
        skip(stream, size)?.ok()?;
        match line(stream)? {
            end if end.is_empty() => {}
            spilled => return Some(Err(format!("chunk end: {spilled:?}"))),
        }
    }
}

/// A line without its CR LF, every byte as the character of the same number; `None` if the end is missing.
fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok()?;
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(b"\0 a bare LF");
    Some(text.iter().map(|&byte| char::from(byte)).collect())
}
