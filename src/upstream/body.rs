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

use bytes::{Buf, Bytes};
use http::{
    HeaderMap,
    header::{HOST, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    Breakdown,
    connection::{Hold, Single},
    direct::{Apart, Direct, Framing, Transfer},
    member::Load,
    shelf::Shelf,
};
use crate::headers::{Aside, Passive, ToUs};

/// How far a request's body went to the application, when it last got on, and how it ended.
#[derive(Debug, Clone)]
pub struct Progress(Option<Arc<Course>>);

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
        let (moved, state) = (AtomicU64::new(0), AtomicU8::new(UNDER_WAY));
        Self(Some(Arc::new(Course { begun: Instant::now(), moved, state })))
    }
}

impl Progress {
    /// That of no body at all: it is done.
    pub const fn of_nothing() -> Self {
        Self(None)
    }

    /// One more frame.
    pub fn step(&self) {
        self.enter(UNDER_WAY);
    }

    /// The browser is the one who is waited for.
    pub fn awaits(&self) {
        if let Some(course) = &self.0 {
            course.state.store(AWAITED, Relaxed);
        }
    }

    /// Nobody reads it any more.
    pub fn left(&self) {
        if self.state() == AWAITED {
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
        let Some(course) = &self.0 else { return };
        course.moved.store(u64::try_from(course.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
        course.state.store(state, Relaxed);
    }

    fn state(&self) -> u8 {
        self.0.as_ref().map_or(DONE, |course| course.state.load(Relaxed))
    }

    pub(super) fn is_done(&self) -> bool {
        self.state() == DONE
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state() == BROKEN
    }

    /// Since when the application is the one who is waited for: now, if it is the browser; `None`, if it always was.
    pub(super) fn since(&self) -> Option<Instant> {
        let course = self.0.as_ref()?;
        Some(match course.state.load(Relaxed) {
            AWAITED => Instant::now(),
            _ => course.begun + Duration::from_millis(course.moved.load(Relaxed)),
        })
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

    /// Appends header lines that go out with it and are not in the request's head.
    fn write_lines(&self, _out: &mut Vec<u8>) {}

    /// Moves the same lines into the head, for those who write it from there.
    fn put_lines(&mut self, _headers: &mut HeaderMap) {}

    /// Whether its request, with these lines, asks for another protocol. Whoever knows need not look.
    fn switches(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(UPGRADE)
    }

    /// Whether its request, with these lines, names a host. Whoever knows need not look.
    fn names_host(&self, headers: &HeaderMap) -> bool {
        headers.get(HOST).is_some_and(|host| !host.is_empty())
    }

    /// Lines of its answer's head that may be laid aside.
    fn passive(&self) -> Passive {
        Passive::default()
    }

    /// Lines of its answer's head that are for us and need not come into the map.
    fn to_us(&self) -> Option<&ToUs> {
        None
    }
}

/// A response body that holds its connection. `B` is the type of the bodies that are sent on that connection.
pub struct ResponseBody<B: Payload> {
    source: Source<B>,
    apart: Apart,
}

enum Source<B: Payload> {
    /// All of it came with the head, of so many bytes.
    Whole(Bytes, usize),
    Direct(Box<Reading<B>>),
    Driven(Box<Driving<B>>),
}

/// A body that hyper reads.
struct Driving<B: Payload> {
    incoming: Incoming,
    /// `None` once it was given back.
    hold: Option<Hold<B>>,
}

/// A body that is read from its connection as it is wanted.
struct Reading<B: Payload> {
    /// Kept until the body is asked for.
    head: Bytes,
    transfer: Transfer,
    /// `None` once it was given back, or is no good any more.
    connection: Option<Box<Direct>>,
    /// What ended it too early.
    fault: Option<Breakdown>,
    shelf: Arc<Shelf<B>>,
    _load: Option<Load>,
}

impl<B: Payload> Reading<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Breakdown>>> {
        self.head = Bytes::new();
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        let frame = ready!(self.transfer.poll_frame(connection, cx));
        if let Some(Err(fault)) = frame {
            // First the browser gets what there is: the head may carry its cookie.
            (self.connection, self.fault) = (None, Some(fault));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.transfer.is_over() {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn give_back(&mut self) {
        if let Some(mut connection) = self.connection.take().filter(|_| self.transfer.is_clean()) {
            connection.rest();
            self.shelf.put(Single::Direct(connection));
        }
    }
}

impl<B: Payload> Driving<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Breakdown>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            None => self.release(),
            Some(Err(_)) => self.hold = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Breakdown::Hyper)))
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

impl<B: Payload> ResponseBody<B> {
    fn of(source: Source<B>) -> Self {
        Self { source, apart: Apart::default() }
    }

    pub(super) fn new(incoming: Incoming, hold: Hold<B>) -> Self {
        let mut driving = Driving { incoming, hold: Some(hold) };
        driving.release_at_end();
        Self::of(Source::Driven(Box::new(driving)))
    }

    /// The empty body of a `101`: it holds the connection for as long as it is kept.
    pub(super) fn of_tunnel(incoming: Incoming, hold: Hold<B>) -> Self {
        Self::of(Source::Driven(Box::new(Driving { incoming, hold: Some(hold) })))
    }

    /// A body whose beginning came with its head, of so many bytes; its connection `lasts` beyond it or does not.
    pub(super) fn direct(
        connection: Box<Direct>,
        (mut read, head, apart): (Bytes, usize, Apart),
        framing: Framing,
        lasts: bool,
        (shelf, load): (&Arc<Shelf<B>>, Option<Load>),
    ) -> Self {
        let came = read.len() - head;
        if let Framing::Length(length) = framing
            && came as u64 >= length
        {
            if lasts && came as u64 == length {
                shelf.put(Single::Direct(connection));
            }
            read.truncate(head + length as usize);
            return Self { source: Source::Whole(read, head), apart };
        }
        let rest = read.split_off(head);
        let (transfer, shelf) = (Transfer::new(framing, rest, lasts), Arc::clone(shelf));
        let reading = Reading { head: read, transfer, connection: Some(connection), fault: None, shelf, _load: load };
        Self { source: Source::Direct(Box::new(reading)), apart }
    }

    /// Lines of its head that are not in the map, for whoever writes it before anything of the body.
    pub fn aside(&self) -> Aside<'_> {
        self.apart.laid.of(self.head())
    }

    /// Whether there are lines for us that are not in its head's map.
    pub fn tells_us(&self) -> bool {
        self.apart.told.is_any()
    }

    /// The values of these lines, by the order of their names, for whoever wants them before anything of the body.
    pub fn told(&self) -> [Option<&[u8]>; 2] {
        self.apart.told.values(self.head())
    }

    fn head(&self) -> &[u8] {
        match &self.source {
            Source::Whole(read, _) => read,
            Source::Direct(reading) => &reading.head,
            Source::Driven(..) => &[],
        }
    }
}

impl<B: Payload> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Breakdown;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Breakdown>>> {
        match &mut self.source {
            Source::Whole(read, head) if read.len() == *head => Poll::Ready(None),
            Source::Whole(read, head) => {
                let mut body = std::mem::take(read);
                body.advance(std::mem::take(head));
                Poll::Ready(Some(Ok(Frame::data(body))))
            }
            Source::Direct(reading) => reading.poll_frame(cx),
            Source::Driven(driving) => driving.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(read, head) => read.len() == *head,
            Source::Direct(reading) => reading.transfer.is_over(),
            Source::Driven(driving) => driving.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(read, head) => SizeHint::with_exact((read.len() - head) as u64),
            Source::Direct(reading) => reading.transfer.size_hint(),
            Source::Driven(driving) => driving.incoming.size_hint(),
        }
    }
}
