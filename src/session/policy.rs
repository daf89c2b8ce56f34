//! The configured rules of a session's life (contract sections 3 and 9), and the arithmetic of its deadlines.

use std::time::Duration;

use super::document::Pointer;

/// When a session comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// With the first change that stores something.
    OnWrite,
    /// With the first response to every visitor.
    Always,
}

/// What counts as use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slide {
    /// Every request that presents the session.
    OnRequest,
    /// Only requests that change it.
    OnWrite,
}

/// What a `5xx` answer of the application may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On5xx {
    /// `destroy` and `revoke-*` only.
    EndOnly,
    /// Everything, as on any other status.
    Save,
}

/// The rules for all sessions of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When sessions are created.
    pub create: Create,
    /// Idle timeout of a session that has none of its own.
    pub idle_timeout: Duration,
    /// Life from creation, never extended by use.
    pub absolute_timeout: Duration,
    /// What counts as use.
    pub slide: Slide,
    /// Upper bound of `idle=N`.
    pub max_idle_timeout: Duration,
    /// Upper bound of `lifetime=N`.
    pub max_absolute_timeout: Duration,
    /// At most this long passes between a use and the expiry that accounts for it.
    pub touch_interval: Duration,
    /// How long a retired ticket is recognised.
    pub retire_grace: Duration,
    /// Upper bound of the data's JSON text in bytes.
    pub max_bytes: usize,
    /// What a `5xx` answer may change.
    pub on_5xx: On5xx,
    /// Life of a session that has not been presented since its creation.
    pub fresh_timeout: Option<Duration>,
    /// Where in the data the subject is; it follows what is there whenever the data changes.
    pub subject_from: Option<Pointer>,
    /// Whether new sessions' cookies outlive the browser (`cookie.persistent`).
    pub persistent: bool,
}

impl Default for Policy {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            create: Create::OnWrite,
            idle_timeout: Duration::from_secs(30 * MINUTE),
            absolute_timeout: Duration::from_secs(DAY / 2),
            slide: Slide::OnRequest,
            max_idle_timeout: Duration::from_secs(30 * DAY),
            max_absolute_timeout: Duration::from_secs(400 * DAY),
            touch_interval: Duration::from_secs(MINUTE),
            retire_grace: Duration::from_secs(10),
            max_bytes: 64 * 1024,
            on_5xx: On5xx::EndOnly,
            fresh_timeout: None,
            subject_from: None,
            persistent: false,
        }
    }
}

impl Policy {
    /// How stale the stored expiry of a session with this idle timeout may get: `min(touch_interval, idle / 10)`.
    pub fn touch_step(&self, idle: Duration) -> Duration {
        self.touch_interval.min(idle / 10)
    }
}
