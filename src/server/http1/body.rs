//! A request's body: the connection reads it, frame by frame as it is wanted, and whoever has the other end takes it.
//!
//! One frame is held at most, so that whoever reads slowly slows the browser down. A body that its reader has left is not
//! read to its end, but for what has arrived already; one that breaks off or breaks the grammar ends in an error.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncRead;

use super::source::{PIECE, Source};
use crate::headers::{Chunks, HeadBounds, Piece};

/// What is read at once of a body.
const ROOM: usize = 32 * 1024;

/// A body that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the request's body broke off or is malformed")
    }
}

impl std::error::Error for Broken {}

/// How the end of a body is found.
pub(super) enum Coding {
    Length(u64),
    Chunked(Box<Chunks>, HeadBounds),
}

/// Where a body was read to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// To its end: what comes next is a request.
    Whole,
    /// Not to its end: nobody knows what comes next.
    Part,
}

/// What the two ends share.
#[derive(Default)]
struct Slot {
    frame: Option<Result<Frame<Bytes>, Broken>>,
    /// Nothing comes after the frame.
    over: bool,
    /// Somebody has asked for a frame.
    wanted: bool,
    /// Nobody will take a frame any more.
    left: bool,
    reader: Option<Waker>,
    feeder: Option<Waker>,
}

type Shared = Arc<Mutex<Slot>>;

fn lock(slot: &Shared) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

/// The connection's end of a body.
pub(super) struct Feed {
    slot: Shared,
    coding: Coding,
    /// The browser waits for `100 Continue`.
    holds: bool,
}

/// The reader's end of a body.
pub(super) struct Received {
    slot: Shared,
    /// How many bytes are still to come, if it was said.
    left: Option<u64>,
}

/// A body that comes behind this head.
pub(super) fn pair(coding: Coding, holds: bool) -> (Feed, Received) {
    let (slot, left) = (Shared::default(), if let Coding::Length(length) = coding { Some(length) } else { None });
    (Feed { slot: Arc::clone(&slot), coding, holds }, Received { slot, left })
}

impl Feed {
    /// Whether the browser must be told now to send its body; true once.
    pub(super) fn must_call(&mut self) -> bool {
        let called = self.holds && lock(&self.slot).wanted;
        self.holds &= !called;
        called
    }

    /// Reads what is wanted, until the body is over for us.
    pub(super) fn poll<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, source: &mut Source<S>) -> Poll<End> {
        loop {
            {
                let mut slot = lock(&self.slot);
                if slot.left {
                    drop(slot);
                    return Poll::Ready(self.spill(cx, source));
                }
                note(&mut slot.feeder, cx);
                if slot.frame.is_some() || (self.holds && !slot.wanted) {
                    return Poll::Pending;
                }
            }
            let next = ready!(self.poll_next(cx, source));
            let (end, frame) = match next {
                Ok(frame) if self.is_over() => (Some(End::Whole), frame.map(Ok)),
                Ok(frame) => (None, frame.map(Ok)),
                Err(broken) => (Some(End::Part), Some(Err(broken))),
            };
            let mut slot = lock(&self.slot);
            (slot.frame, slot.over) = (frame, end.is_some());
            let reader = slot.reader.take();
            drop(slot);
            if let Some(reader) = reader {
                reader.wake();
            }
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    }

    /// Throws away what has arrived of a body that nobody wants.
    fn spill<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, source: &mut Source<S>) -> End {
        while let Poll::Ready(Ok(frame)) = self.poll_next(cx, source) {
            if self.is_over() {
                return End::Whole;
            }
            if frame.is_none() || source.read.is_empty() {
                break;
            }
        }
        End::Part
    }

    fn is_over(&self) -> bool {
        match &self.coding {
            Coding::Length(left) => *left == 0,
            Coding::Chunked(chunks, _) => chunks.is_over(),
        }
    }

    /// The next frame; `None` only at the end.
    fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source<S>,
    ) -> Poll<Result<Option<Frame<Bytes>>, Broken>> {
        loop {
            if source.read.is_empty() {
                let room = match self.coding {
                    Coding::Length(left) => usize::try_from(left).unwrap_or(ROOM).clamp(PIECE, ROOM),
                    Coding::Chunked(..) => ROOM,
                };
                match ready!(source.poll_more(cx, room)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken)),
                }
            }
            let data = match &mut self.coding {
                Coding::Length(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(source.read.len());
                    *left -= count as u64;
                    count
                }
                Coding::Chunked(chunks, bounds) => match chunks.next(&source.read) {
                    Ok(Piece::Data(count)) => count,
                    Ok(Piece::Framing(count)) => {
                        source.read.advance(count);
                        if chunks.is_over() {
                            return Poll::Ready(trailers(chunks.trailers(), bounds.fields));
                        }
                        continue;
                    }
                    Err(_) => return Poll::Ready(Err(Broken)),
                },
            };
            return Poll::Ready(Ok(Some(Frame::data(source.take(data)))));
        }
    }
}

/// A frame of these lines, if there are any.
fn trailers(lines: &[u8], most: usize) -> Result<Option<Frame<Bytes>>, Broken> {
    if lines.is_empty() {
        return Ok(None);
    }
    let mut fields = vec![httparse::EMPTY_HEADER; most];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(lines, &mut fields) else {
        return Err(Broken);
    };
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken)?;
        map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Broken)?);
    }
    Ok(Some(Frame::trailers(map)))
}

impl Drop for Feed {
    /// A connection that ends before its body has broken it off.
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if !slot.over {
            (slot.over, slot.frame) = (true, Some(Err(Broken)));
            if let Some(reader) = slot.reader.take() {
                reader.wake();
            }
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        slot.left = true;
        if let (false, Some(feeder)) = (slot.over, slot.feeder.take()) {
            feeder.wake();
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut slot = lock(&self.slot);
        let first = !std::mem::replace(&mut slot.wanted, true);
        let frame = slot.frame.take();
        if frame.is_none() && !slot.over {
            note(&mut slot.reader, cx);
        }
        let is_over = slot.over;
        if let (false, true, Some(feeder)) = (is_over, first || frame.is_some(), &slot.feeder) {
            feeder.wake_by_ref();
        }
        drop(slot);
        match (frame, is_over) {
            (Some(frame), _) => {
                if let (Ok(frame), Some(left)) = (&frame, &mut self.left) {
                    *left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                }
                Poll::Ready(Some(frame))
            }
            (None, true) => Poll::Ready(None),
            (None, false) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
