//! A worker: one thread, one current-thread runtime, one shard of the proxy.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{Accepted, Limits, Settings, connection};
use crate::{
    proxy::{self, Common, Shard},
    store::Depot,
};

/// How often idle upstream connections are looked over.
const PRUNE: Duration = Duration::from_secs(5);
/// How often some of what has expired is swept out of the store.
const SWEEP: Duration = Duration::from_millis(100);

/// A running worker.
pub(super) struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    stopped: oneshot::Receiver<()>,
}

struct Task {
    shard: Arc<Shard>,
    /// One shard sweeps for all.
    sweeps: Option<Depot>,
    limits: Limits,
    drain_timeout: Duration,
    background: TaskTracker,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(
        index: usize,
        proxy: &proxy::Settings,
        common: &Common,
        depot: &Depot,
        settings: &Settings,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (connections, accepted) = mpsc::unbounded_channel();
        let (finished, stopped) = oneshot::channel();
        let store = {
            let _inside = runtime.enter();
            depot.open()
        };
        let task = Task {
            shard: Arc::new(Shard::new(proxy, common, store)),
            sweeps: (index == 0).then(|| depot.clone()),
            limits: settings.limits.clone(),
            drain_timeout: settings.drain.timeout,
            background: common.tasks.clone(),
        };
        thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            runtime.block_on(task.run(accepted));
            let _ = finished.send(());
        })?;
        Ok(Self { connections, stopped })
    }

    /// Gives it a connection to serve.
    pub(super) fn hand(&self, connection: Accepted) {
        if self.connections.send(connection).is_err() {
            warn!(target: "cloakroom::server", "a worker is gone; its connection is dropped");
        }
    }

    /// No more connections will come; resolves when those that it has are done, or their time is up.
    pub(super) fn stop(self) -> oneshot::Receiver<()> {
        self.stopped
    }
}

impl Task {
    async fn run(self, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
        let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
        let (mut prune, mut sweep) = (interval(PRUNE), interval(SWEEP));
        loop {
            tokio::select! {
                next = accepted.recv() => {
                    let Some(accepted) = next else { break };
                    let serving = connection::serve(accepted, Arc::clone(&self.shard), self.limits.clone(), stop.clone());
                    connections.spawn(serving);
                }
                _ = prune.tick() => self.shard.prune(),
                _ = sweep.tick(), if self.sweeps.is_some() => self.sweeps.iter().for_each(Depot::sweep),
            }
        }
        stop.cancel();
        connections.close();
        self.background.close();
        let done = async {
            connections.wait().await;
            self.background.wait().await;
        };
        if timeout(self.drain_timeout, done).await.is_err() {
            warn!(target: "cloakroom::server", left = connections.len(), "drain.timeout has passed; the rest is cut off");
        }
    }
}
