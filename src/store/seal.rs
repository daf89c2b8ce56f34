//! What the store's keys and values show of a session: subjects are labels, never names.

use aws_lc_rs::digest;

use super::index::Label;

/// The labels of this process.
pub(super) struct Seals;

impl Seals {
    pub(super) fn new() -> Self {
        Self
    }

    /// The labels of a subject: the one that is used first, then those that others may be using.
    pub(super) fn labels(&self, subject: &str) -> Vec<Label> {
        let digest = digest::digest(&digest::SHA256, subject.as_bytes());
        vec![Label::of(digest.as_ref())]
    }
}
