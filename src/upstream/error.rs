//! Why there is no response.

use std::{error::Error, fmt, io};

/// Why there is no response.
#[derive(Debug)]
pub enum SendError {
    /// No connection could be made. Nothing was sent.
    Unreachable(io::Error),
    /// Every server fails its health checks. Nothing was sent.
    NoServer,
    /// All connections to the server are taken. Nothing was sent.
    NoSlot,
    /// No response head in time.
    Timeout,
    /// The application closed the connection, or what it sent is not HTTP.
    Failed(Breakdown),
    /// It is HTTP, but no answer that could be passed on.
    Unfit(&'static str),
    /// The browser did not send its request's body to the end.
    RequestBody,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "no connection to the application: {error}"),
            Self::NoServer => f.write_str("every server of the application fails its health checks"),
            Self::NoSlot => f.write_str("all connections to the application are taken (upstreams.*.max_connections)"),
            Self::Timeout => f.write_str("the application did not answer in time (upstreams.*.response_timeout)"),
            Self::Failed(error) => write!(f, "the application's answer: {error}"),
            Self::Unfit(problem) => write!(f, "the application's answer {problem}"),
            Self::RequestBody => f.write_str("the request's body broke off"),
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Failed(error) => Some(error),
            Self::NoServer | Self::NoSlot | Self::Timeout | Self::Unfit(_) | Self::RequestBody => None,
        }
    }
}

/// What ended an answer before its end.
#[derive(Debug)]
pub enum Breakdown {
    /// hyper says so, which carries requests with a body, and all on HTTP/2.
    Hyper(hyper::Error),
    /// The connection broke.
    Io(io::Error),
    /// The application closed the connection.
    Closed,
    /// What came is not HTTP.
    Malformed(httparse::Error),
    /// The head, or the trailers, are larger than `limits.response_header_bytes`.
    HeadTooLarge,
    /// What came is no chunked body.
    Chunks,
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hyper(error) => match error.source() {
                Some(source) => write!(f, "{error}: {source}"),
                None => write!(f, "{error}"),
            },
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Closed => f.write_str("connection closed before message completed"),
            Self::Malformed(error) => write!(f, "no HTTP: {error}"),
            Self::HeadTooLarge => f.write_str("message head is too large (limits.response_header_bytes)"),
            Self::Chunks => f.write_str("invalid chunked body"),
        }
    }
}

impl Error for Breakdown {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Hyper(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Malformed(error) => Some(error),
            Self::Closed | Self::HeadTooLarge | Self::Chunks => None,
        }
    }
}

impl From<hyper::Error> for Breakdown {
    fn from(error: hyper::Error) -> Self {
        Self::Hyper(error)
    }
}
