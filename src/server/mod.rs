//! Sockets, one runtime per core, drain. The caller owns the listeners and the stop signal.
//!
//! The thread that calls [`run`] accepts connections and hands them to the shards in turn, so that they are spread
//! evenly also when there are few; it serves the admin and application listeners beside that. Each shard is a thread
//! with a current-thread runtime, its own upstream connections and its own way to the store.

mod connection;
mod pace;
mod sentry;
mod shard;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{debug, info, warn};

use crate::{
    admin::{self, Admin},
    application::Application,
    proxy,
    store::Depot,
};
use shard::Worker;

/// What a client may cost (`[limits]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// A kept-alive connection without a request.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub connections: usize,
}

/// How the process ends (`[drain]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// `/readyz` says 503 this long before connections are refused.
    pub delay: Duration,
    /// Requests under way get this long to finish.
    pub timeout: Duration,
}

/// Where the process listens and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// JWKS and `/v1/session`.
    pub application: Option<SocketAddr>,
    /// Health.
    pub admin: Option<SocketAddr>,
    /// What a client may cost.
    pub limits: Limits,
    /// How the process ends.
    pub drain: Drain,
}

/// The sockets of one process, bound.
pub struct Listeners {
    public: Vec<TcpListener>,
    application: Option<TcpListener>,
    admin: Option<TcpListener>,
}

/// Why the process cannot serve.
#[derive(Debug)]
pub enum ServeError {
    /// An address cannot be bound.
    Bind(SocketAddr, io::Error),
    /// A thread or runtime cannot be made.
    Shard(io::Error),
    /// The store cannot be opened.
    Store(String),
    /// The settings contradict each other in a way that the configuration should have found.
    Settings(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Shard(error) => write!(f, "cannot start a worker: {error}"),
            Self::Store(problem) => write!(f, "cannot open the store: {problem}"),
            Self::Settings(problem) => write!(f, "the settings do not fit: {problem}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::Shard(error) => Some(error),
            Self::Store(_) | Self::Settings(_) => None,
        }
    }
}

impl Listeners {
    /// Binds every address of the settings.
    ///
    /// # Errors
    /// [`ServeError::Bind`] names the first that cannot be bound.
    pub async fn bind(settings: &Settings) -> Result<Self, ServeError> {
        let mut public = Vec::new();
        for address in &settings.listen {
            public.push(bind(*address).await?);
        }
        Ok(Self {
            public,
            application: bind_some(settings.application).await?,
            admin: bind_some(settings.admin).await?,
        })
    }

    /// The public addresses, as they were bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind(address, error))
}

async fn bind_some(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ServeError> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until `shutdown` resolves, then drains: `/readyz` turns 503, after `drain.delay` no connection is accepted any
/// more, and what is under way has `drain.timeout` to finish.
///
/// # Errors
/// [`ServeError`] if it cannot begin.
pub async fn run(
    listeners: Listeners,
    proxy: &proxy::Settings,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    let depot = Depot::new(&proxy.store).map_err(ServeError::Store)?;
    let common = proxy::Common::new(proxy).map_err(ServeError::Settings)?;
    let workers = (0..shards).map(|index| Worker::start(index, proxy, &common, &depot, settings));
    let workers = workers.collect::<Result<Vec<_>, _>>().map_err(ServeError::Shard)?;

    let store = depot.open();
    let draining = Arc::new(AtomicBool::new(false));
    let mut side = JoinSet::new();
    let advised = store.clone();
    side.spawn(async move { advised.advise().await });
    if let Some(listener) = listeners.admin {
        let admin = Arc::new(Admin::new(store.clone(), Arc::clone(&common.fleets), Arc::clone(&draining)));
        side.spawn(admin::serve(listener, move |request| Arc::clone(&admin).answer(request)));
    }
    if let Some(listener) = listeners.application {
        let application = Arc::new(Application::new(Arc::clone(&common.line), Arc::clone(&common.lanes), store));
        side.spawn(admin::serve(listener, move |request| Arc::clone(&application).answer(request)));
    }
    let workers = Arc::new(workers);
    let slots = Arc::new(Semaphore::new(settings.limits.connections));
    let mut accepting = JoinSet::new();
    for listener in listeners.public {
        accepting.spawn(accept(listener, Arc::clone(&workers), Arc::clone(&slots)));
    }
    info!(target: "cloakroom::server", shards, "ready");

    shutdown.await;
    info!(target: "cloakroom::server", "draining");
    draining.store(true, Ordering::Relaxed);
    tokio::time::sleep(settings.drain.delay).await;
    accepting.shutdown().await;
    let workers = Arc::into_inner(workers).unwrap_or_default();
    for stopped in workers.into_iter().map(Worker::stop).collect::<Vec<_>>() {
        if stopped.await.is_err() {
            warn!(target: "cloakroom::server", "a worker ended badly");
        }
    }
    side.shutdown().await;
    depot.close().await;
    info!(target: "cloakroom::server", "stopped");
    Ok(())
}

/// Lets this process open as many files as its hard limit allows: a connection is a file, and an upstream's another.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }) {
        warn!(target: "cloakroom::server", %error, "the limit of open files stays as it was");
    }
}

/// How long a client that is turned away may take to hang up, how much of its request is read meanwhile, and how many of
/// them are told at once; the others are just cut off.
const FAREWELL: Duration = Duration::from_secs(1);
const LEFT_UNREAD: u64 = 64 * 1024;
const FAREWELLS: usize = 256;

/// A connection, and its place among `limits.connections`.
type Accepted = (std::net::TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: TcpListener, workers: Arc<Vec<Worker>>, slots: Arc<Semaphore>) {
    let mut farewells = JoinSet::new();
    for worker in (0..workers.len()).cycle() {
        let (stream, peer) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    warn!(target: "cloakroom::server", %error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        while farewells.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            if farewells.len() < FAREWELLS {
                farewells.spawn(turn_away(stream));
            }
            continue;
        };
        if let Ok(stream) = stream.into_std() {
            workers[worker].hand((stream, peer, slot));
        }
    }
}

/// Says that there is no place, and waits a moment for the client to hang up: a connection that is closed while a request
/// is unread is reset, and the answer with it.
async fn turn_away(mut stream: TcpStream) {
    const BODY: &str = r#"{"type":"urn:cloakroom:error:unavailable","title":"The service is busy at the moment","status":503,"instance":"none"}"#;
    let length = BODY.len();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}"
    );
    warn!(target: "cloakroom::server", "a connection is turned away (limits.connections)");
    let said = async {
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LEFT_UNREAD), &mut tokio::io::sink()).await
    };
    if !matches!(tokio::time::timeout(FAREWELL, said).await, Ok(Ok(_))) {
        debug!(target: "cloakroom::server", "a client that was turned away did not hang up");
    }
}
