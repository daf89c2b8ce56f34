//! What one response asks for: captured headers, its update lines and its control dictionary, decoded.

use super::{capture::Capture, control::Control, homes::Served, patch::Patch, vault::Offer};

/// The decoded headers of one response.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Captured headers, in the order of the configuration; applied before the update.
    pub captures: Vec<Capture>,
    /// Update lines in order; `None` if the header was absent (which matters beside `destroy`).
    pub update: Option<Vec<Patch>>,
    /// Cookies for the vault, in order; applied after the update.
    pub cookies: Vec<Offer>,
    /// The control dictionary.
    pub control: Control,
    /// Who answered, where that is to be remembered. Noted with a write, it is no reason for one.
    pub served: Option<Served>,
}

/// What a change amounts to, apart from `revoke-subject`, which stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Nothing at all.
    Nothing,
    /// `rotate` or `clear` and nothing else.
    Bare,
    /// `destroy` without an update. Captured headers beside it do not count, nor do cookies that are deleted.
    End,
    /// `destroy` with an update or a new cookie for the vault.
    Replace,
    /// Anything else.
    Write,
}

impl Change {
    /// Which row of the decision table this is.
    pub fn intent(&self) -> Intent {
        let control = &self.control;
        let headers = !self.captures.is_empty() || !self.cookies.is_empty();
        let updates = headers || self.patches().iter().any(|patch| !patch.is_empty());
        let begins = self.update.is_some() || self.cookies.iter().any(|offer| offer.value.is_some());
        let attributes = control.subject.is_some()
            || control.idle.is_some()
            || control.lifetime.is_some()
            || control.persistent.is_some()
            || control.if_version.is_some()
            || control.revoke_others;
        match (control.destroy, updates || attributes) {
            (true, _) if begins => Intent::Replace,
            (true, _) => Intent::End,
            (false, true) => Intent::Write,
            (false, false) if control.rotate == Some(true) || control.clear => Intent::Bare,
            (false, false) => Intent::Nothing,
        }
    }

    /// The update lines.
    pub fn patches(&self) -> &[Patch] {
        self.update.as_deref().unwrap_or_default()
    }

    /// The same, said by this server.
    #[must_use]
    pub fn served_by(self, served: Option<Served>) -> Self {
        Self { served, ..self }
    }

    /// What a `5xx` answer may still do: end the session and revoke (contract section 5).
    #[must_use]
    pub fn endings(self) -> Self {
        let Control { destroy, revoke_others, revoke_subject, .. } = self.control;
        let control = Control { destroy, revoke_others, revoke_subject, ..Control::default() };
        Self { control, ..Self::default() }
    }

    /// The change of an answer that ends the session by itself (`end_on`): as with `destroy`. What was captured is of
    /// whoever has just signed out, so that it must not begin another session. A cookie may: so it would in a browser.
    #[must_use]
    pub fn ending(self) -> Self {
        Self { captures: Vec::new(), control: Control { destroy: true, ..self.control }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::document::Pointer;

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
                captures: Vec::new(),
                cookies: Vec::new(),
                update: update.map(|text| vec![Patch::parse(text.as_bytes()).unwrap()]),
                control: Control::parse([control.as_bytes()]).unwrap(),
                served: None,
            };
            assert_eq!(change.intent(), intent, "{update:?} {control}");
        }
    }

    #[test]
    fn a_5xx_keeps_endings_only() {
        let control =
            Control::parse([&b"destroy, rotate, clear, subject=x, revoke-others, revoke-subject=bob"[..]]).unwrap();
        let kept = Change { update: Some(vec![]), control, ..Change::default() }.endings();
        let wanted = Control::parse([&b"destroy, revoke-others, revoke-subject=bob"[..]]).unwrap();
        assert!(kept.update.is_none() && kept.control == wanted);
        assert_eq!(kept.intent(), Intent::End);
    }

    #[test]
    fn a_captured_header_is_an_update_but_not_beside_destroy() {
        let captures = || vec![Capture { place: Pointer::parse("/user").unwrap(), text: "ada".into() }];
        let said = |control: &str, update| Change {
            captures: captures(),
            cookies: Vec::new(),
            update,
            control: Control::parse([control.as_bytes()]).unwrap(),
            served: None,
        };
        for (change, intent) in [
            (said("", None), Intent::Write),
            (said("rotate", None), Intent::Write),
            (said("destroy", None), Intent::End),
            (said("destroy", Some(vec![])), Intent::Replace),
            (said("", None).ending(), Intent::End),
            (said("subject=x, rotate", None).ending(), Intent::End),
            (said("", Some(vec![])).ending(), Intent::Replace),
        ] {
            assert_eq!(change.intent(), intent, "{change:?}");
        }
        assert!(said("", Some(vec![])).ending().captures.is_empty());
        assert!(said("destroy", None).endings().captures.is_empty());
    }
}
