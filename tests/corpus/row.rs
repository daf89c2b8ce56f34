//! One row: bytes, and what must come of them.

/// What the application saw of one request, without the fields that the proxy adds to every request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    /// `POST /p HTTP/1.1`
    pub(crate) line: String,
    /// Names in lower case, sorted.
    pub(crate) fields: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<String>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

/// What the application may see of a row.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    Nothing,
    /// Nothing, or the beginning of a request on a connection that is then closed.
    Aborted,
    Exactly(Vec<Seen>),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Open,
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cites: &'static str,
    /// What a row calls `/p` is [`P`] here, and for every case a path with its number, such as `/p0000042`.
    pub(crate) send: Vec<u8>,
    /// The client says that it sends no more.
    pub(crate) half_closes: bool,
    pub(crate) answers: Vec<u16>,
    pub(crate) fate: Fate,
    pub(crate) upstream: Upstream,
}

/// The path that marks a case; its digits are the case's number.
pub(crate) const P: &str = "/p0000000";

fn with_marks(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|window| window == b"/p") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(P.as_bytes());
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    out
}

fn row(name: impl Into<String>, cites: &'static str, send: impl AsRef<[u8]>) -> Row {
    Row {
        name: name.into(),
        cites,
        send: with_marks(send.as_ref()),
        half_closes: false,
        answers: Vec::new(),
        fate: Fate::Closed,
        upstream: Upstream::Nothing,
    }
}

/// Answered with this status, closed, nothing at the application.
pub(crate) fn refused(status: u16, name: impl Into<String>, cites: &'static str, send: impl AsRef<[u8]>) -> Row {
    Row { answers: vec![status], ..row(name, cites, send) }
}

/// The same, but the head was sound: the application sees at most a request that breaks off.
pub(crate) fn aborted(status: u16, name: impl Into<String>, cites: &'static str, send: impl AsRef<[u8]>) -> Row {
    Row { answers: vec![status], upstream: Upstream::Aborted, ..row(name, cites, send) }
}

/// Answered by the application, which sees these; the connection goes on.
pub(crate) fn passed(name: impl Into<String>, cites: &'static str, send: impl AsRef<[u8]>, seen: Vec<Seen>) -> Row {
    let answers = vec![200; seen.len()];
    Row { answers, fate: Fate::Open, upstream: Upstream::Exactly(seen), ..row(name, cites, send) }
}

impl Row {
    pub(crate) fn answering(self, answers: &[u16]) -> Self {
        Self { answers: answers.to_vec(), ..self }
    }

    pub(crate) fn open(self) -> Self {
        Self { fate: Fate::Open, ..self }
    }

    pub(crate) fn closed(self) -> Self {
        Self { fate: Fate::Closed, ..self }
    }

    pub(crate) fn half_closing(self) -> Self {
        Self { half_closes: true, ..self }
    }

    pub(crate) fn at_application(self, seen: Vec<Seen>) -> Self {
        Self { upstream: Upstream::Exactly(seen), ..self }
    }
}

/// A request at the application: method and target, its fields, its body.
pub(crate) fn seen(request: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Seen {
    let mut fields: Vec<String> = fields.iter().map(|field| field.replace("/p", P)).collect();
    fields.sort();
    Seen {
        line: format!("{} HTTP/1.1", request.replace("/p", P)),
        fields,
        body: body.as_ref().to_vec(),
        trailers: Vec::new(),
        complete: true,
    }
}

impl Seen {
    pub(crate) fn trailed_by(self, trailers: &[&str]) -> Self {
        Self { trailers: trailers.iter().map(|field| (*field).to_owned()).collect(), ..self }
    }
}
