//! How sessions look on a terminal. What applications have put into them may be meant for the terminal itself: no control
//! character passes.

use std::{
    fmt::Write,
    time::{Duration, UNIX_EPOCH},
};

use bytesize::ByteSize;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::Failure;

/// Stands above the rows.
pub(super) fn heading() -> String {
    columns(["HANDLE", "AGE", "IDLE", "ENDS", "SIZE", "VERSION", "SUBJECT"])
}

fn columns([handle, age, idle, ends, size, version, subject]: [&str; 7]) -> String {
    format!("{handle:<43} {age:>5} {idle:>5} {ends:>5} {size:>9} {version:>8}  {subject}")
}

/// A session as the admin listener describes it.
#[derive(Deserialize)]
pub(super) struct Session<'a> {
    handle: String,
    subject: Option<String>,
    version: u64,
    age: u64,
    idle: u64,
    created: u64,
    expires: u64,
    deadline: u64,
    persistent: bool,
    bytes: u64,
    cookies: u64,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Session<'a> {
    pub(super) fn read(json: &'a str) -> Result<Self, Failure> {
        super::ask::read(json)
    }

    /// The store's time when it was asked.
    fn now(&self) -> u64 {
        self.created.saturating_add(self.age)
    }

    fn ends_in(&self, end: u64) -> String {
        span(end.saturating_sub(self.now()))
    }
}

/// One line of a list.
pub(super) fn row(session: &Session<'_>) -> String {
    columns([
        &safe(&session.handle),
        &span(session.age),
        &span(session.idle),
        &session.ends_in(session.expires),
        &size(session.bytes),
        &session.version.to_string(),
        &safe(session.subject.as_deref().unwrap_or("-")),
    ])
}

/// Everything of one session.
pub(super) fn whole(session: &Session<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9} {value}");
    };
    line("handle", &safe(&session.handle));
    line("subject", &session.subject.as_deref().map_or_else(|| "none".to_owned(), safe));
    line("version", &session.version.to_string());
    line("created", &format!("{} ago, {}", span(session.age), moment(session.created)));
    line("last use", &format!("{} ago", span(session.idle)));
    line("ends", &format!("in {} unless it is used", session.ends_in(session.expires)));
    line("deadline", &format!("in {}, {}", session.ends_in(session.deadline), moment(session.deadline)));
    line("cookie", if session.persistent { "outlives the browser" } else { "ends with the browser" });
    line("vault", &format!("{} cookies of the application", session.cookies));
    line("size", &size(session.bytes));
    line("data", &session.data.map_or_else(|| "not shown; --data shows it".to_owned(), |data| safe(data.get())));
    text.truncate(text.trim_end().len());
    text
}

/// Text without what a terminal would obey, or what would reorder it. In JSON, where such characters stand in strings
/// only, it means the same as before.
pub(super) fn safe(text: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match is_unsafe(c) {
            true => drop(write!(safe, "\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
        safe
    })
}

/// The largest whole unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn moment(seconds: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_passes_and_json_means_the_same() {
        let hostile = "{\"a\u{1b}]0;x\u{7}\":\"\u{9b}31m\u{202e}\u{85}\u{7f}é😀\\u001b\"}";
        let harmless = safe(&hostile.replace(['\u{1b}', '\u{7}'], ""));
        assert!(!safe(hostile).chars().any(char::is_control), "{}", safe(hostile));
        assert!(!harmless.contains('\u{202e}') && harmless.contains("é😀"));
        let [before, after] = [&hostile.replace(['\u{1b}', '\u{7}'], ""), &harmless]
            .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn rows_stand_below_their_heading() {
        let json = format!(
            r#"{{"handle":"{}","subject":"ada","version":3,"age":7200,"idle":90,"created":1000,"changed":1,"expires":8300,
            "deadline":100000,"idle_timeout":1,"persistent":false,"bytes":2048,"cookies":0}}"#,
            "A".repeat(43)
        );
        let row = row(&Session::read(&json).unwrap());
        assert_eq!(row, format!("{}    2h    1m    1m   2.0 KiB        3  ada", "A".repeat(43)));
        assert_eq!(heading().find("SUBJECT"), row.find("ada"));
    }

    #[test]
    fn spans_are_whole_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(u64::MAX), "");
    }
}
