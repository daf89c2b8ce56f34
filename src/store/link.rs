//! A link to a Redis server that heals by itself.
//!
//! redis-rs' own `ConnectionManager` never reconnects after timeouts, so a link whose bytes are swallowed stays dead.
//! Here whoever sees a command fail or time out declares the connection broken; a supervisor in the shard's runtime
//! replaces it. All links of a process together try at most ten times a second, spread by jitter, also when connecting
//! works and the first command fails. When one of them gets through the others follow at once, but for those whose last
//! connection did not last. A request that finds no connection waits for the next one, within its own time.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use redis::{AsyncConnectionConfig, ConnectionAddr, RedisFuture, aio::MultiplexedConnection, io::AsyncDNSResolver};
use tokio::{
    net::lookup_host,
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::StoreError;

/// From one attempt to connect to the next, of all links of one process: at most ten a second.
const APART: Duration = Duration::from_millis(100);
/// A link waits up to so much longer, so that it is not always the same one that comes first.
const JITTER: Duration = Duration::from_millis(25);
/// A connection that broke sooner was none: its link does not follow another one's success but waits for its turn.
const FLEETING: Duration = Duration::from_millis(500);
/// A name may take longer to look up than a connection to make: resolvers ask again after seconds.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Requests that may wait in a connection's queue; the library's 50 is less than one shard has in flight.
const QUEUE: usize = 4096;

/// What the links of one process share.
pub(super) struct Reach {
    client: redis::Client,
    patience: Duration,
    last_attempt: Mutex<Option<Instant>>,
    revived: Notify,
}

impl Reach {
    pub(super) fn new(client: redis::Client, patience: Duration) -> Self {
        Self { client, patience, last_attempt: Mutex::default(), revived: Notify::new() }
    }

    /// Returns when the caller may make the next attempt.
    async fn turn(&self) {
        while let Some(next) = self.take_turn() {
            sleep_until(next + JITTER.mul_f64(rand::random())).await;
        }
    }

    /// Takes the turn, or says when the next one is.
    fn take_turn(&self) -> Option<Instant> {
        let mut last = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = last.map(|last| last + APART).filter(|next| *next > now);
        if next.is_none() {
            *last = Some(now);
        }
        next
    }

    /// One attempt, whoever's turn it is.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        if let ConnectionAddr::Tcp(host, port) = self.client.get_connection_info().addr() {
            config = config.set_dns_resolver(Addresses::of(host, *port).await?);
        }
        match timeout(self.patience, self.client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// Where a name leads. It is looked up before the connection's time begins to count, and not given up half-way: an
/// abandoned look-up would go on in a thread of its own, and the next one beside it.
struct Addresses(Vec<SocketAddr>);

impl Addresses {
    async fn of(host: &str, port: u16) -> Result<Self, String> {
        match timeout(LOOK_UP, lookup_host((host, port))).await {
            Ok(Ok(found)) => Ok(Self(found.collect())),
            Ok(Err(error)) => Err(format!("the store's name cannot be looked up: {error}")),
            Err(_) => Err("the store's name cannot be looked up in time".to_owned()),
        }
    }
}

impl AsyncDNSResolver for Addresses {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        _: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async { Ok(Box::new(self.0.iter().copied()) as Box<dyn Iterator<Item = SocketAddr> + Send>) })
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
    let mut supervisor = Supervisor { reach, state, follows: true };
    for generation in 1.. {
        let Some(wire) = supervisor.connect().await else { return };
        let Some(state) = supervisor.state.upgrade() else { return };
        info!(target: "cloakroom::store", generation, "connected to the store");
        state.send_replace(Some(Connection { wire, generation }));
        supervisor.reach.revived.notify_waiters();
        let begun = Instant::now();
        drop(state);
        if changes.wait_for(Option::is_none).await.is_err() {
            return;
        }
        supervisor.follows = begun.elapsed() >= FLEETING;
    }
}

struct Supervisor {
    reach: Arc<Reach>,
    state: Weak<watch::Sender<Option<Connection>>>,
    /// Whether it may connect out of turn when another link got through.
    follows: bool,
}

impl Supervisor {
    /// Tries until it works; `None` once nobody holds the link any more.
    async fn connect(&mut self) -> Option<MultiplexedConnection> {
        let reach = Arc::clone(&self.reach);
        let mut revived = reach.revived.notified();
        let mut is_first = true;
        while self.state.strong_count() > 0 {
            tokio::select! {
                () = reach.turn() => {}
                () = revived, if self.follows => {}
            }
            revived = reach.revived.notified();
            match reach.connect().await {
                Ok(wire) => return Some(wire),
                Err(reason) if is_first => {
                    warn!(target: "cloakroom::store", reason, "the store cannot be reached; trying on");
                }
                Err(reason) => debug!(target: "cloakroom::store", reason, "the store still cannot be reached"),
            }
            is_first = false;
        }
        None
    }
}
