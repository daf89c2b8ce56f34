//! The public door: accepts connections, gives each a place and hands them to the workers in turn; turns away whoever
//! finds no place.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    place::{Place, Places},
    shard::Worker,
    tally::Tally,
};
use crate::socket::{Accepted, Listener};

/// How long a client that is turned away may take to hang up, how much of its request is read meanwhile, and how many of
/// them are told at once; the others are just cut off.
const FAREWELL: Duration = Duration::from_secs(1);
const LEFT_UNREAD: u64 = 64 * 1024;
const FAREWELLS: usize = 256;
/// After a failure to accept, such as too many open files.
const RESPITE: Duration = Duration::from_millis(50);

/// What the acceptors of all public addresses share.
pub(super) struct Door {
    pub(super) workers: Vec<Worker>,
    pub(super) places: Arc<Places>,
    tally: Arc<Tally>,
    next: AtomicUsize,
}

impl Door {
    pub(super) fn new(workers: Vec<Worker>, places: Arc<Places>, tally: Arc<Tally>) -> Self {
        Self { workers, places, tally, next: AtomicUsize::new(0) }
    }

    /// Accepts connections until `closing` says so, and then whoever stands at the door already.
    pub(super) async fn keep(self: Arc<Self>, listener: Listener, closing: CancellationToken) {
        let mut farewells = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = closing.cancelled() => break,
            };
            match accepted {
                Ok(accepted) => self.admit(accepted, &mut farewells),
                Err(error) => {
                    warn!(target: "cloakroom::server", %error, "a connection cannot be accepted");
                    tokio::time::sleep(RESPITE).await;
                }
            }
        }
        poll_fn(|cx| {
            while let Poll::Ready(Ok(accepted)) = listener.poll_accept(cx) {
                self.admit(accepted, &mut farewells);
            }
            Poll::Ready(())
        })
        .await;
        drop(listener);
        farewells.join_all().await;
    }

    fn admit(&self, accepted: Accepted, farewells: &mut JoinSet<()>) {
        while farewells.try_join_next().is_some() {}
        if let Some(place) = self.places.take() {
            self.tally.accepted.count();
            return self.hand(accepted, place);
        }
        self.tally.turned_away.count();
        if farewells.len() < FAREWELLS {
            farewells.spawn(turn_away(accepted));
        }
    }

    fn hand(&self, accepted: Accepted, place: Place) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.workers[turn % self.workers.len()].hand(accepted, place);
    }
}

/// Says that there is no place, and waits a moment for the client to hang up: a connection that is closed while a request
/// is unread is reset, and the answer with it. To a client that expects TLS it is noise that ends the connection.
async fn turn_away(accepted: Accepted) {
    const BODY: &str = r#"{"type":"urn:cloakroom:error:unavailable","title":"The service is busy at the moment","status":503,"instance":"none"}"#;
    let length = BODY.len();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}"
    );
    warn!(target: "cloakroom::server", "a connection is turned away (limits.connections)");
    let said = async {
        let mut stream = accepted.open()?;
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LEFT_UNREAD), &mut tokio::io::sink()).await
    };
    if !matches!(tokio::time::timeout(FAREWELL, said).await, Ok(Ok(_))) {
        debug!(target: "cloakroom::server", "a client that was turned away did not hang up");
    }
}
