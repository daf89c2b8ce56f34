//! `cloakroom sessions`: everything that a store holds, into a file and out of it again. Both commands go to the store
//! directly, by the configuration of the proxies that use it, and need no proxy that runs. The other ones, in `desk`, ask one
//! that does.

mod export;
mod import;
mod lines;
mod output;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;

use super::{
    Failure,
    desk::{DeskCommand, operate},
    environment,
    run::runtime,
};
use crate::{
    config::{self, Overrides},
    session::Policy,
    store::{Depot, Kind, Settings, Store},
};

/// How long one round trip may take here: whole pages travel, and nobody waits for a page to load.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the number of sessions is told.
const PROGRESS: u64 = 100_000;

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    #[command(flatten)]
    Desk(DeskCommand),
    /// Write every session of a store to a file: a backup, or the way to another store. Exit 0 if all of it was written
    Export {
        /// The configuration of the proxies that use the store
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The file, made with mode 0600; standard output without it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace the file if it is there
        #[arg(long, requires = "output")]
        force: bool,
    },
    /// Bring exported sessions into a store. Exit 0 if all of them are there or have ended
    Import {
        /// The configuration of the proxies that will use the store
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Put what is newer in the file in the place of what is older in the store
        #[arg(long)]
        replace: bool,
        /// The file; standard input without it
        #[arg(value_name = "FILE")]
        input: Option<PathBuf>,
    },
}

pub(super) fn sessions(command: &SessionsCommand) -> Result<(), Failure> {
    match command {
        SessionsCommand::Desk(command) => operate(command),
        SessionsCommand::Export { config, output, force } => {
            let existing = if *force { output::Existing::Replace } else { output::Existing::Keep };
            runtime()?.block_on(async {
                let (depot, store, _) = opened(config.as_deref(), Absent::IsWrong).await?;
                let done = export::export(&store, output.as_deref(), existing).await;
                depot.close().await;
                done
            })
        }
        SessionsCommand::Import { config, replace, input } => {
            let older = if *replace { import::Older::Replace } else { import::Older::Keep };
            runtime()?.block_on(async {
                let (depot, store, policy) = opened(config.as_deref(), Absent::IsMade).await?;
                let done = import::import(&store, &policy, input.as_deref(), older).await;
                depot.close().await;
                done
            })
        }
    }
}

/// What a store in a file is that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsWrong,
    IsMade,
}

/// The store of a configuration, which answers and has told its time, and the rules of its sessions.
async fn opened(file: Option<&Path>, absent: Absent) -> Result<(Depot, Store, Policy), Failure> {
    let loaded = config::load(file, &Overrides::default(), &environment)?;
    let settings = loaded.proxy.store;
    if matches!(settings.kind, Kind::Memory { .. }) {
        let problem = "store.url is memory:, whose sessions are in the process of the proxy and nowhere else; \
                       name a store that outlives it";
        return Err(Failure::Run(problem.to_owned()));
    }
    if let (Kind::File { path }, Absent::IsWrong) = (&settings.kind, absent)
        && !path.exists()
    {
        return Err(Failure::Run(format!("there is no such file: {}; correct store.url", path.display())));
    }
    let settings = Settings { timeout: settings.timeout.max(PATIENCE), ..settings };
    let depot = Depot::new(&settings).map_err(Failure::Run)?;
    let unreachable = |reason| Failure::Run(format!("the store cannot be reached: {reason}"));
    depot.reach().await.map_err(unreachable)?;
    let store = depot.open();
    store.learn_time().await.map_err(|error| Failure::Run(error.to_string()))?;
    Ok((depot, store, loaded.proxy.policy))
}

/// `1 session`, `2 sessions`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
