//! What a browser sends: the stream and the one buffer for it.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::socket::scratch;

/// A stream and what was read of it.
pub(super) struct Source<S> {
    pub(super) stream: S,
    /// Read, and not used yet.
    pub(super) read: BytesMut,
    /// The browser sends no more.
    ended: bool,
    /// How much was ever read.
    total: u64,
}

impl<S> Source<S> {
    /// A stream of which this was read already.
    pub(super) fn new(stream: S, read: BytesMut) -> Self {
        Self { stream, read, ended: false, total: 0 }
    }

    /// The first bytes of what was read.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        split_off(&mut self.read, count)
    }

    /// How much was ever read.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether nothing is left of what the browser sent, and nothing comes.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.read.is_empty()
    }

    /// What it is after HTTP. `held` is kept as long.
    pub(super) fn into_wire<H>(self, held: H) -> Wire<S, H> {
        Wire { stream: self.stream, ahead: self.read, _held: held }
    }
}

impl<S: AsyncRead + Unpin> Source<S> {
    /// Reads more, however little; 0: there will be none.
    pub(super) fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(scratch::poll_read(&mut self.stream, cx, &mut self.read))?;
        Poll::Ready(Ok(self.note(count)))
    }

    /// Reads more, up to about `room` bytes; 0: there will be none.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.read.capacity() - self.read.len() < room / 2 {
            self.read.reserve(room);
        }
        let count = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))?;
        Poll::Ready(Ok(self.note(count)))
    }

    fn note(&mut self, count: usize) -> usize {
        self.ended = count == 0;
        self.total += count as u64;
        count
    }

    /// Looks whether the browser is still there, while there is nothing to read of it; ready only if it has gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.ended || !self.read.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.poll_some(cx)) {
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }
}

/// The first bytes of these; if they are all, no memory stays behind.
pub(super) fn split_off(read: &mut BytesMut, count: usize) -> Bytes {
    if count == read.len() { std::mem::take(read).freeze() } else { read.split_to(count).freeze() }
}

/// A stream after HTTP: what was read ahead comes first.
pub(super) struct Wire<S, H> {
    stream: S,
    ahead: BytesMut,
    _held: H,
}

impl<S: AsyncRead + Unpin, H: Unpin> AsyncRead for Wire<S, H> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, H: Unpin> AsyncWrite for Wire<S, H> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
