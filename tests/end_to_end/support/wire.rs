//! HTTP/1.1 on a socket, byte by byte: heads, chunks, trailers, bodies that arrive piece by piece.
//!
//! The scripted upstream and the test's clients share it. It never hides what was on the wire: header text is
//! kept as Latin-1, so that every byte has its character, in the order and spelling in which it arrived.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any wait of a test, so that a hung peer fails the test instead of the test run.
const READ_LIMIT: Duration = Duration::from_secs(90);

/// Folds a header name as CGI, WSGI and PHP do: case and punctuation do not distinguish names.
pub(crate) fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Every byte as the character of the same number.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Header fields in the order and spelling of the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Parses the lines after the first one of a head, or those of a trailer section.
    fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let field = |line: &[u8]| {
            let text = latin1(line);
            let (name, value) = text.split_once(':').unwrap_or((&text, ""));
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        };
        Self(lines.filter(|line| !line.is_empty()).map(field).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The fields whose folded name is `name` (which is given folded).
    pub(crate) fn like(&self, name: &str) -> Vec<(&str, &str)> {
        self.iter().filter(|(n, _)| folded(n) == name).collect()
    }
}

/// The first line and the fields of a head.
pub(crate) fn parse_head(head: &[u8]) -> (String, Headers) {
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = latin1(lines.next().unwrap_or_default());
    (first, Headers::parse(lines))
}

/// How long a body is, and how far it has been read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked(u64),
    UntilClose,
    Over,
}

impl Framing {
    pub(crate) fn of_request(headers: &Headers) -> Self {
        Self::declared(headers).unwrap_or(Self::Over)
    }

    pub(crate) fn of_reply(headers: &Headers, status: u16, method: &str) -> Self {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Self::Over;
        }
        Self::declared(headers).unwrap_or(Self::UntilClose)
    }

    fn declared(headers: &Headers) -> Option<Self> {
        if headers.all("transfer-encoding").iter().any(|value| value.to_ascii_lowercase().contains("chunked")) {
            return Some(Self::Chunked(0));
        }
        let length: u64 = headers.first("content-length")?.parse().ok()?;
        Some(if length == 0 { Self::Over } else { Self::Length(length) })
    }
}

/// A buffered socket.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY on an open socket");
        stream.set_read_timeout(Some(READ_LIMIT)).expect("a read timeout on an open socket");
        stream.set_write_timeout(Some(READ_LIMIT)).expect("a write timeout on an open socket");
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Makes the next `drop` a reset (RST) instead of an orderly end (FIN).
    pub(crate) fn reset_on_drop(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER on an open socket");
    }

    /// True as soon as a byte is there, false at the end of the stream.
    pub(crate) fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.fill()?)
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 64 * 1024];
        let count = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    /// Everything up to and including `mark`.
    pub(crate) fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A head with its blank line.
    pub(crate) fn head(&mut self) -> io::Result<Vec<u8>> {
        self.until(b"\r\n\r\n")
    }

    /// Between one and `limit` bytes; none at the end of the stream.
    fn some(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        if !self.has_more()? {
            return Ok(Vec::new());
        }
        let count = self.buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(self.buffer.drain(..count).collect())
    }

    /// The next piece of a body, `None` at its end. What breaks off is an error.
    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        let left = match *framing {
            Framing::Over => return Ok(None),
            Framing::Chunked(0) => match self.chunk_size()? {
                0 => {
                    *framing = Framing::Over;
                    return Ok(None);
                }
                size => size,
            },
            Framing::Chunked(left) | Framing::Length(left) => left,
            Framing::UntilClose => u64::MAX,
        };
        let piece = self.some(left)?;
        if piece.is_empty() {
            return if *framing == Framing::UntilClose { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let left = left - piece.len() as u64;
        *framing = match *framing {
            Framing::Chunked(_) => {
                if left == 0 && self.until(b"\r\n")? != b"\r\n" {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Framing::Chunked(left)
            }
            Framing::Length(_) if left == 0 => Framing::Over,
            Framing::Length(_) => Framing::Length(left),
            other => other,
        };
        Ok(Some(piece))
    }

    fn chunk_size(&mut self) -> io::Result<u64> {
        let line = latin1(&self.until(b"\r\n")?);
        let digits = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The trailer section that follows the last chunk, as text and as fields.
    pub(crate) fn trailers(&mut self) -> io::Result<(Vec<u8>, Headers)> {
        let mut text = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                let fields = Headers::parse(text.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end()));
                return Ok((text, fields));
            }
            text.extend(line);
        }
    }
}
