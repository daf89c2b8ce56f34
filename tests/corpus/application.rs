//! The application behind the proxy: notes every request byte for byte, and answers `200`.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use tokio_util::task::TaskTracker;

use crate::row::Seen;

/// Fields that the proxy sets itself on every request.
const OURS: [&str; 7] =
    ["x-session", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via"];

/// What arrived, by the number of the case in its path.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<HashMap<Option<usize>, Vec<Seen>>>>);

impl Notes {
    /// What arrived of a case, with its number put back to zeros.
    pub(crate) fn of(&self, case: usize) -> Vec<Seen> {
        self.0.lock().expect("notes").get(&Some(case)).cloned().unwrap_or_default()
    }

    /// What arrived of no case.
    pub(crate) fn stray(&self) -> Vec<Seen> {
        self.0.lock().expect("notes").get(&None).cloned().unwrap_or_default()
    }
}

/// Serves for ever; each connection is a task of its own.
pub(crate) async fn serve(listener: TcpListener, notes: Notes, connections: TaskTracker) {
    while let Ok((stream, _)) = listener.accept().await {
        let notes = notes.clone();
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            while matches!(serve_one(&mut stream, &notes).await, Ok(true)) {}
        });
    }
}

async fn serve_one(stream: &mut BufReader<TcpStream>, notes: &Notes) -> io::Result<bool> {
    let mut head = lines(stream).await?;
    if head.is_empty() {
        return Ok(false);
    }
    let text = head.join("\n");
    let case: Option<usize> =
        text.find("/p0").and_then(|at| text.get(at + 2..at + 9)).and_then(|digits| digits.parse().ok());
    let marked = format!("/p{:07}", case.unwrap_or(0));
    head.iter_mut().for_each(|line| *line = line.replace(&marked, crate::row::P));
    let mut fields: Vec<String> = head.split_off(1);
    let framing = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name)).map(str::to_owned);
    let (length, chunked) = (framing("content-length: "), framing("transfer-encoding: ").is_some());
    fields.retain(|field| !OURS.iter().any(|name| field.starts_with(&format!("{name}:"))));
    fields.sort();
    let mut seen = Seen { line: head.remove(0), fields, body: Vec::new(), trailers: Vec::new(), complete: false };
    let is_head = seen.line.starts_with("HEAD ");
    let read = read_body(stream, &mut seen, length, chunked).await;
    seen.complete = read.is_ok();
    notes.0.lock().expect("notes").entry(case).or_default().push(seen);
    read?;
    let body: &[u8] = if is_head { b"" } else { b"ok" };
    stream.write_all(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", body].concat()).await?;
    Ok(true)
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    seen: &mut Seen,
    length: Option<String>,
    chunked: bool,
) -> io::Result<()> {
    if let Some(length) = length {
        seen.body = vec![0; length.parse().map_err(io::Error::other)?];
        stream.read_exact(&mut seen.body).await?;
    }
    if chunked {
        read_chunks(stream, seen).await?;
    }
    Ok(())
}

async fn read_chunks(stream: &mut BufReader<TcpStream>, seen: &mut Seen) -> io::Result<()> {
    loop {
        let size = usize::from_str_radix(&line(stream).await?, 16).map_err(io::Error::other)?;
        if size == 0 {
            seen.trailers = lines(stream).await?;
            seen.trailers.sort();
            return Ok(());
        }
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await?;
        seen.body.extend(&chunk[..size]);
    }
}

/// The lines up to the empty one; every byte is the character of the same number.
async fn lines(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        match line(stream).await {
            Ok(line) if line.is_empty() => return Ok(lines),
            Ok(line) => lines.push(line),
            Err(_) if lines.is_empty() => return Ok(lines),
            Err(error) => return Err(error),
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(text.iter().map(|&byte| char::from(byte)).collect())
}
