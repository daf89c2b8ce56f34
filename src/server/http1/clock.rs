//! The time of one connection: one alarm, which is not set anew with every request.
//!
//! Whoever waits says how long; the alarm goes off by then, and now and then before. It never stands further off than a
//! while, so that waits which end in time cost no more than a look at it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A kept-alive connection that was idle for so long is likely to stay so.
pub(super) const REST: Duration = Duration::from_secs(2);

/// An alarm.
pub(super) struct Clock(Pin<Box<Sleep>>);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now() + REST)))
    }

    /// Ready at `until` or a while after `now`, whichever comes first; it may go off early.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, until: Instant) -> Poll<()> {
        let set = self.0.deadline();
        if set > until || set <= now {
            self.0.as_mut().reset(until.min(now + REST));
        }
        self.0.as_mut().poll(cx)
    }
}
