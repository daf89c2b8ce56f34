//! Bodies: what a request's must be able to say, and a response's, which brings its connection back at its end.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::connection::Hold;

/// How far a request's body went to the application, when it last got on, and how it ended.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Course>);

#[derive(Debug)]
struct Course {
    begun: Instant,
    /// When it last got on: milliseconds after that.
    moved: AtomicU64,
    state: AtomicU8,
}

/// Between two frames.
const UNDER_WAY: u8 = 0;
/// We wait for the browser to send more.
const AWAITED: u8 = 1;
/// It went to its end.
const DONE: u8 = 2;
/// The browser broke it off.
const BROKEN: u8 = 3;

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Course { begun: Instant::now(), moved: AtomicU64::new(0), state: AtomicU8::new(UNDER_WAY) }))
    }
}

impl Progress {
    /// One more frame.
    pub fn step(&self) {
        self.enter(UNDER_WAY);
    }

    /// The browser is the one who is waited for.
    pub fn awaits(&self) {
        self.0.state.store(AWAITED, Relaxed);
    }

    /// Nobody reads it any more.
    pub fn left(&self) {
        if self.0.state.load(Relaxed) == AWAITED {
            self.enter(UNDER_WAY);
        }
    }

    /// It went to its end.
    pub fn done(&self) {
        self.enter(DONE);
    }

    /// The browser broke it off.
    pub fn broken(&self) {
        self.enter(BROKEN);
    }

    fn enter(&self, state: u8) {
        self.0.moved.store(u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.0.state.store(state, Relaxed);
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.state.load(Relaxed) == DONE
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.state.load(Relaxed) == BROKEN
    }

    /// Since when the application is the one who is waited for; now, if it is the browser.
    pub(super) fn since(&self) -> Instant {
        match self.0.state.load(Relaxed) {
            AWAITED => Instant::now(),
            _ => self.0.begun + Duration::from_millis(self.0.moved.load(Relaxed)),
        }
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
