//! How slow a client may be between requests and in a request's head.
//!
//! hyper has one timeout for both. Here a kept-alive connection may be idle for `limits.idle_timeout`, and from the first
//! byte of a head to its end it has `limits.head_timeout`; a new connection must begin at once. While a request is being
//! answered, its body and its response have limits of their own.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::Limits;
use crate::proxy::Download;

#[derive(Clone, Copy)]
enum Phase {
    Idle(Instant),
    Head(Instant),
    Busy,
}

/// What a connection is doing, and since when.
pub(super) struct Pace(Mutex<Phase>);

impl Pace {
    /// A new connection: it owes us a request.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Phase::Head(Instant::now())))
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) {
        self.set(Phase::Busy);
    }

    /// Resolves when the client has used up its time.
    pub(super) async fn out_of_time(&self, limits: &Limits) {
        loop {
            let deadline = match self.phase() {
                Phase::Idle(since) => since + limits.idle_timeout,
                Phase::Head(since) => since + limits.head_timeout,
                Phase::Busy => Instant::now() + limits.head_timeout.min(limits.idle_timeout),
            };
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    fn read(&self) {
        if let Phase::Idle(_) = self.phase() {
            self.set(Phase::Head(Instant::now()));
        }
    }

    fn phase(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// A response body; when it is gone, the connection is idle.
pub(super) struct PacedBody {
    body: Download,
    pace: Arc<Pace>,
}

impl PacedBody {
    pub(super) fn new(body: Download, pace: Arc<Pace>) -> Self {
        Self { body, pace }
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        self.pace.set(Phase::Idle(Instant::now()));
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that notes when bytes arrive.
pub(super) struct PacedStream {
    stream: TcpStream,
    pace: Arc<Pace>,
}

impl PacedStream {
    pub(super) fn new(stream: TcpStream, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pace.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
    use std::time::Duration;

    use tokio::time::{advance, timeout};

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { header_bytes: 1, headers: 1, head_timeout: HEAD, idle_timeout: IDLE, connections: 1 }
    }

    /// How long this client still has, if nothing happens any more; `None`: more than ten minutes.
    async fn left(pace: &Pace) -> Option<Duration> {
        let begun = Instant::now();
        timeout(600 * SECOND, pace.out_of_time(&limits())).await.ok().map(|()| begun.elapsed())
    }

    fn about(time: Duration) -> impl Fn(Option<Duration>) -> bool {
        move |left| left.is_some_and(|left| left >= time && left <= time + Duration::from_millis(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_time_of_a_head() {
        assert!(about(HEAD)(left(&Pace::new()).await));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_a_head_buy_no_more_time() {
        let pace = Pace::new();
        for _ in 0..9 {
            advance(SECOND).await;
            pace.read();
        }
        assert!(about(SECOND)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_is_not_timed() {
        let pace = Pace::new();
        pace.begin();
        assert_eq!(left(&pace).await, None);
        pace.read();
        assert_eq!(left(&pace).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_response_the_connection_may_be_idle() {
        let pace = Pace::new();
        pace.begin();
        advance(100 * SECOND).await;
        pace.set(Phase::Idle(Instant::now()));
        assert!(about(IDLE)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_after_that_starts_the_time_of_a_head() {
        let pace = Pace::new();
        pace.set(Phase::Idle(Instant::now()));
        advance(59 * SECOND).await;
        pace.read();
        advance(4 * SECOND).await;
        pace.read();
        assert!(about(6 * SECOND)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_changes_while_somebody_waits_is_noticed() {
        let pace = Arc::new(Pace::new());
        let waiting = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move {
                pace.out_of_time(&limits()).await;
                Instant::now()
            }
        });
        let begun = Instant::now();
        advance(9 * SECOND).await;
        pace.begin();
        advance(30 * SECOND).await;
        pace.set(Phase::Idle(Instant::now()));
        let ended = waiting.await.unwrap();
        let wanted = begun + 39 * SECOND + IDLE;
        assert!(ended >= wanted && ended <= wanted + Duration::from_millis(20), "{:?}", ended - begun);
    }
}
