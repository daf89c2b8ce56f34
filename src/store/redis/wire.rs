//! A connection on which questions can be asked. What it carries is a [`Talk`]; a task of its own moves the bytes.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use redis::Cmd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use super::{
    mover::{End, Mover, locked},
    talk::{Answer, Expected, Silence, Talk},
};

/// A connection that is let in. It is closed when this is dropped, whatever is still under way.
pub(in crate::store) struct Wire {
    talk: Arc<Mutex<Talk>>,
    _mover: AbortOnDropHandle<()>,
}

impl Wire {
    /// A connection over this stream, on which the server has answered a first question. That is asked before a byte is
    /// read, for a server may say why it does not let anybody in.
    pub(super) async fn open<S>(stream: S, greeting: &[Cmd], expected: Expected) -> Result<(Self, Answer), End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let talk = Arc::new(Mutex::new(Talk::default()));
        let mut mover = Mover::new(stream, Arc::clone(&talk));
        let asking = Asking::new(&talk, |out: &mut Vec<u8>| write(greeting, out), expected);
        let answer = tokio::select! {
            biased;
            answer = asking => answer,
            end = &mut mover => return Err(end),
        };
        let mover = tokio::spawn(async move {
            mover.await;
        });
        Ok((Self { talk, _mover: AbortOnDropHandle::new(mover) }, answer))
    }

    /// Asks what `write` writes down, and waits for the replies.
    pub(super) fn ask<W>(&self, write: W, expected: Expected) -> impl Future<Output = Answer> + use<'_, W>
    where
        W: FnOnce(&mut Vec<u8>) + Unpin,
    {
        Asking::new(&self.talk, write, expected)
    }
}

/// Writes down what redis-rs put together.
pub(super) fn write(commands: &[Cmd], out: &mut Vec<u8>) {
    commands.iter().for_each(|command| command.write_packed_command(out));
}

/// A question that is asked when it is first polled.
struct Asking<'a, W> {
    talk: &'a Mutex<Talk>,
    write: Option<W>,
    expected: Expected,
    place: Option<usize>,
}

impl<'a, W> Asking<'a, W> {
    fn new(talk: &'a Mutex<Talk>, write: W, expected: Expected) -> Self {
        Self { talk, write: Some(write), expected, place: None }
    }
}

impl<W: FnOnce(&mut Vec<u8>) + Unpin> Future for Asking<'_, W> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut talk = locked(self.talk);
        let answer = match (self.write.take(), self.place) {
            (Some(write), _) => {
                self.place = talk.ask(write, self.expected, cx.waker());
                if self.place.is_some() {
                    return Poll::Pending;
                }
                Err(Silence::Broken)
            }
            (None, Some(place)) => match talk.take(place, cx.waker()) {
                Some(answer) => answer,
                None => return Poll::Pending,
            },
            (None, None) => Err(Silence::Broken),
        };
        self.place = None;
        Poll::Ready(answer)
    }
}

impl<W> Drop for Asking<'_, W> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            locked(self.talk).give_up(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::Value;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::yield_now,
        time::{Instant, advance},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn expected(replies: usize) -> Expected {
        Expected { replies, bytes: 100, deadline: Instant::now() + PATIENCE }
    }

    /// A connection, and the other end of it.
    async fn connected() -> (Arc<Wire>, DuplexStream) {
        let (ours, mut theirs) = duplex(1024 * 1024);
        theirs.write_all(b"+OK\r\n").await.unwrap();
        let (wire, greeted) = Wire::open(ours, &[redis::cmd("HI")], expected(1)).await.unwrap();
        assert_eq!(greeted, Ok(vec![Value::Okay]));
        assert_eq!(heard(&mut theirs).await, "*1\r\n$2\r\nHI\r\n");
        (Arc::new(wire), theirs)
    }

    /// What has arrived so far.
    async fn heard(theirs: &mut DuplexStream) -> String {
        let mut text = vec![0; 4096];
        let length = theirs.read(&mut text).await.unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// Asks in a task of its own, which has asked when this returns.
    async fn ask(wire: &Arc<Wire>, word: &'static [u8], replies: usize) -> AbortOnDropHandle<Answer> {
        let (wire, expected) = (Arc::clone(wire), expected(replies));
        let asking =
            tokio::spawn(async move { wire.ask(|out: &mut Vec<u8>| out.extend_from_slice(word), expected).await });
        yield_now().await;
        AbortOnDropHandle::new(asking)
    }

    fn number(number: i64) -> Answer {
        Ok(vec![Value::Int(number)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_banner_that_nobody_asked_for_is_the_answer_to_the_greeting_and_the_rest_is_the_end() {
        let (ours, mut theirs) = duplex(1024);
        theirs.write_all(b"-ERR max number of clients reached\r\n").await.unwrap();
        let (wire, greeted) = Wire::open(ours, &[redis::cmd("HI")], expected(1)).await.unwrap();
        let wire = Arc::new(wire);
        assert!(matches!(&greeted.unwrap()[..], [Value::ServerError(_)]));
        theirs.write_all(b":1\r\n").await.unwrap();
        yield_now().await;
        assert_eq!(ask(&wire, b"", 1).await.await.unwrap(), Err(Silence::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_come_byte_by_byte_reach_those_who_asked_and_none_who_did_not() {
        let (wire, mut theirs) = connected().await;
        let (one, two, three) = (ask(&wire, b"a", 1).await, ask(&wire, b"b", 2).await, ask(&wire, b"c", 1).await);
        drop(two);
        let four = ask(&wire, b"d", 1).await;
        assert_eq!(heard(&mut theirs).await, "abcd");
        for byte in b":1\r\n$4\r\n:2\r\n\r\n:22\r\n:3\r\n:4\r\n" {
            theirs.write_all(&[*byte]).await.unwrap();
            yield_now().await;
        }
        assert_eq!((one.await.unwrap(), three.await.unwrap(), four.await.unwrap()), (number(1), number(3), number(4)));
    }

    /// Many times what is read at once, and some replies larger than that.
    #[tokio::test(start_paused = true)]
    async fn replies_of_every_size_reach_those_who_asked() {
        let (wire, mut theirs) = connected().await;
        let text = |n: usize| n.to_string().into_bytes().repeat(if n.is_multiple_of(17) { 20_000 } else { 500 + n });
        let mut asking = Vec::new();
        for _ in 0..100 {
            asking.push(ask(&wire, b"", 1).await);
        }
        let reply = |n| [format!("${}\r\n", text(n).len()).into_bytes(), text(n), b"\r\n".to_vec()].concat();
        let replies = (0..100).map(reply).collect::<Vec<_>>().concat();
        let server = tokio::spawn(async move { theirs.write_all(&replies).await.map(|()| theirs) });
        for (n, asking) in asking.into_iter().enumerate() {
            assert!(asking.await.unwrap() == Ok(vec![Value::BulkString(text(n))]), "{n}");
        }
        server.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_while_the_server_is_slow_to_read_is_sent_behind_it() {
        static LARGE: [u8; 3 * 1024 * 1024] = [b'a'; 3 * 1024 * 1024];
        let (wire, mut theirs) = connected().await;
        let (one, two) = (ask(&wire, &LARGE, 1).await, ask(&wire, b"b", 1).await);
        let mut all = vec![0; LARGE.len() + 1];
        theirs.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(&LARGE) && all.ends_with(b"b"));
        theirs.write_all(b":1\r\n:2\r\n").await.unwrap();
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (number(1), number(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_not_answered_in_time_is_late_and_the_next_one_is_not() {
        let (wire, mut theirs) = connected().await;
        let begun = Instant::now();
        let one = ask(&wire, b"", 1).await;
        advance(PATIENCE / 2).await;
        let two = ask(&wire, b"", 1).await;
        assert_eq!(one.await.unwrap(), Err(Silence::Late));
        assert!(begun.elapsed() < PATIENCE + Duration::from_millis(5), "{:?}", begun.elapsed());
        theirs.write_all(b":1\r\n:2\r\n").await.unwrap();
        assert_eq!(two.await.unwrap(), number(2));
        let three = ask(&wire, b"", 1).await;
        assert_eq!(three.await.unwrap(), Err(Silence::Late));
        assert!(begun.elapsed() < 3 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_or_talks_nonsense_or_without_end_is_the_end_of_all_questions() {
        let endless = [&b"$536870912\r\n"[..], &vec![b'x'; 9 * 1024 * 1024]].concat();
        for said in [Vec::new(), b"?\r\n".to_vec(), b":1\r\n:2\r\n:3\r\n?".to_vec(), endless] {
            let (wire, mut theirs) = connected().await;
            let (one, two) = (ask(&wire, b"", 2).await, ask(&wire, b"", 2).await);
            let begun = Instant::now();
            // What is not listened to any more cannot be said to its end.
            let server = tokio::spawn(async move { drop(theirs.write_all(&said).await) });
            let is_told = said_first(&one.await.unwrap());
            assert_eq!(two.await.unwrap(), Err(Silence::Broken));
            server.await.unwrap();
            assert!(begun.elapsed() < PATIENCE && is_told);
            assert_eq!(ask(&wire, b"", 1).await.await.unwrap(), Err(Silence::Broken));
        }
    }

    /// What came before the nonsense is an answer all the same.
    fn said_first(answer: &Answer) -> bool {
        matches!(answer, Err(Silence::Broken)) || *answer == Ok(vec![Value::Int(1), Value::Int(2)])
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_out_closes_the_connection() {
        let (wire, mut theirs) = connected().await;
        let asking = ask(&wire, b"a", 1).await;
        drop(wire);
        assert_eq!(heard(&mut theirs).await, "a");
        theirs.write_all(b":1\r\n").await.unwrap();
        assert_eq!(asking.await.unwrap(), number(1));
        assert_eq!(heard(&mut theirs).await, "", "nobody is there any more");
    }
}
