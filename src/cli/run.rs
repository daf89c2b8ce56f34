//! `cloakroom run`: settings → listeners → server, until a signal says stop.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{Failure, LogArguments, environment};
use crate::{
    config::{self, Loaded, Overrides},
    server::{self, Listeners},
    telemetry,
};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the application listens, for example http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where the proxy listens, for example 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where sessions are kept: memory:, file:PATH or redis://host:port/db
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

pub(super) fn run(arguments: &RunArguments, log: &LogArguments) -> Result<(), Failure> {
    let overrides = Overrides {
        upstream: arguments.upstream.clone(),
        listen: arguments.listen.clone(),
        store: arguments.store.clone(),
    };
    let loaded = config::load(arguments.config.as_deref(), &overrides, &environment)?;
    let _log = telemetry::start(log.log_format, &log.log).map_err(Failure::Argument)?;
    runtime()?.block_on(async {
        for warning in &loaded.warnings {
            warn!(target: "cloakroom::config", "{warning}");
        }
        let (listeners, stop) = begin(&loaded).await?;
        serve(listeners, &loaded, stop).await
    })
}

/// The front desk's runtime: accepts, signals, admin and application listeners.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Run(format!("cannot start: {error}")))
}

/// Binds the listeners and begins to wait for signals.
pub(super) async fn begin(loaded: &Loaded) -> Result<(Listeners, impl Future<Output = ()> + use<>), Failure> {
    server::raise_file_limit();
    let listeners = Listeners::bind(&loaded.server).await.map_err(|error| Failure::Run(error.to_string()))?;
    let stop = stop_signal().map_err(|error| Failure::Run(format!("cannot wait for signals: {error}")))?;
    for address in listeners.addresses() {
        info!(target: "cloakroom::server", %address, "listening");
    }
    Ok((listeners, stop))
}

pub(super) async fn serve(
    listeners: Listeners,
    loaded: &Loaded,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let served = server::run(listeners, &loaded.proxy, &loaded.server, stop).await;
    served.map_err(|error| Failure::Run(error.to_string()))
}

/// `SIGXFSZ`: a file may not grow beyond the limit of this process.
const FILE_LIMIT: i32 = 25;

/// Resolves at the first `SIGTERM` or `SIGINT`. `SIGHUP` ends nothing: the configuration is read at start only.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + use<>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // The write that meets the limit fails, which the store can bear; the signal would end the process.
    let file_limit = signal(SignalKind::from_raw(FILE_LIMIT))?;
    Ok(async move {
        let _file_limit = file_limit;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => {
                    warn!(target: "cloakroom::server", "SIGHUP: this version reads its configuration at start only; restart it");
                }
            }
        }
    })
}
