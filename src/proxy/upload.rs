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
    HeaderMap, Request, StatusCode,
    header::{CONTENT_LENGTH, EXPECT},
    request::Parts,
};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Incoming, Inflow, OnSwitch, Rejection, body::clean, caller::Named, line::Line, steps::Introduction};
use crate::{
    headers::{self, Expectation, Mark, Passive, RequestId, Seen, ToUs},
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
pub(super) enum Fault {
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
pub(super) fn accept(
    head: &mut Parts,
    seen: Seen,
    inflow: Inflow,
    named: Arc<Named>,
) -> Result<(Upload, Option<Box<Wishes>>), Rejection> {
    let expects = seen.has(Mark::Expect);
    let expectation = if expects { headers::expectation_of(&head.headers, head.version) } else { Expectation::Nothing };
    if expectation == Expectation::Unknown {
        return Err(Rejection::Expectation);
    }
    let (body, switch) = match inflow {
        Inflow::Nothing => (None, None),
        Inflow::Body(body) => (Some(body), None),
        Inflow::Switch(switch) => (None, Some(switch)),
    };
    let announced = body.as_ref().map_or(0, |body| body.size_hint().lower());
    if named.line.uploads.bytes.is_some_and(|limit| announced > limit) {
        return Err(Rejection::BodyTooLarge);
    }
    let upload = Upload::new(body, named);
    if !upload.is_end_stream() {
        // On HTTP/2 nothing may be announced and something come: the application must not take it for whole before.
        if head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0") {
            head.headers.remove(CONTENT_LENGTH);
        }
        headers::frame_unknown_length(&mut head.headers);
        if expectation == Expectation::Continue {
            let starter = Some(Starter::default());
            return Ok((upload, Some(Box::new(Wishes { switch, starter }))));
        }
    }
    if expects {
        head.headers.remove(EXPECT);
    }
    Ok((upload, switch.map(|switch| Box::new(Wishes { switch: Some(switch), starter: None }))))
}

/// What few browsers want beside an answer.
pub(super) struct Wishes {
    /// To go on with another protocol.
    pub(super) switch: Option<OnSwitch>,
    /// To be told before they send a body.
    pub(super) starter: Option<Starter>,
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
        if let Some(flow) = &mut request.body_mut().flow {
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

/// The body, and what goes out with its request.
pub(super) struct Upload {
    named: Arc<Named>,
    /// `None`: there is no body. Boxed, for so it is nearly always.
    flow: Option<Box<Flow>>,
    token: Option<Postscript>,
    id: Option<RequestId>,
    introduction: Introduction,
    laying: Laying,
}

/// Whether lines of the answer may be laid aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Laying {
    /// Those that mean nothing to the line.
    Aside,
    /// None.
    Nothing,
}

/// A body that flows.
struct Flow {
    incoming: Incoming,
    progress: Progress,
    fate: Fate,
    /// How many bytes may still come, if there is a limit.
    left: Option<u64>,
    /// Armed while we wait for the browser.
    idle: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    start: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl Upload {
    fn new(incoming: Option<Incoming>, named: Arc<Named>) -> Self {
        let left = named.line.uploads.bytes;
        let flow = incoming.map(|incoming| Box::new(Flow::new(incoming, left)));
        let (introduction, laying) = (Introduction::Inside, Laying::Nothing);
        Self { named, flow, token: None, id: None, introduction, laying }
    }

    /// The host that its request names.
    pub(super) fn named(&self) -> &Named {
        &self.named
    }

    /// The id and the header lines that go out with it, and whether lines of its answer may be laid aside: whoever writes the
    /// answer's head takes them from there.
    pub(super) fn introduce(&mut self, id: RequestId, introduction: Introduction, laying: Laying) {
        (self.id, self.introduction, self.laying) = (Some(id), introduction, laying);
    }

    /// The line of its token goes out with it.
    pub(super) fn signed_with(&mut self, token: Postscript) {
        self.token = Some(token);
    }

    pub(super) fn fate(&self) -> Fate {
        self.flow.as_ref().map(|flow| flow.fate.clone()).unwrap_or_default()
    }

    /// Lines that go out with it, if its head has none of them.
    fn preface(&self) -> Option<&Preface> {
        match self.introduction {
            Introduction::Beside => self.named.introduction().map(|(_, preface)| preface),
            Introduction::Inside => None,
        }
    }
}

impl Flow {
    fn new(incoming: Incoming, left: Option<u64>) -> Self {
        let (progress, fate) = (Progress::default(), Fate(Some(Arc::default())));
        Self { incoming, progress, fate, left, idle: None, is_waiting: false, start: None }
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fate) = &self.fate.0 {
            let _ = fate.set(fault);
        }
        self.progress.broken();
        Poll::Ready(Some(Err(fault)))
    }

    /// Whether the browser has used up its time.
    fn poll_idle(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
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

    /// The next frame, by these rules.
    fn poll_frame(&mut self, cx: &mut Context<'_>, line: &Line) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
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
                ready!(self.poll_idle(cx, line.uploads.idle_timeout));
                return self.fail(Fault::TooSlow);
            }
        };
        self.is_waiting = false;
        let passed = match frame {
            None => None,
            Some(Err(_)) => return self.fail(Fault::Broken),
            Some(Ok(frame)) if self.counts(&frame) => Some(Ok(clean(frame, Some(&line.guarded)))),
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
        self.flow.as_ref().map_or(&NOTHING, |flow| &flow.progress)
    }

    fn again(&self) -> Option<Self> {
        let (named, token, id) = (Arc::clone(&self.named), self.token.clone(), self.id.clone());
        let empty = Self { named, flow: None, token, id, introduction: self.introduction, laying: self.laying };
        self.flow.is_none().then_some(empty)
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

    fn passive(&self) -> Passive {
        match self.laying {
            Laying::Aside => self.named.line.passive,
            Laying::Nothing => Passive::default(),
        }
    }

    fn to_us(&self) -> Option<&ToUs> {
        (!self.passive().is_none()).then_some(&self.named.line.to_us)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self { named, flow, .. } = &mut *self;
        match flow {
            Some(flow) => flow.poll_frame(cx, &named.line),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow.as_ref().is_none_or(|flow| flow.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.as_ref().map_or_else(|| SizeHint::with_exact(0), |flow| flow.incoming.size_hint())
    }
}
