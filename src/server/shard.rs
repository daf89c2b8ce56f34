//! A worker: one thread, one current-thread runtime, one shard of the proxy.

use std::{io, sync::Arc, thread, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot},
    time::{interval, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{
    connection,
    ending::Ending,
    generation::{Generation, Terms},
    place::Place,
};
use crate::{
    proxy::{Common, Settings, Shard},
    socket::Accepted,
    store::{Depot, Store},
};

/// How often idle upstream connections are looked over.
const PRUNE: Duration = Duration::from_secs(5);
/// How often some of what has expired is swept out of the store.
const SWEEP: Duration = Duration::from_millis(100);

/// What a worker is told.
enum Errand {
    /// Serve this connection.
    Serve(Accepted, Place),
    /// Work with another configuration from now on.
    Renew(Box<Renewal>, oneshot::Sender<()>),
    /// No more connections will come; finish what there is within this time.
    Finish(Duration),
}

/// A configuration, as all workers get it.
#[derive(Clone)]
pub(super) struct Renewal {
    pub(super) proxy: Arc<Settings>,
    pub(super) common: Common,
    pub(super) terms: Arc<Terms>,
}

/// A running worker.
pub(super) struct Worker {
    errands: mpsc::UnboundedSender<Errand>,
    stopped: oneshot::Receiver<()>,
}

struct Task {
    store: Store,
    current: Arc<ArcSwap<Generation>>,
    /// One shard sweeps for all.
    sweeps: Option<Depot>,
    ending: Ending,
    background: TaskTracker,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(index: usize, first: &Renewal, depot: &Depot, ending: &Ending) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (errands, todo) = mpsc::unbounded_channel();
        let (finished, stopped) = oneshot::channel();
        let (store, generation) = {
            let _inside = runtime.enter();
            let store = depot.open();
            let generation = first.generation(store.clone(), None);
            (store, generation)
        };
        let task = Task {
            store,
            current: Arc::new(ArcSwap::from_pointee(generation)),
            sweeps: (index == 0).then(|| depot.clone()),
            ending: ending.clone(),
            background: first.common.tasks.clone(),
        };
        thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            runtime.block_on(task.run(todo));
            let _ = finished.send(());
        })?;
        Ok(Self { errands, stopped })
    }

    /// Gives it a connection to serve.
    pub(super) fn hand(&self, accepted: Accepted, place: Place) {
        self.tell(Errand::Serve(accepted, place));
    }

    /// Gives it another configuration; resolves when requests that begin have it.
    pub(super) fn renew(&self, renewal: Renewal) -> oneshot::Receiver<()> {
        let (done, renewed) = oneshot::channel();
        self.tell(Errand::Renew(Box::new(renewal), done));
        renewed
    }

    /// No more connections will come; resolves when those that it has are done, or the time is up.
    pub(super) fn finish(self, limit: Duration) -> oneshot::Receiver<()> {
        self.tell(Errand::Finish(limit));
        self.stopped
    }

    fn tell(&self, errand: Errand) {
        if self.errands.send(errand).is_err() {
            warn!(target: "cloakroom::server", "a worker is gone; what it should do is left undone");
        }
    }
}

impl Renewal {
    fn generation(&self, store: Store, before: Option<&Shard>) -> Generation {
        let shard = Arc::new(Shard::new(&self.proxy, &self.common, store, before));
        Generation { shard, terms: Arc::clone(&self.terms) }
    }
}

impl Task {
    async fn run(self, mut todo: mpsc::UnboundedReceiver<Errand>) {
        let connections = TaskTracker::new();
        let (mut prune, mut sweep) = (interval(PRUNE), interval(SWEEP));
        let limit = loop {
            tokio::select! {
                errand = todo.recv() => match errand {
                    Some(Errand::Serve(accepted, place)) => {
                        let (current, ending) = (Arc::clone(&self.current), self.ending.clone());
                        connections.spawn(connection::serve(accepted, place, current, ending));
                    }
                    Some(Errand::Renew(renewal, done)) => {
                        let before = self.current.load();
                        self.current.store(Arc::new(renewal.generation(self.store.clone(), Some(&before.shard))));
                        let _ = done.send(());
                    }
                    Some(Errand::Finish(limit)) => break limit,
                    None => break Duration::ZERO,
                },
                _ = prune.tick() => self.current.load().shard.prune(),
                _ = sweep.tick(), if self.sweeps.is_some() => self.sweeps.iter().for_each(Depot::sweep),
            }
        };
        connections.close();
        self.background.close();
        let done = async {
            connections.wait().await;
            self.background.wait().await;
        };
        if timeout(limit, done).await.is_err() {
            warn!(target: "cloakroom::server", left = connections.len(), "drain.timeout has passed; the rest is cut off");
        }
    }
}
