//! One connection from a browser, from its first byte to its last: received, looked over, served over HTTP/1.1 or HTTP/2,
//! paced, stopped gracefully. Every request takes the configuration of the moment at which it begins.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode, Version};
use hyper::{
    body::Incoming,
    server::conn::{
        http1::{self, UpgradeableConnection},
        http2,
    },
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Limits,
    arrival::{Protocol, Stream, receive},
    generation::Generation,
    pace::{Pace, Verdict},
    paced::{PacedBody, PacedStream},
    place::Place,
    sentry::{Sentry, Watch},
};
use crate::{
    headers::HeadBounds,
    proxy::{Caller, Rejection},
    socket::Accepted,
};

/// What of a request's body may be under way to us at once, on one stream and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What of a response's body may wait in us for the client, on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams on which the client broke the protocol before the connection is ended.
const FORGIVEN: usize = 100;
/// Streams that the client took back before we saw them, before the connection is ended.
const TAKEN_BACK: usize = 50;
/// How long an HTTP/2 client may take to read its `GOAWAY` when its time is up.
const FAREWELL: Duration = Duration::from_secs(1);
/// A client that was just answered may have its next request under way: so long it is waited for at the end.
const LINGER: Duration = Duration::from_millis(100);

/// What is read at first when a connection that rested is asked again.
const FIRST: usize = 64;

/// How the end of the process comes to a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// The process is about to end: whoever is answered now is told not to come back on this connection.
    pub(super) near: CancellationToken,
    /// Connections that wait for nothing are closed.
    pub(super) here: CancellationToken,
}

impl Ending {
    /// Resolves when this connection should take no more requests than it has.
    async fn reached(&self, pace: &Pace) {
        self.near.cancelled().await;
        let quiet = async {
            self.here.cancelled().await;
            pace.quiet(LINGER).await;
        };
        tokio::select! {
            () = pace.busy() => {}
            () = quiet => {}
        }
    }
}

/// What the requests of a connection have in common.
struct Client {
    caller: Caller,
    pace: Arc<Pace>,
    current: Arc<ArcSwap<Generation>>,
    ending: Ending,
}

/// Serves the connection until either side closes it, its time is up, or `ending` says to finish.
pub(super) async fn serve(accepted: Accepted, place: Place, current: Arc<ArcSwap<Generation>>, ending: Ending) {
    let (address, pace, generation) = (accepted.peer(), Pace::new(place), current.load_full());
    let stream = match accepted.open() {
        Ok(socket) => PacedStream::new(socket, Arc::clone(&pace)),
        Err(error) => return debug!(target: "cloakroom::server", %error, "a connection was lost before it began"),
    };
    let terms = &generation.terms;
    let deadline = Instant::now() + terms.limits.head_timeout;
    let received = Box::pin(receive(stream, address, terms.preamble, terms.tls.as_ref(), deadline));
    let received = tokio::select! {
        biased;
        received = received => received,
        () = ending.reached(&pace) => return,
    };
    let arrival = match received {
        Ok(arrival) => arrival,
        Err(lost) => return debug!(target: "cloakroom::server", reason = %lost, "a connection never came to HTTP"),
    };
    let limits = terms.limits.clone();
    drop(generation);
    let client = Arc::new(Client { caller: Caller::new(arrival.peer), pace, current, ending });
    match arrival.stream {
        Stream::Plain(stream) => client.speak(stream, arrival.protocol, &limits).await,
        Stream::Tls(stream) => {
            client.pace.arrived();
            client.speak(stream, arrival.protocol, &limits).await;
        }
    }
}

impl Client {
    async fn speak<S>(self: Arc<Self>, stream: S, protocol: Protocol, limits: &Limits)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match protocol {
            Protocol::Http1 => {
                let (mut stream, mut first) = (stream, Vec::new());
                // What a busy connection takes is boxed, so that one that rests does not keep the room for it.
                while let Some(idle) = Box::pin(self.attend_http1(stream, first, limits)).await {
                    stream = idle;
                    match self.rest(&mut stream).await {
                        Some(read) => first = read,
                        None => return drop(timeout(FAREWELL, stream.shutdown()).await),
                    }
                }
            }
            Protocol::Http2 => {
                self.pace.multiplex();
                let connection =
                    http2_builder(limits).serve_connection(TokioIo::new(stream), self.service(None::<Arc<Watch<S>>>));
                let finish = http2::Connection::graceful_shutdown;
                Box::pin(self.attend(connection, finish, finish, || false)).await;
            }
        }
    }

    /// Serves HTTP/1.1 to its end, or until the client is idle: then its socket comes back. `first`: what was read
    /// already.
    async fn attend_http1<S>(self: &Arc<Self>, stream: S, first: Vec<u8>, limits: &Limits) -> Option<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = Arc::new(Watch::new());
        let bounds = HeadBounds { bytes: limits.header_bytes, fields: limits.headers };
        let stream = TokioIo::new(Sentry::new(stream, first, Arc::clone(&watch), bounds));
        let service = self.service(Some(Arc::clone(&watch)));
        let builder = &mut http1::Builder::new();
        let builder = builder.timer(TokioTimer::new()).header_read_timeout(None);
        let builder = builder.max_buf_size(limits.header_bytes).max_headers(limits.headers);
        let connection = builder.serve_connection(stream, service).with_upgrades();
        let finish = UpgradeableConnection::graceful_shutdown;
        self.attend(connection, finish, |_| watch.give_up(), || watch.may_rest()).await;
        let idle = watch.socket();
        if idle.is_none() {
            watch.say_farewell().await;
        }
        idle
    }

    /// Waits for the next request without a parser and its buffers, and reads its first bytes; `None`: there will be none.
    async fn rest<S: AsyncRead + Unpin>(&self, stream: &mut S) -> Option<Vec<u8>> {
        self.caller.rests();
        let mut first = [0; FIRST];
        tokio::select! {
            biased;
            read = stream.read(&mut first) => read.ok().filter(|read| *read > 0).map(|read| first[..read].to_vec()),
            () = self.pace.out_of_time(|| self.patience()) => None,
            () = self.ending.reached(&self.pace) => None,
        }
    }

    /// How long a client may take for a head, and be idle.
    fn patience(&self) -> (Duration, Duration) {
        let generation = self.current.load();
        (generation.terms.limits.head_timeout, generation.terms.limits.idle_timeout)
    }

    /// Answers each request with the configuration of the moment; `watch` knows of those that are not sound.
    fn service<S: Send + 'static>(
        self: &Arc<Self>,
        watch: Option<Arc<Watch<S>>>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<PacedBody>,
        Error = Infallible,
        Future: Future<Output = Result<Response<PacedBody>, Infallible>> + Send + 'static,
    > + use<S> {
        let client = Arc::clone(self);
        service_fn(move |request: Request<Incoming>| {
            let generation = client.current.load();
            let refusal = match watch.as_ref().and_then(|watch| watch.next()) {
                Some(fault) => Some(generation.shard.refuse(fault, None)),
                None => client
                    .refusal(&request, &generation.terms.limits)
                    .map(|rejection| generation.shard.refuse(rejection, Some(&request))),
            };
            let under_way = client.pace.begin();
            let answer = match refusal {
                None => Ok(generation.shard.serve(request, &client.caller, under_way)),
                Some(response) => Err((response, under_way)),
            };
            let watch = watch.clone();
            async move {
                let (response, under_way) = match answer {
                    Ok(answer) => answer.await,
                    Err(refused) => refused,
                };
                if let Some(watch) = watch {
                    watch.answered(response.status() == StatusCode::SWITCHING_PROTOCOLS);
                }
                Ok(response.map(|body| PacedBody::new(body, under_way)))
            }
        })
    }

    /// What hyper bounds on HTTP/1.1 only: header lines, and requests under way. On HTTP/2 one that the client took back
    /// is still answered (nothing that it changes may be lost), so it counts until then.
    fn refusal(&self, request: &Request<Incoming>, limits: &Limits) -> Option<Rejection> {
        if request.version() != Version::HTTP_2 {
            return None;
        }
        if self.pace.answering() >= limits.streams as usize {
            self.pace.overrun();
            return Some(Rejection::Unavailable);
        }
        (request.headers().len() > limits.headers).then_some(Rejection::HeadTooLarge)
    }

    /// Drives the connection until it ends or rests; `finish` asks it to end when what is under way is done, `give_up` when
    /// the client's time is up.
    async fn attend<C>(
        &self,
        connection: C,
        finish: fn(Pin<&mut C>),
        give_up: impl Fn(Pin<&mut C>),
        may_rest: impl Fn() -> bool,
    ) where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let patience = || self.patience();
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            result = connection.as_mut() => return self.ended(result),
            verdict = self.pace.judge(patience, may_rest) => return match verdict {
                Verdict::Over => self.part(connection, give_up).await,
                Verdict::Rest => debug!(target: "cloakroom::server", "a connection rests"),
            },
            () = self.ending.reached(&self.pace) => {}
        }
        // hyper would wait for a first request.
        if self.pace.is_unused() && !self.pace.is_multiplexed() {
            return;
        }
        finish(connection.as_mut());
        tokio::select! {
            biased;
            result = connection.as_mut() => self.ended(result),
            () = self.pace.out_of_time(patience) => self.part(connection, give_up).await,
            () = self.still_unused() => {}
        }
    }

    /// Says what there is to say to a client whose time is up. One that takes nothing of its answer can be told nothing
    /// on HTTP/1.1.
    async fn part<C: Future>(&self, mut connection: Pin<&mut C>, give_up: impl Fn(Pin<&mut C>)) {
        debug!(target: "cloakroom::server", "a client has used up its time");
        if self.pace.is_multiplexed() || self.pace.answering() == 0 {
            give_up(connection.as_mut());
            let _ = timeout(FAREWELL, connection).await;
        }
    }

    fn ended(&self, result: Result<(), hyper::Error>) {
        match result {
            Ok(()) => {}
            // hyper has answered in our stead, with this status and nothing more. The error has no bytes of the client.
            Err(error) if error.is_parse() && !error.is_parse_version_h2() => {
                let too_long = error.is_parse_too_large();
                let why = if too_long { Rejection::TargetTooLong } else { Rejection::BadRequest(error.to_string()) };
                self.current.load().shard.note_refused(&why);
            }
            Err(error) => debug!(target: "cloakroom::server", %error, "a connection broke"),
        }
    }

    /// Resolves if no request ever came, after the time for a farewell.
    async fn still_unused(&self) {
        tokio::time::sleep(FAREWELL).await;
        if !self.pace.is_unused() {
            std::future::pending::<()>().await;
        }
    }
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
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
