//! The connections of one shard to one application server.
//!
//! Last in, first out, so that what is not needed grows old and is closed. A request that hyper gives back unsent, since
//! the application closed an idle connection, goes out on another; one of which a byte may have been sent never does.

use std::{
    error::Error,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{Progress, ResponseBody, Settings};

/// Connections that may be open to one server, over all shards.
#[derive(Clone)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    /// As many as the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Semaphore::new(settings.max_connections)))
    }
}

/// Why there is no response.
#[derive(Debug)]
pub enum SendError {
    /// No connection could be made. Nothing was sent.
    Unreachable(io::Error),
    /// All connections to the server are taken. Nothing was sent.
    NoSlot,
    /// No response head in time.
    Timeout,
    /// The application closed the connection or answered nonsense.
    Failed(hyper::Error),
    /// The browser did not send its request's body to the end.
    RequestBody,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "no connection to the application: {error}"),
            Self::NoSlot => f.write_str("all connections to the application are taken (upstreams.*.max_connections)"),
            Self::Timeout => f.write_str("the application did not answer in time (upstreams.*.response_timeout)"),
            Self::Failed(error) => write!(f, "the application's answer: {error}"),
            Self::RequestBody => f.write_str("the request's body broke off"),
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Failed(error) => Some(error),
            Self::NoSlot | Self::Timeout | Self::RequestBody => None,
        }
    }
}

struct Idle<B> {
    sender: SendRequest<B>,
    since: Instant,
}

type Shelf<B> = Mutex<Vec<Idle<B>>>;

/// One shard's connections to one server, for requests with bodies of type `B`.
pub struct Pool<B> {
    settings: Settings,
    slots: Slots,
    idle: Arc<Shelf<B>>,
}

/// The connection that a response came on; goes back to the shelf when its body has been read.
pub(super) struct Lease<B> {
    sender: SendRequest<B>,
    idle: Arc<Shelf<B>>,
}

impl<B> Lease<B> {
    pub(super) fn give_back(self) {
        if !self.sender.is_closed() {
            lock(&self.idle).push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// A pool without connections.
    pub fn new(settings: Settings, slots: Slots) -> Self {
        Self { settings, slots, idle: Arc::default() }
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request and waits for the response head. `progress` counts what moves of the request's body.
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn send(
        &self,
        mut request: Request<B>,
        progress: Option<&Progress>,
    ) -> Result<Response<ResponseBody<B>>, SendError> {
        loop {
            let (mut sender, used) = match self.shelved().await {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            let Some(answer) = within(self.settings.response_timeout, progress, sender.try_send_request(request)).await
            else {
                return Err(SendError::Timeout);
            };
            match answer {
                Ok(response) => {
                    let lease = Lease { sender, idle: Arc::clone(&self.idle) };
                    return Ok(response.map(|incoming| ResponseBody::new(incoming, lease)));
                }
                Err(mut unsent) => match unsent.take_message() {
                    Some(back) if used => request = back,
                    Some(_) | None => return Err(failure(unsent.into_error())),
                },
            }
        }
    }

    async fn shelved(&self) -> Option<SendRequest<B>> {
        loop {
            let Idle { mut sender, since } = lock(&self.idle).pop()?;
            let fresh = since.elapsed() < self.settings.idle_timeout;
            if fresh && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<B>, SendError> {
        let patience = self.settings.connect_timeout;
        let slot = match timeout(patience, Arc::clone(&self.slots.0).acquire_owned()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) | Err(_) => return Err(SendError::NoSlot),
        };
        let stream = dial(&self.settings).await.map_err(SendError::Unreachable)?;
        self.handshake(stream, slot).await
    }

    async fn handshake(&self, stream: TcpStream, slot: OwnedSemaphorePermit) -> Result<SendRequest<B>, SendError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.settings.response_header_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(SendError::Failed)?;
        tokio::spawn(async move {
            let _slot = slot;
            // Whoever waits for a response on it is told the same error.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// Closes connections that have been idle for too long.
    pub fn prune(&self) {
        let limit = self.settings.idle_timeout;
        lock(&self.idle).retain(|idle| idle.since.elapsed() < limit && !idle.sender.is_closed());
    }
}

/// A fresh connection to the server.
pub(super) async fn dial(settings: &Settings) -> io::Result<TcpStream> {
    let server = &settings.server;
    let connecting = TcpStream::connect((server.host.as_str(), server.port));
    let stream = timeout(settings.connect_timeout, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn lock<B>(shelf: &Shelf<B>) -> std::sync::MutexGuard<'_, Vec<Idle<B>>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(error: hyper::Error) -> SendError {
    let from_body = error.is_user() || Error::source(&error).is_some_and(|source| source.is::<hyper::Error>());
    if from_body { SendError::RequestBody } else { SendError::Failed(error) }
}

/// The future's output, or `None` once `limit` has passed in which nothing moved.
async fn within<F: Future>(limit: Duration, progress: Option<&Progress>, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    loop {
        let seen = progress.map(Progress::count);
        match timeout(limit, future.as_mut()).await {
            Ok(output) => return Some(output),
            Err(_) if progress.map(Progress::count) != seen => {}
            Err(_) => return None,
        }
    }
}
