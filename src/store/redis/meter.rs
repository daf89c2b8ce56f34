//! How much a server may say: bytes that arrive are counted against what the questions under way can be answered with.
//!
//! A server that is asked for a session and begins a reply of 512 MiB, or a line without an end, would otherwise be
//! read into memory until it is done. Here the connection fails as soon as more has arrived than all answers that are
//! still awaited may measure. Every answer that comes in begins the count anew, so that no bound is put on what an
//! honest connection carries in its life.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Beyond what is awaited: greetings, errors, and sessions from before `session.max_bytes` was lowered.
const SLACK: u64 = 8 * 1024 * 1024;

/// The count of one connection.
#[derive(Debug)]
pub(in crate::store) struct Meter {
    arrived: AtomicU64,
    awaited: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { arrived: AtomicU64::new(0), awaited: AtomicU64::new(SLACK) }
    }

    /// A question is asked that can be answered with so many bytes.
    pub(super) fn ask(&self, bytes: u64) {
        self.awaited.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Its answer is there. A question that is given up keeps its share, for its answer may still come.
    pub(super) fn hear(&self, bytes: u64) {
        self.awaited.fetch_sub(bytes, Ordering::Relaxed);
        self.arrived.store(0, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let arrived = self.arrived.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if arrived <= self.awaited.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is larger than any answer"))
    }
}

/// A stream whose reading is metered.
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.meter.take(buffer.filled().len() - before)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// How many of these bytes come through.
    async fn read(meter: &Arc<Meter>, bytes: u64) -> u64 {
        let mut stream = Metered::new(tokio::io::repeat(b'x').take(bytes), Arc::clone(meter));
        let (mut piece, mut count) = (vec![0; 64 * 1024], 0);
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            count += read as u64;
        }
        count
    }

    #[tokio::test]
    async fn more_than_is_awaited_breaks_the_stream() {
        let meter = Arc::new(Meter::new());
        assert_eq!(read(&meter, SLACK).await, SLACK);
        assert_eq!(read(&meter, 1).await, 0);
        meter.ask(100);
        assert_eq!(read(&meter, 99).await, 99);
        assert_eq!(read(&meter, 1).await, 0);
    }

    #[tokio::test]
    async fn every_answer_begins_the_count_anew() {
        let meter = Arc::new(Meter::new());
        for _ in 0..3 {
            meter.ask(1000);
            assert_eq!(read(&meter, SLACK + 1000).await, SLACK + 1000);
            meter.hear(1000);
        }
        assert!(read(&meter, 10 * SLACK).await <= SLACK);
    }
}
