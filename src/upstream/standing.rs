//! How a server stands: whether it may be asked. Two judges: its health checks, and the requests that went to it.
//!
//! A connection that cannot be made, or a fresh one that is closed before an answer, puts a server out for a second, and
//! twice as long each further time, up to a minute; what fails while it is out anyhow counts no more. Then one request at
//! a time tries it; the first answer puts it back. What an application answers is no failure, not even a 5xx. All of it
//! is a few atomics: the hot path reads one.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How long the first failure puts a server out.
const FIRST: Duration = Duration::from_secs(1);
/// The longest that failures put it out.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a server may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// As far as anybody knows.
    Up,
    /// It failed, and its time out is over: one request may try.
    Trial,
    /// It failed lately.
    Out,
    /// It fails its health checks.
    Down,
}

impl Fitness {
    /// Whether it is asked while others are not as well.
    pub fn is_well(self) -> bool {
        match self {
            Self::Up | Self::Trial => true,
            Self::Out | Self::Down => false,
        }
    }

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Trial => "trial",
            Self::Out => "out",
            Self::Down => "down",
        }
    }
}

/// One server's standing, for the whole process. Times are milliseconds of a clock that its owner keeps.
#[derive(Debug, Default)]
pub(super) struct Standing {
    failures: AtomicU32,
    out_until: AtomicU64,
    trial: AtomicBool,
    down: AtomicBool,
    checks: AtomicU32,
}

impl Standing {
    pub(super) fn fitness(&self, now: u64) -> Fitness {
        if self.is_down() {
            Fitness::Down
        } else if self.failures.load(Relaxed) == 0 {
            Fitness::Up
        } else if self.out_until.load(Relaxed) <= now {
            Fitness::Trial
        } else {
            Fitness::Out
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Relaxed)
    }

    /// Takes the trial that is due, so that nobody else does; whether it did.
    pub(super) fn take_trial(&self, now: u64) -> bool {
        let until = self.out_until.load(Relaxed);
        let next = now + millis(FIRST);
        let taken = until <= now && self.out_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok();
        self.trial.fetch_or(taken, Relaxed);
        taken
    }

    /// A request failed; says for how long that puts the server out, if it was not out already.
    pub(super) fn failed(&self, now: u64) -> Option<Duration> {
        let (failures, is_trial) = (self.failures.load(Relaxed), self.trial.swap(false, Relaxed));
        if failures > 0 && !is_trial && now < self.out_until.load(Relaxed) {
            return None;
        }
        self.failures.fetch_add(1, Relaxed);
        let out = FIRST.saturating_mul(1 << failures.min(6)).min(LONGEST);
        self.out_until.store(now + millis(out), Relaxed);
        Some(out)
    }

    /// A request was answered; whether the server was out before.
    pub(super) fn answered(&self) -> bool {
        self.failures.load(Relaxed) != 0 && self.failures.swap(0, Relaxed) != 0
    }

    /// A health check went well or not. After so many in a row that contradict its state, the state changes; whether it
    /// did. A server that comes up again is on trial no longer.
    pub(super) fn checked(&self, well: bool, in_a_row: u32) -> bool {
        if well != self.is_down() {
            self.checks.store(0, Relaxed);
            return false;
        }
        if self.checks.fetch_add(1, Relaxed) + 1 < in_a_row {
            return false;
        }
        self.checks.store(0, Relaxed);
        self.down.store(!well, Relaxed);
        if well {
            self.failures.store(0, Relaxed);
        }
        true
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_up_until_it_fails_and_again_when_it_answers() {
        let standing = Standing::default();
        assert_eq!(standing.fitness(0), Fitness::Up);
        assert!(!standing.answered());
        standing.failed(0);
        assert_eq!((standing.fitness(999), standing.fitness(1_000)), (Fitness::Out, Fitness::Trial));
        assert!(standing.answered());
        assert_eq!(standing.fitness(0), Fitness::Up);
    }

    #[test]
    fn each_further_failure_puts_it_out_for_twice_as_long_up_to_a_minute() {
        let (standing, mut now) = (Standing::default(), 0);
        let mut fail = || {
            let out = standing.failed(now).expect("it was not out").as_secs();
            now += out * 1000;
            out
        };
        assert_eq!([(); 9].map(|()| fail()), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(standing.answered());
        assert_eq!(standing.failed(now), Some(FIRST));
    }

    #[test]
    fn many_failures_at_once_are_one() {
        let standing = Standing::default();
        assert_eq!(standing.failed(0), Some(FIRST));
        assert_eq!((standing.failed(0), standing.failed(999)), (None, None));
        assert!(standing.take_trial(1_000));
        assert_eq!((standing.failed(1_001), standing.failed(1_002)), (Some(FIRST * 2), None));
    }

    #[test]
    fn a_trial_is_for_one_request_at_a_time() {
        let standing = Standing::default();
        standing.failed(0);
        assert!(!standing.take_trial(999));
        assert!(standing.take_trial(1_000));
        assert!(!standing.take_trial(1_000));
        assert_eq!(standing.fitness(1_999), Fitness::Out);
        assert!(standing.take_trial(2_000));
    }

    #[test]
    fn checks_change_its_state_after_so_many_in_a_row() {
        let standing = Standing::default();
        assert!(!standing.checked(false, 2));
        assert!(!standing.checked(true, 2));
        assert!(!standing.checked(false, 2));
        assert_eq!(standing.fitness(0), Fitness::Up);
        assert!(standing.checked(false, 2));
        assert_eq!(standing.fitness(0), Fitness::Down);
        assert!(!standing.checked(false, 2));
        standing.failed(0);
        assert!(!standing.checked(true, 2));
        assert!(standing.checked(true, 2));
        assert_eq!(standing.fitness(0), Fitness::Up);
    }
}
