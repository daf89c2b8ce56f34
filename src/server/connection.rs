//! One connection from a browser: HTTP/1.1, paced, stopped gracefully.

use std::{convert::Infallible, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Accepted, Limits,
    pace::{Pace, PacedBody, PacedStream},
};
use crate::{headers::Peer, proxy::Shard};

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
    let peer = Peer { addr: Some(address.ip()), tls: false };
    let service = service_fn(|request| {
        pace.begin();
        let (answer, pace) = (shard.serve(request, peer), Arc::clone(&pace));
        async move { Ok::<_, Infallible>(answer.await.map(|body| PacedBody::new(body, pace))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(PacedStream::new(stream, Arc::clone(&pace))), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return ended(result),
        () = pace.out_of_time(&limits) => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        result = connection.as_mut() => ended(result),
        () = pace.out_of_time(&limits) => {}
    }
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        debug!(target: "cloakroom::server", %error, "a connection broke");
    }
}
