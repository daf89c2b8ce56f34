//! What an upstream may change (contract section 5, "Rights"). A change beyond them is refused whole.

use super::{control::Control, document::Pointer, patch::Patch};

/// The verbs that an upstream may say (`may = [...]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbs {
    /// `rotate`
    pub rotate: bool,
    /// `destroy` and `revoke-others`
    pub destroy: bool,
    /// `clear`
    pub clear: bool,
    /// `subject`
    pub subject: bool,
    /// `idle`, `lifetime` and `persistent`
    pub lifetime: bool,
    /// `revoke-subject`; must be given
    pub revoke: bool,
}

impl Default for Verbs {
    fn default() -> Self {
        Self { rotate: true, destroy: true, clear: true, subject: true, lifetime: true, revoke: false }
    }
}

/// The rights of one upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Verbs of the control header.
    pub verbs: Verbs,
    /// Locations that updates may change; `None`: everywhere.
    pub may_write: Option<Vec<Pointer>>,
    /// Locations that the upstream may see; `None`: everything.
    pub forward: Option<Vec<Pointer>>,
}
