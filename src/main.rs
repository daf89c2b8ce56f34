//! Arguments → command → exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cloakroom::cli::Arguments::parse().execute()
}
