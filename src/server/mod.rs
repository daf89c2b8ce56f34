//! Sockets, one runtime per core, drain, reload. The caller owns the listeners and decides when to renew and to end.
//!
//! The thread that calls [`Server::start`] accepts connections and hands them to the shards in turn, so that they are
//! spread evenly also when there are few; it serves the admin and application listeners beside that. Each shard is a
//! thread with a current-thread runtime, its own upstream connections and its own way to the store.

mod arrival;
mod connection;
mod door;
mod ending;
mod farewell;
mod generation;
mod http1;
mod http2;
mod listeners;
mod pace;
mod paced;
mod place;
mod preamble;
mod settings;
mod shard;
mod tally;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::{self, Admin, Guard, Sources},
    application::Application,
    proxy::{self, Common},
    socket::{Address, BindError},
    store::{self, Depot, Store},
    telemetry::Process,
    tls::TlsError,
};
use door::Door;
use ending::{Ending, Stage};
use generation::Terms;
pub use listeners::{Listeners, raise_file_limit};
use place::Places;
pub use settings::{Drain, Limits, Preamble, Settings};
use shard::{Renewal, Worker};
use tally::Tally;

/// Why the process cannot serve.
#[derive(Debug)]
pub enum ServeError {
    /// An address cannot be bound.
    Bind(BindError),
    /// A thread or runtime cannot be made.
    Shard(io::Error),
    /// The certificate of the public listener cannot be used.
    Tls(TlsError),
    /// The store cannot be opened.
    Store(String),
    /// The settings contradict each other in a way that the configuration should have found.
    Settings(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Shard(error) => write!(f, "cannot start a worker: {error}"),
            Self::Tls(error) => write!(f, "the certificate {error}"),
            Self::Store(problem) => write!(f, "cannot open the store: {problem}"),
            Self::Settings(problem) => write!(f, "the settings do not fit: {problem}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Shard(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Store(_) | Self::Settings(_) => None,
        }
    }
}

/// Why another configuration was not taken; the old one stays.
#[derive(Debug)]
pub enum RenewError {
    /// These keys have another value, and only a restart can change them.
    Fixed(Vec<&'static str>),
    /// It cannot be made to work.
    Serve(ServeError),
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(keys) => write!(f, "only a restart can change {}", keys.join(" and ")),
            Self::Serve(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RenewError {}

/// A process that serves.
pub struct Server {
    settings: Settings,
    /// What the store was made with.
    at_start: store::Settings,
    common: Common,
    terms: Arc<Terms>,
    depot: Depot,
    store: Store,
    /// `None`: not served.
    admin: Option<Arc<ArcSwap<Admin>>>,
    application: Arc<ArcSwap<Application>>,
    /// What applications did out of band.
    tally: Arc<proxy::Tally>,
    door: Arc<Door>,
    acceptors: JoinSet<()>,
    closing: CancellationToken,
    side: JoinSet<()>,
    /// Ends the admin and application listeners: last, since requests under way may need them.
    closing_side: CancellationToken,
    ending: Ending,
    draining: Arc<AtomicBool>,
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// [`ServeError`]
    pub fn start(listeners: Listeners, proxy: proxy::Settings, settings: Settings) -> Result<Self, ServeError> {
        let depot = Depot::new(&proxy.store).map_err(ServeError::Store)?;
        let first = Renewal {
            common: Common::new(&proxy).map_err(ServeError::Settings)?,
            terms: Arc::new(Terms::new(&settings, None).map_err(ServeError::Tls)?),
            proxy: Arc::new(proxy),
        };
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let ending = Ending::default();
        let workers = (0..shards).map(|index| Worker::start(index, &first, &depot, &ending));
        let workers = workers.collect::<Result<Vec<_>, _>>().map_err(ServeError::Shard)?;

        let (store, Renewal { proxy, common, terms }) = (depot.open(), first);
        let at_start = proxy.store.clone();
        let tally = common.tallies.open();
        let application = Application::new(&common, store.clone(), Arc::clone(&tally));
        let places = Places::new(settings.limits.connections);
        let counted = Arc::new(Tally::new(Arc::clone(&places)));
        let sources: Sources = vec![
            Arc::new(Process::new()),
            Arc::clone(&common.tallies) as _,
            Arc::new(depot.clone()),
            Arc::clone(&counted) as _,
        ];
        let draining: Arc<AtomicBool> = Arc::default();
        let admin = admin(&settings, &proxy, &common, &store, &draining, sources);
        let mut server = Self {
            door: Arc::new(Door::new(workers, places, counted)),
            tally,
            settings,
            at_start,
            admin: admin.map(|admin| Arc::new(ArcSwap::from_pointee(admin))),
            common,
            depot,
            terms,
            store,
            application: Arc::new(ArcSwap::from_pointee(application)),
            acceptors: JoinSet::new(),
            closing: CancellationToken::new(),
            side: JoinSet::new(),
            closing_side: CancellationToken::new(),
            ending,
            draining,
        };
        server.open(listeners);
        info!(target: "cloakroom::server", shards, "ready");
        Ok(server)
    }

    fn open(&mut self, listeners: Listeners) {
        let (advised, closing) = (self.store.clone(), self.closing_side.clone());
        self.side.spawn(async move { closing.run_until_cancelled(advised.advise()).await.unwrap_or_default() });
        if let (Some(listener), Some(admin)) = (listeners.admin, &self.admin) {
            let (admin, now, closing) = (Arc::clone(admin), admin.load(), self.closing_side.clone());
            let watch = Arc::clone(&now.traffic).watch(now.sources.clone());
            self.side.spawn(async move { closing.run_until_cancelled(watch).await.unwrap_or_default() });
            let answer = move |request| admin.load_full().answer(request);
            self.side.spawn(admin::serve(listener, self.closing_side.clone(), answer));
        }
        if let Some(listener) = listeners.application {
            let application = Arc::clone(&self.application);
            let answer = move |request| application.load_full().answer(request);
            self.side.spawn(admin::serve(listener, self.closing_side.clone(), answer));
        }
        for listener in listeners.public {
            self.acceptors.spawn(Arc::clone(&self.door).keep(listener, self.closing.clone()));
        }
    }

    /// Takes another configuration: requests that begin after this have it, those under way end with the one that they
    /// began with, and no connection is closed. Connections to upstreams that are the same are kept.
    ///
    /// # Errors
    /// [`RenewError`]: nothing has changed.
    pub async fn renew(&mut self, proxy: proxy::Settings, settings: Settings) -> Result<(), RenewError> {
        let fixed = self.fixed(&proxy, &settings);
        if !fixed.is_empty() {
            return Err(RenewError::Fixed(fixed));
        }
        let terms =
            Terms::new(&settings, Some(&self.terms)).map_err(|error| RenewError::Serve(ServeError::Tls(error)))?;
        let common = self.common.renewed(&proxy).map_err(|error| RenewError::Serve(ServeError::Settings(error)))?;
        self.depot.renew(&proxy.store).map_err(|error| RenewError::Serve(ServeError::Store(error)))?;
        let renewal = Renewal { proxy: Arc::new(proxy), common, terms: Arc::new(terms) };
        let renewed: Vec<_> = self.door.workers.iter().map(|worker| worker.renew(renewal.clone())).collect();
        for renewed in renewed {
            let _ = renewed.await;
        }
        let Renewal { common, terms, proxy } = renewal;
        let application = Application::new(&common, self.store.clone(), Arc::clone(&self.tally));
        self.application.store(Arc::new(application));
        if let (Some(now), Some(settings)) = (&self.admin, &settings.admin) {
            let (guard, fleets) = (Guard::of(settings), Arc::clone(&common.fleets));
            now.store(Arc::new(now.load().renewed(guard, proxy.policy.clone(), fleets)));
        }
        self.door.places.resize(settings.limits.connections);
        (self.settings, self.common, self.terms) = (settings, common, terms);
        Ok(())
    }

    /// The keys that differ and must not.
    fn fixed(&self, proxy: &proxy::Settings, settings: &Settings) -> Vec<&'static str> {
        let (before, after) = (&self.at_start, &proxy.store);
        let place = |store: &store::Settings| (store.kind.clone(), store.prefix.clone(), store.timeout, store.encrypt);
        let is_file = matches!(before.kind, store::Kind::File { .. });
        let keys = [
            ("listen.address", self.settings.listen == settings.listen),
            ("application.address", self.settings.application == settings.application),
            ("admin.address", admin_address(&self.settings) == admin_address(settings)),
            ("[store] (all but on_failure and save_timeout)", place(before) == place(after)),
            ("session.max_bytes to more than it was at start", after.value_bytes <= before.value_bytes),
            ("store.save_timeout of a file", !is_file || before.save_timeout == after.save_timeout),
        ];
        keys.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }

    /// Ends: `/readyz` turns 503, after `drain.delay` no connection is accepted any more and idle ones are closed, and what
    /// is under way has `drain.timeout` to finish, also on the listeners for operators and applications.
    pub async fn drain(mut self) {
        info!(target: "cloakroom::server", "draining");
        self.draining.store(true, Ordering::Relaxed);
        self.ending.come(Stage::Near);
        tokio::time::sleep(self.settings.drain.delay).await;
        self.closing.cancel();
        while self.acceptors.join_next().await.is_some() {}
        self.ending.come(Stage::Here);
        let door = Arc::into_inner(self.door);
        let workers = door.map(|door| door.workers).unwrap_or_default();
        let limit = self.settings.drain.timeout;
        let deadline = Instant::now() + limit;
        for stopped in workers.into_iter().map(|worker| worker.finish(limit)).collect::<Vec<_>>() {
            if stopped.await.is_err() {
                warn!(target: "cloakroom::server", "a worker ended badly");
            }
        }
        self.closing_side.cancel();
        let side = async { while self.side.join_next().await.is_some() {} };
        if timeout_at(deadline, side).await.is_err() {
            warn!(target: "cloakroom::server", "drain.timeout has passed; requests of applications or operators are cut off");
        }
        self.side.shutdown().await;
        self.depot.close().await;
        info!(target: "cloakroom::server", "stopped");
    }
}

fn admin_address(settings: &Settings) -> Option<&Address> {
    settings.admin.as_ref().map(|admin| &admin.address)
}

/// What operators are shown.
fn admin(
    settings: &Settings,
    proxy: &proxy::Settings,
    common: &Common,
    store: &Store,
    draining: &Arc<AtomicBool>,
    sources: Sources,
) -> Option<Admin> {
    Some(Admin {
        guard: Guard::of(settings.admin.as_ref()?),
        store: store.clone(),
        store_kind: proxy.store.kind.name(),
        policy: proxy.policy.clone(),
        fleets: Arc::clone(&common.fleets),
        draining: Arc::clone(draining),
        sources,
        traffic: Arc::default(),
    })
}
