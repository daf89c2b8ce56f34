//! Moves the bytes of one connection: questions out, all that wait in one write, and replies in.
//!
//! One task for each connection, woken once for all that was asked meanwhile and once for all that arrived. It keeps
//! one timer, for the question whose time ends first. When it ends, whoever still waits learns that the connection broke.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::talk::{Fault, Talk};

/// Room to read into. It grows for a reply that is larger, and what has grown is given back.
const ROOM: usize = 16 * 1024;
/// What is kept of the buffer to send from: everybody may write a session at once.
const KEPT: usize = 64 * 1024;

/// Who moves the bytes.
pub(super) struct Mover<S> {
    stream: S,
    talk: Arc<Mutex<Talk>>,
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    /// What has arrived and is no whole reply yet.
    begin: usize,
    end: usize,
    timer: Pin<Box<Sleep>>,
    set_to: Option<Instant>,
    woken: Vec<Waker>,
}

/// Why it stopped.
#[derive(Debug)]
pub(super) enum End {
    /// The connection broke.
    Broken(io::Error),
    /// It is of no use any more.
    Useless(Fault),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Mover<S> {
    pub(super) fn new(stream: S, talk: Arc<Mutex<Talk>>) -> Self {
        Self {
            stream,
            talk,
            outgoing: Vec::new(),
            sent: 0,
            incoming: vec![0; ROOM],
            begin: 0,
            end: 0,
            timer: Box::pin(sleep_until(Instant::now())),
            set_to: None,
            woken: Vec::new(),
        }
    }

    /// Takes what is to be sent, and notes when to look at the clock.
    fn collect(&mut self, cx: &Context<'_>) {
        let mut talk = locked(&self.talk);
        talk.leave(&mut self.outgoing, cx.waker());
        let check = talk.check();
        drop(talk);
        self.set(check);
    }

    fn set(&mut self, check: Option<Instant>) {
        if check != self.set_to {
            self.set_to = check;
            check.into_iter().for_each(|check| self.timer.as_mut().reset(check));
        }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let was_busy = !self.outgoing.is_empty();
            self.collect(cx);
            while self.sent < self.outgoing.len() {
                self.sent += match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing[self.sent..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    sent => sent,
                };
            }
            self.sent = 0;
            self.outgoing.clear();
            self.outgoing.shrink_to(KEPT);
            // Whoever asks from now on wakes us; but what was asked while the last write was under way is still there.
            if !was_busy {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            self.make_room();
            let mut room = ReadBuf::new(&mut self.incoming[self.end..]);
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room)) {
                return Poll::Ready(End::Broken(error));
            }
            let new = room.filled().len();
            if new == 0 {
                return Poll::Ready(End::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            self.end += new;
            let heard = locked(&self.talk).hear(&self.incoming[self.begin..self.end], new, &mut self.woken);
            self.wake();
            match heard {
                Ok(heard) => self.begin += heard,
                Err(fault) => return Poll::Ready(End::Useless(fault)),
            }
        }
    }

    fn make_room(&mut self) {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            self.incoming.truncate(ROOM);
            self.incoming.shrink_to(ROOM);
        }
        if self.incoming.len() - self.end < ROOM / 4 && self.begin > 0 {
            self.incoming.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.incoming.len() - self.end < ROOM / 4 {
            self.incoming.resize(2 * self.incoming.len(), 0);
        }
    }

    fn watch_the_clock(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        while self.set_to.is_some() && self.timer.as_mut().poll(cx).is_ready() {
            let mut talk = locked(&self.talk);
            let expired = talk.expire(Instant::now(), &mut self.woken);
            let check = talk.check();
            drop(talk);
            self.wake();
            expired?;
            self.set(check);
        }
        Ok(())
    }
}

impl<S> Mover<S> {
    fn wake(&mut self) {
        self.woken.drain(..).for_each(Waker::wake);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Mover<S> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let mover = self.get_mut();
        if let Poll::Ready(Err(error)) = mover.send(cx) {
            return Poll::Ready(End::Broken(error));
        }
        if let Poll::Ready(end) = mover.receive(cx) {
            return Poll::Ready(end);
        }
        match mover.watch_the_clock(cx) {
            Ok(()) => Poll::Pending,
            Err(fault) => Poll::Ready(End::Useless(fault)),
        }
    }
}

impl<S> Drop for Mover<S> {
    fn drop(&mut self) {
        locked(&self.talk).end(&mut self.woken);
        self.wake();
    }
}

pub(super) fn locked(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}
