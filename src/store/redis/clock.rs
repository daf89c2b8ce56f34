//! The store's clock decides; here is what a shard knows of it between two answers to `TIME`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::Value;
use tokio::time::Instant;

use crate::{
    clock,
    session::{Timestamp, time::millis},
};

/// The store's clock is asked again when the last answer is older than this.
const CLOCK_AGE: Duration = Duration::from_secs(1);

/// The store's clock, kept as the store's time at a local moment.
pub(super) struct Clock {
    base: Instant,
    at_base: AtomicU64,
    asked: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base: Instant::now(), at_base: AtomicU64::new(millis(epoch)), asked: AtomicU64::new(0) }
    }

    fn elapsed(&self) -> u64 {
        millis(clock::now().saturating_duration_since(self.base))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The store's time at a local moment.
    pub(super) fn at(&self, moment: Instant) -> Timestamp {
        let elapsed = millis(moment.saturating_duration_since(self.base));
        Timestamp(self.at_base.load(Ordering::Relaxed).saturating_add(elapsed))
    }

    pub(super) fn is_known(&self) -> bool {
        self.asked.load(Ordering::Relaxed) != 0
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked == 0 || millis(now.duration_since(self.base)) > asked + millis(CLOCK_AGE)
    }

    pub(super) fn set(&self, store: Timestamp) {
        let elapsed = self.elapsed();
        self.at_base.store(store.0.saturating_sub(elapsed), Ordering::Relaxed);
        self.asked.store(elapsed.max(1), Ordering::Relaxed);
    }
}

/// The answer to `TIME`.
pub(super) fn time_of(reply: Value) -> Option<Timestamp> {
    let Value::Array(parts) = reply else { return None };
    let number = |part: &Value| match part {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let [seconds, micros] = parts.as_slice() else { return None };
    Some(Timestamp(number(seconds)? * 1000 + number(micros)? / 1000))
}
