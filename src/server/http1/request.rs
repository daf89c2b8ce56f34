//! The wait for a request, up to the end of its head, and how long it may take.
//!
//! A new connection must come to the end of its first head within `limits.head_timeout`, whatever stands before it; a
//! kept-alive one may be idle for `limits.idle_timeout`, and from the first byte of a head to its end it has the time of a
//! head again. One that is idle for a while gives its buffers back.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use super::{
    Connection,
    clock::{Clock, REST},
    head::Asked,
    source::PIECE,
};
use crate::{
    headers::{Announced, HeadBounds, HeadFault, HeadScan, announced_by},
    server::{Limits, ending::Stage},
};

/// Empty lines that may come before a request (RFC 9112 §2.2).
const EMPTY_LINES: usize = 4;
/// A client that was just answered may have its next request under way: so long it is waited for at the end.
const LINGER: Duration = Duration::from_millis(100);

/// What comes next on a connection.
pub(super) enum Next {
    /// A head that is sound as a whole, and what follows it.
    Head(Found, Announced),
    /// A head that is not, or takes too long.
    Unsound(HeadFault, Asked),
    /// No request.
    Nothing,
    Broken(io::Error),
}

/// The bytes of a head, with the empty line at its end.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) lines: usize,
}

/// Looks for heads.
pub(super) struct Scan {
    pub(super) bounds: HeadBounds,
    scan: HeadScan,
    empty_lines: usize,
}

impl Scan {
    pub(super) fn new(bounds: HeadBounds) -> Self {
        Self { bounds, scan: HeadScan::default(), empty_lines: 0 }
    }

    /// The whole head that the bytes begin with, taken off them; what was looked at before is not looked at again.
    fn next(&mut self, read: &mut BytesMut) -> Result<Option<(Found, Announced)>, HeadFault> {
        while self.scan.is_fresh() {
            match &read[..] {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => read.advance(2),
                _ => break,
            }
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(HeadFault::EmptyLines);
            }
        }
        let Some(end) = self.scan.end(read, &self.bounds)? else { return Ok(None) };
        let announced = announced_by(&read[..end])?;
        let found = Found { bytes: read.split_to(end).freeze(), lines: self.scan.lines() };
        *self = Self::new(self.bounds);
        Ok(Some((found, announced)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was received yet.
    Fresh,
    Head,
    Idle,
}

/// What a connection is waiting for, and since when.
pub(super) struct Time {
    pub(super) clock: Clock,
    phase: Phase,
    /// `None`: whoever asks next begins it.
    since: Option<Instant>,
    rests: bool,
    head: Duration,
    pub(super) idle: Duration,
}

impl Time {
    /// A new connection owes us a request.
    pub(super) fn new(accepted: Instant, limits: &Limits) -> Self {
        let (phase, since, rests) = (Phase::Fresh, Some(accepted), false);
        Self { clock: Clock::new(), phase, since, rests, head: limits.head_timeout, idle: limits.idle_timeout }
    }

    /// There is another configuration, perhaps.
    pub(super) fn bound_by(&mut self, limits: &Limits) {
        (self.head, self.idle) = (limits.head_timeout, limits.idle_timeout);
    }

    /// A request is answered; of the next one something is there already, or nothing.
    pub(super) fn answered(&mut self, is_begun: bool) {
        self.enter(if is_begun { Phase::Head } else { Phase::Idle });
    }

    /// Bytes came.
    fn heard(&mut self) {
        match self.phase {
            Phase::Fresh => self.phase = Phase::Head,
            Phase::Idle => self.enter(Phase::Head),
            Phase::Head => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since, self.rests) = (phase, None, false);
    }

    /// When the client has used up its time.
    fn deadline(&self, since: Instant) -> Instant {
        since + if self.phase == Phase::Idle { self.idle } else { self.head }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) async fn next_request(&mut self) -> Next {
        if !self.source.read.is_empty() {
            self.time.heard();
        }
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.scan.next(&mut self.source.read) {
                Ok(None) => {}
                Ok(Some((found, announced))) => return Poll::Ready(Next::Head(found, announced)),
                Err(fault) => return Poll::Ready(Next::Unsound(fault, Asked::unsoundly(&self.source.read))),
            }
            match self.source.poll_more(cx, PIECE) {
                Poll::Ready(Ok(1..)) => self.time.heard(),
                Poll::Ready(Ok(0)) if self.source.read.is_empty() => return Poll::Ready(Next::Nothing),
                Poll::Ready(Ok(0)) => return Poll::Ready(Next::Broken(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Next::Broken(error)),
                Poll::Pending => return self.poll_time(cx),
            }
        }
    }

    /// Ready when the wait is over.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            let now = Instant::now();
            let since = *self.time.since.get_or_insert(now);
            let mut until = self.time.deadline(since);
            if until <= now {
                return Poll::Ready(self.out_of_time());
            }
            if self.time.phase != Phase::Head && self.client.ending.stage() == Stage::Here {
                until = until.min(since + LINGER);
                if until <= now {
                    return Poll::Ready(Next::Nothing);
                }
            }
            if self.time.phase == Phase::Idle && !self.time.rests {
                if since + REST <= now {
                    self.rest();
                } else {
                    until = until.min(since + REST);
                }
            }
            ready!(self.time.clock.poll(cx, now, until));
            self.time.bound_by(&self.client.current.load().terms.limits);
        }
    }

    /// Whoever has begun a head is told that it took too long; nobody else would understand.
    fn out_of_time(&self) -> Next {
        debug!(target: "cloakroom::server", "a client has used up its time");
        match &self.source.read[..] {
            [] => Next::Nothing,
            begun => Next::Unsound(HeadFault::TooSlow, Asked::unsoundly(begun)),
        }
    }

    /// There is nothing to do for a while.
    fn rest(&mut self) {
        self.time.rests = true;
        self.source.read = BytesMut::new();
        self.outlet.rest();
        debug!(target: "cloakroom::server", "a connection rests");
    }
}
