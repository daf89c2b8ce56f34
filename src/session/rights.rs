//! What an upstream may change (contract section 5, "Rights"). A change beyond them is refused whole.

use std::fmt;

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

/// A change goes beyond the upstream's rights. Names the verb, never data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// A control key that is not in `may`.
    Verb(&'static str),
    /// An update outside `may_write`.
    Write,
    /// A JSON Patch that reads (`test`, `copy`, `move`) outside `forward`.
    Read,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb(verb) => write!(f, "the upstream has no right to `{verb}` (upstreams.*.may)"),
            Self::Write => f.write_str("the update changes what the upstream may not (upstreams.*.may_write)"),
            Self::Read => f.write_str("the update reads what the upstream may not see (upstreams.*.forward)"),
        }
    }
}

impl std::error::Error for Beyond {}

impl Rights {
    /// Lets an upstream with these rights say this. What comes back is confined to them: whether a merge patch would
    /// change more on its way is known only when it is applied.
    ///
    /// # Errors
    /// [`Beyond`] names the first part that it may not.
    pub fn allow(&self, patches: Vec<Patch>, control: &Control) -> Result<Vec<Patch>, Beyond> {
        self.verbs.allow(control)?;
        let writes = patches.iter().flat_map(Patch::writes);
        let reads = patches.iter().flat_map(Patch::reads);
        if !within(self.may_write.as_deref(), writes) {
            return Err(Beyond::Write);
        }
        if !within(self.forward.as_deref(), reads) {
            return Err(Beyond::Read);
        }
        Ok(match &self.may_write {
            Some(places) => patches.into_iter().map(|patch| patch.confined_to(places)).collect(),
            None => patches,
        })
    }
}

impl Verbs {
    fn allow(&self, control: &Control) -> Result<(), Beyond> {
        let timers = control.idle.is_some() || control.lifetime.is_some() || control.persistent.is_some();
        let said = [
            (control.rotate == Some(true), self.rotate, "rotate"),
            (control.destroy, self.destroy, "destroy"),
            (control.revoke_others, self.destroy, "destroy"),
            (control.clear, self.clear, "clear"),
            (control.subject.is_some(), self.subject, "subject"),
            (timers, self.lifetime, "lifetime"),
            (control.revoke_subject.is_some(), self.revoke, "revoke"),
        ];
        match said.into_iter().find(|(said, may, _)| *said && !*may) {
            Some((_, _, verb)) => Err(Beyond::Verb(verb)),
            None => Ok(()),
        }
    }
}

fn within(allowed: Option<&[Pointer]>, mut used: impl Iterator<Item = Pointer>) -> bool {
    allowed.is_none_or(|allowed| used.all(|used| allowed.iter().any(|allowed| used.starts_with(allowed))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(texts: &[&str]) -> Option<Vec<Pointer>> {
        Some(texts.iter().map(|text| Pointer::parse(text).unwrap()).collect())
    }

    fn allowed(rights: &Rights, update: &str, control: &str) -> Result<(), Beyond> {
        let patches: Vec<_> =
            (!update.is_empty()).then(|| Patch::parse(update.as_bytes()).unwrap()).into_iter().collect();
        rights.allow(patches, &Control::parse([control.as_bytes()]).unwrap()).map(drop)
    }

    #[test]
    fn by_default_everything_but_revoke_is_allowed() {
        let all = "rotate, destroy, clear, subject=a, idle=1, lifetime=1, persistent, if-version=1, revoke-others";
        assert_eq!(allowed(&Rights::default(), "{\"a\":1}", all), Ok(()));
        assert_eq!(allowed(&Rights::default(), "", "revoke-subject=bob"), Err(Beyond::Verb("revoke")));
    }

    #[test]
    fn each_verb_needs_its_right() {
        let nothing =
            Verbs { rotate: false, destroy: false, clear: false, subject: false, lifetime: false, revoke: false };
        let rights = Rights { verbs: nothing, ..Rights::default() };
        for (control, verb) in [
            ("rotate", "rotate"),
            ("destroy", "destroy"),
            ("revoke-others", "destroy"),
            ("clear", "clear"),
            ("subject=a", "subject"),
            ("subject=\"\"", "subject"),
            ("idle=1", "lifetime"),
            ("lifetime=default", "lifetime"),
            ("persistent=?0", "lifetime"),
            ("revoke-subject=a", "revoke"),
        ] {
            assert_eq!(allowed(&rights, "", control), Err(Beyond::Verb(verb)), "{control}");
        }
        assert_eq!(allowed(&rights, "{\"a\":1}", "if-version=1, rotate=?0"), Ok(()));
    }

    #[test]
    fn updates_stay_within_may_write_on_token_boundaries() {
        let rights = Rights { may_write: pointers(&["/cart"]), ..Rights::default() };
        for update in [
            r#"{"cart":{"n":1}}"#,
            r#"{"cart":null}"#,
            "{}",
            r#"[{"op":"add","path":"/cart/x","value":1}]"#,
            r#"[{"op":"test","path":"/a","value":1}]"#,
        ] {
            assert_eq!(allowed(&rights, update, ""), Ok(()), "{update}");
        }
        for update in [
            r#"{"a":1}"#,
            r#"{"carts":1}"#,
            r#"{"cart":1,"b":null}"#,
            r#"[{"op":"remove","path":"/a"}]"#,
            r#"[{"op":"move","from":"/a","path":"/cart/x"}]"#,
            r#"[{"op":"add","path":"","value":{}}]"#,
        ] {
            assert_eq!(allowed(&rights, update, ""), Err(Beyond::Write), "{update}");
        }
    }

    #[test]
    fn a_merge_does_not_replace_what_stands_in_its_way() {
        use crate::session::document::Document;
        let rights = Rights { may_write: pointers(&["/a/b", "/c"]), ..Rights::default() };
        for (data, update, fits) in [
            (r#"{"a":{"x":1}}"#, r#"{"a":{"b":2}}"#, true),
            (r#"{}"#, r#"{"a":{"b":2}}"#, true),
            (r#"{"a":1}"#, r#"{"a":{"b":2}}"#, false),
            (r#"{"a":[1]}"#, r#"{"a":{"b":2}}"#, false),
            (r#"{"a":1}"#, r#"{"c":2}"#, true),
            (r#"{"a":{"b":1},"c":2}"#, r#"{"a":{"b":{"x":1}},"c":{"y":1}}"#, true),
        ] {
            let patches = rights.allow(vec![Patch::parse(update.as_bytes()).unwrap()], &Control::default()).unwrap();
            let applied = patches[0].apply(&mut Document::parse(data).unwrap(), 1024);
            assert_eq!(applied.is_ok(), fits, "{data} {update}");
        }
    }

    #[test]
    fn a_patch_is_no_window_into_what_is_not_forwarded() {
        let rights = Rights { forward: pointers(&["/user"]), ..Rights::default() };
        assert_eq!(allowed(&rights, r#"[{"op":"copy","from":"/user/name","path":"/x"}]"#, ""), Ok(()));
        assert_eq!(allowed(&rights, r#"[{"op":"copy","from":"/secret","path":"/user"}]"#, ""), Err(Beyond::Read));
        assert_eq!(allowed(&rights, r#"[{"op":"test","path":"/secret","value":1}]"#, ""), Err(Beyond::Read));
    }
}
