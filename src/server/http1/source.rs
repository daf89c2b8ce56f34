//! What a browser sends: the stream and the one buffer for it.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    task::coop,
};

use crate::socket::{Quiet, scratch};

/// A stream and what was read of it.
pub(super) struct Source<S> {
    pub(super) stream: S,
    /// Read, and not used yet.
    pub(super) read: BytesMut,
    /// Whom the stream has to wake, if nothing was read since.
    waiting: Option<Waker>,
    waits: bool,
    /// The browser sends no more.
    ended: bool,
    /// How much was ever read.
    total: u64,
}

impl<S> Source<S> {
    /// A stream of which this was read already.
    pub(super) fn new(stream: S, read: BytesMut) -> Self {
        Self { stream, read, waiting: None, waits: false, ended: false, total: 0 }
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
    pub(super) fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: Quiet,
    {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.waits_for(cx) && self.stream.is_quiet() {
            return Poll::Pending;
        }
        let read = scratch::poll_read(&mut self.stream, cx, &mut self.read);
        self.note_wait(cx, read.is_pending());
        Poll::Ready(Ok(self.note(ready!(read)?)))
    }

    /// Reads more, up to about `room` bytes; 0: there will be none.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.read.capacity() - self.read.len() < room / 2 {
            self.read.reserve(room);
        }
        let read = pin!(self.stream.read_buf(&mut self.read)).poll(cx);
        self.note_wait(cx, read.is_pending());
        Poll::Ready(Ok(self.note(ready!(read)?)))
    }

    /// Whether the last read has told this very task to wait.
    fn waits_for(&self, cx: &Context<'_>) -> bool {
        self.waits && self.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// A read was tried. In a task that has used up its turn it may have had to wait without a look at the stream, which
    /// then wakes nobody.
    fn note_wait(&mut self, cx: &Context<'_>, waits: bool) {
        self.waits = waits && coop::has_budget_remaining();
        if self.waits && !self.waits_for(cx) {
            self.waiting = Some(cx.waker().clone());
        }
    }

    fn note(&mut self, count: usize) -> usize {
        self.ended = count == 0;
        self.total += count as u64;
        count
    }

    /// Looks whether the browser is still there, while there is nothing to read of it; ready only if it has gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error>
    where
        S: Quiet,
    {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream, UnixStream},
    };

    use super::*;
    use crate::{
        clock::testing::{Bell, spent},
        socket::{Socket, scratch::PIECE},
    };

    type Tried = Poll<io::Result<usize>>;

    /// A browser, and what it sends; its task has been told to wait.
    async fn waiting(bell: &Arc<Bell>) -> (UnixStream, Source<Socket>) {
        let (browser, stream) = UnixStream::pair().unwrap();
        let mut source = Source::new(Socket::Unix(stream), BytesMut::new());
        assert!(some(&mut source, bell).is_pending());
        (browser, source)
    }

    fn some(source: &mut Source<Socket>, bell: &Arc<Bell>) -> Tried {
        bell.poll(|cx| source.poll_some(cx))
    }

    #[track_caller]
    fn assert_read(tried: Tried, count: usize) {
        assert!(matches!(tried, Poll::Ready(Ok(read)) if read == count), "{tried:?}");
    }

    #[tokio::test]
    async fn who_waits_and_asks_again_is_woken_when_something_comes_each_time() {
        let bell = Arc::default();
        let (mut browser, mut source) = waiting(&bell).await;
        for _ in 0..3 {
            assert!(some(&mut source, &bell).is_pending());
            assert!(!bell.rings().await);
            browser.write_all(b"GET").await.unwrap();
            assert!(bell.rings().await);
            assert_read(some(&mut source, &bell), 3);
            assert!(some(&mut source, &bell).is_pending());
        }
        drop(browser);
        assert!(bell.rings().await);
        assert_read(some(&mut source, &bell), 0);
    }

    #[tokio::test]
    async fn over_tcp_it_is_the_same() {
        let (listener, bell) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::default());
        let mut browser = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut source = Source::new(Socket::Tcp(listener.accept().await.unwrap().0), BytesMut::new());
        for _ in 0..3 {
            assert!(some(&mut source, &bell).is_pending() && some(&mut source, &bell).is_pending());
            browser.write_all(b"GET").await.unwrap();
            assert!(bell.rings().await);
            assert_read(some(&mut source, &bell), 3);
        }
    }

    #[tokio::test]
    async fn the_task_that_asked_last_is_woken() {
        let (first, second) = (Arc::default(), Arc::default());
        let (mut browser, mut source) = waiting(&first).await;
        assert!(some(&mut source, &second).is_pending());
        browser.write_all(b"GET").await.unwrap();
        assert!(second.rings().await);
        assert_eq!((first.rung(), Arc::strong_count(&first)), (0, 1));
    }

    #[tokio::test]
    async fn a_stream_that_turns_out_to_be_empty_is_waited_for_anew() {
        let bell = Arc::default();
        let (mut browser, mut source) = waiting(&bell).await;
        browser.write_all(&[b'x'; PIECE]).await.unwrap();
        assert!(bell.rings().await);
        assert_read(some(&mut source, &bell), PIECE);
        assert!(!source.stream.is_quiet(), "nobody knows yet that there is no more");
        assert!(some(&mut source, &bell).is_pending() && some(&mut source, &bell).is_pending());
        browser.write_all(b"GET").await.unwrap();
        assert!(bell.rings().await);
        assert_read(bell.poll(|cx| source.poll_more(cx, 64)), 3);
        assert!(some(&mut source, &bell).is_pending());
        browser.write_all(b"GET").await.unwrap();
        assert!(bell.rings().await);
    }

    #[tokio::test]
    async fn a_task_that_has_used_up_its_turn_is_woken_all_the_same() {
        let bell = Arc::default();
        let (mut browser, mut source) = waiting(&bell).await;
        browser.write_all(b"GET").await.unwrap();
        assert!(bell.rings().await);
        assert_read(some(&mut source, &bell), 3);
        assert!(spent(|| some(&mut source, &bell)).await.is_pending());
        bell.rung();
        assert!(some(&mut source, &bell).is_pending());
        browser.write_all(b"GET").await.unwrap();
        assert!(bell.rings().await);
    }
}
