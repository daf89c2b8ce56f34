//! Bodies: what a request's must be able to say, and a response's, which brings its connection back at its end.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Hold;

const DONE: u64 = 1 << 63;
const BROKEN: u64 = 1 << 62;

/// How far a request's body went to the application: frames, and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// One more frame.
    pub fn step(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// It went to its end.
    pub fn done(&self) {
        self.0.fetch_or(DONE, Relaxed);
    }

    /// The browser broke it off.
    pub fn broken(&self) {
        self.0.fetch_or(BROKEN, Relaxed);
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.load(Relaxed) & DONE != 0
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Relaxed) & BROKEN != 0
    }

    /// Differs after every step.
    pub(super) fn mark(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The body of a request.
pub trait Payload: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static {
    /// How far it went.
    fn progress(&self) -> &Progress;

    /// The same body once more; `None` if there is anything in it, for that is not kept.
    fn again(&self) -> Option<Self>
    where
        Self: Sized;
}

/// A response body that holds its connection. `B` is the type of the bodies that are sent on that connection.
pub struct ResponseBody<B: Payload> {
    incoming: Incoming,
    hold: Option<Hold<B>>,
}

impl<B: Payload> ResponseBody<B> {
    pub(super) fn new(incoming: Incoming, hold: Hold<B>) -> Self {
        let mut body = Self { incoming, hold: Some(hold) };
        body.release_at_end();
        body
    }

    /// The empty body of a `101`: it holds the connection for as long as it is kept.
    pub(super) fn of_tunnel(incoming: Incoming, hold: Hold<B>) -> Self {
        Self { incoming, hold: Some(hold) }
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.give_back();
        }
    }
}

impl<B: Payload> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            None => self.release(),
            Some(Err(_)) => self.hold = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
