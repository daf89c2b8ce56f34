//! After a `101`: bytes both ways until either side is done. Nothing in them is looked at.
//!
//! A tunnel ends when both sides have closed, when one has broken, when `end` resolves, when nothing has moved for an
//! hour, or when one side has closed and nothing has moved for half a minute since: no task outlives its peers.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};
use tracing::debug;

/// Nothing moves in a tunnel for longer than this.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// The same once one side has said that it will send nothing more.
const HALF_CLOSED: Duration = Duration::from_secs(30);

const HALF: u64 = 1 << 63;

/// How often something moved in a tunnel.
#[derive(Debug, Clone, Default)]
pub struct Flow(Arc<AtomicU64>);

impl Flow {
    /// Differs whenever something has moved since.
    pub fn mark(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn moved(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn half_closed(&self) {
        self.0.fetch_or(HALF, Relaxed);
    }

    /// Resolves when nothing has moved for too long.
    async fn dries_up(&self) {
        let (mut seen, mut quiet) = (self.mark(), Duration::ZERO);
        loop {
            sleep(HALF_CLOSED).await;
            let now = self.mark();
            quiet = if now == seen { quiet + HALF_CLOSED } else { Duration::ZERO };
            seen = now;
            if quiet >= if now & HALF == 0 { IDLE } else { HALF_CLOSED } {
                return;
            }
        }
    }
}

/// Joins the two sides of an upgraded connection, once both are there; a browser that is `None` will not come. `hold` is
/// dropped when it is over.
pub async fn tunnel<B, H>(
    browser: impl Future<Output = Option<B>>,
    application: OnUpgrade,
    flow: Flow,
    end: impl Future<Output = ()>,
    hold: H,
) where
    B: AsyncRead + AsyncWrite + Unpin,
{
    let browser = async { browser.await.ok_or_else(|| "the browser has left".to_owned()) };
    let application = async { application.await.map_err(|error| error.to_string()) };
    match tokio::try_join!(browser, application) {
        Ok((browser, application)) => join(browser, TokioIo::new(application), flow, end).await,
        Err(reason) => debug!(target: "cloakroom::upstream", reason, "an upgrade was not carried out"),
    }
    drop(hold);
}

async fn join<B, A>(browser: B, application: A, flow: Flow, end: impl Future<Output = ()>)
where
    B: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let mut browser = Side { bytes: browser, flow: flow.clone() };
    let mut application = Side { bytes: application, flow: flow.clone() };
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut browser, &mut application) => {
            if let Err(error) = copied {
                debug!(target: "cloakroom::upstream", %error, "a tunnel broke");
            }
        }
        () = end => debug!(target: "cloakroom::upstream", "a tunnel is closed with its session"),
        () = flow.dries_up() => debug!(target: "cloakroom::upstream", "a tunnel in which nothing moves is closed"),
    }
}

/// One side of a tunnel; what is read from it is counted.
struct Side<S> {
    bytes: S,
    flow: Flow,
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.bytes).poll_read(cx, buffer);
        match &read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.flow.moved(),
            Poll::Ready(Ok(())) => self.flow.half_closed(),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::oneshot,
        task::JoinHandle,
        time::{Instant, advance},
    };

    use super::*;

    /// A tunnel, and its two outer ends.
    fn dug(end: impl Future<Output = ()> + Send + 'static) -> (DuplexStream, DuplexStream, JoinHandle<()>) {
        let ((browser, near), (far, application)) = (duplex(64), duplex(64));
        let task = tokio::spawn(join(near, far, Flow::default(), end));
        (browser, application, task)
    }

    async fn pass(from: &mut DuplexStream, to: &mut DuplexStream) {
        from.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        to.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_goes_on_while_bytes_flow_and_ends_an_hour_after() {
        let (mut browser, mut application, task) = dug(pending());
        for _ in 0..5 {
            pass(&mut browser, &mut application).await;
            advance(Duration::from_secs(30 * 60)).await;
            pass(&mut application, &mut browser).await;
            advance(Duration::from_secs(30 * 60)).await;
        }
        assert!(!task.is_finished());
        pass(&mut browser, &mut application).await;
        let begun = Instant::now();
        task.await.unwrap();
        assert!((IDLE..IDLE + HALF_CLOSED * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        assert_eq!(browser.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(application.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_tunnel_passes_the_rest_and_then_ends_soon() {
        let (mut browser, mut application, task) = dug(pending());
        browser.shutdown().await.unwrap();
        assert_eq!(application.read(&mut [0]).await.unwrap(), 0);
        for _ in 0..10 {
            advance(HALF_CLOSED / 2).await;
            pass(&mut application, &mut browser).await;
        }
        let begun = Instant::now();
        task.await.unwrap();
        assert!(begun.elapsed() <= HALF_CLOSED * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_tunnel_whose_time_has_come_is_closed_on_both_sides() {
        let (end, ended) = oneshot::channel::<()>();
        let (mut browser, mut application, task) = dug(async { drop(ended.await) });
        pass(&mut browser, &mut application).await;
        drop(end);
        task.await.unwrap();
        assert_eq!(browser.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(application.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_tunnel_ends_when_both_sides_have_closed() {
        let (browser, application, task) = dug(pending());
        drop((browser, application));
        task.await.unwrap();
    }
}
