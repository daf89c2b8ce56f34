//! HTTP/1.1 with a browser, from its first head to the end of its connection: one task, which holds bytes only as long as
//! they are not used or not taken, and is kept small, for there are many.
//!
//! A head is judged when all of it is there, so that a verdict does not depend on how its bytes were cut; after one that is
//! not sound, or a body that was not read to its end, nothing is read as a request any more. Requests are answered in their
//! order, one at a time. A browser that says it will send nothing more still gets its answer; one whose connection breaks is
//! gone, and its request goes on without it.

mod answer;
mod body;
mod date;
mod exchange;
mod head;
mod outlet;
mod request;
mod source;
mod time;

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use super::{
    Limits,
    connection::Client,
    farewell::{self, FAREWELL, GLANCE},
    place::Place,
};
use crate::{clock::turns::Turns, headers::HeadBounds, socket::Quiet};
use body::Feed;
use exchange::{Answered, Exchange, Sequel};
use outlet::Outlet;
use request::{Found, Next, Scan};
use source::Source;
use time::Time;

/// A connection.
struct Connection<S> {
    client: Client,
    /// `None` while a request has it.
    place: Option<Place>,
    source: Source<S>,
    outlet: Outlet,
    scan: Scan,
    time: Time,
    /// The body that is being read.
    feed: Option<Feed>,
    /// A body was not read to its end: nobody knows where the next request would begin.
    lost: bool,
}

/// Serves a connection that was accepted then, and of which this was read. What comes back has the connection once: an
/// `async fn` would keep room for it twice.
pub(super) fn serve<S>(
    stream: S,
    first: BytesMut,
    client: Client,
    limits: &Limits,
    (place, accepted): (Place, Instant),
) -> impl Future<Output = ()> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Quiet + Unpin + Send + 'static,
{
    let ending = client.ending.clone();
    let mut connection = Connection {
        client,
        place: Some(place),
        source: Source::new(stream, first),
        outlet: Outlet::default(),
        scan: Scan::new(HeadBounds { bytes: limits.header_bytes, fields: limits.headers }),
        time: Time::new(accepted, limits),
        feed: None,
        lost: false,
    };
    async move {
        let sequel = {
            let (mut ear, mut turns, mut exchange) = (ending.ear(), Turns::default(), None);
            poll_fn(|cx| {
                ear.listen(cx);
                turns.poll(cx, |cx| connection.poll_run(cx, &mut exchange, Connection::ask))
            })
            .await
        };
        // Boxed, so that a connection at work does not keep the room for it.
        Box::pin(connection.part(sequel)).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Quiet + Unpin + Send + 'static> Connection<S> {
    /// Serves one request after the other; ready with what comes after the last. `ask` is [`Connection::ask`], whose
    /// exchange is kept where this is called.
    fn poll_run<F: Future<Output = Answered> + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Option<Exchange<F>>,
        ask: impl Fn(&mut Self, Found) -> Exchange<F>,
    ) -> Poll<Sequel> {
        loop {
            let sequel = match exchange {
                Some(exchange) => ready!(self.poll_exchange(cx, exchange)),
                None => {
                    *exchange = Some(match ready!(self.poll_request(cx)) {
                        Next::Head(found) => ask(self, found),
                        Next::Unsound(fault, asked) => self.refuse(fault, asked),
                        Next::Nothing => return Poll::Ready(Sequel::Over),
                        Next::Broken(error) => return Poll::Ready(Sequel::Broken(error)),
                    });
                    continue;
                }
            };
            *exchange = None;
            if !matches!(sequel, Sequel::Next) {
                return Poll::Ready(sequel);
            }
        }
    }

    async fn part(self, sequel: Sequel) {
        // Whoever still reads a body learns that it breaks off.
        drop(self.feed);
        let patience = if self.lost { FAREWELL } else { GLANCE };
        match sequel {
            Sequel::Switched(switch) => return switch.give(Box::new(self.source.into_wire(self.place))),
            Sequel::Broken(error) => debug!(target: "cloakroom::server", %error, "a connection broke"),
            Sequel::Next | Sequel::Over => {}
        }
        farewell::say(self.source.stream, patience).await;
    }
}
