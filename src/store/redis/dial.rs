//! The way to the server, from its name to a connection that has been let in: look-up, socket, TLS, log-in, database.
//!
//! What fails says which setting to look at, in our own words: a server's may repeat what it was sent.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{Cmd, ServerError, Value};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    reason,
    talk::Expected,
    target::{Password, Place, Target},
    wire::Wire,
};

/// A name may take longer to look up than a connection to make: resolvers ask again after seconds.
const LOOK_UP: Duration = Duration::from_secs(10);
/// What the server shows for us in `CLIENT LIST`.
const NAME: &str = "cloakroom";

/// Says why a command that was refused means that the connection is of no use, if it does.
type Judge = fn(&ServerError) -> Option<String>;

/// Makes connections to one server.
pub(in crate::store) struct Dialer {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    patience: Duration,
    /// How often a server turned out to be the wrong one.
    turns: AtomicUsize,
}

impl Dialer {
    /// Prepares to connect, each time within `patience`.
    ///
    /// # Errors
    /// TLS cannot be spoken like this.
    pub(in crate::store) fn new(target: Target, patience: Duration) -> Result<Self, String> {
        let tls = match (&target.tls, &target.place) {
            (Some(client), Place::Tcp { host, .. }) => {
                let configuration = client.configuration(&[]).map_err(|error| format!("store.tls: {error}"))?;
                let name = ServerName::try_from(host.clone());
                let name =
                    name.map_err(|_| "store.url: the host is no name that a certificate could have".to_owned())?;
                Some((TlsConnector::from(configuration), name))
            }
            (Some(_), Place::Unix(_)) | (None, _) => None,
        };
        Ok(Self { target, tls, patience, turns: AtomicUsize::new(0) })
    }

    /// Connects. A name is looked up before the connection's time begins to count, and not given up half-way: an
    /// abandoned look-up would go on in a thread of its own, and the next one beside it.
    ///
    /// # Errors
    /// What failed, and which setting to look at.
    pub(in crate::store) async fn dial(&self) -> Result<Wire, String> {
        match &self.target.place {
            Place::Unix(path) => {
                self.in_time(async { self.greet(UnixStream::connect(path).await.map_err(reason::unreachable)?).await })
                    .await
            }
            Place::Tcp { host, port } => {
                let mut addresses = look_up(host, *port).await?;
                let turns = self.turns.load(Ordering::Relaxed) % addresses.len().max(1);
                addresses.rotate_left(turns);
                self.in_time(async {
                    let stream = self.connect(&addresses).await?;
                    match &self.tls {
                        None => self.greet(stream).await,
                        Some((connector, name)) => {
                            self.greet(connector.connect(name.clone(), stream).await.map_err(reason::unencrypted)?)
                                .await
                        }
                    }
                })
                .await
            }
        }
    }

    /// The server behind the first address is the wrong one: the next connection begins with another address, if the
    /// name has several.
    pub(in crate::store) fn turn_elsewhere(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    async fn in_time(&self, work: impl Future<Output = Result<Wire, String>>) -> Result<Wire, String> {
        timeout(self.patience, work).await.unwrap_or_else(|_| Err(reason::silent(self.tls.is_some())))
    }

    /// Tries the addresses of a name one after the other; each gets its share of the time.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, String> {
        let mut failure = "the store's name has no address".to_owned();
        let end = Instant::now() + self.patience;
        for (tried, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / left;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return settle(stream).map_err(reason::unreachable),
                Ok(Err(error)) => failure = reason::unreachable(error),
                Err(_) => failure = reason::SILENT.to_owned(),
            }
        }
        Err(failure)
    }

    /// Logs in, chooses the database and gives the connection a name: one round trip.
    async fn greet<S>(&self, stream: S) -> Result<Wire, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (greeting, judges) = self.greeting();
        let expected = Expected { replies: greeting.len(), bytes: 0, deadline: Instant::now() + self.patience };
        let opened = Wire::open(stream, &greeting, expected).await;
        let (wire, replies) = opened.map_err(|end| reason::speechless(&end))?;
        let replies = replies.map_err(|_| reason::silent(self.tls.is_some()))?;
        let failure = replies.iter().zip(judges).find_map(|(reply, judge)| match reply {
            Value::ServerError(error) => judge(error),
            _ => None,
        });
        failure.map_or(Ok(wire), Err)
    }

    /// What to begin with, and what a refusal of each means.
    fn greeting(&self) -> (Vec<Cmd>, Vec<Judge>) {
        let mut greeting: Vec<(Cmd, Judge)> = Vec::new();
        if let Some(password) = &self.target.password {
            let command = log_in(self.target.user.as_deref(), password);
            greeting.push((command, |error| Some(reason::not_let_in(error))));
        }
        if self.target.database != 0 {
            let mut command = redis::cmd("SELECT");
            command.arg(self.target.database);
            greeting.push((command, |error| Some(reason::no_database(error))));
        }
        let mut command = redis::cmd("CLIENT");
        command.arg("SETNAME").arg(NAME);
        greeting.push((command, reason::nameless));
        greeting.into_iter().unzip()
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match timeout(LOOK_UP, lookup_host((host, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(format!("the store's name cannot be looked up: {error}")),
        Err(_) => Err("the store's name cannot be looked up in time".to_owned()),
    }
}

/// Small packets leave at once, and a peer that vanished is noticed also while nobody asks.
fn settle(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(3)).with_retries(3);
    SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    Ok(stream)
}

fn log_in(user: Option<&str>, password: &Password) -> Cmd {
    let mut command = redis::cmd("AUTH");
    if let Some(user) = user {
        command.arg(user);
    }
    command.arg(password.reveal());
    command
}
