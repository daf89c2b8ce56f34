//! A connection that speaks HTTP, and the hold that a response has on it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{task::AbortHandle, time::Duration};

use super::{
    Payload, Progress, SendError, Settings,
    dial::{Outbox, Stream},
    direct::Direct,
    member::Load,
    shelf::Shelf,
};

/// HTTP/2 connections are asked for a sign of life this often while streams are open, and given up after as long again.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// What one HTTP/2 stream may have under way in either direction, and a whole connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// An HTTP/1.1 connection. It begins as one or the other, as its first request needs it.
pub(super) enum Single<B> {
    /// For requests without a body.
    Direct(Box<Direct>),
    /// For every request; it stays so.
    Driven(Driven<B>),
}

/// What a request needs of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// To send a head and read an answer.
    Answer,
    /// To send a body as well, or to change protocols.
    Everything,
}

/// An HTTP/1.1 connection of hyper's, and the task that moves its bytes.
pub(super) struct Driven<B> {
    pub(super) sender: http1::SendRequest<B>,
    outbox: Outbox,
    task: AbortHandle,
}

/// An HTTP/2 connection and how many streams of ours are open on it.
pub(super) struct Shared<B> {
    pub(super) sender: http2::SendRequest<B>,
    streams: Arc<AtomicUsize>,
    /// How many the server takes.
    most: Arc<AtomicUsize>,
}

/// An open stream; counted until it is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl<B: Payload> Single<B> {
    pub(super) async fn begin(stream: Stream, need: Need, settings: &Settings) -> Result<Self, SendError> {
        match need {
            Need::Answer => Ok(Self::Direct(Box::new(Direct::new(stream, settings.response_header_bytes)))),
            Need::Everything => Driven::begin(stream, settings).await.map(Self::Driven),
        }
    }

    /// The connection as the request needs it.
    pub(super) async fn fit(self, need: Need, settings: &Settings) -> Result<Self, SendError> {
        match (self, need) {
            (Self::Direct(direct), Need::Everything) => Self::begin(direct.into_stream(), need, settings).await,
            (single, _) => Ok(single),
        }
    }

    /// Whether it serves such a request as it is.
    pub(super) fn suits(&self, need: Need) -> bool {
        matches!((self, need), (Self::Direct(_), Need::Answer) | (Self::Driven(_), Need::Everything))
    }

    /// What an idle connection is good for at this moment.
    pub(super) fn readiness(&mut self) -> Readiness {
        match self {
            Self::Direct(direct) => match direct.is_idle() {
                true => Readiness::Ready,
                false => Readiness::Closed,
            },
            Self::Driven(driven) if driven.sender.is_closed() => Readiness::Closed,
            Self::Driven(driven) if driven.sender.is_ready() => Readiness::Ready,
            Self::Driven(_) => Readiness::Soon,
        }
    }

    /// Whether it is known to be closed; of a direct one that is seen when it is needed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Driven(driven) if driven.sender.is_closed())
    }

    /// The same, once it is known whether it is ready or closed.
    pub(super) async fn settled(&mut self) -> Readiness {
        match (self.readiness(), self) {
            (Readiness::Soon, Self::Driven(driven)) => match driven.sender.ready().await {
                Ok(()) => Readiness::Ready,
                Err(_) => Readiness::Closed,
            },
            (readiness, _) => readiness,
        }
    }

    /// Closes it at once, whatever is under way.
    pub(super) fn close(self) {
        match self {
            Self::Direct(_) => {}
            Self::Driven(driven) => driven.task.abort(),
        }
    }
}

/// What an idle connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Soon,
    Closed,
}

impl<B: Payload> Driven<B> {
    async fn begin(mut stream: Stream, settings: &Settings) -> Result<Self, SendError> {
        let outbox = stream.outbox();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(settings.response_header_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::Failed(error.into()))?;
        // Whoever waits for a response on it is told the same error.
        let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender, outbox, task: task.abort_handle() })
    }
}

impl<B> Clone for Shared<B> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), streams: Arc::clone(&self.streams), most: Arc::clone(&self.most) }
    }
}

impl<B: Payload> Shared<B> {
    pub(super) async fn begin(stream: Stream, settings: &Settings) -> Result<Self, SendError> {
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(settings.response_header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_WINDOW as usize)
            .keep_alive_interval(SIGN_OF_LIFE)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::Failed(error.into()))?;
        let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let told = Arc::clone(&most);
        tokio::spawn(poll_fn(move |cx| {
            let over = Pin::new(&mut connection).poll(cx).map(drop);
            told.store(connection.current_max_send_streams(), Relaxed);
            over
        }));
        Ok(Self { sender, streams: Arc::default(), most })
    }

    /// A place for one more stream, if the server takes more.
    pub(super) fn place(&self) -> Option<Place> {
        let fits = !self.sender.is_closed() && self.streams() < self.most.load(Relaxed);
        fits.then(|| {
            self.streams.fetch_add(1, Relaxed);
            Place(Arc::clone(&self.streams))
        })
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What a response holds until its body has been read. If it is dropped before, the HTTP/1.1 connection is closed, for
/// nobody knows what would come next on it.
pub(super) enum Hold<B: Payload> {
    /// A connection of its own, to be given back.
    Single { connection: Option<Driven<B>>, shelf: Arc<Shelf<B>>, progress: Progress, _load: Option<Load> },
    /// A stream of a connection.
    Stream { _place: Place, _load: Option<Load> },
}

impl<B: Payload> Hold<B> {
    /// The response's body has been read. A connection on which the request's body is still under way, for the
    /// application answered early, is not used again: neither while the browser sends, nor while the last of it waits for
    /// the application to read.
    pub(super) fn give_back(mut self) {
        if let Self::Single { connection, shelf, progress, .. } = &mut self
            && progress.is_done()
            && let Some(connection) = connection.take_if(|connection| !connection.outbox.is_stuck())
        {
            shelf.put(Single::Driven(connection));
        }
    }
}

impl<B: Payload> Drop for Hold<B> {
    fn drop(&mut self) {
        if let Self::Single { connection, .. } = self
            && let Some(connection) = connection.take()
        {
            connection.task.abort();
        }
    }
}
