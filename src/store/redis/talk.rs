//! The talk on one connection: who has asked what and in which order, and what each is answered.
//!
//! Whoever asks writes into one buffer, so that all questions which wait at the same moment leave together. The server
//! answers in the order in which it was asked: a question that is given up, or that is answered too late, keeps its
//! place until its replies have come, so that nobody is ever given another's answer. Reads no clock and no socket.
//!
//! A server that is asked for a session and begins a reply of 512 MiB, or a line without an end, would be read into
//! memory until it is done: a talk fails as soon as more has arrived than all answers that are still awaited may
//! measure. Every answer that comes in begins the count anew, so that no bound is put on what an honest connection
//! carries in its life.

use std::{collections::VecDeque, task::Waker};

use redis::Value;
use slab::Slab;
use tokio::time::Instant;

use super::reply::{Frame, plain_value, value_of};

/// Beyond what is awaited: greetings, errors, and sessions from before `session.max_bytes` was lowered.
const SLACK: u64 = 8 * 1024 * 1024;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// None came in time.
    Late,
    /// The connection broke.
    Broken,
}

/// What makes a connection useless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// What came is no answer to anything.
    Nonsense,
    /// More came than any answer measures.
    TooLarge,
    /// A question was not answered in time, and nobody is left to say so.
    Stuck,
}

/// What is expected of the server: how many replies, of how many bytes at most, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) replies: usize,
    pub(super) bytes: u64,
    pub(super) deadline: Instant,
}

pub(super) type Answer = Result<Vec<Value>, Silence>;

/// A question under way. Whoever asked looks into its place.
struct Question {
    expected: Expected,
    replies: Vec<Value>,
    /// `None`: whoever asked knows already that it is too late.
    place: Option<usize>,
}

/// Where somebody waits for an answer. It is taken away by the one who waits, unless that one gave up.
enum Place {
    Waiting(Waker),
    Answered(Answer),
    GivenUp,
}

/// One connection's talk.
#[derive(Default)]
pub(super) struct Talk {
    outgoing: Vec<u8>,
    questions: VecDeque<Question>,
    places: Slab<Place>,
    /// Whoever moves the bytes, and whether that is to be woken when there is more to do.
    mover: Option<Waker>,
    is_idle: bool,
    /// When to look for questions that are too late.
    check: Option<Instant>,
    frame: Frame,
    awaited: u64,
    arrived: u64,
    over: bool,
}

impl Talk {
    /// Asks; `None` if the connection is broken.
    pub(super) fn ask(&mut self, write: impl FnOnce(&mut Vec<u8>), expected: Expected, waker: &Waker) -> Option<usize> {
        if self.over {
            return None;
        }
        write(&mut self.outgoing);
        let place = self.places.insert(Place::Waiting(waker.clone()));
        self.questions.push_back(Question { expected, replies: Vec::new(), place: Some(place) });
        self.awaited += expected.bytes;
        if self.check.is_none_or(|check| expected.deadline < check) {
            self.check = Some(expected.deadline);
        }
        if std::mem::take(&mut self.is_idle)
            && let Some(mover) = &self.mover
        {
            mover.wake_by_ref();
        }
        Some(place)
    }

    /// The answer in a place, which is then no longer the caller's; `None`: it is not there yet.
    pub(super) fn take(&mut self, place: usize, waker: &Waker) -> Option<Answer> {
        match self.places.get_mut(place) {
            Some(Place::Waiting(old)) => {
                old.clone_from(waker);
                None
            }
            Some(Place::Answered(_)) => match self.places.remove(place) {
                Place::Answered(answer) => Some(answer),
                Place::Waiting(_) | Place::GivenUp => Some(Err(Silence::Broken)),
            },
            Some(Place::GivenUp) | None => Some(Err(Silence::Broken)),
        }
    }

    /// Nobody waits in this place any more.
    pub(super) fn give_up(&mut self, place: usize) {
        match self.places.get_mut(place) {
            Some(waiting @ Place::Waiting(_)) => *waiting = Place::GivenUp,
            Some(Place::Answered(_)) => drop(self.places.remove(place)),
            Some(Place::GivenUp) | None => {}
        }
    }

    /// What is to be sent, in exchange for an empty buffer; whoever moves it is woken when there is more to do.
    pub(super) fn leave(&mut self, buffer: &mut Vec<u8>, mover: &Waker) {
        if buffer.is_empty() {
            std::mem::swap(buffer, &mut self.outgoing);
        }
        match &mut self.mover {
            Some(old) => old.clone_from(mover),
            None => self.mover = Some(mover.clone()),
        }
        self.is_idle = true;
    }

    /// When [`Talk::expire`] is due.
    pub(super) fn check(&self) -> Option<Instant> {
        self.check
    }

    /// Takes in the replies that `bytes` begin with, of which the last `new` have just arrived: how many bytes these
    /// were. Whoever has an answer is to be woken.
    ///
    /// # Errors
    /// [`Fault`]
    pub(super) fn hear(&mut self, bytes: &[u8], new: usize, woken: &mut Vec<Waker>) -> Result<usize, Fault> {
        self.arrived += new as u64;
        if self.arrived > self.awaited.saturating_add(SLACK) {
            return Err(Fault::TooLarge);
        }
        let mut heard = 0;
        while heard < bytes.len() {
            let Some((reply, length)) = self.next(&bytes[heard..])? else { break };
            self.assign(reply, woken)?;
            heard += length;
        }
        Ok(heard)
    }

    /// The reply that `bytes` begin with, and its length, once all of it is there.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<(Value, usize)>, Fault> {
        if self.frame.is_new()
            && let Some(plain) = plain_value(bytes).map_err(|_| Fault::Nonsense)?
        {
            return Ok(Some(plain));
        }
        let Some(length) = self.frame.follow(bytes).map_err(|_| Fault::Nonsense)? else { return Ok(None) };
        self.frame = Frame::default();
        let reply = value_of(&bytes[..length]).map_err(|_| Fault::Nonsense)?;
        Ok(Some((reply, length)))
    }

    /// Gives a reply to the question that has waited longest.
    fn assign(&mut self, reply: Value, woken: &mut Vec<Waker>) -> Result<(), Fault> {
        // A reply that nobody asked for would be taken for the answer to the next question.
        let question = self.questions.front_mut().ok_or(Fault::Nonsense)?;
        if question.replies.is_empty() {
            question.replies = Vec::with_capacity(question.expected.replies);
        }
        question.replies.push(reply);
        if question.replies.len() == question.expected.replies
            && let Some(question) = self.questions.pop_front()
        {
            self.arrived = 0;
            self.awaited -= question.expected.bytes;
            if let Some(place) = question.place {
                self.answer(place, Ok(question.replies), woken);
            }
        }
        Ok(())
    }

    fn answer(&mut self, place: usize, answer: Answer, woken: &mut Vec<Waker>) {
        let Some(waiting) = self.places.get_mut(place) else { return };
        match std::mem::replace(waiting, Place::Answered(answer)) {
            Place::Waiting(waker) => woken.push(waker),
            Place::GivenUp | Place::Answered(_) => drop(self.places.remove(place)),
        }
    }

    /// Tells whoever waits for what is too late at `now`.
    ///
    /// # Errors
    /// [`Fault::Stuck`]
    pub(super) fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) -> Result<(), Fault> {
        let mut stuck = false;
        for at in 0..self.questions.len() {
            let question = &mut self.questions[at];
            if question.expected.deadline <= now
                && let Some(place) = question.place.take()
            {
                stuck |= matches!(self.places.get(place), Some(Place::GivenUp));
                self.answer(place, Err(Silence::Late), woken);
            }
        }
        let waited_for = self.questions.iter().filter(|question| question.place.is_some());
        self.check = waited_for.map(|question| question.expected.deadline).min();
        if stuck { Err(Fault::Stuck) } else { Ok(()) }
    }

    /// The connection is of no use any more, nor is anything that was asked on it.
    pub(super) fn end(&mut self, woken: &mut Vec<Waker>) {
        self.over = true;
        self.mover = None;
        for question in std::mem::take(&mut self.questions) {
            if let Some(place) = question.place {
                self.answer(place, Err(Silence::Broken), woken);
            }
        }
    }
}

#[cfg(test)]
mod tests;
