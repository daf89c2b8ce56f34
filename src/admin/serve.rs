//! A small server for listeners that are not for browsers: short requests, short answers, an end that cuts nothing off.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::socket::{Accepted, Listener, Socket};

/// A request on these listeners must be complete after this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that was never used may have its first request under way: so long it is waited for at the end.
const LINGER: Duration = Duration::from_millis(100);

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
