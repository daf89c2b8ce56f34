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
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncRead;

use super::source::Source;
use crate::headers::{Chunks, HeadBounds, Piece, trailers};

/// What is read at once of a body.
const ROOM: usize = 32 * 1024;
const LEAST: usize = 2 * 1024;

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
                    Coding::Length(left) => usize::try_from(left).unwrap_or(ROOM).clamp(LEAST, ROOM),
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
                            return Poll::Ready(trailing(chunks.trailers(), bounds.fields));
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
fn trailing(lines: &[u8], most: usize) -> Result<Option<Frame<Bytes>>, Broken> {
    if lines.is_empty() {
        return Ok(None);
    }
    match trailers(&Bytes::copy_from_slice(lines), most) {
        Ok(Some((_, trailers))) => Ok(Some(Frame::trailers(trailers))),
        Ok(None) | Err(_) => Err(Broken),
    }
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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use bytes::BytesMut;
    use http::HeaderMap;
    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncWriteExt, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 1024, fields: 10 };

    fn chunked() -> Coding {
        Coding::Chunked(Box::new(Chunks::new(BOUNDS)), BOUNDS)
    }

    /// A body of which this has arrived, and what sends the rest of it.
    fn body(coding: Coding, holds: bool, arrived: &[u8]) -> (Feed, Received, Source<DuplexStream>, DuplexStream) {
        let ((client, server), (feed, received)) = (duplex(4096), pair(coding, holds));
        (feed, received, Source::new(server, BytesMut::from(arrived)), client)
    }

    async fn fed(feed: &mut Feed, source: &mut Source<DuplexStream>) -> End {
        poll_fn(|cx| feed.poll(cx, source)).await
    }

    /// Feeds what is wanted now.
    async fn feed_on(feed: &mut Feed, source: &mut Source<DuplexStream>) -> Option<End> {
        timeout(Duration::ZERO, fed(feed, source)).await.ok()
    }

    /// All that a reader gets, with its trailers.
    async fn read(received: Received) -> Result<(String, HeaderMap), Broken> {
        let collected = received.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok((String::from_utf8(collected.to_bytes().to_vec()).unwrap(), trailers))
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_and_no_further_however_it_is_cut() {
        let text = b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX-T: 1\r\n\r\n";
        for (coding, text) in [(&chunked as &dyn Fn() -> Coding, &text[..]), (&|| Coding::Length(4), b"abcd")] {
            for cut in 0..=text.len() {
                let (mut feed, received, mut source, mut client) = body(coding(), false, &text[..cut]);
                client.write_all(&text[cut..]).await.unwrap();
                client.write_all(b"GET").await.unwrap();
                let reader = tokio::spawn(read(received));
                assert_eq!(fed(&mut feed, &mut source).await, End::Whole, "{cut}");
                let (data, trailers) = reader.await.unwrap().unwrap();
                assert_eq!((data.as_str(), trailers.contains_key("x-t")), ("abcd", text.len() > 4), "{cut}");
                while source.read.len() < 3 {
                    poll_fn(|cx| source.poll_more(cx, 64)).await.unwrap();
                }
                assert_eq!(&source.read[..], b"GET", "{cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_breaks_the_grammar_is_never_whole() {
        for (coding, text) in [(Coding::Length(4), "abc"), (chunked(), "3\r\nabc\r\n"), (chunked(), "3\r\nabcd")] {
            let (mut feed, received, mut source, client) = body(coding, false, text.as_bytes());
            drop(client);
            let reader = tokio::spawn(read(received));
            assert_eq!(fed(&mut feed, &mut source).await, End::Part, "{text:?}");
            assert_eq!(reader.await.unwrap(), Err(Broken), "{text:?}");
        }
        let (feed, received, _source, _client) = body(Coding::Length(4), false, b"");
        drop(feed);
        assert_eq!(read(received).await, Err(Broken));
    }

    #[tokio::test]
    async fn no_more_than_one_frame_is_held() {
        let (mut feed, mut received, mut source, mut client) = body(Coding::Length(6), false, b"abc");
        client.write_all(b"def").await.unwrap();
        assert_eq!(feed_on(&mut feed, &mut source).await, None);
        assert!(source.read.is_empty(), "nothing was read ahead");
        let first = received.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((&first[..], received.is_end_stream(), received.size_hint().exact()), (&b"abc"[..], false, Some(3)));
        assert_eq!(feed_on(&mut feed, &mut source).await, Some(End::Whole));
        let last = received.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((&last[..], received.is_end_stream()), (&b"def"[..], true));
    }

    #[tokio::test]
    async fn a_browser_that_waits_is_called_once_and_only_if_somebody_wants_its_body() {
        let (mut feed, mut received, mut source, mut client) = body(Coding::Length(3), true, b"");
        assert_eq!(feed_on(&mut feed, &mut source).await, None);
        assert!(!feed.must_call());
        assert!(timeout(Duration::ZERO, received.frame()).await.is_err());
        assert!(feed.must_call() && !feed.must_call());
        client.write_all(b"abc").await.unwrap();
        assert_eq!(feed_on(&mut feed, &mut source).await, Some(End::Whole));
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_is_skipped_if_it_is_there_and_not_waited_for() {
        for (coding, arrived, end) in [
            (Coding::Length(3), &b"abcGET"[..], End::Whole),
            (Coding::Length(3), b"ab", End::Part),
            (chunked(), b"3\r\nabc\r\n0\r\n\r\nGET", End::Whole),
            (chunked(), b"3\r\nabc\r\n", End::Part),
            (chunked(), b"x", End::Part),
        ] {
            let (mut feed, received, mut source, _client) = body(coding, true, arrived);
            drop(received);
            assert_eq!(feed_on(&mut feed, &mut source).await, Some(end), "{}", arrived.escape_ascii());
            assert!(end == End::Part || &source.read[..] == b"GET");
        }
    }
}
