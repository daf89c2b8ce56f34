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
    Failed(hyper::Error),
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
            Self::Failed(error) => match error.source() {
                Some(source) => write!(f, "the application's answer: {error}: {source}"),
                None => write!(f, "the application's answer: {error}"),
            },
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
