//! What one response asks for: its update lines and its control dictionary, decoded.

use super::{control::Control, patch::Patch};

/// The decoded headers of one response.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Update lines in order; `None` if the header was absent (which matters beside `destroy`).
    pub update: Option<Vec<Patch>>,
    /// The control dictionary.
    pub control: Control,
}

/// What a change amounts to, apart from `revoke-subject`, which stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Nothing at all.
    Nothing,
    /// `rotate` or `clear` and nothing else.
    Bare,
    /// `destroy` without an update.
    End,
    /// `destroy` with an update.
    Replace,
    /// Anything else.
    Write,
}

impl Change {
    /// Which row of the decision table this is.
    pub fn intent(&self) -> Intent {
        let control = &self.control;
        let updates = self.patches().iter().any(|patch| !patch.is_empty());
        let attributes = control.subject.is_some()
            || control.idle.is_some()
            || control.lifetime.is_some()
            || control.persistent.is_some()
            || control.if_version.is_some()
            || control.revoke_others;
        match (control.destroy, updates || attributes) {
            (true, _) if self.update.is_none() => Intent::End,
            (true, _) => Intent::Replace,
            (false, true) => Intent::Write,
            (false, false) if control.rotate == Some(true) || control.clear => Intent::Bare,
            (false, false) => Intent::Nothing,
        }
    }

    /// The update lines.
    pub fn patches(&self) -> &[Patch] {
        self.update.as_deref().unwrap_or_default()
    }

    /// What a `5xx` answer may still do: end the session and revoke (contract section 5).
    #[must_use]
    pub fn endings(self) -> Self {
        let Control { destroy, revoke_others, revoke_subject, .. } = self.control;
        Self { update: None, control: Control { destroy, revoke_others, revoke_subject, ..Control::default() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_intent() {
        for (update, control, intent) in [
            (None, "", Intent::Nothing),
            (Some("{}"), "", Intent::Nothing),
            (Some("[]"), "rotate=?0", Intent::Nothing),
            (None, "revoke-subject=bob", Intent::Nothing),
            (None, "rotate", Intent::Bare),
            (Some("{}"), "clear", Intent::Bare),
            (None, "rotate, clear", Intent::Bare),
            (None, "destroy", Intent::End),
            (None, "destroy, rotate, subject=x, if-version=3", Intent::End),
            (Some("{}"), "destroy", Intent::Replace),
            (Some("{\"a\":1}"), "destroy, clear", Intent::Replace),
            (Some("{\"a\":1}"), "", Intent::Write),
            (Some("{\"a\":null}"), "rotate", Intent::Write),
            (None, "subject=\"\"", Intent::Write),
            (None, "idle=1", Intent::Write),
            (None, "lifetime=default", Intent::Write),
            (None, "persistent=?0", Intent::Write),
            (None, "if-version=0", Intent::Write),
            (None, "revoke-others", Intent::Write),
        ] {
            let change = Change {
                update: update.map(|text| vec![Patch::parse(text.as_bytes()).unwrap()]),
                control: Control::parse([control.as_bytes()]).unwrap(),
            };
            assert_eq!(change.intent(), intent, "{update:?} {control}");
        }
    }

    #[test]
    fn a_5xx_keeps_endings_only() {
        let control =
            Control::parse([&b"destroy, rotate, clear, subject=x, revoke-others, revoke-subject=bob"[..]]).unwrap();
        let kept = Change { update: Some(vec![]), control }.endings();
        let wanted = Control::parse([&b"destroy, revoke-others, revoke-subject=bob"[..]]).unwrap();
        assert!(kept.update.is_none() && kept.control == wanted);
        assert_eq!(kept.intent(), Intent::End);
    }
}
