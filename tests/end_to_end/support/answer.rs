//! What the scripted upstream does with one request: how it reads the body, when it answers, what it answers.

use super::shared::Gate;

/// A response, built as a sentence: `Answer::ok().update(r#"{"a":1}"#).control("rotate").after(&gate)`.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Fields,
    pub(super) interim: Vec<(u16, Fields)>,
    pub(super) body: Content,
    pub(super) trailers: Fields,
    pub(super) gate: Option<Gate>,
    pub(super) reading: Reading,
    pub(super) secrets: Vec<Vec<u8>>,
}

pub(super) type Fields = Vec<(String, Vec<u8>)>;

/// What follows the head.
#[derive(Clone)]
pub(super) enum Content {
    /// With `Content-Length`.
    Fixed(Vec<u8>),
    /// Chunked.
    Pieces(Vec<Piece>),
    /// Chunked, so many bytes made up on the way.
    Generated(u64),
    /// Exactly these bytes instead of a response; then the connection is closed.
    Raw(Vec<u8>),
}

/// A part of a chunked body.
#[derive(Clone)]
pub(crate) enum Piece {
    Data(&'static str),
    Wait(Gate),
    /// Breaks the connection with a reset.
    Abort,
}

/// What becomes of the request's body.
#[derive(Clone)]
pub(super) enum Reading {
    Kept,
    /// Only counted; after so many bytes the reader stops at the gate.
    PausedAfter(u64, Gate),
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            interim: Vec::new(),
            body: Content::Fixed(b"ok".to_vec()),
            trailers: Vec::new(),
            gate: None,
            reading: Reading::Kept,
            secrets: Vec::new(),
        }
    }

    /// 200 with this update.
    pub(crate) fn updating(update: &str) -> Self {
        Self::ok().update(update)
    }

    /// 200 with this control.
    pub(crate) fn controlling(control: &str) -> Self {
        Self::ok().control(control)
    }

    /// Bytes that need not be HTTP, and the end of the connection.
    pub(crate) fn raw(bytes: &str) -> Self {
        Self { body: Content::Raw(bytes.as_bytes().to_vec()), ..Self::ok() }
    }

    /// Whether it breaks off before the end of its head, so that the request was not answered.
    pub(super) fn is_none(&self) -> bool {
        matches!(&self.body, Content::Raw(bytes) if !bytes.windows(4).any(|end| end == b"\r\n\r\n"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    /// A header whose value need not be UTF-8.
    pub(crate) fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// One `X-Session-Update` line; its value must never be seen by a client.
    pub(crate) fn update(self, text: &str) -> Self {
        self.secret(text).header("X-Session-Update", text)
    }

    /// One `X-Session-Control` line; its value must never be seen by a client.
    pub(crate) fn control(self, text: &str) -> Self {
        self.secret(text).header("X-Session-Control", text)
    }

    /// An informational response that goes first.
    pub(crate) fn interim(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        for (_, value) in headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("session")) {
            self = self.secret(value);
        }
        self.interim.push((status, fields(headers)));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Content::Fixed(body.as_bytes().to_vec());
        self
    }

    pub(crate) fn pieces(mut self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.body = Content::Pieces(pieces.into_iter().collect());
        self
    }

    pub(crate) fn generated(mut self, bytes: u64) -> Self {
        self.body = Content::Generated(bytes);
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        if name.to_ascii_lowercase().contains("session") {
            self = self.secret(value);
        }
        self.trailers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Answers only when the gate is released.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Reads so many bytes of the request's body, waits at the gate, then reads on. The body is only counted.
    pub(crate) fn reading_until(mut self, bytes: u64, gate: &Gate) -> Self {
        self.reading = Reading::PausedAfter(bytes, gate.clone());
        self
    }

    /// Short values such as `{}` and `destroy` are no secrets: they occur everywhere.
    fn secret(mut self, value: &str) -> Self {
        if value.len() > 10 {
            self.secrets.push(value.as_bytes().to_vec());
        }
        self
    }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}
