//! What the decision table says: a plan for the store and for the browser, or a refusal.

use std::time::Duration;

use crate::session::{Ticket, patch::DoesNotFit, record::Stored};

/// One value to store and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The value.
    pub stored: Stored,
    /// Its time to live; more than zero.
    pub ttl: Duration,
}

/// What the store must do, each an atomic step on one key. Tickets are boxed, here and below: plans are moved about, and
/// few have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Make a session whose key must not exist.
    Create(Box<Ticket>, Write),
    /// Compare and set the presented session.
    Change(Write),
    /// End the presented session, then make another.
    Recreate(Box<Write>, Box<Ticket>, Write),
}

/// What the browser must learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieStep {
    /// Nothing.
    Keep,
    /// This ticket; with `Max-Age` in seconds if the session is persistent.
    Issue(Box<Ticket>, Option<u64>),
    /// That there is no session any more.
    Delete,
}

/// What became of the session; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No session.
    None,
    /// A session that was not changed.
    Live,
    /// A new one.
    Created,
    /// Changed.
    Updated,
    /// Changed, with a fresh secret.
    Rotated,
    /// Ended.
    Destroyed,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For the store.
    pub store: Step,
    /// For the browser, once the store has acknowledged.
    pub cookie: CookieStep,
    /// For the log.
    pub outcome: Outcome,
}

impl Step {
    /// What is stored in the place of the presented session, once it is carried out.
    pub fn written(&self) -> Option<&Write> {
        match self {
            Self::Change(write) => Some(write),
            Self::Recreate(end, ..) => Some(end),
            Self::Keep | Self::Create(..) => None,
        }
    }
}

/// Why a change is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The session ended or was rotated meanwhile, or the ticket is retired (for this much longer), or there are
    /// several.
    Ended(Option<Duration>),
    /// The store could not be asked.
    Unavailable,
    /// A cookie is needed and would not arrive.
    Unreachable,
    /// `if-version` did not match.
    VersionConflict,
    /// A JSON Patch operation does not fit what is stored.
    DoesNotFit,
    /// The data would be no object.
    NotAnObject,
    /// The data would be too large.
    TooLarge,
}

impl From<DoesNotFit> for Refusal {
    fn from(misfit: DoesNotFit) -> Self {
        match misfit {
            DoesNotFit::TooLarge(_) => Self::TooLarge,
            DoesNotFit::Place(_) | DoesNotFit::Test(_) | DoesNotFit::TooDeep(_) => Self::DoesNotFit,
        }
    }
}
