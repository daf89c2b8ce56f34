//! One connection from a browser: received, and served over HTTP/1.1 or HTTP/2. Every request takes the configuration of the
//! moment at which it begins.

use std::{pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::{
    FutureExt as _,
    future::{Either, OptionFuture},
};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Limits,
    arrival::{Arrival, Early, Protocol, Stream, receive},
    ending::{Ending, Stage},
    generation::Generation,
    http1, http2,
    place::Place,
};
use crate::{proxy::Caller, socket::Accepted};

/// A client that has just connected may have its first request under way: so long it is waited for at the end.
pub(super) const LINGER: Duration = Duration::from_millis(100);

/// What the requests of a connection have in common.
pub(super) struct Client {
    pub(super) caller: Caller,
    pub(super) current: Arc<ArcSwap<Generation>>,
    pub(super) ending: Ending,
}

/// Serves the connection until either side closes it, its time is up, or `ending` says to finish; `None`: it never came to
/// HTTP. How it begins is boxed, so that what goes on does not keep the room for that.
pub(super) fn serve(
    accepted: Accepted,
    place: Place,
    current: Arc<ArcSwap<Generation>>,
    ending: Ending,
) -> impl Future<Output = Option<()>> + Send {
    Box::pin(begin(accepted, place, current, ending)).map(OptionFuture::from).flatten()
}

/// Receives the connection; what serves it from there on, if it comes to HTTP.
async fn begin(
    accepted: Accepted,
    place: Place,
    current: Arc<ArcSwap<Generation>>,
    ending: Ending,
) -> Option<impl Future<Output = ()>> {
    let (address, begun, generation) = (accepted.peer(), Instant::now(), current.load_full());
    let early = match accepted.open() {
        Ok(socket) => Early::new(socket),
        Err(error) => {
            debug!(target: "cloakroom::server", %error, "a connection was lost before it began");
            return None;
        }
    };
    let (terms, heard) = (&generation.terms, early.heard());
    let deadline = begun + terms.limits.head_timeout;
    let received = pin!(receive(early, address, terms.preamble, terms.tls.as_ref(), deadline));
    let unheard = async {
        ending.reached(Stage::Here).await;
        tokio::time::sleep_until(begun + LINGER).await;
        if heard.is_set() {
            std::future::pending::<()>().await;
        }
    };
    let received = tokio::select! {
        biased;
        received = received => received,
        () = unheard => return None,
    };
    match received {
        Ok(arrival) => {
            let client = Client { caller: Caller::new(arrival.peer), current, ending };
            Some(go_on(arrival, client, &terms.limits, (place, begun)))
        }
        Err(lost) => {
            debug!(target: "cloakroom::server", reason = %lost, "a connection never came to HTTP");
            None
        }
    }
}

/// Serves a connection that has come to HTTP.
fn go_on(
    Arrival { stream, first, protocol, .. }: Arrival,
    client: Client,
    limits: &Limits,
    since: (Place, Instant),
) -> impl Future<Output = ()> + use<> {
    match (stream, protocol) {
        (Stream::Plain(socket), Protocol::Http1) => {
            Either::Left(Either::Left(http1::serve(socket, first, client, limits, since)))
        }
        (Stream::Tls(stream), Protocol::Http1) => {
            Either::Left(Either::Right(http1::serve(stream, first, client, limits, since)))
        }
        (Stream::Plain(socket), Protocol::Http2) => {
            let stream = Early::ahead(socket, first);
            Either::Right(Either::Left(Box::pin(http2::serve(stream, client, limits.clone(), since))))
        }
        (Stream::Tls(stream), Protocol::Http2) => {
            Either::Right(Either::Right(Box::pin(http2::serve(stream, client, limits.clone(), since))))
        }
    }
}
