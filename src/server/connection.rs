//! One connection from a browser: HTTP/1.1, looked over, paced, stopped gracefully.

use std::{convert::Infallible, pin::pin, sync::Arc};

use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    Accepted, Limits,
    pace::{Pace, PacedBody, PacedStream},
    sentry::{Sentry, Watch},
};
use crate::{
    headers::{HeadBounds, Peer},
    proxy::Shard,
};

/// Serves the connection until either side closes it, its time is up, or `stop` says to finish.
pub(super) async fn serve(accepted: Accepted, shard: Arc<Shard>, limits: Limits, stop: CancellationToken) {
    let (stream, address, _slot) = accepted;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return debug!(target: "cloakroom::server", %error, "a connection was lost before it began"),
    };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(target: "cloakroom::server", %error, "a connection without TCP_NODELAY");
    }
    let pace = Arc::new(Pace::new());
    let watch = Arc::new(Watch::new());
    let bounds = HeadBounds { bytes: limits.header_bytes, fields: limits.headers };
    let sentry = Sentry::new(PacedStream::new(stream, Arc::clone(&pace)), Arc::clone(&watch), bounds);
    let peer = Peer { addr: Some(address.ip()), tls: false };
    let service = service_fn(|request| {
        pace.begin();
        let (shard, pace, watch) = (Arc::clone(&shard), Arc::clone(&pace), Arc::clone(&watch));
        async move {
            let answer = match watch.next() {
                None => shard.serve(request, peer).await,
                Some(fault) => shard.refuse(fault),
            };
            watch.answered(answer.status() == StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, Infallible>(answer.map(|body| PacedBody::new(body, pace)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(sentry), service)
        .with_upgrades();
    {
        let (mut connection, mut stopping) = (pin!(connection), false);
        loop {
            tokio::select! {
                result = connection.as_mut() => break ended(result),
                () = pace.out_of_time(&limits) => break,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
    watch.say_farewell().await;
}

fn ended(result: Result<(), hyper::Error>) {
    match result {
        Ok(()) => {}
        Err(error) if error.is_parse() => {
            warn!(target: "cloakroom::server", %error, "a request could not be read; its connection is closed");
        }
        Err(error) => debug!(target: "cloakroom::server", %error, "a connection broke"),
    }
}
