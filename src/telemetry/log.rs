//! How logs look: to standard error, readable lines on a terminal and JSON elsewhere, written by a thread of its own.
//!
//! Only this program's own events are ever written. Libraries may put what they parse into theirs, and what they parse
//! is tickets and tokens.

use std::io::{IsTerminal, stderr};

use tracing::Metadata;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// Begins to log what `filter` (as in `info,cloakroom::store=debug`) lets through. Keep the guard to the end: dropping it
/// writes what is waiting.
///
/// # Errors
/// The filter is not one.
pub fn start(format: Format, filter: &str) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?}: {error}"))?;
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(stderr());
    let text = match format {
        Format::Text => true,
        Format::Json => false,
        Format::Auto => stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match text {
        true => lines.with_ansi(stderr().is_terminal()).boxed(),
        false => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter_fn(is_ours)).with_filter(filter))
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(guard)
}

fn is_ours(event: &Metadata<'_>) -> bool {
    event.target().split("::").next() == Some("cloakroom")
}
