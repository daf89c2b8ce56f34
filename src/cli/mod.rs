//! What a person types. Arguments become settings, settings a running process, faults an exit code:
//! 0 done, 1 it could not run, 2 the command line is wrong, 69 a listener or store cannot be reached (`EX_UNAVAILABLE`), 77
//! the token is wrong (`EX_NOPERM`), 78 the configuration is wrong (`EX_CONFIG`), 130 or 143 it was ended by a second signal.

mod check;
pub mod demo;
mod desk;
mod keys;
mod lend;
mod manual;
mod run;
mod sessions;
mod showcase;

use std::{
    io::{Write, stderr, stdout},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{config, telemetry};

/// `EX_UNAVAILABLE`, `EX_NOPERM` and `EX_CONFIG` of sysexits.h.
const UNAVAILABLE: u8 = 69;
const NO_PERMISSION: u8 = 77;
const CONFIGURATION: u8 = 78;
/// Shells say so of a process that `SIGINT` ended.
const INTERRUPTED: u8 = 130;

/// A reverse proxy that adds sessions to services that have none.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Args)]
struct LogArguments {
    /// How log lines look: text on a terminal and JSON elsewhere, unless said otherwise
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "FORMAT")]
    log_format: telemetry::Format,
    /// What is logged, for example `info` or `info,cloakroom::store=debug`
    #[arg(long, global = true, env = "CLOAKROOM_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy. Flags override the file; no file is needed
    Run(run::RunArguments),
    /// Run a small built-in shop behind the proxy, to try in a browser
    Demo {
        /// Where the proxy listens
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Report every fault of a configuration; exit 0 or 78. With --connect also 1: something does not work
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Try the store, with keys that expire in seconds, and the upstreams as well
        #[arg(long)]
        connect: bool,
    },
    /// Look through sessions, end them, move them from store to store
    Sessions {
        #[command(subcommand)]
        command: sessions::SessionsCommand,
    },
    /// Make keys
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Print what a shell needs to complete this command line
    Completions {
        /// Which shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

impl Arguments {
    /// Does what was asked.
    pub fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run(arguments) => run::run(&arguments, &self.log),
            Command::Demo { listen } => showcase::show(listen, &self.log),
            Command::Check { config, connect } => {
                let reach = if connect { check::Reach::AndConnect } else { check::Reach::FileOnly };
                check::check(config.as_deref(), reach)
            }
            Command::Sessions { command } => sessions::sessions(&command),
            Command::Keys { command } => keys::keys(&command),
            Command::Completions { shell } => {
                manual::completions(shell);
                Ok(())
            }
            Command::Man => manual::manual(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                complain(&failure);
                ExitCode::from(failure.code())
            }
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration is wrong; every fault.
    Configuration(config::Faults),
    /// A flag or variable is wrong.
    Argument(String),
    /// It could not run.
    Run(String),
    /// What is to be asked cannot be reached, or its store cannot.
    Unavailable(String),
    /// Who is asked refuses.
    NoPermission(String),
    /// `SIGINT` came while requests were finishing.
    CutOff,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Argument(_) => CONFIGURATION,
            Self::Run(_) => 1,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::NoPermission(_) => NO_PERMISSION,
            Self::CutOff => INTERRUPTED,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configuration(faults) => faults.fmt(f),
            Self::Argument(problem) | Self::Run(problem) | Self::Unavailable(problem) | Self::NoPermission(problem) => {
                f.write_str(problem)
            }
            Self::CutOff => f.write_str("interrupted; the requests under way were cut off"),
        }
    }
}

impl From<config::Faults> for Failure {
    fn from(faults: config::Faults) -> Self {
        Self::Configuration(faults)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Standard output that has gone away is nobody's problem.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(stdout(), "{line}");
}

fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(stderr(), "{line}");
}
