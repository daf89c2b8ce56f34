//! A connection, over TCP or a Unix socket: handed from thread to thread, then read and written.

use std::{
    io,
    net::IpAddr,
    os::unix::net::UnixStream as StdUnixStream,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connection that no runtime has yet.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP, from this address.
    Tcp(std::net::TcpStream, IpAddr),
    /// Over a Unix socket: whoever is there has no address.
    Unix(StdUnixStream),
}

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Accepted {
    /// Who is at the other end; `None` on a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Gives it to the runtime of this thread.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn open(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream, _) => {
                let stream = TcpStream::from_std(stream)?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
        }
    }
}

/// A stream that may know without a read that there is nothing to read.
pub trait Quiet {
    /// Whether the runtime has heard nothing of it since a read had to wait. Then whoever waited is still the one who will
    /// be woken. `false` where only a read can tell.
    fn is_quiet(&self) -> bool {
        false
    }
}

impl Quiet for TcpStream {
    fn is_quiet(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_err()
    }
}

impl Quiet for UnixStream {
    fn is_quiet(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_err()
    }
}

impl Quiet for Socket {
    fn is_quiet(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_quiet(),
            Self::Unix(stream) => stream.is_quiet(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
