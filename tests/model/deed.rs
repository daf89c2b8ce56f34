//! What one response may ask for, as a random draw and as headers.

use cloakroom::session::{change::Change, control::Control, patch::Patch};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

pub(crate) const SUBJECTS: [&str; 3] = ["ada", "bob", "eve"];

/// Update and control of one response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    /// Update lines: objects are merge patches, arrays JSON Patches.
    pub(crate) lines: Option<Vec<Value>>,
    pub(crate) rotate: Option<bool>,
    pub(crate) clear: bool,
    pub(crate) destroy: bool,
    pub(crate) subject: Option<&'static str>,
    pub(crate) if_version: Option<u64>,
    pub(crate) persistent: Option<bool>,
    pub(crate) revoke_others: bool,
}

/// What a deed amounts to (contract section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Bare,
    End,
    Replace,
    Write,
}

impl Deed {
    /// `serial` makes every value that is written another one; `version` is what the application was given.
    pub(crate) fn draw(rng: &mut StdRng, serial: u64, version: u64) -> Self {
        let merge = |rng: &mut StdRng| json!({ format!("k{}", rng.random_range(0..6)): serial });
        let append = json!([{"op": "add", "path": "/log/-", "value": serial}]);
        let base = Self::default();
        match rng.random_range(0..100) {
            0..10 => base,
            10..30 => Self { lines: Some(vec![merge(rng)]), ..base },
            30..45 => Self { lines: Some(vec![append]), ..base },
            45..50 => Self { lines: Some(vec![json!({"log": []}), append, merge(rng)]), ..base },
            50..53 => Self { lines: Some(vec![json!({ format!("k{}", rng.random_range(0..6)): null })]), ..base },
            53..59 => Self { rotate: Some(true), ..base },
            59..62 => Self { rotate: Some(true), lines: Some(vec![merge(rng)]), ..base },
            62..64 => Self { clear: true, ..base },
            64..66 => Self { clear: true, lines: Some(vec![json!({"log": []}), merge(rng)]), ..base },
            66..72 => Self { subject: Some(pick(rng)), ..base },
            72..77 => Self { subject: Some(pick(rng)), rotate: Some(false), lines: Some(vec![merge(rng)]), ..base },
            77..80 => Self { subject: Some(""), ..base },
            80..84 => Self { destroy: true, ..base },
            84..87 => Self { destroy: true, lines: Some(vec![json!({"log": []}), merge(rng)]), ..base },
            87..88 => Self { destroy: true, lines: Some(vec![append]), ..base },
            88..94 => Self { if_version: Some(version), lines: Some(vec![merge(rng)]), ..base },
            94..96 => Self { persistent: Some(rng.random()), ..base },
            96..98 => Self { revoke_others: true, ..base },
            _ => Self { revoke_others: true, subject: Some(pick(rng)), ..base },
        }
    }

    /// A log-in: a new session with data and a subject.
    pub(crate) fn log_in(rng: &mut StdRng, serial: u64) -> Self {
        let subject = rng.random_bool(0.5).then(|| pick(rng));
        Self { lines: Some(vec![json!({"log": [], "born": serial})]), subject, ..Self::default() }
    }

    /// Of this deed, what the holder of a token may ask for out of band.
    pub(crate) fn held(self) -> Self {
        Self { lines: self.lines, if_version: self.if_version, ..Self::default() }
    }

    pub(crate) fn kind(&self) -> Kind {
        let attributes = self.subject.is_some() || self.if_version.is_some() || self.persistent.is_some();
        match (self.destroy, self.lines.is_some()) {
            (true, false) => Kind::End,
            (true, true) => Kind::Replace,
            (false, true) => Kind::Write,
            (false, false) if attributes || self.revoke_others => Kind::Write,
            (false, false) if self.rotate == Some(true) || self.clear => Kind::Bare,
            (false, false) => Kind::Nothing,
        }
    }

    pub(crate) fn change(&self) -> Change {
        let patch = |line: &Value| Patch::parse(line.to_string().as_bytes()).expect("a patch");
        let update = self.lines.as_ref().map(|lines| lines.iter().map(patch).collect());
        let control = Control::parse([self.control().as_bytes()]).expect("a control");
        Change { update, control, ..Change::default() }
    }

    fn control(&self) -> String {
        let flag = |on: bool, text: &str| on.then(|| text.to_owned());
        let either = |value: Option<bool>, name: &str| {
            value.map(|value| if value { name.to_owned() } else { format!("{name}=?0") })
        };
        let parts = [
            either(self.rotate, "rotate"),
            flag(self.clear, "clear"),
            flag(self.destroy, "destroy"),
            self.subject.map(|subject| format!("subject=\"{subject}\"")),
            self.if_version.map(|version| format!("if-version={version}")),
            either(self.persistent, "persistent"),
            flag(self.revoke_others, "revoke-others"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn pick(rng: &mut StdRng) -> &'static str {
    SUBJECTS[rng.random_range(0..SUBJECTS.len())]
}
