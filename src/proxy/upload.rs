//! A browser's request body on its way to the application, streamed frame by frame: nothing is held back or kept.
//!
//! It is held to its limits while it flows: `limits.body_bytes` for bodies of unknown length too, and
//! `limits.body_idle_timeout` while we wait for the browser (not while the application is the slow one). A body that
//! breaks a limit, or off, ends in an error, so that the application never sees it complete and its connection is closed.
//! Where the browser waits for `100 Continue`, nothing is read before the application wants it or a second has passed.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{CONTENT_LENGTH, EXPECT, HOST, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Incoming, Inflow, OnSwitch, Rejection, body::clean, caller::Named, steps::Introduction};
use crate::{
    headers::{self, Expectation, Guarded, Mark, Passive, RequestId, Seen, ToUs},
    upstream::{Payload, Postscript, Preface, Progress, SendError},
};

/// A browser that expects `100 Continue` gets it after this time at the latest.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a request's body may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// Bytes of a body, if there is a limit.
    pub bytes: Option<u64>,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
}

/// Why a body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The browser's connection broke, or the body is malformed.
    Broken,
    TooLarge,
    TooSlow,
    /// The application answered without wanting it.
    Unwanted,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Broken => "the request's body broke off",
            Self::TooLarge => "the request's body is too large",
            Self::TooSlow => "the request's body is too slow",
            Self::Unwanted => "nobody wants the request's body",
        })
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::Unwanted => Self::BodyBroken,
            Fault::TooLarge => Self::BodyTooLarge,
            Fault::TooSlow => Self::BodyTooSlow,
        }
    }
}

/// What became of a body, for those who wait for the answer. Costs nothing where there is no body.
#[derive(Clone, Default)]
pub(super) struct Fate(Option<Arc<OnceLock<Fault>>>);

impl Fate {
    /// The fault that ended it.
    fn fault(&self) -> Option<Fault> {
        self.0.as_ref()?.get().copied()
    }
}

/// Why there is no answer: the body's own fault, if that is why.
pub(super) fn blamed(error: SendError, fate: &Fate) -> Rejection {
    match (error, fate.fault()) {
        (SendError::RequestBody, Some(fault)) => fault.into(),
        (error, _) => error.into(),
    }
}

/// Takes in what comes behind a request's head, and what holds a body back if its browser waits for `100 Continue`. Call it
/// while the head is still as the browser sent it, but for the hop-by-hop fields. `seen`: of that head.
///
/// # Errors
/// The request expects something else, or says itself that its body is too large.
pub(super) fn accept(request: &mut Request<Upload>, seen: Seen, limits: &UploadLimits) -> Result<(), Rejection> {
    let (expects, version) = (seen.has(Mark::Expect), request.version());
    let expectation = if expects { headers::expectation_of(request.headers(), version) } else { Expectation::Nothing };
    if expectation == Expectation::Unknown {
        return Err(Rejection::Expectation);
    }
    if let Behind::Body(flow) = &mut request.body_mut().behind {
        flow.bound_by(limits)?;
        if !flow.incoming.is_end_stream() {
            let holds = expectation == Expectation::Continue;
            flow.starter = holds.then(Box::default);
            // On HTTP/2 nothing may be announced and something come: the application must not take it for whole before.
            if request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0") {
                request.headers_mut().remove(CONTENT_LENGTH);
            }
            headers::frame_unknown_length(request.headers_mut());
            if holds {
                return Ok(());
            }
        }
    }
    if expects {
        request.headers_mut().remove(EXPECT);
    }
    Ok(())
}

/// Lets a body begin that its browser holds back (`Expect: 100-continue`).
#[derive(Clone, Default)]
pub(super) struct Starter {
    wanted: CancellationToken,
    answered: CancellationToken,
    over: CancellationToken,
}

impl Starter {
    /// Holds the request's body back; the application's own `100 Continue` starts it.
    pub(super) fn hold(&self, request: &mut Request<Upload>) {
        if let Behind::Body(flow) = &mut request.body_mut().behind {
            flow.start = Some(Box::pin(self.clone().started()));
        }
        let wanted = self.wanted.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                wanted.cancel();
            }
        });
    }

    /// There is an answer: a body that was not wanted until now stays unread, and is given up when the guard is dropped.
    pub(super) fn answered(self) -> DropGuard {
        self.answered.cancel();
        self.over.drop_guard()
    }

    async fn started(self) -> bool {
        let sooner = async {
            tokio::select! {
                () = self.wanted.cancelled() => true,
                () = self.answered.cancelled() => false,
                () = sleep(PATIENCE) => true,
            }
        };
        if sooner.await {
            return true;
        }
        self.over.cancelled().await;
        false
    }
}

/// The body, or what else comes behind a request's head; and what goes out with that head.
#[derive(Default)]
pub struct Upload {
    /// `None`: nothing is known of the head yet.
    named: Option<Arc<Named>>,
    behind: Behind,
    token: Option<Postscript>,
    id: Option<RequestId>,
    introduction: Introduction,
    laying: Laying,
}

/// What comes behind a head: nearly always nothing.
#[derive(Default)]
enum Behind {
    #[default]
    Nothing,
    Body(Box<Flow>),
    /// Another protocol, if the answer switches to it.
    Switch(OnSwitch),
    /// The same, and the request asks the application for it.
    Asked,
}

/// Whether lines of the answer may be laid aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Laying {
    /// Those that mean nothing to the line.
    Aside,
    /// None.
    #[default]
    Nothing,
}

/// A body that flows.
struct Flow {
    incoming: Incoming,
    progress: Progress,
    fate: Fate,
    /// How many bytes may still come, if there is a limit.
    left: Option<u64>,
    /// Between two pieces; none before it is held to its limits.
    patience: Duration,
    /// Armed while we wait for the browser.
    idle: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// The browser wants to be told before it sends anything.
    starter: Option<Box<Starter>>,
    start: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl From<Inflow> for Upload {
    fn from(inflow: Inflow) -> Self {
        let behind = match inflow {
            Inflow::Nothing => Behind::Nothing,
            Inflow::Body(incoming) => Behind::Body(Box::new(Flow::new(incoming))),
            Inflow::Switch(switch) => Behind::Switch(switch),
        };
        Self { behind, ..Self::default() }
    }
}

impl Upload {
    /// Whose the request is, its id, and whether lines of its answer may be laid aside: whoever writes the heads takes the
    /// lines from there.
    pub(super) fn introduce(
        &mut self,
        named: Arc<Named>,
        id: RequestId,
        (introduction, laying): (Introduction, Laying),
    ) {
        (self.named, self.id, self.introduction, self.laying) = (Some(named), Some(id), introduction, laying);
    }

    /// The line that names its host.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        self.named.as_ref().map(|named| named.authority.header())
    }

    /// To go on with another protocol.
    pub(super) fn take_switch(&mut self) -> Option<OnSwitch> {
        match std::mem::take(&mut self.behind) {
            Behind::Switch(switch) => Some(switch),
            other => {
                self.behind = other;
                None
            }
        }
    }

    /// The request asks the application for another protocol.
    pub(super) fn asks_to_switch(&mut self) {
        self.behind = Behind::Asked;
    }

    /// To let the browser begin that waits for it.
    pub(super) fn take_starter(&mut self) -> Option<Box<Starter>> {
        self.flow_mut()?.starter.take()
    }

    fn flow(&self) -> Option<&Flow> {
        match &self.behind {
            Behind::Body(flow) => Some(flow),
            Behind::Nothing | Behind::Switch(_) | Behind::Asked => None,
        }
    }

    fn flow_mut(&mut self) -> Option<&mut Flow> {
        match &mut self.behind {
            Behind::Body(flow) => Some(flow),
            Behind::Nothing | Behind::Switch(_) | Behind::Asked => None,
        }
    }

    /// The line of its token goes out with it.
    pub(super) fn signed_with(&mut self, token: Postscript) {
        self.token = Some(token);
    }

    pub(super) fn fate(&self) -> Fate {
        self.flow().map(|flow| flow.fate.clone()).unwrap_or_default()
    }

    /// Lines that go out with it, if its head has none of them.
    fn preface(&self) -> Option<&Preface> {
        match self.introduction {
            Introduction::Beside => self.named.as_ref()?.introduction().map(|(_, preface)| preface),
            Introduction::Inside => None,
        }
    }
}

impl Flow {
    fn new(incoming: Incoming) -> Self {
        let (progress, fate, patience) = (Progress::default(), Fate(Some(Arc::default())), Duration::ZERO);
        let (left, idle, starter, start) = (None, None, None, None);
        Self { incoming, progress, fate, left, patience, idle, is_waiting: false, starter, start }
    }

    /// It is held to these limits, unless it is beyond them by its own word.
    fn bound_by(&mut self, limits: &UploadLimits) -> Result<(), Rejection> {
        let announced = self.incoming.size_hint().lower();
        (self.left, self.patience) = (limits.bytes, limits.idle_timeout);
        if self.left.is_some_and(|left| announced > left) { Err(Rejection::BodyTooLarge) } else { Ok(()) }
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fate) = &self.fate.0 {
            let _ = fate.set(fault);
        }
        self.progress.broken();
        Poll::Ready(Some(Err(fault)))
    }

    /// Whether the browser has used up its time.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.patience;
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.is_waiting {
            self.is_waiting = true;
            idle.as_mut().reset(Instant::now() + limit);
        }
        idle.as_mut().poll(cx)
    }

    /// Counts the frame; whether it is within the limit.
    fn counts(&mut self, frame: &Frame<Bytes>) -> bool {
        let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) else { return true };
        let fits = left.checked_sub(data.len() as u64);
        *left = fits.unwrap_or(0);
        fits.is_some()
    }

    /// The next frame. Trailers pass but for those that are guarded.
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        guarded: Option<&Guarded>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(start) = &mut self.start {
            self.progress.awaits();
            if !ready!(start.as_mut().poll(cx)) {
                return self.fail(Fault::Unwanted);
            }
            self.start = None;
        }
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.progress.awaits();
                ready!(self.poll_idle(cx));
                return self.fail(Fault::TooSlow);
            }
        };
        self.is_waiting = false;
        let passed = match frame {
            None => None,
            Some(Err(_)) => return self.fail(Fault::Broken),
            Some(Ok(frame)) if self.counts(&frame) => Some(Ok(clean(frame, guarded))),
            Some(Ok(_)) => return self.fail(Fault::TooLarge),
        };
        match passed.is_none() || self.incoming.is_end_stream() {
            true => self.progress.done(),
            false => self.progress.step(),
        }
        Poll::Ready(passed)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.progress.left();
    }
}

/// How far a body came that is none.
static NOTHING: Progress = Progress::of_nothing();

impl Payload for Upload {
    fn progress(&self) -> &Progress {
        self.flow().map_or(&NOTHING, |flow| &flow.progress)
    }

    fn again(&self) -> Option<Self> {
        let (named, token, id) = (self.named.clone(), self.token.clone(), self.id.clone());
        let behind = if matches!(self.behind, Behind::Asked) { Behind::Asked } else { Behind::Nothing };
        let empty = Self { named, behind, token, id, introduction: self.introduction, laying: self.laying };
        self.flow().is_none().then_some(empty)
    }

    fn write_lines(&self, out: &mut Vec<u8>) {
        if let Some(preface) = self.preface() {
            preface.write(out);
        }
        if let Some(id) = &self.id {
            id.write(out);
        }
        if let Some(token) = &self.token {
            token.write(out);
        }
    }

    fn put_lines(&mut self, headers: &mut HeaderMap) {
        if let Some(preface) = self.preface() {
            preface.put_into(headers);
        }
        self.introduction = Introduction::Inside;
        if let Some(id) = self.id.take() {
            id.put_into(headers);
        }
        if let Some(token) = self.token.take() {
            token.put_into(headers);
        }
    }

    /// The browser's own word for it was removed, so only the line's is there.
    fn switches(&self, headers: &HeaderMap) -> bool {
        let switches = matches!(self.behind, Behind::Asked);
        debug_assert_eq!(switches, headers.contains_key(UPGRADE), "so every test of the whole program looks");
        switches
    }

    /// It says the host by which it was judged.
    fn names_host(&self, headers: &HeaderMap) -> bool {
        let names = self.host().is_some_and(|host| !host.is_empty());
        debug_assert_eq!(names, headers.get(HOST).is_some_and(|host| !host.is_empty()), "as above");
        names
    }

    fn passive(&self) -> Passive {
        match (self.laying, &self.named) {
            (Laying::Aside, Some(named)) => named.line.passive,
            _ => Passive::default(),
        }
    }

    fn to_us(&self) -> Option<&ToUs> {
        self.named.as_ref().filter(|_| !self.passive().is_none()).map(|named| &named.line.to_us)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self { named, behind, .. } = &mut *self;
        match behind {
            Behind::Body(flow) => flow.poll_frame(cx, named.as_ref().map(|named| &named.line.guarded)),
            Behind::Nothing | Behind::Switch(_) | Behind::Asked => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow().is_none_or(|flow| flow.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.flow().map_or_else(|| SizeHint::with_exact(0), |flow| flow.incoming.size_hint())
    }
}
