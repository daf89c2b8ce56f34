//! How logs look: to standard error, readable lines on a terminal and JSON elsewhere, written by a thread of its own.
//!
//! Only this program's own events are ever written. Libraries may put what they parse into theirs, and what they parse
//! is tickets and tokens. An event is one line, whatever is in its fields: control characters are written as escapes, so
//! that nobody who chooses a path or an error message can add a line or speak to the terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, stderr},
};

use tracing::{Metadata, Subscriber, field::Field};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt,
    filter::filter_fn,
    fmt::{
        MakeWriter,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

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
    let colours = stderr().is_terminal();
    let lines = match (format, colours) {
        (Format::Text, _) | (Format::Auto, true) => text(writer, colours),
        (Format::Json, _) | (Format::Auto, false) => json(writer),
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

type Lines<S> = Box<dyn Layer<S> + Send + Sync>;

fn text<S, W>(writer: W, colours: bool) -> Lines<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let fields = debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        if field.name() != "message" {
            write!(writer, "{}=", field.name())?;
        }
        write!(Escaped(writer), "{value:?}")
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    lines.fmt_fields(fields.delimited(" ")).boxed()
}

fn json<S, W>(writer: W) -> Lines<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(Tame(writer)).json().flatten_event(true).boxed()
}

/// Writes control characters as escapes.
struct Escaped<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            let (plain, control) = rest.split_at(at);
            let width = control.chars().next().map_or(0, char::len_utf8);
            self.0.write_str(plain)?;
            write!(self.0, "{}", control[..width].escape_default())?;
            rest = &control[width..];
        }
        self.0.write_str(rest)
    }
}

/// Makes writers of JSON lines. JSON escapes the old control characters, but not those of Unicode beyond ASCII, nor DEL.
struct Tame<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Tame<W> {
    type Writer = TameWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        TameWriter(self.0.make_writer())
    }
}

/// Writes whole lines.
struct TameWriter<W>(W);

impl<W: io::Write> io::Write for TameWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_wild = |c: char| c.is_control() && c != '\n';
        match std::str::from_utf8(line) {
            Ok(text) if text.contains(is_wild) => {
                let tame = text.chars().fold(String::with_capacity(text.len() + 16), |mut tame, c| {
                    let _ = match is_wild(c) {
                        true => write!(tame, "\\u{:04x}", u32::from(c)),
                        false => tame.write_char(c),
                    };
                    tame
                });
                self.0.write_all(tame.as_bytes())?;
            }
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{error, info, subscriber::with_default};
    use tracing_subscriber::registry;

    use super::*;

    /// All that is no letter: line ends, terminal controls of old and new, bidirectional marks stay.
    const HOSTILE: &str =
        "a\r\n2026-01-01 ERROR forged\n\x1b[31mred\x1b]0;title\x07\u{9b}2J\u{85}\u{7f}\0\t\"\\ü\u{2028}z";

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of events that say the worst in every way in which a field can be given.
    fn written(lines: impl FnOnce(Paper) -> Lines<registry::Registry>) -> String {
        let paper = Paper::default();
        with_default(registry().with(lines(paper.clone())), || {
            info!(target: "cloakroom::access", path = %HOSTILE, method = HOSTILE, debugged = ?HOSTILE, number = 7, "request");
            error!(target: "cloakroom::proxy", reason = %io::Error::other(HOSTILE), "{HOSTILE}");
            info!(error = &io::Error::other(HOSTILE) as &(dyn std::error::Error + 'static), "the end");
        });
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn plain(line: &str) -> bool {
        !line.chars().any(char::is_control)
    }

    fn on_paper(paper: &Paper) -> impl Fn() -> Paper + Send + Sync + 'static {
        let paper = paper.clone();
        move || paper.clone()
    }

    #[test]
    fn an_event_is_one_plain_line_of_text() {
        let text = written(|paper| text(on_paper(&paper), false));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 3 && lines.iter().all(|line| plain(line)), "{text:?}");
        assert!(lines[0].contains(r"path=a\r\n2026-01-01 ERROR forged\n\u{1b}[31mred"), "{text}");
        assert!(lines[0].contains(r"\u{9b}2J\u{85}\u{7f}") && lines[0].ends_with("number=7"), "{text}");
        assert!(lines[0].contains("cloakroom::access: request path="), "{text}");
    }

    /// The colours of a terminal are ours, and nobody else's.
    #[test]
    fn on_a_terminal_only_the_frame_of_a_line_is_coloured() {
        let text = written(|paper| text(on_paper(&paper), true));
        assert!(text.lines().count() == 3 && text.contains("\x1b["), "{text:?}");
        for line in text.lines() {
            let (_, fields) = line.split_once("cloakroom").expect("a target");
            assert!(!fields.contains("\x1b[31m") && !fields.contains(['\u{9b}', '\u{85}', '\x07', '\r']), "{line:?}");
        }
    }

    #[test]
    fn an_event_is_one_plain_line_of_json_that_says_what_was_said() {
        let text = written(|paper| json(on_paper(&paper)));
        assert!(text.lines().count() == 3 && text.lines().all(plain), "{text:?}");
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&events[0]["path"], &events[0]["method"]), (&HOSTILE.into(), &HOSTILE.into()));
        assert_eq!((&events[1]["reason"], &events[1]["message"]), (&HOSTILE.into(), &HOSTILE.into()));
        assert_eq!(events[0]["level"], "INFO");
    }
}
