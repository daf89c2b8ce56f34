//! One request and its answer.
//!
//! Beside the wait for an answer, and beside its writing, the request's body is read as it is wanted; where there is none,
//! whether the browser has gone. Nothing is timed while the application is waited for: only a client that takes nothing of
//! its answer, or that has closed its side and is sent nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use super::{
    Connection,
    answer::{self, Framing},
    body::{self, Coding, End, Feed},
    head::{Asked, Head},
    request::Found,
};
use crate::{
    headers::{self, Announced, Chunks},
    proxy::{Answer, Inflow, Rejection, Switch, switch},
    server::{ending::Stage, place::Place},
    socket::Quiet,
};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// A client that has closed its side is sent nothing for longer than this: it is likely to have gone.
const HALF_CLOSED: Duration = Duration::from_secs(30);

/// What comes after an exchange.
pub(super) enum Sequel {
    /// The next request.
    Next,
    /// Nothing.
    Over,
    Broken(io::Error),
    /// Another protocol.
    Switched(Switch),
}

/// An answer that is being written, with its head on its way already.
pub(super) struct Delivery {
    /// `None`: its body is over.
    answer: Option<Answer>,
    framing: Framing,
    /// What comes after it, if all goes well.
    sequel: Sequel,
    /// Since when nothing moves.
    stands: Option<Instant>,
    /// The application broke off: the client must not take it for whole.
    cut: bool,
    /// How much was ever read when the last of the request's body was looked for, behind the answer.
    read: Option<u64>,
}

/// An answer, and the place that its request has held.
pub(super) type Answered = (Answer, Option<Place>);

/// A request and its answer.
pub(super) enum Exchange<F> {
    /// It is being answered.
    Asked { answer: F, asked: Asked, switch: Option<Switch> },
    /// The answer could not be written at once.
    Answered(Box<Delivery>),
}

impl<S: AsyncRead + AsyncWrite + Quiet + Unpin> Connection<S> {
    /// Has a request answered whose head is this.
    pub(super) fn ask(&mut self, found: Found) -> Exchange<impl Future<Output = Answered> + Unpin + use<S>> {
        let Found { bytes, head, announced } = found;
        let asked = head.asked();
        let (inflow, switch) = self.open(&head, announced);
        let generation = self.client.current.load();
        self.time.bound_by(&generation.terms.limits);
        let (request, cookie) = head.into_request(bytes, inflow);
        let answer = generation.shard.serve(request, cookie, &mut self.client.caller, self.place.take());
        Exchange::Asked { answer, asked, switch }
    }

    /// Waits for an answer and writes it; what comes after it.
    pub(super) fn poll_exchange<F>(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<F>) -> Poll<Sequel>
    where
        F: Future<Output = Answered> + Unpin,
    {
        let (answer, asked, switch) = match exchange {
            Exchange::Asked { answer, asked, switch } => (answer, *asked, switch),
            Exchange::Answered(delivery) => return self.poll_delivery(cx, delivery),
        };
        let answer = match ready!(self.poll_answer(cx, Pin::new(answer))) {
            Ok((answer, place)) => {
                self.place = place;
                answer
            }
            Err(error) => return Poll::Ready(Sequel::Broken(error)),
        };
        let mut delivery = self.begin(answer, asked, switch.take());
        let delivered = self.poll_delivery(cx, &mut delivery);
        if delivered.is_pending() {
            // Most answers never come here: a connection does not keep the room for it.
            *exchange = Exchange::Answered(Box::new(delivery));
        }
        delivered
    }

    /// Begins to answer what is no request; nothing is read after it.
    pub(super) fn refuse<F>(&mut self, why: impl Into<Rejection>, asked: Asked) -> Exchange<F> {
        self.lost = true;
        let answer = self.client.current.load().shard.refuse(why, None);
        Exchange::Answered(Box::new(self.begin(answer, asked, None)))
    }

    /// What comes behind a head.
    fn open(&mut self, head: &Head, announced: Announced) -> (Inflow, Option<Switch>) {
        let coding = match announced.body {
            headers::Framing::Nothing if announced.upgrade && head.version() == Version::HTTP_11 => {
                let (giver, taker) = switch();
                return (Inflow::Switch(taker), Some(giver));
            }
            headers::Framing::Nothing => return (Inflow::Nothing, None),
            headers::Framing::Length(length) => Coding::Length(length),
            headers::Framing::Chunked => {
                let bounds = self.scan.bounds;
                Coding::Chunked(Box::new(Chunks::new(bounds)), bounds)
            }
        };
        let (feed, received) = body::pair(coding, head.holds_its_body());
        self.feed = Some(feed);
        (Inflow::Body(received.map_err(Into::into).boxed_unsync()), None)
    }

    fn poll_answer<F: Future>(&mut self, cx: &mut Context<'_>, answer: Pin<&mut F>) -> Poll<io::Result<F::Output>> {
        if let Poll::Ready(answer) = answer.poll(cx) {
            if self.feed.is_some() {
                let _ = self.poll_beside(cx);
            }
            return Poll::Ready(Ok(answer));
        }
        if self.feed.as_mut().is_some_and(Feed::must_call) {
            self.outlet.buffer().extend_from_slice(CONTINUE);
        }
        if let Poll::Ready(error) = self.poll_beside(cx) {
            return Poll::Ready(Err(error));
        }
        if !self.outlet.is_empty() {
            ready!(self.outlet.poll_flush(cx, &mut self.source.stream))?;
        }
        Poll::Pending
    }

    /// Reads of the request's body what is wanted; where there is none, looks whether the browser has gone.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(feed) = &mut self.feed {
            let Poll::Ready(end) = feed.poll(cx, &mut self.source) else { return Poll::Pending };
            self.feed = None;
            self.lost |= end == End::Part;
        }
        if self.lost { Poll::Pending } else { self.source.poll_gone(cx) }
    }

    /// Writes an answer, and reads what somebody still wants of its request's body; what comes after that.
    fn poll_delivery(&mut self, cx: &mut Context<'_>, delivery: &mut Delivery) -> Poll<Sequel> {
        if let Err(error) = ready!(self.poll_write(cx, delivery)) {
            return Poll::Ready(Sequel::Broken(error));
        }
        let whole = !delivery.cut && !matches!(delivery.framing, Framing::Length(1..));
        if whole && self.feed.is_some() {
            ready!(self.poll_rest(cx, delivery));
        }
        self.time.answered();
        Poll::Ready(match std::mem::replace(&mut delivery.sequel, Sequel::Over) {
            Sequel::Next if !whole || self.lost => Sequel::Over,
            sequel => sequel,
        })
    }

    /// Puts an answer's head on its way.
    fn begin(&mut self, mut answer: Answer, mut asked: Asked, switch: Option<Switch>) -> Delivery {
        asked.stays &= !self.lost && !self.source.is_over() && self.client.ending.stage() == Stage::Far;
        let body = answer.body();
        let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        let (framing, stays) = answer::write(self.outlet.buffer(), &answer, body.beside(), length, &asked);
        let sequel = match switch {
            Some(switch) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => Sequel::Switched(switch),
            _ if stays => Sequel::Next,
            _ => Sequel::Over,
        };
        if !answer.headers().is_empty() {
            // Nobody needs it while the body is under way.
            *answer.headers_mut() = HeaderMap::new();
        }
        let answer = Some(answer).filter(|_| framing != Framing::Nothing);
        Delivery { answer, framing, sequel, stands: None, cut: false, read: None }
    }

    /// Writes what there is of an answer, as far as the client takes it; ready when that is all, also if it is asked again.
    fn poll_write(&mut self, cx: &mut Context<'_>, delivery: &mut Delivery) -> Poll<io::Result<()>> {
        loop {
            while self.outlet.has_room() && self.gather(cx, delivery) {}
            if self.outlet.is_empty() {
                if delivery.answer.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if let Poll::Ready(error) = self.poll_beside(cx) {
                    return Poll::Ready(Err(error));
                }
                let patience = if self.source.is_over() { HALF_CLOSED } else { return Poll::Pending };
                return self.poll_patience(cx, delivery, patience);
            }
            let before = self.outlet.total();
            let flushed = self.outlet.poll_flush(cx, &mut self.source.stream)?;
            if self.outlet.total() != before {
                delivery.stands = None;
            }
            if flushed.is_pending() {
                if self.feed.is_some() {
                    let _ = self.poll_beside(cx);
                }
                return self.poll_patience(cx, delivery, self.time.idle());
            }
        }
    }

    /// Takes the next frame of a body; whether there was one.
    fn gather(&mut self, cx: &mut Context<'_>, delivery: &mut Delivery) -> bool {
        let Some(body) = delivery.answer.as_mut().map(|answer| answer.body_mut()) else { return false };
        let is_over = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    let is_last = body.is_end_stream();
                    self.outlet.put(data, is_last, &mut delivery.framing);
                    is_last || delivery.framing == Framing::Length(0)
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.outlet.end(&trailers, &delivery.framing);
                    true
                }
            },
            Poll::Ready(None) => {
                self.outlet.end(&HeaderMap::new(), &delivery.framing);
                true
            }
            Poll::Ready(Some(Err(error))) => {
                debug!(target: "cloakroom::server", %error, "an answer broke off");
                delivery.cut = true;
                true
            }
        };
        if is_over {
            delivery.answer = None;
        }
        !is_over
    }

    /// Ready with an error when nothing has moved for so long.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        delivery: &mut Delivery,
        patience: Duration,
    ) -> Poll<io::Result<()>> {
        ready!(self.time.poll_patience(cx, &mut delivery.stands, patience));
        debug!(target: "cloakroom::server", "a client has used up its time");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads the rest of a request's body, which somebody still wants though its answer is written.
    fn poll_rest(&mut self, cx: &mut Context<'_>, delivery: &mut Delivery) -> Poll<()> {
        let _ = self.poll_beside(cx);
        if self.feed.is_none() {
            return Poll::Ready(());
        }
        let total = Some(self.source.total());
        if std::mem::replace(&mut delivery.read, total) != total {
            delivery.stands = None;
        }
        ready!(self.time.poll_patience(cx, &mut delivery.stands, self.time.idle()));
        (self.feed, self.lost) = (None, true);
        Poll::Ready(())
    }
}
