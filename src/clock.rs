//! The clock, read once for all that a task does in one turn.
//!
//! Between two waits a request asks several times what time it is: when it came, when the application answered, since when
//! a connection is idle. Within a [`turn`] all of them get one reading; outside, each its own. A turn is a poll of a task,
//! so a reading is older than the truth by the microseconds that the work since took. [`alarm`] is for waits that end.

pub mod alarm;

use std::cell::Cell;

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

thread_local! {
    static READING: Cell<Reading> = const { Cell::new(Reading::None) };
}

/// Ends the turn, however it ends.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        READING.set(Reading::None);
    }
}

/// Does work that waits for nothing.
pub fn turn<T>(work: impl FnOnce() -> T) -> T {
    READING.set(Reading::Due);
    let _turn = Turn;
    work()
}

/// The time; within a turn as it was when it was first asked for.
pub fn now() -> Instant {
    match READING.get() {
        Reading::At(now) => now,
        Reading::None => Instant::now(),
        Reading::Due => {
            let now = Instant::now();
            READING.set(Reading::At(now));
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, time::Duration};

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two readings with a second between them.
    fn two() -> (Instant, Instant) {
        let first = now();
        let mut advancing = std::pin::pin!(advance(SECOND));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = advancing.as_mut().poll(&mut cx);
        (first, now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_has_one_time_and_the_next_one_another() {
        let (first, second) = turn(two);
        assert_eq!(first, second);
        let (third, fourth) = turn(two);
        assert!(third >= first + SECOND && third == fourth);
    }

    #[tokio::test(start_paused = true)]
    async fn outside_of_turns_the_clock_is_read_each_time() {
        let _ = catch_unwind(|| turn(|| assert!(now() < now(), "broken off")));
        let (first, second) = two();
        assert_eq!(second, first + SECOND);
    }
}
