//! What an operator may ask: whether the process lives and whether it is ready. Never reachable through the public
//! listener. The small server that it runs on also serves the application listener.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    socket::{Accepted, Listener, Socket},
    store::Store,
    upstream::Fleet,
};

/// A request on these listeners must be complete after this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that was never used may have its first request under way: so long it is waited for at the end.
const LINGER: Duration = Duration::from_millis(100);

/// What the admin listener knows.
pub struct Admin {
    store: Store,
    fleets: Arc<ArcSwap<Vec<Arc<Fleet>>>>,
    draining: Arc<AtomicBool>,
}

impl Admin {
    /// Looks at this store and these upstreams, and at whether the process is about to end.
    pub fn new(store: Store, fleets: Arc<ArcSwap<Vec<Arc<Fleet>>>>, draining: Arc<AtomicBool>) -> Self {
        Self { store, fleets, draining }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<String> {
        match (request.uri().path(), request.method()) {
            ("/healthz" | "/readyz", method) if method != Method::GET && method != Method::HEAD => {
                text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
            }
            ("/healthz", _) => text(StatusCode::OK, "alive\n"),
            ("/readyz", _) => self.ready().await,
            _ => text(StatusCode::NOT_FOUND, "there are /healthz and /readyz\n"),
        }
    }

    async fn ready(&self) -> Response<String> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining: the process is about to end\n");
        }
        if let Err(error) = self.store.ping().await {
            return text(StatusCode::SERVICE_UNAVAILABLE, &format!("store: {error}\n"));
        }
        match self.no_upstream() {
            Some(troubles) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("upstreams: {troubles}\n")),
            None => text(StatusCode::OK, "ready\n"),
        }
    }

    /// Why no upstream would answer; `None` while one is healthy.
    fn no_upstream(&self) -> Option<String> {
        let troubles: Option<Vec<String>> = self.fleets.load().iter().map(|fleet| fleet.trouble()).collect();
        troubles.filter(|troubles| !troubles.is_empty()).map(|troubles| troubles.join(", "))
    }
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves small answers on a listener of its own until `closing` says so, and then to the end what is under way.
pub async fn serve<H, F>(listener: Listener, closing: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<String>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = closing.cancelled() => break,
        };
        match accepted.and_then(Accepted::open) {
            Ok(socket) => drop(connections.spawn(converse(socket, closing.clone(), handler.clone()))),
            Err(error) => {
                warn!(target: "cloakroom::admin", %error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse<H, F>(socket: Socket, closing: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<String>>,
{
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(socket), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // hyper would wait for a first request.
            let unused = async {
                tokio::time::sleep(LINGER).await;
                if asked.load(Ordering::Relaxed) {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                result = connection => result,
                () = unused => return,
            }
        }
    };
    if let Err(error) = result {
        debug!(target: "cloakroom::admin", %error, "a connection broke");
    }
}
