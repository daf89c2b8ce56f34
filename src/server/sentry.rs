//! Stands between the socket and the HTTP/1 parser, and lets through one whole head after another.
//!
//! The parser sees a head only when all of it is there and sound, so that a verdict does not depend on how the bytes were
//! cut into segments. A head that is not sound it never sees: it gets a stand-in of which [`Watch::next`] knows the fault,
//! so that the refusal takes its turn behind the answers to what came before. In a chunked body the bytes are followed;
//! where they break the grammar, reading ends in an error. Nothing is let through after a fault.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use crate::headers::{ChunkFault, Chunks, Framing, HeadBounds, HeadFault, HeadScan, announced_by};

/// Empty lines that may come before a request (RFC 9112 §2.2).
const EMPTY_LINES: usize = 4;
/// What the parser gets instead of a head that is not sound.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: stand-in\r\n\r\n";
const STAND_IN_FOR_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: stand-in\r\n\r\n";
/// How long a client that was refused in the middle of its request may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long it takes to see that a client has sent nothing more.
const GLANCE: Duration = Duration::from_millis(5);

/// What the sentry and the service of one connection know of each other.
pub(super) struct Watch<S> {
    /// The first request that was not sound, counted from 0, and what it was.
    fault: OnceLock<(u64, HeadFault)>,
    begun: AtomicU64,
    answered: AtomicU64,
    switched: AtomicBool,
    /// The parser, while bytes wait here for an answer: no byte that may still come would wake it.
    parser: AtomicWaker,
    given_up: AtomicBool,
    /// Between two requests, and nothing of either was read.
    between: AtomicBool,
    /// Some of an answer may not have reached the socket.
    owing: AtomicBool,
    resting: AtomicBool,
    /// The socket, when the parser is done with it, and how long to wait whether the client is still sending.
    left: Mutex<Option<(S, Duration)>>,
}

impl<S> Watch<S> {
    pub(super) fn new() -> Self {
        Self {
            fault: OnceLock::new(),
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            switched: AtomicBool::new(false),
            parser: AtomicWaker::new(),
            given_up: AtomicBool::new(false),
            between: AtomicBool::new(false),
            owing: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            left: Mutex::new(None),
        }
    }

    /// Another request begins; if it is only a stand-in, why.
    pub(super) fn next(&self) -> Option<HeadFault> {
        let index = self.begun.fetch_add(1, Relaxed);
        self.fault.get().filter(|(at, _)| *at == index).map(|(_, fault)| *fault)
    }

    /// A request has its answer; `switched`: the bytes after it are no HTTP.
    pub(super) fn answered(&self, switched: bool) {
        self.switched.fetch_or(switched, Relaxed);
        self.answered.fetch_add(1, Relaxed);
        self.parser.wake();
    }

    /// The client has used up its time: a head that it began is refused when the connection is polled next, and to the
    /// parser there is nothing after it.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    /// Whether the parser can be put away, for it holds nothing; if so, that is what must be done next, and
    /// [`Watch::socket`] has the socket then.
    pub(super) fn may_rest(&self) -> bool {
        let rests = self.between.load(Relaxed) && !self.owing.load(Relaxed);
        self.resting.fetch_or(rests, Relaxed);
        rests
    }

    /// The socket of a connection that rests.
    pub(super) fn socket(&self) -> Option<S> {
        if self.resting.load(Relaxed) { self.take_left().map(|(stream, _)| stream) } else { None }
    }

    fn take_left(&self) -> Option<(S, Duration)> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watch<S> {
    /// Reads on for a moment what the client still sends: a connection that is closed before is reset, and our last
    /// answer with it.
    pub(super) async fn say_farewell(&self) {
        let Some((mut stream, patience)) = self.take_left() else { return };
        let (end, mut waste) = (Instant::now() + FAREWELL, [0; 4096]);
        let glance = async {
            let _ = stream.shutdown().await;
            stream.read(&mut waste).await
        };
        if let Ok(Ok(1..)) = timeout(patience, glance).await {
            debug!(target: "cloakroom::server", "a client was still sending when its last answer was given");
            let drain = async { while matches!(stream.read(&mut waste).await, Ok(1..)) {} };
            let _ = timeout_at(end, drain).await;
        }
    }
}

#[derive(Debug)]
enum Place {
    Head {
        empty_lines: usize,
    },
    Length(u64),
    Chunked(Chunks),
    /// After a head that asks for another protocol, until there is an answer.
    Switching,
    Tunnel,
    /// After a head that is not sound; this is let through instead.
    Refused(&'static [u8]),
    /// After a fault in a chunked body.
    Broken,
}

const BEGINNING: Place = Place::Head { empty_lines: 0 };

/// A socket whose requests are looked over before the parser reads them.
pub(super) struct Sentry<S> {
    stream: Option<S>,
    watch: Arc<Watch<S>>,
    bounds: HeadBounds,
    place: Place,
    scan: HeadScan,
    heads: u64,
    /// Bytes that the parser has not seen; the first `cleared` of them it may.
    held: Vec<u8>,
    cleared: usize,
}

impl<S> Sentry<S> {
    /// `first`: what was read already.
    pub(super) fn new(stream: S, first: Vec<u8>, watch: Arc<Watch<S>>, bounds: HeadBounds) -> Self {
        let (scan, held) = (HeadScan::default(), first);
        let mut sentry =
            Self { stream: Some(stream), watch, bounds, place: BEGINNING, scan, heads: 0, held, cleared: 0 };
        if !sentry.held.is_empty() {
            sentry.judge_held();
        }
        sentry
    }

    fn is_between(&self) -> bool {
        matches!(self.place, Place::Head { empty_lines: 0 }) && self.scan.is_fresh() && self.held.is_empty()
    }

    /// How many of these bytes, which come next, the parser may see.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let passed = match &mut self.place {
                Place::Head { .. } => self.judge_head(rest),
                Place::Length(left) => {
                    let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= passed as u64;
                    if *left == 0 {
                        self.place = BEGINNING;
                    }
                    passed
                }
                Place::Chunked(chunks) => match chunks.advance(rest) {
                    Ok(passed) => {
                        if chunks.is_over() {
                            self.place = BEGINNING;
                        }
                        passed
                    }
                    Err(ChunkFault) => {
                        self.place = Place::Broken;
                        0
                    }
                },
                Place::Tunnel => rest.len(),
                Place::Switching | Place::Refused(_) | Place::Broken => 0,
            };
            if passed == 0 {
                break;
            }
            at += passed;
        }
        at
    }

    /// The length of a whole head or of an empty line before one; 0 if there is none yet, or one that is not sound.
    fn judge_head(&mut self, bytes: &[u8]) -> usize {
        if let (Place::Head { empty_lines }, true, [b'\r'] | [b'\r', b'\n', ..]) =
            (&mut self.place, self.scan.is_fresh(), bytes)
        {
            if bytes.len() == 1 {
                return 0;
            }
            *empty_lines += 1;
            if *empty_lines > EMPTY_LINES {
                self.refuse(HeadFault::EmptyLines, bytes);
                return 0;
            }
            return 2;
        }
        let announced = match self.scan.end(bytes, &self.bounds) {
            Ok(None) => return 0,
            Ok(Some(end)) => announced_by(&bytes[..end]).map(|announced| (end, announced)),
            Err(fault) => Err(fault),
        };
        match announced {
            Ok((end, announced)) => {
                self.scan = HeadScan::default();
                self.heads += 1;
                self.place = match announced.body {
                    Framing::Nothing if announced.upgrade => Place::Switching,
                    Framing::Nothing => BEGINNING,
                    Framing::Length(length) => Place::Length(length),
                    Framing::Chunked => Place::Chunked(Chunks::new(self.bounds)),
                };
                end
            }
            Err(fault) => {
                self.refuse(fault, bytes);
                0
            }
        }
    }

    fn refuse(&mut self, fault: HeadFault, head: &[u8]) {
        let _ = self.watch.fault.set((self.heads, fault));
        self.place = Place::Refused(if head.starts_with(b"HEAD ") { STAND_IN_FOR_HEAD } else { STAND_IN });
    }

    /// Has a head that will not come to its end refused; false if none was begun.
    fn refuse_begun(&mut self) -> bool {
        let begun = std::mem::take(&mut self.held);
        if begun.is_empty() {
            return false;
        }
        self.refuse(HeadFault::TooSlow, &begun);
        if let Place::Refused(instead) = self.place {
            (self.held, self.cleared) = (instead.to_vec(), instead.len());
        }
        true
    }

    /// Judges what arrived behind `before` in the parser's own buffer, where it may stay; the rest is held.
    fn judge_arrived(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let arrived = &buffer.filled()[before..];
        let passed = self.judge(arrived);
        match self.place {
            Place::Refused(instead) => {
                self.held.extend_from_slice(instead);
                self.cleared = instead.len();
            }
            Place::Broken => {}
            _ => self.held.extend_from_slice(&arrived[passed..]),
        }
        buffer.set_filled(before + passed);
    }

    fn judge_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        self.cleared = self.judge(&held);
        if let Place::Refused(instead) = self.place {
            held.truncate(self.cleared);
            held.extend_from_slice(instead);
            self.cleared = held.len();
        }
        self.held = held;
    }

    /// Whether the answer to a wish for another protocol is there; what came meanwhile is judged then.
    fn is_settled(&mut self) -> bool {
        self.place = match (self.watch.switched.load(Relaxed), self.watch.answered.load(Relaxed) >= self.heads) {
            (true, _) => Place::Tunnel,
            (false, true) => BEGINNING,
            (false, false) => return false,
        };
        self.judge_held();
        true
    }
}

impl<S> Drop for Sentry<S> {
    fn drop(&mut self) {
        let patience = match self.place {
            Place::Tunnel => return,
            // Requests may have come behind the last one that is served.
            Place::Head { .. } | Place::Switching => GLANCE,
            Place::Length(_) | Place::Chunked(_) | Place::Refused(_) | Place::Broken => FAREWELL,
        };
        let left = self.stream.take().map(|stream| (stream, patience));
        *self.watch.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sentry<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.cleared > 0 {
                let passed = this.cleared.min(buffer.remaining());
                buffer.put_slice(&this.held[..passed]);
                this.held.drain(..passed);
                this.cleared -= passed;
                return Poll::Ready(Ok(()));
            }
            if matches!(this.place, Place::Switching) {
                if this.is_settled() {
                    continue;
                }
                this.watch.parser.register(cx.waker());
            }
            match this.place {
                Place::Broken => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ChunkFault))),
                // Nobody wakes the parser here: it goes on by itself, with the answer.
                Place::Refused(_) => return Poll::Pending,
                Place::Head { .. } if this.watch.given_up.load(Relaxed) => {
                    if this.refuse_begun() {
                        continue;
                    }
                    return Poll::Ready(Ok(()));
                }
                Place::Switching if this.held.len() >= this.bounds.bytes => return Poll::Pending,
                _ => {}
            }
            let before = buffer.filled().len();
            let Some(stream) = &mut this.stream else { return Poll::Ready(Ok(())) };
            let read = Pin::new(stream).poll_read(cx, buffer);
            this.watch.between.store(read.is_pending() && this.is_between(), Relaxed);
            ready!(read)?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                this.judge_arrived(buffer, before);
            } else {
                this.held.extend_from_slice(&buffer.filled()[before..]);
                buffer.set_filled(before);
                this.judge_held();
            }
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sentry<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.watch.owing.store(true, Relaxed);
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch.owing.store(true, Relaxed);
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(S::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.as_mut().map_or(Poll::Ready(Ok(())), |stream| Pin::new(stream).poll_flush(cx));
        if flushed.is_ready() {
            self.watch.owing.store(false, Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().map_or(Poll::Ready(Ok(())), |stream| Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 1024, fields: 10 };
    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn guarded(first: &[u8]) -> (DuplexStream, Arc<Watch<DuplexStream>>, Sentry<DuplexStream>) {
        let ((client, server), watch) = (duplex(1024), Arc::new(Watch::new()));
        let sentry = Sentry::new(server, first.to_vec(), Arc::clone(&watch), BOUNDS);
        (client, watch, sentry)
    }

    /// All that the parser may see by now.
    async fn read(sentry: &mut Sentry<DuplexStream>) -> Vec<u8> {
        let mut seen = Vec::new();
        let _ = timeout(Duration::ZERO, sentry.read_to_end(&mut seen)).await;
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_the_socket_can_be_had_back() {
        let (mut client, watch, mut sentry) = guarded(b"");
        assert!(!watch.may_rest(), "nothing was looked for yet");
        client.write_all(HEAD).await.unwrap();
        assert_eq!(read(&mut sentry).await, HEAD);
        assert!(watch.may_rest());
        drop(sentry);
        let mut socket = watch.socket().expect("the socket");
        client.write_all(b"more").await.unwrap();
        let mut more = [0; 4];
        socket.read_exact(&mut more).await.unwrap();
        assert_eq!(&more, b"more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_does_not_rest() {
        for begun in [&b"G"[..], b"\r", b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"] {
            let (mut client, watch, mut sentry) = guarded(b"");
            client.write_all(&[HEAD, begun].concat()).await.unwrap();
            read(&mut sentry).await;
            assert!(!watch.may_rest(), "{}", begun.escape_ascii());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_all_written_does_not_rest() {
        let (mut client, watch, mut sentry) = guarded(b"");
        client.write_all(HEAD).await.unwrap();
        read(&mut sentry).await;
        assert!(timeout(Duration::ZERO, sentry.write_all(&[0; 2000])).await.is_err());
        assert!(!watch.may_rest());
        let mut taken = vec![0; 1024];
        client.read_exact(&mut taken).await.unwrap();
        sentry.flush().await.unwrap();
        assert!(watch.may_rest());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_comes_first() {
        for cut in [1, 10, HEAD.len() - 1, HEAD.len()] {
            let (mut client, _watch, mut sentry) = guarded(&HEAD[..cut]);
            client.write_all(&HEAD[cut..]).await.unwrap();
            assert_eq!(read(&mut sentry).await, HEAD, "{cut}");
        }
    }
}
