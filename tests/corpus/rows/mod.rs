//! The rows, by topic.

mod chunks;
mod cookies;
mod fields;
mod framing;
mod hosts;
mod lines;
mod pipelines;
mod targets;

use crate::row::Row;

/// A request head without its last line.
const GET: &str = "GET /p HTTP/1.1\r\nHost: a\r\n";
const POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\n";

/// All of them.
pub(crate) fn rows() -> Vec<Row> {
    [
        framing::rows(),
        chunks::rows(),
        lines::rows(),
        fields::rows(),
        hosts::rows(),
        targets::rows(),
        pipelines::rows(),
        cookies::rows(),
    ]
    .concat()
}

/// Bytes as a name, short.
fn shown(bytes: impl AsRef<[u8]>) -> String {
    let text = bytes.as_ref().escape_ascii().to_string();
    if text.len() <= 60 { text } else { format!("{}… ({} bytes)", &text[..40], bytes.as_ref().len()) }
}

/// Pieces, one after another.
fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}
