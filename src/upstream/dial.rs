//! Making a connection: a name to its addresses, one after the other, TLS on top.
//!
//! A name is looked up for every connection, so that a change of it is seen as soon as connections are made anew.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Protocol, Server, Settings};
use crate::socket::{Quiet, Socket};

/// A server that has gone without a word is noticed after a minute and a half, also in a tunnel where nothing moves.
const QUIET: Duration = Duration::from_secs(60);
const PROBES: Duration = Duration::from_secs(10);

/// Bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Quiet + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Quiet + Send + Unpin> Duplex for T {}

/// What is decrypted may wait in it.
impl Quiet for TlsStream<TcpStream> {}

/// A connection to a server, and its place among `max_connections`: also when it has become a tunnel.
pub(super) struct Stream {
    bytes: Bytes,
    /// `None` as long as nobody wants to know.
    outbox: Option<Outbox>,
    _slot: Option<OwnedSemaphorePermit>,
}

/// How they get there.
enum Bytes {
    /// As they are.
    Plain(Socket),
    /// Encrypted.
    Other(Box<dyn Duplex>),
}

/// Whether a connection has taken all that was written to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox(Arc<AtomicBool>);

impl Outbox {
    /// Something still waits for the server to read.
    pub(super) fn is_stuck(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn note(&self, is_stuck: bool) {
        self.0.store(is_stuck, Relaxed);
    }
}

/// How one server is reached.
pub(super) struct Dialer {
    pub(super) server: Server,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    protocol: Protocol,
    patience: Duration,
}

/// A dialer for each server of an upstream.
///
/// # Errors
/// TLS that cannot be used.
pub(super) fn dialers(settings: &Settings) -> Result<Vec<Dialer>, String> {
    let offered: &[&[u8]] = match settings.protocol {
        Protocol::Http1 => &[b"http/1.1"],
        Protocol::Http2 => &[b"h2"],
    };
    let encrypts = settings.servers.iter().any(|server| matches!(server, Server::Https { .. }));
    let tls = encrypts.then(|| settings.tls.configuration(offered)).transpose();
    let tls = tls.map_err(|error| format!("upstream {}: TLS {error}", settings.name))?;
    settings.servers.iter().map(|server| Dialer::new(server, settings, tls.as_ref())).collect()
}

/// Whether a connection to each server can be made, TLS included; for a person who tries a configuration.
pub async fn try_out(settings: &Settings) -> Vec<(Server, Result<(), String>)> {
    let dialers = match dialers(settings) {
        Ok(dialers) => dialers,
        Err(problem) => return settings.servers.iter().map(|server| (server.clone(), Err(problem.clone()))).collect(),
    };
    let mut tries = JoinSet::new();
    for (place, dialer) in dialers.into_iter().enumerate() {
        tries.spawn(async move { (place, dialer.dial(None).await.map(drop).map_err(|error| error.to_string())) });
    }
    let mut tried = tries.join_all().await;
    tried.sort_unstable_by_key(|(place, _)| *place);
    settings.servers.iter().cloned().zip(tried.into_iter().map(|(_, tried)| tried)).collect()
}

impl Dialer {
    /// A dialer that speaks TLS with `https://` servers as `tls` says.
    ///
    /// # Errors
    /// No certificate can be for this host.
    fn new(server: &Server, settings: &Settings, tls: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        let tls = match (server, tls) {
            (Server::Https { host, .. }, Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| format!("{server}: no host for TLS"))?;
                Some((TlsConnector::from(Arc::clone(tls)), name))
            }
            (Server::Http { .. } | Server::Https { .. } | Server::Unix(_), _) => None,
        };
        Ok(Self { server: server.clone(), tls, protocol: settings.protocol, patience: settings.connect_timeout })
    }

    /// Connects within `connect_timeout`, whatever has to be tried for it.
    pub(super) async fn dial(&self, slot: Option<OwnedSemaphorePermit>) -> io::Result<Stream> {
        match timeout(self.patience, self.connect()).await {
            Ok(bytes) => Ok(Stream { bytes: bytes?, outbox: None, _slot: slot }),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn connect(&self) -> io::Result<Bytes> {
        let (host, port) = match &self.server {
            Server::Unix(path) => return Ok(Bytes::Plain(Socket::Unix(UnixStream::connect(path).await?))),
            Server::Http { host, port } | Server::Https { host, port } => (host, *port),
        };
        let deadline = Instant::now() + self.patience;
        let addresses: Vec<SocketAddr> = lookup_host((host.as_str(), port)).await?.collect();
        let stream = first_of(&addresses, deadline).await?;
        prepare(&stream)?;
        match &self.tls {
            None => Ok(Bytes::Plain(Socket::Tcp(stream))),
            Some((connector, name)) => self.encrypt(stream, connector, name).await,
        }
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        connector: &TlsConnector,
        name: &ServerName<'static>,
    ) -> io::Result<Bytes> {
        let stream = connector.connect(name.clone(), stream).await?;
        match (self.protocol, stream.get_ref().1.alpn_protocol()) {
            (Protocol::Http2, Some(b"h2")) | (Protocol::Http1, _) => Ok(Bytes::Other(Box::new(stream))),
            (Protocol::Http2, _) => {
                Err(io::Error::other("the server does not offer h2 within TLS (upstreams.*.protocol)"))
            }
        }
    }
}

/// The first address that answers. Each has its share of the time that is left.
async fn first_of(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name leads to no address");
    for (done, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - done).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let alive = socket2::TcpKeepalive::new().with_time(QUIET).with_interval(PROBES).with_retries(3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&alive)
}

impl Stream {
    #[cfg(test)]
    pub(super) fn of(bytes: impl AsyncRead + AsyncWrite + Quiet + Send + Unpin + 'static) -> Self {
        Self { bytes: Bytes::Other(Box::new(bytes)), outbox: None, _slot: None }
    }

    /// Says from now on whether everything was taken.
    pub(super) fn outbox(&mut self) -> Outbox {
        self.outbox.get_or_insert_default().clone()
    }

    fn bytes(&mut self) -> Pin<&mut dyn Duplex> {
        match &mut self.bytes {
            Bytes::Plain(socket) => Pin::new(socket),
            Bytes::Other(other) => Pin::new(&mut **other),
        }
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        if let Some(outbox) = &self.outbox {
            outbox.note(written.is_pending());
        }
        written
    }
}

impl Quiet for Stream {
    fn is_quiet(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(socket) => socket.is_quiet(),
            Bytes::Other(other) => other.is_quiet(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.bytes().poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.bytes().poll_write_vectored(cx, parts);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(socket) => socket.is_write_vectored(),
            Bytes::Other(other) => other.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.bytes().poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_shutdown(cx)
    }
}
