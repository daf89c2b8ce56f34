//! `cloakroom run`: settings → listeners → server, until a signal says stop (at once if
//! somebody at the terminal says so again); the settings anew when one says so.

use std::{fmt::Display, path::PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::{Failure, LogArguments, environment, lend::Lent};
use crate::{
    config::{self, Faults, Loaded, MadeUp, Overrides},
    server::{self, Listeners, ServeError, Server},
    socket::Address,
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

/// Where a configuration comes from, so that it can be read again.
struct Origin {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl Origin {
    fn read(&self, made_up: MadeUp) -> Result<Loaded, Faults> {
        config::load_again(self.file.as_deref(), &self.overrides, &environment, made_up)
    }
}

pub(super) fn run(arguments: &RunArguments, log: &LogArguments) -> Result<(), Failure> {
    let overrides = Overrides {
        upstream: arguments.upstream.clone(),
        listen: arguments.listen.clone(),
        store: arguments.store.clone(),
    };
    let origin = Origin { file: arguments.config.clone(), overrides };
    let mut loaded = origin.read(MadeUp::default())?;
    let _log = telemetry::start(log.log_format, &log.log).map_err(Failure::Argument)?;
    front_desk(async {
        warn_of(&loaded);
        let mut lent = Lent::default();
        lent.to(&mut loaded);
        let mut made_up = loaded.made_up.clone();
        let (mut server, _, mut orders) = begin(loaded).await?;
        while let Order::Renew = orders.next().await {
            info!(target: "cloakroom::config", "reading the configuration again (SIGHUP)");
            match origin.read(made_up.clone()) {
                Ok(mut loaded) => {
                    lent.to(&mut loaded);
                    made_up = loaded.made_up.clone();
                    renew(&mut server, loaded).await;
                }
                Err(faults) => refuse(faults.iter()),
            }
        }
        end(server, &mut orders).await
    })
}

fn warn_of(loaded: &Loaded) {
    for warning in &loaded.warnings {
        warn!(target: "cloakroom::config", "{warning}");
    }
}

async fn renew(server: &mut Server, loaded: Loaded) {
    warn_of(&loaded);
    match server.renew(loaded.proxy, loaded.server).await {
        Ok(()) => info!(target: "cloakroom::config", "the new configuration is at work"),
        Err(error) => refuse([error]),
    }
}

/// Says everything that is wrong with a configuration that is not taken.
fn refuse(faults: impl IntoIterator<Item: Display>) {
    for fault in faults {
        error!(target: "cloakroom::config", "{fault}");
    }
    error!(target: "cloakroom::config", "the old configuration stays");
}

/// Does this on the front desk's runtime, and waits for nothing beyond it.
pub(super) fn front_desk(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// The front desk's runtime: accepts, signals, admin and application listeners.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Run(format!("cannot start: {error}")))
}

/// Binds the listeners, begins to wait for signals and serves.
pub(super) async fn begin(loaded: Loaded) -> Result<(Server, Vec<Address>, Orders), Failure> {
    server::raise_file_limit();
    let cannot_serve = |error: ServeError| Failure::Run(error.to_string());
    let orders = Orders::new().map_err(|error| Failure::Run(format!("cannot wait for signals: {error}")))?;
    let listeners = Listeners::bind(&loaded.server).await.map_err(cannot_serve)?;
    let addresses = listeners.addresses();
    for address in &addresses {
        info!(target: "cloakroom::server", %address, "listening");
    }
    let server = Server::start(listeners, loaded.proxy, loaded.server).map_err(cannot_serve)?;
    Ok((server, addresses, orders))
}

/// Ends in order, or at once when somebody at the terminal loses patience.
pub(super) async fn end(server: Server, orders: &mut Orders) -> Result<(), Failure> {
    tokio::select! {
        () = server.drain() => Ok(()),
        () = orders.interrupted() => Err(Failure::CutOff),
    }
}

/// What somebody wants of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `SIGHUP`
    Renew,
    /// `SIGTERM` or `SIGINT`
    End,
}

/// `SIGXFSZ`: a file may not grow beyond the limit of this process.
const FILE_LIMIT: i32 = 25;

/// Signals, as they come.
pub(super) struct Orders {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// The write that meets the limit fails, which the store can bear; the signal would end the process.
    _file_limit: Signal,
}

impl Orders {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _file_limit: signal(SignalKind::from_raw(FILE_LIMIT))?,
        })
    }

    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hang_up.recv() => Order::Renew,
        }
    }

    /// Only `SIGINT`: whoever supervises a process sends its `SIGTERM` again without meaning more by it.
    async fn interrupted(&mut self) {
        self.interrupt.recv().await;
    }
}
