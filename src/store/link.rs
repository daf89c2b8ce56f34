//! A link to a Redis server that heals by itself.
//!
//! redis-rs' own `ConnectionManager` never reconnects after timeouts, so a link whose bytes are swallowed stays dead.
//! Here whoever sees a command fail or time out declares the connection broken; a supervisor in the shard's runtime
//! replaces it. All links of a process together try at most ten times a second, spread by jitter, also when connecting
//! works and the first command fails. When one of them gets through the others follow at once, but for those whose last
//! connection did not last. A request that finds no connection waits for the next one, within its own time.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    StoreError,
    redis::{Complaints, Dialer, Wire},
    tally::Tally,
};

/// From one attempt to connect to the next, of all links of one process: at most ten in any second.
const APART: Duration = Duration::from_millis(110);
/// A link waits up to so much longer, so that it is not always the same one that comes first.
const JITTER: Duration = Duration::from_millis(25);
/// A connection that broke sooner was none: its link does not follow another one's success but waits for its turn.
const FLEETING: Duration = Duration::from_millis(500);

/// What the links of one process share.
pub(super) struct Reach {
    dialer: Dialer,
    last_attempt: Mutex<Option<Instant>>,
    revived: Notify,
    complaints: Complaints,
}

impl Reach {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, last_attempt: Mutex::default(), revived: Notify::new(), complaints: Complaints::default() }
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
    pub(super) async fn connect(&self) -> Result<Wire, String> {
        self.dialer.dial().await
    }
}

/// One connection out of many that a link had. Whoever asks on it shares it, and the last one closes it.
pub(super) struct Connection {
    pub(super) wire: Wire,
    generation: u64,
}

/// What a link has.
enum State {
    /// No connection.
    Broken,
    /// A connection that works, as far as is known.
    Sound(Arc<Connection>),
    /// A connection that leads to the wrong server, as it seems. It serves until there is another one.
    Doubted(Arc<Connection>),
}

impl State {
    fn connection(&self) -> Option<&Arc<Connection>> {
        match self {
            Self::Broken => None,
            Self::Sound(connection) | Self::Doubted(connection) => Some(connection),
        }
    }

    fn is(&self, generation: u64) -> bool {
        self.connection().is_some_and(|current| current.generation == generation)
    }
}

/// A shard's link.
#[derive(Clone)]
pub(super) struct Link {
    state: Arc<watch::Sender<State>>,
}

impl Link {
    /// A link that begins to connect at once. Its supervisor ends with the last clone.
    pub(super) fn open(reach: Arc<Reach>, tally: Arc<Tally>) -> Self {
        let state = Arc::new(watch::Sender::new(State::Broken));
        tokio::spawn(supervise(reach, Arc::downgrade(&state), tally));
        Self { state }
    }

    /// The connection that nobody has declared broken yet, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        self.state.borrow().connection().cloned()
    }

    /// Waits for a connection that nobody has declared broken yet.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, StoreError> {
        let mut state = self.state.subscribe();
        match timeout_at(deadline, state.wait_for(|state| state.connection().is_some())).await {
            Ok(Ok(found)) => found.connection().cloned().ok_or(StoreError::Disconnected),
            Ok(Err(_)) | Err(_) => Err(StoreError::Disconnected),
        }
    }

    /// Says that this connection is of no use any more.
    pub(super) fn broken(&self, connection: &Connection) {
        self.state.send_if_modified(|state| {
            let current = state.is(connection.generation);
            if current {
                *state = State::Broken;
            }
            current
        });
    }

    /// Says that this connection is better made anew, for the name may lead elsewhere by now.
    pub(super) fn doubted(&self, connection: &Connection) {
        self.state.send_if_modified(|state| match state {
            State::Sound(current) if current.generation == connection.generation => {
                *state = State::Doubted(Arc::clone(current));
                true
            }
            State::Sound(_) | State::Doubted(_) | State::Broken => false,
        });
    }
}

async fn supervise(reach: Arc<Reach>, state: Weak<watch::Sender<State>>, tally: Arc<Tally>) {
    let Some(mut changes) = state.upgrade().map(|state| state.subscribe()) else { return };
    let mut supervisor = Supervisor { reach, state, follows: true };
    for generation in 1.. {
        let Some(wire) = supervisor.connect().await else { return };
        let Some(state) = supervisor.state.upgrade() else { return };
        tally.reconnects.add(u64::from(generation > 1));
        state.send_replace(State::Sound(Arc::new(Connection { wire, generation })));
        supervisor.reach.revived.notify_waiters();
        let begun = Instant::now();
        drop(state);
        let Ok(is_doubted) = changes
            .wait_for(|state| !matches!(state, State::Sound(_)))
            .await
            .map(|state| matches!(*state, State::Doubted(_)))
        else {
            return;
        };
        if is_doubted {
            supervisor.reach.dialer.turn_elsewhere();
        }
        supervisor.follows = !is_doubted && begun.elapsed() >= FLEETING;
    }
}

struct Supervisor {
    reach: Arc<Reach>,
    state: Weak<watch::Sender<State>>,
    /// Whether it may connect out of turn when another link got through.
    follows: bool,
}

impl Supervisor {
    /// Tries until it works; `None` once nobody holds the link any more.
    async fn connect(&mut self) -> Option<Wire> {
        let reach = Arc::clone(&self.reach);
        let mut revived = reach.revived.notified();
        while self.state.strong_count() > 0 {
            tokio::select! {
                () = reach.turn() => {}
                () = revived, if self.follows => {}
            }
            revived = reach.revived.notified();
            match reach.dialer.dial().await {
                Ok(wire) => {
                    self.report_success();
                    return Some(wire);
                }
                Err(reason) if reach.complaints.is_news(&reason) => {
                    warn!(target: "cloakroom::store", reason, "the store cannot be reached; trying on");
                }
                Err(reason) => debug!(target: "cloakroom::store", reason, "the store still cannot be reached"),
            }
        }
        None
    }

    /// A link whose connections do not last says so once and not ten times a second.
    fn report_success(&self) {
        if self.follows {
            self.reach.complaints.settle();
            info!(target: "cloakroom::store", "connected to the store");
        } else {
            debug!(target: "cloakroom::store", "connected to the store again");
        }
    }
}
