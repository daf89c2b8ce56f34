//! An HTTP/1.1 connection on which a request without a body is answered in the request's own task.
//!
//! Most requests have no body. For them the way through hyper's client (a queue, a second task that is woken, a copy of
//! the request in case that it must be repeated) costs more than all the rest of an exchange: here the head is written
//! into one buffer, sent with one system call, and what comes back is read by whoever waits for it. Heads, chunk sizes
//! and trailers are parsed by `httparse`. Requests with a body, and those that change protocols, are hyper's.
//!
//! Bytes of an answer are read only when somebody wants them. A connection is used again only after an answer whose end
//! is certain and behind which nothing came.

mod body;
mod chunks;
mod head;

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
    time::Instant,
};
use tokio_util::io::poll_read_buf;

pub(super) use body::{Framing, Transfer};
pub(super) use head::{Apart, Asked, Said};

use head::Found;

use super::{Payload, dial::Stream, error::Breakdown, exchange::Course};
use crate::{
    clock::alarm::Alarm,
    socket::{Quiet, draft::Draft, scratch},
};

/// The end of a head may begin so far before what comes.
const END: usize = 3;

/// The connection.
pub(super) struct Direct {
    stream: Stream,
    /// What of a request's head is not sent.
    outbox: Draft,
    /// Some of it was.
    is_begun: bool,
    is_flushed: bool,
    /// The beginning of an answer's head, or room for a body that is being read.
    inbox: BytesMut,
    /// How much of it was looked at, and is not a whole head.
    looked: usize,
    /// Kept from one exchange to the next, so that not every request sets a timer.
    alarm: Alarm,
    /// What a head may measure.
    most: usize,
}

/// The head of an answer, and what came with it.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    /// Lines of it that are not in its map.
    pub(super) apart: Apart,
    /// All that was read, and how much of it is the head.
    pub(super) read: Bytes,
    pub(super) length: usize,
    pub(super) said: Said,
    /// The connection may be used again when the answer is over.
    pub(super) lasts: bool,
}

/// Why there is no answer.
pub(super) enum Failure {
    Late,
    Broken(Breakdown, Course),
}

impl Direct {
    pub(super) fn new(stream: Stream, most: usize) -> Self {
        Self {
            stream,
            outbox: Draft::default(),
            is_begun: false,
            is_flushed: true,
            inbox: BytesMut::new(),
            looked: 0,
            alarm: Alarm::default(),
            most,
        }
    }

    /// The stream of a connection that is idle.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Gives back memory that only a body needs.
    pub(super) fn rest(&mut self) {
        self.inbox = BytesMut::new();
    }

    /// Whether the server has neither closed the idle connection nor said anything unasked on it. Asks the runtime only:
    /// no system call as long as nothing has come. It answers whatever the task has left of its turn: a stream that is not
    /// looked at seems idle.
    pub(super) fn is_idle(&mut self) -> bool {
        if self.stream.is_quiet() {
            return true;
        }
        let (mut byte, stream) = ([0], &mut self.stream);
        let look =
            pin!(unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)))));
        look.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// What a head may measure.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The next exchange is about this request, which has no body.
    pub(super) fn prepare<B: Payload>(&mut self, request: &Request<B>) {
        self.outbox.clear();
        (self.is_begun, self.is_flushed) = (false, false);
        head::write(self.outbox.bytes(), request, |out| request.body().write_lines(out));
    }

    /// Sends what was prepared and waits until `deadline` for the head of its answer.
    pub(super) async fn exchange(&mut self, deadline: Instant, asked: Asked<'_>) -> Result<Answer, Failure> {
        poll_fn(|cx| self.poll_answer(cx, deadline, asked)).await
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        asked: Asked<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            if !self.is_begun {
                return Poll::Ready(Err(Failure::Broken(Breakdown::Io(error), Course::Unsent)));
            }
            // The server may have said why before it closed.
            self.outbox.clear();
            self.is_flushed = true;
        }
        loop {
            let closed = match scratch::poll_read(&mut self.stream, cx, &mut self.inbox) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => Breakdown::Closed,
                Poll::Ready(Err(error)) => Breakdown::Io(error),
                Poll::Ready(Ok(_)) => match self.take_head(asked) {
                    // As long as there is always something to read, the alarm is not looked at.
                    Ok(None) if Instant::now() >= deadline => return Poll::Ready(Err(Failure::Late)),
                    Ok(None) => continue,
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Err(unfit) => return Poll::Ready(Err(Failure::Broken(unfit, Course::Other))),
                },
            };
            return Poll::Ready(Err(Failure::Broken(closed, Course::Closed)));
        }
        self.alarm.poll(cx, deadline).map(|()| Err(Failure::Late))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.outbox.left()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    self.outbox.advance(sent);
                    self.is_begun = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outbox.wait();
                    return Poll::Pending;
                }
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The head at the beginning of what was read, if it is whole. Informational ones are nobody's business.
    fn take_head(&mut self, asked: Asked<'_>) -> Result<Option<Answer>, Breakdown> {
        // A head that comes in many pieces is neither copied nor looked through with each.
        let looked = std::mem::replace(&mut self.looked, self.inbox.len());
        if looked > 0 && self.inbox.len() < self.most && !head::has_end(&self.inbox[looked.saturating_sub(END)..]) {
            return Ok(None);
        }
        let mut read = std::mem::take(&mut self.inbox).freeze();
        loop {
            let Some(found) = head::read(&read, asked)? else {
                if read.len() >= self.most {
                    return Err(Breakdown::HeadTooLarge);
                }
                (self.inbox, self.looked) = (BytesMut::from(&*read), read.len());
                return Ok(None);
            };
            if found.length > self.most {
                return Err(Breakdown::HeadTooLarge);
            }
            let status = found.head.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                read.advance(found.length);
                continue;
            }
            self.looked = 0;
            let is_spoken = status != StatusCode::SWITCHING_PROTOCOLS;
            let lasts = found.lasts && is_spoken && self.is_flushed && self.outbox.is_empty();
            let Found { head, apart, length, said, .. } = found;
            return Ok(Some(Answer { head, apart, read, length, said, lasts }));
        }
    }

    /// Reads more of a body behind `rest`, at most `most` bytes; how many came, 0 at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>, rest: &mut Bytes, most: usize) -> Poll<io::Result<usize>> {
        self.inbox.reserve(rest.len() + most);
        if !rest.is_empty() {
            self.inbox.extend_from_slice(&std::mem::take(rest));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.inbox));
        *rest = self.inbox.split().freeze();
        Poll::Ready(read)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{Join, Sink, join, sink};

    use super::*;

    /// Says so often that it is at work, without a pause.
    struct Busy(usize);

    impl AsyncRead for Busy {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(left) = self.0.checked_sub(1) {
                self.0 = left;
                buffer.put_slice(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(9));
            }
            Poll::Ready(Ok(()))
        }
    }

    impl Quiet for Join<Busy, Sink> {}

    async fn late(server: Busy) -> bool {
        let mut direct = Direct::new(Stream::of(join(server, sink())), 8192);
        matches!(direct.exchange(Instant::now(), Asked::default()).await, Err(Failure::Late))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_never_pauses_has_no_longer_than_others() {
        assert!(late(Busy(100)).await);
        assert!(!late(Busy(0)).await, "it has closed");
    }
}
