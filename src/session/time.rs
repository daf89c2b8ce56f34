//! Points in time as the store tells them. Not a clock: nothing here reads one.

use std::time::Duration;

/// Milliseconds since the Unix epoch by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment plus `span`; saturates.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// Time from `now` until this moment; zero if it has passed.
    pub fn since(self, now: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }

    /// Whole seconds since the epoch, as JWT NumericDate wants them (RFC 7519 section 2).
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// Whole milliseconds of `span`; saturates.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
