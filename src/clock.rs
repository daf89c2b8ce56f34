//! The clock, read once for all that a task does in one turn.
//!
//! Between two waits a request asks several times what time it is: when it came, when the application answered, since when
//! a connection is idle. Within a turn all of them get one reading; outside, each its own. A turn is a poll of a task
//! ([`turns`]), so a reading is older than the truth by the microseconds that the work since took. In the same way all that
//! waits in a task shares one alarm; [`alarm`] is for whoever waits, there or elsewhere.

pub mod alarm;
#[cfg(test)]
pub mod testing;
pub mod turns;

use std::{
    cell::Cell,
    task::{Context, Poll, RawWakerVTable, Waker},
    time::Duration,
};

use tokio::time::Instant;

/// What this thread knows of the time.
#[derive(Clone, Copy)]
enum Reading {
    /// Nothing: there is no turn.
    None,
    /// Nobody has asked in this turn.
    Due,
    At(Instant),
}

/// Which task a waker wakes. Said of one that lives: another's may be the same later.
type Task = (*const (), *const RawWakerVTable);

/// The turn that a thread is in.
struct Turn {
    reading: Cell<Reading>,
    task: Cell<Option<Task>>,
    /// When the first of those who wait in it wants the next one.
    until: Cell<Option<Instant>>,
}

thread_local! {
    static TURN: Turn =
        const { Turn { reading: Cell::new(Reading::None), task: Cell::new(None), until: Cell::new(None) } };
}

/// Ends the turn, however it ends, and goes on with the one around it.
struct Outer(Reading, Option<Task>, Option<Instant>);

impl Drop for Outer {
    fn drop(&mut self) {
        TURN.with(|turn| {
            turn.reading.set(self.0);
            turn.task.set(self.1);
            turn.until.set(self.2);
        });
    }
}

fn task(waker: &Waker) -> Task {
    (waker.data(), waker.vtable())
}

/// Does a turn's work; what comes of it, and if somebody waits for a time, when the next turn is wanted, and what time it is.
fn turn<T>(cx: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> T) -> (T, Option<(Instant, Instant)>) {
    let this = Some(task(cx.waker()));
    let _outer =
        TURN.with(|turn| Outer(turn.reading.replace(Reading::Due), turn.task.replace(this), turn.until.replace(None)));
    let done = work(cx);
    (done, TURN.with(|turn| turn.until.get()).map(|until| (until, now())))
}

/// Whether it is as late as that; if not, the task whose turn it is has another one then. `None` where there is no turn, or
/// somebody in it waits with a waker of its own: the task's next turn might pass it by.
fn wait_in_turn(cx: &Context<'_>, until: Instant) -> Option<Poll<()>> {
    TURN.with(|turn| {
        if turn.task.get() != Some(task(cx.waker())) {
            return None;
        }
        if until <= now() {
            return Some(Poll::Ready(()));
        }
        if turn.until.get().is_none_or(|first| until < first) {
            turn.until.set(Some(until));
        }
        Some(Poll::Pending)
    })
}

/// The time; within a turn as it was when it was first asked for.
pub fn now() -> Instant {
    TURN.with(|turn| match turn.reading.get() {
        Reading::At(now) => now,
        Reading::None => Instant::now(),
        Reading::Due => {
            let now = Instant::now();
            turn.reading.set(Reading::At(now));
            now
        }
    })
}

/// How long ago that was; nothing, if it was in this turn.
pub fn span(since: Instant) -> Duration {
    let now = now();
    if now == since { Duration::ZERO } else { now.saturating_duration_since(since) }
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, pin::pin};

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two readings with a second between them.
    fn two() -> (Instant, Instant) {
        let first = now();
        let _ = pin!(advance(SECOND)).poll(&mut Context::from_waker(Waker::noop()));
        (first, now())
    }

    /// What this comes to in a turn.
    fn turned<T>(work: impl FnOnce() -> T) -> T {
        turn(&mut Context::from_waker(Waker::noop()), |_| work()).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_has_one_time_and_the_next_one_another() {
        let (first, second) = turned(two);
        assert_eq!(first, second);
        let (third, fourth) = turned(two);
        assert!(third >= first + SECOND && third == fourth);
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_is_nothing_within_a_turn_and_what_it_is_beyond_and_never_less_than_nothing() {
        let (begun, span_in_turn) = turned(|| (now(), span(two().0)));
        assert_eq!(span_in_turn, Duration::ZERO);
        assert_eq!(turned(|| span(begun)), SECOND);
        assert_eq!(turned(|| span(begun + 3 * SECOND)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn outside_of_turns_the_clock_is_read_each_time() {
        let _ = catch_unwind(|| turned(|| assert!(now() < now(), "broken off")));
        let (first, second) = two();
        assert_eq!(second, first + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_within_another_one_leaves_it_as_it_was() {
        let mut cx = Context::from_waker(Waker::noop());
        let begun = now();
        let (_, until) = turn(&mut cx, |cx| {
            assert_eq!(wait_in_turn(cx, begun + 2 * SECOND), Some(Poll::Pending));
            let (_, inner) = turn(cx, |cx| wait_in_turn(cx, begun + 3 * SECOND));
            assert_eq!(inner, Some((begun + 3 * SECOND, begun)));
            let (first, second) = two();
            assert_eq!(first, second);
        });
        assert_eq!(until, Some((begun + 2 * SECOND, begun)));
        assert_eq!(wait_in_turn(&cx, begun), None);
    }
}
