//! A link to a Redis server that heals by itself.
//!
//! redis-rs' own `ConnectionManager` never reconnects after timeouts, so a link whose bytes are swallowed stays dead.
//! Here whoever sees a command fail or time out declares the connection broken; a supervisor in the shard's runtime
//! replaces it. The links of one process take turns, ten attempts a second at most, spread by jitter; one link's success
//! wakes the others. A request that finds no connection waits for the next one, within its own time.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::StoreError;

/// Between two attempts of one process to connect; ten a second at most.
const PAUSE: Duration = Duration::from_millis(100);
/// Random time that is added, so that many processes do not knock at the same moment.
const JITTER: Duration = Duration::from_millis(20);
/// Requests that may wait in a connection's queue; the library's 50 is less than one shard has in flight.
const QUEUE: usize = 4096;

/// What the links of one process share.
pub(super) struct Reach {
    client: redis::Client,
    patience: Duration,
    next: Mutex<Instant>,
    revived: Notify,
}

impl Reach {
    pub(super) fn new(client: redis::Client, patience: Duration) -> Self {
        Self { client, patience, next: Mutex::new(Instant::now()), revived: Notify::new() }
    }

    /// When the caller may try; the next one may try later.
    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + PAUSE + JITTER.mul_f64(rand::random_range(0.0..1.0));
        turn
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        match timeout(self.patience, self.client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.code().unwrap_or(error.category()).to_owned()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// One connection out of many that a link had.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) wire: MultiplexedConnection,
    generation: u64,
}

/// A shard's link.
#[derive(Clone)]
pub(super) struct Link {
    state: Arc<watch::Sender<Option<Connection>>>,
}

impl Link {
    /// A link that begins to connect at once. Its supervisor ends with the last clone.
    pub(super) fn open(reach: Arc<Reach>) -> Self {
        let state = Arc::new(watch::Sender::new(None));
        tokio::spawn(supervise(reach, Arc::downgrade(&state)));
        Self { state }
    }

    /// A connection that nobody has declared broken yet.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Connection, StoreError> {
        if let Some(connection) = &*self.state.borrow() {
            return Ok(connection.clone());
        }
        let mut state = self.state.subscribe();
        match timeout_at(deadline, state.wait_for(Option::is_some)).await {
            Ok(Ok(found)) => found.clone().ok_or(StoreError::Disconnected),
            Ok(Err(_)) | Err(_) => Err(StoreError::Disconnected),
        }
    }

    /// Says that this connection is of no use any more.
    pub(super) fn broken(&self, connection: &Connection) {
        self.state.send_if_modified(|state| {
            let current = state.as_ref().is_some_and(|state| state.generation == connection.generation);
            if current {
                *state = None;
            }
            current
        });
    }
}

async fn supervise(reach: Arc<Reach>, state: Weak<watch::Sender<Option<Connection>>>) {
    let Some(mut changes) = state.upgrade().map(|state| state.subscribe()) else { return };
    for generation in 1.. {
        if changes.wait_for(Option::is_none).await.is_err() {
            return;
        }
        let Some(wire) = connect_until(&reach, &state).await else { return };
        let Some(state) = state.upgrade() else { return };
        info!(target: "cloakroom::store", generation, "connected to the store");
        state.send_replace(Some(Connection { wire, generation }));
        reach.revived.notify_waiters();
    }
}

/// Tries until it works; `None` once nobody holds the link any more.
async fn connect_until(
    reach: &Reach,
    state: &Weak<watch::Sender<Option<Connection>>>,
) -> Option<MultiplexedConnection> {
    let mut attempt: u32 = 0;
    while state.strong_count() > 0 {
        let revived = reach.revived.notified();
        tokio::select! {
            () = sleep_until(reach.turn()) => {}
            () = revived => {}
        }
        match reach.connect().await {
            Ok(wire) => return Some(wire),
            Err(reason) if attempt == 0 => {
                warn!(target: "cloakroom::store", reason, "the store cannot be reached; trying on");
            }
            Err(reason) => debug!(target: "cloakroom::store", reason, attempt, "the store still cannot be reached"),
        }
        attempt = attempt.saturating_add(1);
    }
    None
}
