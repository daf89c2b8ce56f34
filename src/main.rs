//! Arguments → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// A request allocates some twenty times. Measured in `docs/performance.md` against the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cloakroom::cli::Arguments::parse().execute()
}
