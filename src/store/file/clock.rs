//! The file's time: this machine's at start, never behind the last commit, monotonic from then on.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::warn;

use crate::session::{Timestamp, time::millis};

/// Less is not worth a word.
const UNNOTICED: u64 = 1_000;

/// When the process began, by both clocks.
pub(super) struct Clock {
    began: Timestamp,
    base: Instant,
}

impl Clock {
    /// `last`: the time of the file's last commit.
    pub(super) fn starting_after(last: Timestamp) -> Self {
        let machine = Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));
        if last.0 > machine.0 + UNNOTICED {
            let behind = humantime::format_duration(std::time::Duration::from_secs(last.since(machine).as_secs()));
            warn!(
                target: "cloakroom::store", %behind,
                "this machine's clock is behind the last change of the store's file, whose time goes on from there; if the \
                 clock was wrong then, stop Cloakroom and remove the file"
            );
        }
        Self { began: last.max(machine), base: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.began.after(self.base.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_never_behind_the_last_commit_and_goes_on_from_there() {
        let future = Timestamp(10_000_000_000_000);
        let clock = Clock::starting_after(future);
        let first = clock.now();
        assert!(first >= future && first.0 < future.0 + 60_000);
        while clock.now() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now() > first);
    }

    #[test]
    fn without_a_past_it_is_the_machines_time() {
        let machine = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let now = Clock::starting_after(Timestamp(0)).now().0;
        assert!((machine..machine + 60_000).contains(&now));
    }
}
