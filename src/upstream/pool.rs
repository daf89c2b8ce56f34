//! One shard's way to an upstream: finds a server and a connection for each request, and another one if that failed in
//! a way that allows it.
//!
//! A request is sent again if nothing of it was sent (no connection, or hyper gives it back since the application had
//! closed an idle connection), or if it has no body and its connection closed without an answer and its method is
//! idempotent, or an HTTP/2 server says that it has not processed it. All this is bounded: so many servers, so many repeats.

use std::sync::Arc;

use http::{Request, Response};
use tokio::time::{Instant, timeout};

use super::{
    Fleet, Payload, Protocol, ResponseBody, SendError, ServedBy, Ties,
    connection::{Need, Shared, Single},
    direct::Direct,
    exchange::{Course, HostOf, Line, Repeat, Setback, Terms, Try, answer_directly, host_of, need_of},
    fleet::Tried,
    member::Member,
    shelf::{Shelf, Won},
};
use crate::clock;

/// A request goes to at most so many servers.
const SERVERS: u8 = 3;
/// A request that was sent is sent at most so many times more.
const REPEATS: u8 = 2;

/// One request on its way from server to server.
struct Tour<'a> {
    ties: Option<Ties<'a>>,
    host: HostOf,
    tried: Tried,
    left: u8,
    repeats: u8,
}

/// A request that a server is to be asked, or what became of it there at the first time.
type Begun<B> = Result<Box<Request<B>>, Setback<B>>;

/// One shard's connections to the servers of one upstream, for requests with bodies of type `B`.
pub struct Pool<B> {
    fleet: Arc<Fleet>,
    shelves: Vec<Arc<Shelf<B>>>,
}

/// Whether the next connection may be one that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taste {
    Any,
    Fresh,
}

impl<B: Payload> Pool<B> {
    /// A pool without connections.
    pub fn new(fleet: &Arc<Fleet>) -> Self {
        let life = fleet.settings.idle_timeout;
        let shelves = fleet.members.iter().map(|member| Shelf::new(member, life)).collect();
        Self { fleet: Arc::clone(fleet), shelves }
    }

    /// Sends a request in origin form and waits for the head of its response. Where the upstream has affinity, `ties`
    /// find the server, and the response has [`ServedBy`]. `D`: what its body is handed on as.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn send<'a, D: From<ResponseBody<B>>>(
        &'a self,
        request: Box<Request<B>>,
        ties: Option<Ties<'a>>,
    ) -> impl Future<Output = Result<Box<Response<D>>, SendError>> + use<'a, B, D> {
        let settings = &self.fleet.settings;
        let (ties, host) = (ties.filter(|_| settings.affinity), host_of(&request, settings.preserve_host));
        let mut tour = Tour { ties, host, tried: Tried::default(), left: SERVERS, repeats: REPEATS };
        // An `async fn` would have room for its arguments twice.
        async move {
            let Some(at) = self.next(&mut tour) else { return Err(SendError::NoServer) };
            let shelf = &self.shelves[at];
            let begun = match take_direct(shelf, &request) {
                None => Ok(request),
                Some((connection, begun)) => {
                    let (this, terms) = (Try { begun, repeat: Repeat::Allowed }, self.terms(tour.host));
                    let load = self.fleet.begin(&shelf.member);
                    match answer_directly(connection, request, this, terms, (shelf, load)).await {
                        Ok(mut response) => {
                            self.fleet.answered(&shelf.member);
                            self.sign(&mut response, at);
                            return Ok(response);
                        }
                        Err(setback) => Err(setback),
                    }
                }
            };
            // Boxed, so that the requests which find a connection do not carry the room that all else takes.
            Box::pin(self.go_on(at, begun, tour)).await
        }
    }

    fn terms(&self, host: HostOf) -> Terms {
        Terms { host, patience: self.fleet.settings.response_timeout }
    }

    /// Has a response say who has answered, where that matters.
    fn sign<D>(&self, response: &mut Response<D>, at: usize) {
        if self.fleet.settings.affinity {
            response.extensions_mut().insert(ServedBy(Arc::clone(&self.shelves[at].member.name)));
        }
    }

    /// The server to go to next.
    fn next(&self, tour: &mut Tour<'_>) -> Option<usize> {
        tour.left = tour.left.checked_sub(1)?;
        let at = self.fleet.choose(tour.ties.as_ref(), tour.tried, |index| self.has_room(index))?;
        tour.tried.add(at);
        Some(at)
    }

    /// Asks one server after the other, the first with this request or after this setback.
    async fn go_on<D: From<ResponseBody<B>>>(
        &self,
        mut at: usize,
        mut begun: Begun<B>,
        mut tour: Tour<'_>,
    ) -> Result<Box<Response<D>>, SendError> {
        loop {
            match self.ask(&self.shelves[at], begun, tour.host, &mut tour.repeats).await {
                Ok(mut response) => {
                    self.sign(&mut response, at);
                    return Ok(response);
                }
                Err(Setback { error, again: Some(again), .. }) => {
                    let Some(next) = self.next(&mut tour) else { return Err(error) };
                    (at, begun) = (next, Ok(again));
                }
                Err(setback) => return Err(setback.error),
            }
        }
    }

    fn has_room(&self, index: usize) -> bool {
        let shelf = &self.shelves[index];
        shelf.member.has_slot() || shelf.has_some()
    }

    /// Asks one server, on a fresh connection too if used ones turn out to be closed.
    async fn ask<D: From<ResponseBody<B>>>(
        &self,
        shelf: &Arc<Shelf<B>>,
        begun: Begun<B>,
        host: HostOf,
        repeats: &mut u8,
    ) -> Result<Box<Response<D>>, Setback<B>> {
        let (fleet, member) = (&self.fleet, &shelf.member);
        let (mut request, mut taste) = match begun {
            Ok(request) => (request, Taste::Any),
            Err(setback) => (self.repeat(setback, Taste::Any, member, repeats)?, Taste::Fresh),
        };
        let need = need_of(&request);
        loop {
            let mut begun = clock::now();
            let ready = if taste == Taste::Any { shelf.take_ready(need, begun) } else { None };
            let found = match ready {
                Some(ready) => Ok((Line::Single(ready), Taste::Any)),
                // Boxed, so that requests which need no new connection do not carry the room for making one.
                None => {
                    let found = Box::pin(self.line(shelf, need, taste)).await;
                    begun = clock::now();
                    found
                }
            };
            let (line, used) = match found {
                Ok(line) => line,
                Err(error) => {
                    if !matches!(error, SendError::NoSlot) {
                        fleet.failed(member, &error);
                    }
                    return Err(Setback { error, again: Some(request), course: Course::Unsent });
                }
            };
            let repeat = if *repeats > 0 { Repeat::Allowed } else { Repeat::Not };
            match line.exchange(request, Try { begun, repeat }, self.terms(host), (shelf, fleet.begin(member))).await {
                Ok(response) => {
                    fleet.answered(member);
                    return Ok(response);
                }
                Err(setback) => request = self.repeat(setback, used, member, repeats)?,
            }
            taste = Taste::Fresh;
        }
    }

    /// What to send to the same server again, on a fresh connection.
    fn repeat(
        &self,
        setback: Setback<B>,
        used: Taste,
        member: &Member,
        repeats: &mut u8,
    ) -> Result<Box<Request<B>>, Setback<B>> {
        if setback.course != Course::Unsent {
            *repeats = repeats.saturating_sub(1);
        }
        match setback {
            Setback { course: Course::Closed | Course::Unsent, .. } if used == Taste::Fresh => {
                self.fleet.failed(member, &setback.error);
                Err(setback)
            }
            Setback { again: Some(again), .. } if used == Taste::Any => Ok(again),
            setback => Err(setback),
        }
    }

    /// A connection where none is ready, and whether it is a fresh one.
    async fn line(&self, shelf: &Arc<Shelf<B>>, need: Need, taste: Taste) -> Result<(Line<B>, Taste), SendError> {
        match self.fleet.settings.protocol {
            Protocol::Http1 => {
                let (single, used) = self.single(shelf, need, taste).await?;
                Ok((Line::Single(single.fit(need, &self.fleet.settings).await?), used))
            }
            Protocol::Http2 => self.stream(shelf, taste).await,
        }
    }

    async fn single(&self, shelf: &Arc<Shelf<B>>, need: Need, taste: Taste) -> Result<(Single<B>, Taste), SendError> {
        if taste == Taste::Any
            && let Some(connection) = shelf.take().await
        {
            return Ok((connection, Taste::Any));
        }
        let slot = match shelf.member.try_slot() {
            Some(slot) => slot,
            None => match timeout(self.fleet.settings.connect_timeout, shelf.wait()).await {
                Ok(Won::Slot(slot)) => slot,
                Ok(Won::Connection(connection)) => return Ok((connection, Taste::Any)),
                Err(_) => return Err(SendError::NoSlot),
            },
        };
        let stream = shelf.member.dialer.dial(Some(slot)).await.map_err(SendError::Unreachable)?;
        Ok((Single::begin(stream, need, &self.fleet.settings).await?, Taste::Fresh))
    }

    async fn stream(&self, shelf: &Arc<Shelf<B>>, taste: Taste) -> Result<(Line<B>, Taste), SendError> {
        let open = || shelf.place().filter(|_| taste == Taste::Any);
        if let Some((shared, place)) = open() {
            return Ok((Line::Stream(shared, place), Taste::Any));
        }
        let opened = async {
            let _alone = shelf.opening.acquire().await;
            if let Some((shared, place)) = open() {
                return Ok((Line::Stream(shared, place), Taste::Any));
            }
            shelf.member.close_a_spare_if_full();
            let slot = shelf.member.slot().await;
            let stream = shelf.member.dialer.dial(Some(slot)).await.map_err(SendError::Unreachable)?;
            let shared = Shared::begin(stream, &self.fleet.settings).await?;
            let place = shared.place().ok_or(SendError::NoSlot)?;
            shelf.share(shared.clone());
            Ok((Line::Stream(shared, place), Taste::Fresh))
        };
        // The gate and the slot each have as long as a connection.
        timeout(self.fleet.settings.connect_timeout * 2, opened).await.unwrap_or(Err(SendError::NoSlot))
    }

    /// Whether it leads to these very servers.
    pub fn is_of(&self, fleet: &Arc<Fleet>) -> bool {
        Arc::ptr_eq(&self.fleet, fleet)
    }

    /// Closes connections that have been idle for too long.
    pub fn prune(&self) {
        self.shelves.iter().for_each(|shelf| shelf.prune());
    }
}

/// A connection on which such a request is answered in its own task, if one stands ready, and since when.
fn take_direct<B: Payload>(shelf: &Shelf<B>, request: &Request<B>) -> Option<(Box<Direct>, Instant)> {
    let now = clock::now();
    match need_of(request) {
        Need::Everything => None,
        Need::Answer => match shelf.take_ready(Need::Answer, now)? {
            Single::Direct(connection) => Some((connection, now)),
            Single::Driven(_) => None,
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        convert::Infallible,
        path::Path,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use bytes::Bytes;
    use http::{Method, Request};
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
        task::{coop, yield_now},
    };

    use super::*;
    use crate::{
        tls,
        upstream::{Balance, Breakdown, Progress, Server, Settings},
    };

    /// A body of so many bytes at once; if it does not end there, nothing comes after them.
    pub(in crate::upstream) struct Upload {
        bytes: usize,
        ends: bool,
        progress: Progress,
    }

    impl Body for Upload {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let bytes = std::mem::take(&mut self.bytes);
            if self.ends {
                self.progress.done();
            }
            match (bytes, self.ends) {
                (0, true) => Poll::Ready(None),
                (0, false) => Poll::Pending,
                (bytes, _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; bytes]))))),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.ends && self.bytes == 0
        }
    }

    impl Payload for Upload {
        fn progress(&self) -> &Progress {
            &self.progress
        }

        fn again(&self) -> Option<Self> {
            None
        }
    }

    fn pool(path: &Path) -> Pool<Upload> {
        let fleet = Fleet::new(&Settings {
            name: Arc::from("app"),
            servers: vec![Server::Unix(path.to_owned())],
            tls: tls::Client { trust: tls::Trust::System, identity: None },
            balance: Balance::RoundRobin,
            affinity: false,
            protocol: Protocol::Http1,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(20),
            max_connections: 2,
            preserve_host: true,
            response_header_bytes: 8192,
            health: None,
        });
        Pool::new(&fleet.unwrap())
    }

    /// A request without a body.
    pub(in crate::upstream) fn get() -> Request<Upload> {
        let (mut request, _) = post(0, true);
        *request.method_mut() = Method::GET;
        request
    }

    fn post(bytes: usize, ends: bool) -> (Request<Upload>, Progress) {
        let progress = Progress::default();
        if bytes == 0 && ends {
            progress.done();
        }
        let body = Upload { bytes, ends, progress: progress.clone() };
        (Request::post("/").header("host", "a").body(body).unwrap(), progress)
    }

    async fn read_head(stream: &mut UnixStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    }

    /// An application, and a pool that leads to it.
    struct World {
        _folder: tempfile::TempDir,
        listener: UnixListener,
        pool: Pool<Upload>,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        World { listener: UnixListener::bind(&path).unwrap(), pool: pool(&path), _folder: folder }
    }

    impl World {
        fn keeps_one(&self) -> bool {
            self.pool.shelves[0].has_some()
        }

        /// Sends a request without a body, which is answered in pieces of so many bytes; the body as it came, and the
        /// application's side.
        async fn ask(
            &self,
            method: Method,
            answer: &[u8],
            step: usize,
        ) -> (Result<Vec<u8>, Breakdown>, Option<UnixStream>) {
            let (mut request, _) = post(0, true);
            *request.method_mut() = method;
            let application = async {
                let (mut stream, _) = self.listener.accept().await.unwrap();
                read_head(&mut stream).await;
                for piece in answer.chunks(step) {
                    stream.write_all(piece).await.unwrap();
                    yield_now().await;
                }
                stream
            };
            let browser = async {
                let mut body = self.pool.send::<ResponseBody<_>>(Box::new(request), None).await.unwrap().into_body();
                let mut read = Vec::new();
                while let Some(frame) = body.frame().await {
                    match frame {
                        Ok(frame) => read.extend(frame.into_data().unwrap_or_default()),
                        Err(error) => return Err(error),
                    }
                }
                Ok(read)
            };
            let is_open = !answer.starts_with(b"HTTP/1.1 200 Until");
            let application = async {
                let stream = application.await;
                if is_open { Some(stream) } else { None }
            };
            tokio::join!(browser, application)
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_however_it_is_cut_and_its_connection_kept_if_its_end_is_certain() {
        let (get, head) = (Method::GET, Method::HEAD);
        for (method, answer, body, is_kept) in [
            (&get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", true),
            (&get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi?", "hi", false),
            (&get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", "hi", false),
            (&get, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", false),
            (&get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", "hi", true),
            (&get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", "hi", true),
            (&get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n?", "hi", false),
            (&get, "HTTP/1.1 200 Until it closes\r\n\r\nhi", "hi", false),
            (&get, "HTTP/1.1 204 No Content\r\n\r\n", "", true),
            (&get, "HTTP/1.1 101 Unasked\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "", false),
            (&get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", true),
            (
                &get,
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                "hi",
                true,
            ),
            (&head, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "", true),
            (&head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true),
        ] {
            for step in [1, 7, answer.len() - 1, answer.len()] {
                let world = world();
                let (read, _stream) = world.ask(method.clone(), answer.as_bytes(), step).await;
                assert_eq!(read.unwrap(), body.as_bytes(), "{answer:?} in steps of {step}");
                // What came behind the end may not have been there when it was reached.
                yield_now().await;
                world.pool.prune();
                assert_eq!(world.keeps_one(), is_kept, "{answer:?} in steps of {step}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_ends_in_an_error() {
        for answer in [
            "HTTP/1.1 200 Until\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 Until\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        ] {
            let world = world();
            let (read, _) = world.ask(Method::GET, answer.as_bytes(), 9).await;
            assert!(matches!(read, Err(Breakdown::Closed)), "{answer:?}: {read:?}");
            assert!(!world.keeps_one());
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_while_idle_is_not_asked_again() {
        let world = world();
        let (_, stream) = world.ask(Method::GET, ANSWER, 99).await;
        assert!(world.keeps_one());
        drop(stream);
        yield_now().await;
        world.ask(Method::POST, ANSWER, 99).await.0.unwrap();
    }

    #[tokio::test]
    async fn a_request_of_which_nothing_was_sent_goes_over_another_connection() {
        let world = world();
        let (_, stream) = world.ask(Method::GET, ANSWER, 99).await;
        // The runtime does not know yet that it is closed.
        drop(stream);
        let connection = world.pool.shelves[0].take_ready(Need::Answer, Instant::now()).expect("it seems idle");
        world.pool.shelves[0].put(connection);
        world.ask(Method::POST, ANSWER, 99).await.0.unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_looked_at_whatever_is_left_of_a_turn() {
        for unasked in [&b""[..], b"HTTP/1.1 200 OK\r\n"] {
            let world = world();
            let (_, stream) = world.ask(Method::GET, ANSWER, 99).await;
            let mut stream = stream.unwrap();
            stream.write_all(unasked).await.unwrap();
            let kept = (!unasked.is_empty()).then_some(stream);
            yield_now().await;
            let taken = std::future::poll_fn(|cx| {
                while let Poll::Ready(step) = coop::poll_proceed(cx) {
                    step.made_progress();
                }
                Poll::Ready(world.pool.shelves[0].take_ready(Need::Answer, Instant::now()).is_some())
            });
            assert!(!taken.await, "{unasked:?}");
            drop(kept);
        }
    }

    #[tokio::test]
    async fn a_body_goes_over_a_connection_that_carried_none_before() {
        let world = world();
        let application = async {
            let (mut stream, _) = world.listener.accept().await.unwrap();
            for more in [0, "3\r\nxxx\r\n0\r\n\r\n".len(), 0] {
                read_head(&mut stream).await;
                stream.read_exact(&mut vec![0; more]).await.unwrap();
                stream.write_all(ANSWER).await.unwrap();
            }
            stream
        };
        let browser = async {
            for bytes in [0, 3, 0] {
                let (request, _) = post(bytes, true);
                drop(world.pool.send::<ResponseBody<_>>(Box::new(request), None).await.unwrap());
                yield_now().await;
            }
        };
        tokio::join!(browser, application);
        assert!(world.keeps_one());
    }

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// Whether a connection is kept whose application answered after the head and `read` more bytes.
    async fn is_kept(bytes: usize, ends: bool, read: usize) -> bool {
        let World { listener, pool, .. } = &world();
        let (request, progress) = post(bytes, ends);
        let application = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.read_exact(&mut vec![0; read]).await.unwrap();
            while ends && !progress.is_done() {
                yield_now().await;
            }
            stream.write_all(ANSWER).await.unwrap();
            stream
        };
        let (response, _stream) = tokio::join!(pool.send::<ResponseBody<_>>(Box::new(request), None), application);
        drop(response.unwrap());
        pool.shelves[0].has_some()
    }

    #[tokio::test]
    async fn a_connection_is_kept_only_if_the_whole_request_is_on_its_way() {
        const CHUNKED: usize = "3\r\nxxx\r\n0\r\n\r\n".len();
        assert!(is_kept(0, true, 0).await);
        assert!(is_kept(3, true, CHUNKED).await);
        assert!(!is_kept(3, false, 0).await, "the body has not come to its end");
        assert!(!is_kept(8 << 20, true, 0).await, "the application has not read the body");
    }
}
