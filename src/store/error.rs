//! Why a store could not do what it was asked.

use std::{fmt, io};

/// The store could not do it. Never carries a value, a key or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// No answer within `store.timeout`.
    Timeout,
    /// The connection broke, or there is none.
    Disconnected,
    /// The server said no, with this code (`READONLY`, `OOM`, `LOADING` ...).
    Refused(String),
    /// The answer was not what the protocol says.
    Nonsense,
    /// `memory:` holds `store.max_sessions` sessions.
    Full,
    /// A record is sealed with a key that this process does not have.
    UnknownKey,
    /// A record cannot be sealed.
    Unsealed,
    /// The disk under `file:` failed, in this way.
    Disk(io::ErrorKind),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the store did not answer in time"),
            Self::Disconnected => f.write_str("the connection to the store broke"),
            Self::Refused(code) => write!(f, "the store refused with {code}"),
            Self::Nonsense => f.write_str("the store's answer makes no sense"),
            Self::Full => f.write_str("the store is full (store.max_sessions)"),
            Self::UnknownKey => f.write_str(
                "a record is sealed with a key that is not in keys.root (a root must stay listed as long as a session can live)",
            ),
            Self::Unsealed => f.write_str("a record cannot be sealed"),
            Self::Disk(kind) => write!(f, "the disk under the store failed: {kind}"),
        }
    }
}

impl std::error::Error for StoreError {}
