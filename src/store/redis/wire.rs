//! The way to the server, from its name to a connection that has been let in: look-up, socket, TLS, log-in, database.
//!
//! The stream is made here and metered; redis-rs speaks RESP over it. What fails says which setting to look at, in our
//! own words: a server's may repeat what it was sent.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value, aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{
    meter::{Meter, Metered},
    reason,
    target::{Password, Place, Target},
};

/// A name may take longer to look up than a connection to make: resolvers ask again after seconds.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Requests that may wait in a connection's queue; the library's 50 is less than one shard has in flight.
const QUEUE: usize = 4096;
/// What the server shows for us in `CLIENT LIST`.
const NAME: &str = "cloakroom";

/// A connection on which questions can be asked. The last clone closes it, whatever is still under way.
#[derive(Clone)]
pub(in crate::store) struct Wire {
    connection: MultiplexedConnection,
    meter: Arc<Meter>,
    _driver: Arc<AbortOnDropHandle<()>>,
}

impl Wire {
    /// Sends these commands at once, which are answered with so many bytes at most, and waits for as many replies.
    pub(super) async fn ask(
        &mut self,
        commands: &Pipeline,
        count: usize,
        bytes: u64,
    ) -> Result<Vec<Value>, RedisError> {
        self.meter.ask(bytes);
        let answer = self.connection.send_packed_commands(commands, 0, count).await;
        self.meter.hear(bytes);
        answer
    }
}

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

    async fn greet<S>(&self, stream: S) -> Result<Wire, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let meter = Arc::new(Meter::new());
        let stream = Metered::new(stream, Arc::clone(&meter));
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let made = MultiplexedConnection::new_with_config(&settings, stream, config).await;
        let (connection, driver) = made.map_err(|error| reason::speechless(&error))?;
        let driver = Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)));
        let mut wire = Wire { connection, meter, _driver: driver };
        self.introduce(&mut wire).await?;
        Ok(wire)
    }

    /// Logs in, chooses the database and gives the connection a name: one round trip.
    async fn introduce(&self, wire: &mut Wire) -> Result<(), String> {
        let mut greeting = Pipeline::new();
        let mut judges: Vec<fn(&ServerError) -> Option<String>> = Vec::new();
        if let Some(password) = &self.target.password {
            greeting.add_command(log_in(self.target.user.as_deref(), password));
            judges.push(|error| Some(reason::not_let_in(error)));
        }
        if self.target.database != 0 {
            greeting.cmd("SELECT").arg(self.target.database);
            judges.push(|error| Some(reason::no_database(error)));
        }
        greeting.cmd("CLIENT").arg("SETNAME").arg(NAME);
        judges.push(reason::nameless);
        let replies = wire.ask(&greeting, judges.len(), 0).await.map_err(|error| reason::speechless(&error))?;
        let failure = replies.iter().zip(judges).find_map(|(reply, judge)| match reply {
            Value::ServerError(error) => judge(error),
            _ => None,
        });
        failure.map_or(Ok(()), Err)
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

fn log_in(user: Option<&str>, password: &Password) -> redis::Cmd {
    let mut command = redis::cmd("AUTH");
    if let Some(user) = user {
        command.arg(user);
    }
    command.arg(password.reveal());
    command
}
