//! Where an application listens.

use std::{fmt, path::PathBuf};

use http::{HeaderValue, uri::Scheme};

/// One application server. Its text form is its name in logs, and stays the same as long as the configuration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// `http://host:port`
    Http {
        /// Host name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `https://host:port`
    Https {
        /// Host name or address, without brackets; what the certificate must be for.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

impl Server {
    /// What its own `Host` is; the scheme's usual port is left out.
    pub(super) fn authority(&self) -> HeaderValue {
        let text = match self {
            Self::Http { host, port: 80 } | Self::Https { host, port: 443 } => bracketed(host),
            Self::Http { host, port } | Self::Https { host, port } => format!("{}:{port}", bracketed(host)),
            Self::Unix(_) => "localhost".to_owned(),
        };
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Https { .. } => Scheme::HTTPS,
            Self::Http { .. } | Self::Unix(_) => Scheme::HTTP,
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, port } => write!(f, "http://{}:{port}", bracketed(host)),
            Self::Https { host, port } => write!(f, "https://{}:{port}", bracketed(host)),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_name_and_a_host_of_its_own() {
        let http = |host: &str, port| Server::Http { host: host.to_owned(), port };
        let https = |host: &str, port| Server::Https { host: host.to_owned(), port };
        for (server, name, host) in [
            (http("a.test", 80), "http://a.test:80", "a.test"),
            (http("a.test", 443), "http://a.test:443", "a.test:443"),
            (https("::1", 443), "https://[::1]:443", "[::1]"),
            (https("::1", 8443), "https://[::1]:8443", "[::1]:8443"),
            (Server::Unix("/run/app.sock".into()), "unix:/run/app.sock", "localhost"),
        ] {
            assert_eq!((server.to_string().as_str(), server.authority().to_str().unwrap()), (name, host));
        }
    }
}
