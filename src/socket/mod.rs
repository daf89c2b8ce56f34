//! Where a process listens and what it accepts there: TCP, or a Unix socket.
//!
//! Both look alike to whoever serves them. A listener owns the file of its Unix socket: one that a dead process left is
//! replaced, one that somebody listens on is not, and ours is gone when the listener is. What is spoken on a socket is
//! nobody's business here.

pub mod draft;
mod listener;
pub mod row;
pub mod scratch;
mod stream;

use std::{fmt, net::SocketAddr, path::PathBuf};

pub use listener::{Access, BindError, Listener};
pub use stream::{Accepted, Quiet, Socket};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A file.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
