//! What happens on a public connection before HTTP: the PROXY header, the TLS handshake, and which HTTP it is.
//!
//! A PROXY header is demanded or not looked for; it is never guessed. Over TLS the protocol is agreed on by ALPN. In the
//! clear HTTP/2 begins with its preface (prior knowledge), and whatever begins otherwise is HTTP/1.1. All this counts towards
//! the time of the first head.

use std::{
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, error::Elapsed, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Preamble,
    preamble::{self, Named},
};
use crate::{
    headers::Peer,
    socket::{Quiet, Socket},
};

/// The first bytes of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No method of HTTP/1.1 begins like this (RFC 9113 section 11.3 reserves it), though some begin with less of it.
const RESERVED: &[u8] = b"PRI";
/// What is read at once while the protocol is found out: most request heads fit.
const PIECE: usize = 2048;

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection that is ready for HTTP.
pub(super) struct Arrival {
    pub(super) stream: Stream,
    /// What was read of it already.
    pub(super) first: BytesMut,
    pub(super) protocol: Protocol,
    pub(super) peer: Peer,
}

pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Early>>),
}

/// What is decrypted may wait in it.
impl Quiet for Box<TlsStream<Early>> {}

/// A socket before HTTP: it gives back what was read ahead of its reader, and knows whether anything came at all.
pub(super) struct Early {
    socket: Socket,
    ahead: BytesMut,
    heard: Heard,
}

/// Whether anything came.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Early {
    pub(super) fn new(socket: Socket) -> Self {
        Self::ahead(socket, BytesMut::new())
    }

    /// One of which this was read already.
    pub(super) fn ahead(socket: Socket, ahead: BytesMut) -> Self {
        Self { socket, ahead, heard: Heard::default() }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl AsyncRead for Early {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            if self.ahead.is_empty() {
                self.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.heard.0.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Early {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Why a connection never came to HTTP.
#[derive(Debug)]
pub(super) enum Lost {
    /// It broke, or the TLS handshake failed.
    Io(io::Error),
    /// It does not begin with the PROXY header that it must begin with.
    Preamble(&'static str),
    /// Its time was up.
    TooSlow,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooSlow => f.write_str("the client was too slow to begin (limits.head_timeout)"),
            Self::Preamble(problem) => write!(f, "PROXY header: {problem} (listen.proxy_protocol)"),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Elapsed> for Lost {
    fn from(_: Elapsed) -> Self {
        Self::TooSlow
    }
}

/// Receives a connection.
pub(super) async fn receive(
    mut stream: Early,
    address: Option<IpAddr>,
    preamble: Preamble,
    tls: Option<&Arc<ServerConfig>>,
    deadline: Instant,
) -> Result<Arrival, Lost> {
    let addr = match preamble {
        Preamble::None => address,
        Preamble::ProxyHeader => match timeout_at(deadline, named(&mut stream)).await?? {
            Named::Client(client) => client,
            Named::Nobody => address,
        },
    };
    let Some(tls) = tls else {
        let (protocol, mut first) = told_apart(&mut stream, deadline).await?;
        // What came with a PROXY header may be more than was looked at.
        first.extend_from_slice(&stream.ahead);
        return Ok(Arrival { stream: Stream::Plain(stream.socket), first, protocol, peer: Peer { addr, tls: false } });
    };
    let stream = timeout_at(deadline, TlsAcceptor::from(Arc::clone(tls)).accept(stream)).await??;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    let stream = Stream::Tls(Box::new(stream));
    Ok(Arrival { stream, first: BytesMut::new(), protocol, peer: Peer { addr, tls: true } })
}

/// Reads the PROXY header, and gives back what follows it.
async fn named(stream: &mut Early) -> Result<Named, Lost> {
    let mut read = BytesMut::with_capacity(PIECE);
    loop {
        more(stream, &mut read).await?;
        match preamble::read(&read).map_err(Lost::Preamble)? {
            Some((named, length)) => {
                stream.ahead = read.split_off(length);
                return Ok(named);
            }
            None => read.reserve(PIECE),
        }
    }
}

/// Reads until it is clear which protocol this is; with what was read. Whoever has no time left, and has said
/// nothing that only HTTP/2 begins with, gets the answer of a slow HTTP/1.1 client.
async fn told_apart(stream: &mut Early, deadline: Instant) -> Result<(Protocol, BytesMut), Lost> {
    let mut read = BytesMut::with_capacity(PIECE);
    let protocol = loop {
        match timeout_at(deadline, more(stream, &mut read)).await {
            Ok(more) => more?,
            Err(_) if (1..RESERVED.len()).contains(&read.len()) => break Protocol::Http1,
            Err(elapsed) => return Err(elapsed.into()),
        }
        if read.starts_with(PREFACE) {
            break Protocol::Http2;
        }
        if !PREFACE.starts_with(&read) {
            break Protocol::Http1;
        }
    };
    Ok((protocol, read))
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, read: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;

    #[tokio::test]
    async fn nothing_is_lost_of_what_was_read_ahead_however_much_it_is() {
        for length in [1, PIECE, 5 * PIECE] {
            let (mut client, server) = UnixStream::pair().unwrap();
            client.write_all(b"more").await.unwrap();
            drop(client);
            let ahead = vec![b'G'; length];
            let early = Early::ahead(Socket::Unix(server), BytesMut::from(&ahead[..]));
            let deadline = Instant::now() + Duration::from_secs(10);
            let arrival = receive(early, None, Preamble::None, None, deadline).await.unwrap();
            let Arrival { stream: Stream::Plain(mut socket), mut first, .. } = arrival else {
                panic!("a connection in the clear");
            };
            while socket.read_buf(&mut first).await.unwrap() > 0 {}
            assert_eq!(&first[..], &[&ahead[..], b"more"].concat());
        }
    }
}
