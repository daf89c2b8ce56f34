//! An HTTP/1.1 connection on which a request without a body is answered in the request's own task.
//!
//! Most requests have no body. For them the way through hyper's client (a queue, a second task that is woken, a copy of
//! the request in case that it must be repeated) costs more than all the rest of an exchange: here the head is written
//! into one buffer, sent with one system call, and what comes back is read by whoever waits for it. Heads, chunk sizes
//! and trailers are parsed by `httparse`. Requests with a body, and those that change protocols, are hyper's.
//!
//! Bytes of an answer are read only when somebody wants them. A connection is used again only after an answer whose end
//! is certain and behind which nothing came.

mod body;
mod chunks;
mod head;

use std::{
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
    time::Instant,
};
use tokio_util::io::poll_read_buf;

pub(super) use body::{Framing, Transfer};
pub(super) use head::{Apart, Asked, Said};

use head::Found;

use super::{Payload, dial::Stream, error::Breakdown, exchange::Course};
use crate::{
    clock::alarm::Alarm,
    socket::{Quiet, draft::Draft, scratch},
};

/// The end of a head may begin so far before what comes.
const END: usize = 3;

/// The connection.
pub(super) struct Direct {
    stream: Stream,
    sending: Sending,
    /// What an answer needs that does not come whole at once.
    inbox: Option<Box<Inbox>>,
    /// Kept from one exchange to the next, so that not every request sets a timer.
    alarm: Alarm,
    /// What a head may measure.
    most: usize,
    /// Some of the request was sent.
    is_begun: bool,
}

/// How far an exchange's request is.
enum Sending {
    /// Not begun.
    Due,
    /// The stream takes no more for now; this is left.
    Stuck(Box<Draft>),
    /// The stream has taken all, and may hold some of it.
    Held,
    Done,
    /// The stream has failed.
    Broken,
}

/// What was read and is not used yet.
#[derive(Default)]
struct Inbox {
    /// The beginning of an answer's head, or room for a body that is being read.
    bytes: BytesMut,
    /// How much of it was looked at, and is not a whole head.
    looked: usize,
}

/// The head of an answer, and what came with it.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    /// Lines of it that are not in its map.
    pub(super) apart: Apart,
    /// All that was read, and how much of it is the head.
    pub(super) read: Bytes,
    pub(super) length: usize,
    pub(super) said: Said,
    /// The connection may be used again when the answer is over.
    pub(super) lasts: bool,
}

/// Why there is no answer.
pub(super) enum Failure {
    Late,
    Broken(Breakdown, Course),
}

impl Direct {
    pub(super) fn new(stream: Stream, most: usize) -> Self {
        Self { stream, sending: Sending::Done, inbox: None, alarm: Alarm::default(), most, is_begun: false }
    }

    /// The stream of a connection that is idle.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Gives back memory that only a body needs.
    pub(super) fn rest(&mut self) {
        self.inbox = None;
    }

    /// Whether the server has neither closed the idle connection nor said anything unasked on it. Asks the runtime only:
    /// no system call as long as nothing has come. It answers whatever the task has left of its turn: a stream that is not
    /// looked at seems idle.
    pub(super) fn is_idle(&mut self) -> bool {
        if self.stream.is_quiet() {
            return true;
        }
        let (mut byte, stream) = ([0], &mut self.stream);
        let look =
            pin!(unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)))));
        look.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// What a head may measure.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The next exchange is a new one.
    pub(super) fn begin(&mut self) {
        (self.sending, self.is_begun) = (Sending::Due, false);
    }

    /// Sends a request that has no body, the same each time that it is called, and waits until `deadline` for the head of
    /// its answer. It changes nothing of the request: who waits may go to another thread, which a shared one may not.
    pub(super) fn poll_exchange<B: Payload>(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        request: &mut Request<B>,
    ) -> Poll<Result<Answer, Failure>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx, request) {
            if !self.is_begun {
                return Poll::Ready(Err(Failure::Broken(Breakdown::Io(error), Course::Unsent)));
            }
            // The server may have said why before it closed.
            self.sending = Sending::Broken;
        }
        let mut read = BytesMut::new();
        loop {
            let begun = self.inbox.as_mut().map(|inbox| &mut inbox.bytes);
            let closed = match scratch::poll_read(&mut self.stream, cx, begun.unwrap_or(&mut read)) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => Breakdown::Closed,
                Poll::Ready(Err(error)) => Breakdown::Io(error),
                Poll::Ready(Ok(_)) => match self.take_head(mem::take(&mut read), Asked::by(request)) {
                    // As long as there is always something to read, the alarm is not looked at.
                    Ok(None) if Instant::now() >= deadline => return Poll::Ready(Err(Failure::Late)),
                    Ok(None) => continue,
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Err(unfit) => return Poll::Ready(Err(Failure::Broken(unfit, Course::Other))),
                },
            };
            return Poll::Ready(Err(Failure::Broken(closed, Course::Closed)));
        }
        self.alarm.poll(cx, deadline).map(|()| Err(Failure::Late))
    }

    fn poll_send<B: Payload>(&mut self, cx: &mut Context<'_>, request: &Request<B>) -> Poll<io::Result<()>> {
        let mut draft = match mem::replace(&mut self.sending, Sending::Held) {
            Sending::Due => {
                let mut draft = Draft::default();
                head::write(draft.bytes(), request, |out| request.body().write_lines(out));
                draft
            }
            Sending::Stuck(draft) => *draft,
            Sending::Held => Draft::default(),
            over @ (Sending::Done | Sending::Broken) => {
                self.sending = over;
                return Poll::Ready(Ok(()));
            }
        };
        let written = self.poll_write(cx, &mut draft);
        if written.is_pending() {
            draft.wait();
            self.sending = Sending::Stuck(Box::new(draft));
        }
        ready!(written)?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.sending = Sending::Done;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, draft: &mut Draft) -> Poll<io::Result<()>> {
        while !draft.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, draft.left()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => {
                    draft.advance(sent);
                    self.is_begun = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The head at the beginning of what was read (`fresh`, if it is the first), if it is whole. Informational ones are
    /// nobody's business.
    fn take_head(&mut self, fresh: BytesMut, asked: Asked<'_>) -> Result<Option<Answer>, Breakdown> {
        let mut read = match self.inbox.as_deref_mut() {
            None => fresh.freeze(),
            Some(Inbox { bytes, looked }) => {
                // A head that comes in many pieces is neither copied nor looked through with each.
                let looked = mem::replace(looked, bytes.len());
                if looked > 0 && bytes.len() < self.most && !head::has_end(&bytes[looked.saturating_sub(END)..]) {
                    return Ok(None);
                }
                mem::take(bytes).freeze()
            }
        };
        loop {
            let Some(found) = head::read(&read, asked)? else {
                if read.len() >= self.most {
                    return Err(Breakdown::HeadTooLarge);
                }
                let (bytes, looked) = (BytesMut::from(&*read), read.len());
                self.inbox = Some(Box::new(Inbox { bytes, looked }));
                return Ok(None);
            };
            if found.length > self.most {
                return Err(Breakdown::HeadTooLarge);
            }
            let status = found.head.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                read.advance(found.length);
                continue;
            }
            self.inbox = None;
            let is_spoken = status != StatusCode::SWITCHING_PROTOCOLS;
            let lasts = found.lasts && is_spoken && matches!(self.sending, Sending::Done);
            let Found { head, apart, length, said, .. } = found;
            return Ok(Some(Answer { head, apart, read, length, said, lasts }));
        }
    }

    /// Reads more of a body behind `rest`, at most `most` bytes; how many came, 0 at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>, rest: &mut Bytes, most: usize) -> Poll<io::Result<usize>> {
        let room = &mut self.inbox.get_or_insert_default().bytes;
        room.reserve(rest.len() + most);
        if !rest.is_empty() {
            room.extend_from_slice(&mem::take(rest));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, room));
        *rest = room.split().freeze();
        Poll::Ready(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{Join, Sink, join, sink};

    use super::{super::pool::tests::get, *};
    use crate::clock::testing::Bell;

    /// Says so often that it is at work, without a pause.
    struct Busy(usize);

    impl AsyncRead for Busy {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(left) = self.0.checked_sub(1) {
                self.0 = left;
                buffer.put_slice(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(9));
            }
            Poll::Ready(Ok(()))
        }
    }

    impl Quiet for Join<Busy, Sink> {}

    async fn late(server: Busy) -> bool {
        let (mut direct, mut request) = (Direct::new(Stream::of(join(server, sink())), 8192), get());
        let answer = poll_fn(|cx| direct.poll_exchange(cx, Instant::now(), &mut request)).await;
        matches!(answer, Err(Failure::Late))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_never_pauses_has_no_longer_than_others() {
        assert!(late(Busy(100)).await);
        assert!(!late(Busy(0)).await, "it has closed");
    }

    /// A server that takes a little in every turn, and answers when it has a whole head.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        taken: Vec<u8>,
        /// What it takes before it has to be waited for, and then in every turn.
        now: usize,
        step: usize,
        /// It fails when it has taken so much.
        breaks: Option<usize>,
        /// Whether it holds what it has taken until the next turn.
        holds: bool,
        answer: &'static [u8],
    }

    impl Quiet for Slow {}

    impl AsyncWrite for Slow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut state = self.0.lock().unwrap();
            if state.breaks == Some(state.taken.len()) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let most = state.breaks.map_or(usize::MAX, |end| end - state.taken.len());
            let count = state.now.min(most).min(bytes.len());
            if count == 0 {
                state.now = state.step;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            state.taken.extend_from_slice(&bytes[..count]);
            state.now -= count;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.lock().unwrap().holds { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let mut state = self.0.lock().unwrap();
            if !state.taken.ends_with(b"\r\n\r\n") && state.breaks != Some(state.taken.len()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            buffer.put_slice(mem::take(&mut state.answer));
            Poll::Ready(Ok(()))
        }
    }

    /// An exchange with such a server.
    struct World {
        server: Slow,
        direct: Direct,
        request: Request<super::super::pool::tests::Upload>,
        bell: Arc<Bell>,
    }

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn world(path: &str, state: State) -> World {
        let (server, mut request) = (Slow(Arc::new(Mutex::new(state))), get());
        *request.uri_mut() = path.parse().unwrap();
        let mut direct = Direct::new(Stream::of(server.clone()), 8192);
        direct.begin();
        World { server, direct, request, bell: Arc::default() }
    }

    impl World {
        fn poll(&mut self) -> Poll<Result<Answer, Failure>> {
            let (direct, request) = (&mut self.direct, &mut self.request);
            let deadline = Instant::now() + std::time::Duration::from_secs(1);
            self.bell.poll(|cx| direct.poll_exchange(cx, deadline, request))
        }

        fn answer(&mut self) -> Result<Answer, Failure> {
            for _ in 0..999 {
                if let Poll::Ready(answer) = self.poll() {
                    return answer;
                }
            }
            unreachable!("it answers when it has the whole head")
        }

        fn taken(&self) -> String {
            String::from_utf8(self.server.0.lock().unwrap().taken.clone()).unwrap()
        }
    }

    fn head(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
    }

    #[tokio::test]
    async fn a_head_arrives_once_and_whole_however_little_is_taken_at_once() {
        for now in [0, 1, 5, usize::MAX] {
            for step in [1, 7, 29] {
                let mut world = world("/some", State { now, step, answer: ANSWER, ..State::default() });
                assert!(world.answer().is_ok_and(|answer| answer.lasts));
                assert_eq!(world.taken(), head("/some"), "{now}, then {step} at once");
                world.direct.begin();
                *world.server.0.lock().unwrap() = State { now: step, step, answer: ANSWER, ..State::default() };
                assert!(world.answer().is_ok_and(|answer| answer.lasts));
                assert_eq!(world.taken(), head("/some"));
            }
        }
    }

    #[tokio::test]
    async fn what_waits_on_one_connection_gets_into_no_other() {
        let slow = || State { now: 9, step: 4, answer: ANSWER, ..State::default() };
        let (mut first, mut second) = (world("/first-and-long", slow()), world("/2nd", slow()));
        let mut third = world("/third", State { now: usize::MAX, answer: ANSWER, ..State::default() });
        assert!(first.poll().is_pending() && second.poll().is_pending());
        assert_eq!((first.taken().len(), second.taken().len()), (9, 9));
        assert!(third.answer().is_ok());
        while first.poll().is_pending() {
            let _ = second.poll();
        }
        for (world, path) in [(first, "/first-and-long"), (second, "/2nd"), (third, "/third")] {
            assert_eq!(world.taken(), head(path));
        }
    }

    #[tokio::test]
    async fn it_is_known_whether_anything_was_sent_before_a_connection_broke() {
        for (now, breaks) in [(0, 0), (usize::MAX, 0), (0, 1), (3, 9)] {
            for answer in [&b""[..], ANSWER] {
                let mut world = world("/", State { now, step: 2, breaks: Some(breaks), answer, ..State::default() });
                let course = match world.answer() {
                    Ok(answer) => {
                        assert!(!answer.lasts, "nobody knows what the server has of the request");
                        None
                    }
                    Err(Failure::Broken(_, course)) => Some(course),
                    Err(Failure::Late) => unreachable!("a second has not passed"),
                };
                let said = !answer.is_empty();
                assert_eq!(
                    course,
                    match breaks {
                        0 => Some(Course::Unsent),
                        _ if said => None,
                        _ => Some(Course::Closed),
                    },
                    "{now} {breaks} {said}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_answered_before_all_was_sent_is_not_used_again() {
        let mut world = world("/", State { now: usize::MAX, holds: true, answer: ANSWER, ..State::default() });
        assert!(world.answer().is_ok_and(|answer| !answer.lasts));
    }
}
