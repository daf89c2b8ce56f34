//! A response's body on its way to the browser, streamed frame by frame: nothing is held back and nothing is kept.
//!
//! Trailers lose our own names on the way, in both directions, and what a route hides. The body carries the request's log entry and counts its bytes, so that
//! the line in the log is written when the last byte has left, or when nobody wants it any more.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::DropGuard;

use super::{access::Entry, tally::Incomplete, upload::Upload};
use crate::{
    headers::{Aside, Guarded, RequestId, strip_trailers, vary_on_cookie},
    upstream::{Breakdown, ResponseBody},
};

enum Source {
    Nothing,
    Text(Bytes),
    /// What an application sends.
    Application(ResponseBody<Upload>),
}

/// A response's body on its way to the browser.
pub struct Download {
    source: Source,
    entry: Option<Box<Entry>>,
    /// The map of its head lacks that it depends on the cookie.
    varies: bool,
    /// Gives a request body up that nobody read, when this one is over.
    _unread: Option<DropGuard>,
}

/// What the head of an answer has besides its map.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// Lines of the application.
    pub aside: Aside<'a>,
    /// The request's id.
    pub id: Option<&'a RequestId>,
    /// That it depends on the request's cookie; its map says nothing of what it depends on.
    pub varies: bool,
}

impl Beside<'_> {
    /// Puts it into the map, for those who write the head from there. For them no line was laid aside.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        if let Some(id) = self.id {
            id.put_into(headers);
        }
        if self.varies {
            vary_on_cookie(headers);
        }
    }
}

impl Download {
    fn of(source: Source) -> Self {
        Self { source, entry: None, varies: false, _unread: None }
    }

    pub(super) fn text(text: String) -> Self {
        Self::of(Source::Text(text.into()))
    }

    pub(super) fn nothing() -> Self {
        Self::of(Source::Nothing)
    }

    /// Gives a request's body up that nobody has read, when this one is over.
    pub(super) fn gives_up(&mut self, unread: DropGuard) {
        self._unread = Some(unread);
    }

    fn application(&self) -> Option<&ResponseBody<Upload>> {
        match &self.source {
            Source::Nothing | Source::Text(_) => None,
            Source::Application(body) => Some(body),
        }
    }

    /// Whether there are lines for us that are not in its head's map.
    pub(super) fn tells_us(&self) -> bool {
        self.application().is_some_and(ResponseBody::tells_us)
    }

    /// The values of these lines, for whoever wants them before anything of the body.
    pub(super) fn told(&self) -> [Option<&[u8]>; 2] {
        self.application().map(ResponseBody::told).unwrap_or_default()
    }

    /// The request's entry ends with it.
    pub(super) fn keep(&mut self, mut entry: Box<Entry>, varies: bool) {
        entry.ends((!self.is_over()).then_some(Incomplete::Aborted));
        (self.entry, self.varies) = (Some(entry), varies);
    }

    /// Nobody waits for it any more.
    pub(super) fn forsake(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.ends(Some(Incomplete::Detached));
        }
    }

    /// What the answer's head has besides its map, for whoever writes it before anything of the body.
    pub fn beside(&self) -> Beside<'_> {
        let aside = self.application().map(ResponseBody::aside).unwrap_or_default();
        Beside { aside, id: self.entry.as_ref().map(|entry| &entry.id), varies: self.varies }
    }

    /// Whether the application has no more to say.
    fn is_over(&self) -> bool {
        self.application().is_none_or(Body::is_end_stream)
    }
}

impl From<ResponseBody<Upload>> for Download {
    fn from(body: ResponseBody<Upload>) -> Self {
        Self::of(Source::Application(body))
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Breakdown;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Breakdown>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Nothing => None,
            Source::Text(text) => Some(Ok(Frame::data(std::mem::take(text)))),
            Source::Application(body) => {
                let (frame, entry) = (ready!(Pin::new(body).poll_frame(cx)), this.entry.as_ref());
                frame.map(|frame| frame.map(|frame| clean(frame, entry.map(|entry| entry.hidden()))))
            }
        };
        if let Source::Text(_) = this.source {
            this.source = Source::Nothing;
        }
        let is_over = this.is_over();
        if let Some(entry) = &mut this.entry {
            match &frame {
                Some(Ok(frame)) => {
                    entry.count(frame.data_ref().map_or(0, Bytes::len));
                    if is_over {
                        entry.ends(None);
                    }
                }
                Some(Err(_)) => entry.ends(Some(Incomplete::Upstream)),
                None => entry.ends(None),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Text(text) => text.is_empty(),
            Source::Application(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Application(body) => body.size_hint(),
        }
    }
}

/// Trailers pass but for these; none, if nobody knows which.
pub(super) fn clean(mut frame: Frame<Bytes>, guarded: Option<&Guarded>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        match guarded {
            Some(guarded) => strip_trailers(trailers, guarded),
            None => trailers.clear(),
        }
    }
    frame
}
