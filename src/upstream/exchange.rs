//! One request on one connection: how it is shaped for it, how long it may take, and whether what went wrong allows
//! sending it again.

use std::{error::Error, future::poll_fn, sync::Arc, time::Duration};

use http::{
    Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery},
};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::{Instant, timeout_at};

use super::{
    Payload, Progress, Protocol, ResponseBody, SendError,
    connection::{Driven, Hold, Need, Place, Shared, Single},
    direct::{Answer as Whole, Direct, Failure, Framing, Said},
    error::Breakdown,
    framing,
    member::{Load, Member},
    shelf::Shelf,
};
use crate::socket::row;

/// Why there is no response, and the request if it may be sent again.
pub(super) struct Setback<B> {
    pub(super) error: SendError,
    pub(super) again: Option<Box<Request<B>>>,
    pub(super) course: Course,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Not a byte was sent.
    Unsent,
    /// It was sent, and the connection closed without an answer.
    Closed,
    /// It was sent, and the server says that it has done nothing with it (RFC 9113 section 8.7).
    Refused,
    /// Any other way: the server is there.
    Other,
}

/// A connection for one request.
pub(super) enum Line<B> {
    Single(Single<B>),
    Stream(Shared<B>, Place),
}

/// What is the same for every try of a request.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) host: HostOf,
    pub(super) patience: Duration,
}

/// One of the times that a request is sent.
#[derive(Clone, Copy)]
pub(super) struct Try {
    pub(super) begun: Instant,
    pub(super) repeat: Repeat,
}

/// Whether a request that was sent may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Allowed,
    Not,
}

/// Whose `Host` a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostOf {
    Browser,
    Server,
}

impl<B: Payload> Line<B> {
    /// Sends the request and waits for the head of its response.
    pub(super) async fn exchange<D: From<ResponseBody<B>>>(
        self,
        mut request: Box<Request<B>>,
        this: Try,
        terms: Terms,
        (shelf, load): (&Arc<Shelf<B>>, Option<Load>),
    ) -> Result<Box<Response<D>>, Setback<B>> {
        match self {
            Self::Single(Single::Direct(connection)) => {
                answer_directly(connection, request, this, terms, (shelf, load)).await
            }
            Self::Single(Single::Driven(connection)) => {
                put_host(&mut request, terms.host, &shelf.member);
                put_lines(&mut request);
                Box::pin(send_by_hyper(connection, request, this.repeat, terms.patience, (shelf, load))).await
            }
            Self::Stream(shared, place) => {
                put_lines(&mut request);
                Box::pin(send_by_stream(shared, place, request, this.repeat, terms, (shelf, load))).await
            }
        }
    }
}

/// Puts the lines that go out with the request into its head, for those who write it from there.
fn put_lines<B: Payload>(request: &mut Request<B>) {
    let mut headers = std::mem::take(request.headers_mut());
    request.body_mut().put_lines(&mut headers);
    *request.headers_mut() = headers;
}

/// The `Host` of a request over HTTP/1.1 (HTTP/2 has it elsewhere).
fn put_host<B>(request: &mut Request<B>, host: HostOf, member: &Member) {
    if host == HostOf::Server {
        request.headers_mut().insert(HOST, member.authority.clone());
    }
}

/// Sends a request without a body on a connection of our own making. What comes back has its arguments once, and only what
/// is needed when the answer comes: an `async fn` would keep room for them twice.
pub(super) fn answer_directly<'a, B: Payload, D: From<ResponseBody<B>>>(
    mut connection: Box<Direct>,
    mut request: Box<Request<B>>,
    this: Try,
    terms: Terms,
    (shelf, load): (&'a Arc<Shelf<B>>, Option<Load>),
) -> impl Future<Output = Result<Box<Response<D>>, Setback<B>>> + use<'a, B, D> {
    put_host(&mut request, terms.host, &shelf.member);
    connection.begin();
    let (deadline, repeat) = (this.begun + terms.patience, this.repeat);
    async move {
        row::others_first().await;
        match poll_fn(|cx| connection.poll_exchange(cx, deadline, &mut request)).await {
            Ok(answer) => take_answer(connection, answer, request.method(), (shelf, load)),
            Err(failure) => Err(failed(failure, request, repeat)),
        }
    }
}

/// The response that begins with this head, boxed as what it is handed on as.
fn take_answer<B: Payload, D: From<ResponseBody<B>>>(
    connection: Box<Direct>,
    Whole { mut head, apart, read, length, said, lasts }: Whole,
    asked: &Method,
    (shelf, load): (&Arc<Shelf<B>>, Option<Load>),
) -> Result<Box<Response<D>>, Setback<B>> {
    let unfit = |problem| Setback { error: SendError::Unfit(problem), again: None, course: Course::Other };
    let framing = match said {
        Said::Nothing => Framing::Close,
        Said::Length(length) => Framing::Length(length),
        Said::Chunked => Framing::chunked(connection.most()),
        Said::More => {
            framing::check(&mut head).map_err(unfit)?;
            Framing::of(asked, &head, connection.most()).map_err(unfit)?
        }
    };
    let body = ResponseBody::direct(connection, (read, length, apart), framing, lasts, (shelf, load));
    Ok(Box::new(head.map(|()| body.into())))
}

/// Why there is no answer, and the request if it may be sent again.
fn failed<B>(failure: Failure, request: Box<Request<B>>, repeat: Repeat) -> Setback<B> {
    let (error, course) = match failure {
        Failure::Late => return Setback { error: SendError::Timeout, again: None, course: Course::Other },
        Failure::Broken(error, course) => (SendError::Failed(error), course),
    };
    let may_go_again = match course {
        Course::Unsent => true,
        Course::Closed => repeat == Repeat::Allowed && is_idempotent(request.method()),
        Course::Refused | Course::Other => false,
    };
    Setback { error, again: may_go_again.then_some(request), course }
}

async fn send_by_hyper<B: Payload, D: From<ResponseBody<B>>>(
    mut connection: Driven<B>,
    request: Box<Request<B>>,
    repeat: Repeat,
    patience: Duration,
    (shelf, load): (&Arc<Shelf<B>>, Option<Load>),
) -> Result<Box<Response<D>>, Setback<B>> {
    let (progress, spare) = (request.body().progress().clone(), spare(&request, Protocol::Http1, repeat));
    let answer = within(patience, &progress, connection.sender.try_send_request(*request)).await;
    let (connection, shelf) = (Some(connection), Arc::clone(shelf));
    let hold = Hold::Single { connection, shelf, progress: progress.clone(), _load: load };
    received(answer, hold, spare, &progress)
}

async fn send_by_stream<B: Payload, D: From<ResponseBody<B>>>(
    mut shared: Shared<B>,
    place: Place,
    mut request: Box<Request<B>>,
    repeat: Repeat,
    terms: Terms,
    (shelf, load): (&Arc<Shelf<B>>, Option<Load>),
) -> Result<Box<Response<D>>, Setback<B>> {
    let (progress, spare) = (request.body().progress().clone(), spare(&request, Protocol::Http2, repeat));
    shape(&mut request, &shelf.member, terms.host);
    let answer = within(terms.patience, &progress, shared.sender.try_send_request(*request)).await;
    let received = received(answer, Hold::Stream { _place: place, _load: load }, spare, &progress);
    received.map_err(|setback| match shared.sender.is_closed() {
        true => setback,
        // One stream was reset; the server is there.
        false if setback.course == Course::Closed => Setback { course: Course::Other, ..setback },
        false => setback,
    })
}

type Answer<B> = Option<Result<Response<Incoming>, TrySendError<Request<B>>>>;

fn received<B: Payload, D: From<ResponseBody<B>>>(
    answer: Answer<B>,
    hold: Hold<B>,
    spare: Option<Box<Request<B>>>,
    progress: &Progress,
) -> Result<Box<Response<D>>, Setback<B>> {
    let other = |error| Setback { error, again: None, course: Course::Other };
    let mut response = match answer {
        Some(Ok(response)) => response,
        Some(Err(unsent)) => return Err(setback(unsent, spare, progress)),
        None => return Err(other(SendError::Timeout)),
    };
    framing::check(&mut response).map_err(|problem| other(SendError::Unfit(problem)))?;
    let body = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => ResponseBody::of_tunnel,
        _ => ResponseBody::new,
    };
    Ok(Box::new(response.map(|incoming| body(incoming, hold).into())))
}

fn setback<B>(mut unsent: TrySendError<Request<B>>, spare: Option<Box<Request<B>>>, progress: &Progress) -> Setback<B> {
    let failed = |error| SendError::Failed(Breakdown::Hyper(error));
    let message = unsent.take_message();
    let error = unsent.into_error();
    if progress.is_broken() {
        return Setback { error: SendError::RequestBody, again: None, course: Course::Other };
    }
    match message {
        Some(message) => Setback { error: failed(error), again: Some(Box::new(message)), course: Course::Unsent },
        None if error.is_parse() || error.is_user() => {
            Setback { error: failed(error), again: None, course: Course::Other }
        }
        None if is_refused(&error) => Setback { error: failed(error), again: spare, course: Course::Refused },
        None => {
            let again = spare.filter(|spare| is_idempotent(spare.method()));
            Setback { error: failed(error), again, course: Course::Closed }
        }
    }
}

/// Whether the server says that it has not processed the request: by a reset with `REFUSED_STREAM`, or a `GOAWAY` that
/// names an earlier stream as its last. Only with `NO_ERROR` is it known to be such: with an error the earlier streams
/// end in the same way.
fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let gone = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || gone)
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

impl Try {
    /// One that is not repeated.
    pub(super) fn once() -> Self {
        Self { begun: Instant::now(), repeat: Repeat::Not }
    }
}

/// A copy of a request without a body, to send again should the connection close without an answer or, over HTTP/2, should
/// the server refuse it.
fn spare<B: Payload>(request: &Request<B>, protocol: Protocol, repeat: Repeat) -> Option<Box<Request<B>>> {
    let wanted = repeat == Repeat::Allowed && (protocol == Protocol::Http2 || is_idempotent(request.method()));
    let body = wanted.then(|| request.body().again()).flatten()?;
    let mut copy = Request::new(body);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    Some(Box::new(copy))
}

/// Makes an HTTP/2 request of it (RFC 9113 §8.2.2, §8.3.1): the host in `:authority`, nothing of one connection only.
/// HTTP/2 upgrades to nothing, so the wish goes as well.
fn shape<B>(request: &mut Request<B>, member: &Member, host: HostOf) {
    let headers = request.headers_mut();
    let given = headers.remove(HOST).filter(|_| host == HostOf::Browser);
    for name in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let said = given.and_then(|host| Authority::from_maybe_shared(host).ok());
    let own = || Authority::from_maybe_shared(member.authority.clone()).ok();
    let uri = std::mem::take(request.uri_mut());
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = match host {
        HostOf::Browser => said.or_else(|| uri.authority().cloned()).or_else(own),
        HostOf::Server => own(),
    };
    let built = Uri::builder().scheme(member.server.scheme()).path_and_query(path);
    let built = match authority {
        Some(authority) => built.authority(authority),
        None => built,
    };
    *request.uri_mut() = built.build().unwrap_or(uri);
    *request.version_mut() = Version::HTTP_2;
}

/// The future's output, or `None` once the application has been waited for this long: from now, and from when it last
/// took something of the request's body. As long as we wait for the browser its own limit holds, and no other.
async fn within<F: Future>(limit: Duration, progress: &Progress, future: F) -> Option<F::Output> {
    let begun = Instant::now();
    let mut future = std::pin::pin!(future);
    let mut deadline = begun + limit;
    while deadline > Instant::now() {
        match timeout_at(deadline, future.as_mut()).await {
            Ok(output) => return Some(output),
            Err(_) => deadline = progress.since().unwrap_or(begun).max(begun) + limit,
        }
    }
    None
}

/// What a request needs of an HTTP/1.1 connection.
pub(super) fn need_of<B: Payload>(request: &Request<B>) -> Need {
    let is_simple = request.body().is_end_stream() && !request.body().switches(request.headers());
    if is_simple { Need::Answer } else { Need::Everything }
}

/// Whether a request says a host of its own.
pub(super) fn host_of<B: Payload>(request: &Request<B>, preserve: bool) -> HostOf {
    if preserve && request.body().names_host(request.headers()) { HostOf::Browser } else { HostOf::Server }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{task, time::sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// When an application that never answers is given up, while this happens to the request's body.
    async fn given_up(upload: impl AsyncFnOnce(&Progress)) -> Duration {
        let (progress, begun) = (Progress::default(), Instant::now());
        let given_up = async { (within(LIMIT, &progress, pending::<()>()).await, begun.elapsed()) };
        let (given_up, ()) = tokio::join!(given_up, upload(&progress));
        assert_eq!(given_up.0, None);
        given_up.1
    }

    /// A timer of the runtime is up to a millisecond late.
    fn about(span: Duration, wanted: Duration) -> bool {
        span >= wanted && span < wanted + Duration::from_millis(5)
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_has_the_limit_from_when_it_has_the_whole_request() {
        let span = given_up(async |progress| progress.done()).await;
        assert!(about(span, LIMIT), "{span:?}");
        let span = given_up(async |progress| {
            sleep(3 * SECOND).await;
            progress.step();
            sleep(4 * SECOND).await;
            progress.done();
        });
        let span = span.await;
        assert!(about(span, 7 * SECOND + LIMIT), "{span:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_takes_no_more_of_the_request_has_the_limit_from_there() {
        let span = given_up(async |progress| {
            sleep(9 * SECOND).await;
            progress.step();
        });
        let span = span.await;
        assert!(about(span, 9 * SECOND + LIMIT), "{span:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_that_is_waited_for_costs_the_application_no_time() {
        let span = given_up(async |progress| {
            progress.awaits();
            sleep(25 * SECOND).await;
            progress.step();
            progress.awaits();
            sleep(25 * SECOND).await;
            progress.done();
        });
        let span = span.await;
        assert!(about(span, 50 * SECOND + LIMIT), "{span:?}");
        let span = given_up(async |progress| {
            progress.awaits();
            sleep(25 * SECOND).await;
            progress.left();
        });
        let span = span.await;
        assert!(about(span, 25 * SECOND + LIMIT), "{span:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_wait() {
        let progress = Progress::default();
        let answer = async {
            progress.awaits();
            sleep(3 * LIMIT).await;
            task::yield_now().await;
            7
        };
        assert_eq!(within(LIMIT, &progress, answer).await, Some(7));
    }
}
