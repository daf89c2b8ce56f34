//! Where a Redis server is and who we are there: what `store.url` says, and what `store.password` and `store.tls` add.
//!
//! redis-rs reads the URL. What it would let pass and we do not want (an unverified certificate, another protocol, an
//! option that it does not know) is refused here. Prints no password.

use std::{fmt, path::PathBuf};

use redis::{ConnectionAddr, IntoConnectionInfo};
use zeroize::Zeroizing;

use crate::tls::{Client, Trust};

/// How to reach one Redis or Valkey server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) place: Place,
    /// `rediss://`: how TLS is spoken.
    pub(super) tls: Option<Client>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Password>,
    pub(super) database: i64,
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A password. Prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password in.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Why something is no URL of a Redis server, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong.
    pub problem: &'static str,
    /// What to write instead.
    pub cure: &'static str,
}

const TCP: &str = "write \"redis://[user:password@]host:port/db\" (rediss:// for TLS), with %40 for an @ and the like \
                   in the password, or store.password";
const UNIX: &str = "write \"redis+unix:///path/to/redis.sock?db=0\", where user=... and pass=... may follow";

impl Target {
    /// Reads `redis://`, `rediss://` or `redis+unix://`; `None` if the URL is of another kind.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn parse(url: &str) -> Option<Result<Self, Unfit>> {
        let (scheme, rest) = url.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "redis" => Some(Self::tcp(rest, None)),
            "rediss" => Some(Self::tcp(rest, Some(Client { trust: Trust::System, identity: None }))),
            "redis+unix" => Some(Self::unix(rest)),
            _ => None,
        }
    }

    fn tcp(rest: &str, tls: Option<Client>) -> Result<Self, Unfit> {
        let url = redis::parse_redis_url(&format!("redis://{rest}"));
        let url = url.ok_or(Unfit { problem: "is not a Redis URL", cure: TCP })?;
        if url.query().is_some() || url.fragment().is_some() {
            let problem = "has something after the database that Cloakroom does not know";
            return Err(Unfit { problem, cure: "remove what begins with ? or #" });
        }
        Self::read(url, tls, TCP)
    }

    fn unix(rest: &str) -> Result<Self, Unfit> {
        let url = redis::parse_redis_url(&format!("redis+unix://{rest}"));
        let url = url.ok_or(Unfit { problem: "is not the URL of a Unix socket", cure: UNIX })?;
        let mut keys: Vec<_> = url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        keys.sort_unstable();
        let known = keys.iter().all(|key| ["db", "user", "pass"].contains(&key.as_str()));
        let once = keys.windows(2).all(|pair| pair[0] != pair[1]);
        if url.fragment().is_some() || !known || !once {
            return Err(Unfit { problem: "has something behind the path that Cloakroom does not know", cure: UNIX });
        }
        if url.host_str().is_some_and(|host| !host.is_empty()) || url.path().len() < 2 {
            return Err(Unfit { problem: "names no path that begins with a slash", cure: UNIX });
        }
        Self::read(url, None, UNIX)
    }

    fn read(url: impl IntoConnectionInfo, tls: Option<Client>, cure: &'static str) -> Result<Self, Unfit> {
        let unfit = Unfit { problem: "is not a Redis URL", cure };
        let info = url.into_connection_info().map_err(|_| unfit)?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp { host: host.clone(), port: *port },
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(unfit),
        };
        let (database, settings) = (info.redis_settings().db(), info.redis_settings());
        if database < 0 {
            return Err(Unfit { problem: "names a database below 0", cure });
        }
        let user = settings.username().map(str::to_owned);
        let password = settings.password().map(|password| Password::new(password.to_owned()));
        Ok(Self { place, tls, user, password, database })
    }

    /// Whether TLS is spoken with it.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a password is known.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether it names a user of whom no password is known.
    pub fn lacks_password(&self) -> bool {
        self.user.is_some() && self.password.is_none()
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(self, password: Password) -> Self {
        Self { password: Some(password), ..self }
    }

    /// The same with TLS spoken like this.
    #[must_use]
    pub fn with_tls(self, tls: Client) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, user: Option<&str>, password: Option<&str>, database: i64) -> Target {
        Target {
            place: Place::Tcp { host: host.to_owned(), port },
            tls: None,
            user: user.map(str::to_owned),
            password: password.map(|password| Password::new(password.to_owned())),
            database,
        }
    }

    #[test]
    fn a_url_says_where_the_server_is_and_who_we_are() {
        let unix = |user, password, database| Target {
            place: Place::Unix("/run/redis/redis.sock".into()),
            ..tcp("", 0, user, password, database)
        };
        for (url, target) in [
            ("redis://h", tcp("h", 6379, None, None, 0)),
            ("REDIS://h:7000/", tcp("h", 7000, None, None, 0)),
            ("redis://127.0.0.1:7000/15", tcp("127.0.0.1", 7000, None, None, 15)),
            ("redis://[::1]:7000/0", tcp("::1", 7000, None, None, 0)),
            ("redis://:s3cret@h/1", tcp("h", 6379, None, Some("s3cret"), 1)),
            ("redis://ada:s3cret@h", tcp("h", 6379, Some("ada"), Some("s3cret"), 0)),
            ("redis://ad%20a:s%40c%3Ar%2Fe%25t@h", tcp("h", 6379, Some("ad a"), Some("s@c:r/e%t"), 0)),
            ("redis://ada@h", tcp("h", 6379, Some("ada"), None, 0)),
            ("redis+unix:///run/redis/redis.sock", unix(None, None, 0)),
            ("redis+unix:///run/redis/redis.sock?db=3", unix(None, None, 3)),
            ("redis+unix:///run/redis/redis.sock?user=ada&pass=s%26t&db=3", unix(Some("ada"), Some("s&t"), 3)),
        ] {
            assert_eq!(Target::parse(url), Some(Ok(target)), "{url}");
        }
        let encrypted = Target::parse("rediss://ada:s3cret@h:7000/2").unwrap().unwrap();
        assert!(encrypted.is_encrypted());
        assert_eq!(Target { tls: None, ..encrypted }, tcp("h", 7000, Some("ada"), Some("s3cret"), 2));
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for url in [
            "redis://",
            "redis:///0",
            "redis://h:x",
            "redis://h/x",
            "redis://h/-1",
            "redis://h/0/1",
            "redis://h/0?protocol=resp3",
            "redis://h/0#insecure",
            "rediss://h/0#insecure",
            "rediss://h/#",
            "redis://%ff@h",
            "redis://0.0.0.0",
            "redis+unix://",
            "redis+unix:///",
            "redis+unix://relative/redis.sock",
            "redis+unix:///redis.sock?db=x",
            "redis+unix:///redis.sock?db=1&db=2",
            "redis+unix:///redis.sock?password=x",
            "redis+unix:///redis.sock?db=-1",
            "redis+unix:///redis.sock#0",
        ] {
            assert!(matches!(Target::parse(url), Some(Err(_))), "{url}: {:?}", Target::parse(url));
        }
        for url in ["", "redis:", "redis:h", "http://h", "valkey://h", "redis+cluster://h", "redis+sentinel://h/m"] {
            assert_eq!(Target::parse(url), None, "{url}");
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let target = Target::parse("redis://ada:s3cret@h").unwrap().unwrap();
        assert!(!format!("{target:?}").contains("s3cret"));
        let target = target.with_password(Password::new("other".to_owned()));
        assert!(!format!("{target:?}").contains("other"));
    }
}
