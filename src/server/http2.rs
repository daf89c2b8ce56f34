//! HTTP/2 with a browser, by hyper: bounded, paced, stopped gracefully.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    server::conn::http2,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    Limits,
    connection::{Client, LINGER},
    ending::{Ending, Stage},
    generation::Generation,
    pace::Pace,
    paced::PacedBody,
    place::Place,
};
use crate::proxy::{Caller, Inflow, Rejection, Upload};

/// What of a request's body may be under way to us at once, on one stream and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What of a response's body may wait in us for the client, on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams on which the client broke the protocol before the connection is ended.
const FORGIVEN: usize = 100;
/// Streams that the client took back before we saw them, before the connection is ended.
const TAKEN_BACK: usize = 50;
/// How long a client may take to read its `GOAWAY` when its time is up.
const FAREWELL: Duration = Duration::from_secs(1);

type Connection<S, V> = http2::Connection<TokioIo<S>, V, TokioExecutor>;

/// A connection's requests.
struct Requests {
    /// Of requests that come at once, each names its host while it begins.
    caller: Mutex<Caller>,
    current: Arc<ArcSwap<Generation>>,
    ending: Ending,
    pace: Arc<Pace>,
}

/// Serves a connection that was accepted then.
pub(super) async fn serve<S>(stream: S, client: Client, limits: Limits, (place, accepted): (Place, Instant))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Client { caller, current, ending } = client;
    let (caller, pace) = (Mutex::new(caller), Pace::new(place, accepted));
    let requests = Arc::new(Requests { caller, current, ending, pace });
    let mut connection = pin!(builder(&limits).serve_connection(TokioIo::new(stream), requests.service()));
    let patience = || requests.patience();
    tokio::select! {
        biased;
        result = connection.as_mut() => return ended(result),
        () = requests.pace.out_of_time(patience) => return part(connection).await,
        () = requests.end() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        result = connection.as_mut() => ended(result),
        () = requests.pace.out_of_time(patience) => part(connection).await,
        () = requests.still_unused() => {}
    }
}

/// Says `GOAWAY` to a client whose time is up.
async fn part<S, V>(mut connection: Pin<&mut Connection<S, V>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Service<Request<Incoming>, Response = Response<PacedBody>, Error = Infallible>,
    V::Future: Send + 'static,
{
    debug!(target: "cloakroom::server", "a client has used up its time");
    connection.as_mut().graceful_shutdown();
    let _ = timeout(FAREWELL, connection).await;
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        debug!(target: "cloakroom::server", %error, "a connection broke");
    }
}

impl Requests {
    fn caller(&self) -> MutexGuard<'_, Caller> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when this connection should take no more requests than it has.
    async fn end(&self) {
        self.ending.reached(Stage::Near).await;
        let quiet = async {
            self.ending.reached(Stage::Here).await;
            self.pace.quiet(LINGER).await;
        };
        tokio::select! {
            () = self.pace.busy() => {}
            () = quiet => {}
        }
    }

    /// How long a client may take for a head, and be idle.
    fn patience(&self) -> (Duration, Duration) {
        let generation = self.current.load();
        (generation.terms.limits.head_timeout, generation.terms.limits.idle_timeout)
    }

    /// Answers each request with the configuration of the moment.
    fn service(
        self: &Arc<Self>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<PacedBody>,
        Error = Infallible,
        Future: Future<Output = Result<Response<PacedBody>, Infallible>> + Send + 'static,
    > + use<> {
        let requests = Arc::clone(self);
        service_fn(move |request: Request<Incoming>| {
            let generation = requests.current.load();
            let request = Box::new(request.map(|body| Upload::from(inflow(body))));
            let refusal = requests.refusal(&request, &generation.terms.limits);
            let under_way = requests.pace.begin();
            let answer = match refusal {
                None => Ok(generation.shard.serve(request, None, &mut requests.caller(), under_way)),
                Some(rejection) => Err((generation.shard.refuse(rejection, Some(&request)), under_way)),
            };
            async move {
                let (response, under_way) = match answer {
                    Ok(answer) => answer.await,
                    Err(refused) => refused,
                };
                let (mut head, body) = (*response).into_parts();
                body.beside().put_into(&mut head.headers);
                Ok(Response::from_parts(head, PacedBody::new(body, under_way)))
            }
        })
    }

    /// What hyper does not bound here: header lines, and requests under way. One that the client took back is still answered
    /// (nothing that it changes may be lost), so it counts until then.
    fn refusal(&self, request: &Request<Upload>, limits: &Limits) -> Option<Rejection> {
        if self.pace.answering() >= limits.streams as usize {
            self.pace.overrun();
            return Some(Rejection::Unavailable);
        }
        (request.headers().len() > limits.headers).then_some(Rejection::HeadTooLarge)
    }

    /// Resolves if no request ever came, after the time for a farewell.
    async fn still_unused(&self) {
        tokio::time::sleep(FAREWELL).await;
        if !self.pace.is_unused() {
            std::future::pending::<()>().await;
        }
    }
}

fn inflow(body: Incoming) -> Inflow {
    if body.is_end_stream() { Inflow::Nothing } else { Inflow::Body(body.map_err(Into::into).boxed_unsync()) }
}

fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(FORGIVEN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // A client that vanished while it was being answered is noticed by what it does not say.
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}
