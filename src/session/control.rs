//! `X-Session-Control`: the verbs by which an application changes its session, a Structured Field Dictionary
//! (RFC 9651 section 3.2). What the header says, not whether it may: see [`super::rights`].

use std::{fmt, time::Duration};

use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// Longest subject in bytes.
pub const SUBJECT_MAX: usize = 256;

/// A timer that an application sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// So long; more than zero.
    Span(Duration),
    /// The configured value again.
    Default,
}

/// The decoded dictionary. `None` and `false`: the key was absent or `?0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// `rotate` (true) or `rotate=?0` (false: no automatic rotation either).
    pub rotate: Option<bool>,
    /// `clear`
    pub clear: bool,
    /// `destroy`
    pub destroy: bool,
    /// `subject="..."`; empty: unset it.
    pub subject: Option<String>,
    /// `idle=N`
    pub idle: Option<Timer>,
    /// `lifetime=N`
    pub lifetime: Option<Timer>,
    /// `persistent` or `persistent=?0`
    pub persistent: Option<bool>,
    /// `if-version=N`
    pub if_version: Option<u64>,
    /// `revoke-others`
    pub revoke_others: bool,
    /// `revoke-subject="..."`
    pub revoke_subject: Option<String>,
}

/// Why a control header is refused. Names the key, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// Not a Structured Field Dictionary.
    NotADictionary,
    /// No such key.
    UnknownKey,
    /// The key's value has the wrong type or is out of range.
    BadValue(&'static str),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADictionary => f.write_str("the control header is not a Structured Field Dictionary (RFC 9651)"),
            Self::UnknownKey => f.write_str("the control header has a key that does not exist"),
            Self::BadValue(key) => write!(f, "the control key `{key}` has a value of the wrong type or out of range"),
        }
    }
}

impl std::error::Error for ControlError {}

impl Control {
    /// Decodes the field lines, joined as RFC 9651 section 4.2 says; the last of duplicate keys counts.
    ///
    /// # Errors
    /// [`ControlError`]: syntax, unknown key, wrong type or range.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ControlError> {
        let joined = lines.into_iter().collect::<Vec<_>>().join(&b", "[..]);
        let dictionary: Dictionary = Parser::new(&joined).parse().map_err(|_| ControlError::NotADictionary)?;
        let mut control = Self::default();
        for (key, entry) in &dictionary {
            let ListEntry::Item(item) = entry else {
                return Err(ControlError::BadValue(known(key.as_str())?));
            };
            control.set(known(key.as_str())?, &item.bare_item)?;
        }
        Ok(control)
    }

    fn set(&mut self, key: &'static str, value: &BareItem) -> Result<(), ControlError> {
        let bad = ControlError::BadValue(key);
        if let BareItem::Boolean(false) = value {
            match key {
                "rotate" => self.rotate = Some(false),
                "persistent" => self.persistent = Some(false),
                _ => {}
            }
            return Ok(());
        }
        match key {
            "rotate" => self.rotate = Some(flag(value).ok_or(bad)?),
            "clear" => self.clear = flag(value).ok_or(bad)?,
            "destroy" => self.destroy = flag(value).ok_or(bad)?,
            "persistent" => self.persistent = Some(flag(value).ok_or(bad)?),
            "revoke-others" => self.revoke_others = flag(value).ok_or(bad)?,
            "subject" => self.subject = Some(subject(value).ok_or(bad)?),
            "revoke-subject" => self.revoke_subject = Some(subject(value).filter(|s| !s.is_empty()).ok_or(bad)?),
            "idle" => self.idle = Some(timer(value).ok_or(bad)?),
            "lifetime" => self.lifetime = Some(timer(value).ok_or(bad)?),
            "if-version" => self.if_version = Some(version(value).ok_or(bad)?),
            _ => return Err(ControlError::UnknownKey),
        }
        Ok(())
    }
}

fn known(key: &str) -> Result<&'static str, ControlError> {
    const KEYS: [&str; 10] = [
        "rotate",
        "clear",
        "destroy",
        "subject",
        "idle",
        "lifetime",
        "persistent",
        "if-version",
        "revoke-others",
        "revoke-subject",
    ];
    KEYS.into_iter().find(|known| *known == key).ok_or(ControlError::UnknownKey)
}

fn flag(value: &BareItem) -> Option<bool> {
    match value {
        BareItem::Boolean(flag) => Some(*flag),
        _ => None,
    }
}

/// A string, token or display string without control characters, at most [`SUBJECT_MAX`] bytes.
fn subject(value: &BareItem) -> Option<String> {
    let text = match value {
        BareItem::String(text) => text.as_str(),
        BareItem::Token(text) => text.as_str(),
        BareItem::DisplayString(text) => text,
        _ => return None,
    };
    is_subject(text).then(|| text.to_owned())
}

/// Whether this text may be a subject, or unset one if it is empty.
pub(super) fn is_subject(text: &str) -> bool {
    text.len() <= SUBJECT_MAX && !text.chars().any(char::is_control)
}

fn timer(value: &BareItem) -> Option<Timer> {
    match value {
        BareItem::Integer(seconds) => {
            let seconds = u64::try_from(i64::from(*seconds)).ok().filter(|seconds| *seconds > 0)?;
            Some(Timer::Span(Duration::from_secs(seconds)))
        }
        BareItem::Token(word) if word.as_str() == "default" => Some(Timer::Default),
        _ => None,
    }
}

fn version(value: &BareItem) -> Option<u64> {
    match value {
        BareItem::Integer(version) => u64::try_from(i64::from(*version)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Control, ControlError> {
        Control::parse([text.as_bytes()])
    }

    #[test]
    fn every_key_means_what_the_contract_says() {
        let span = |n| Some(Timer::Span(Duration::from_secs(n)));
        let none = Control::default;
        for (text, wanted) in [
            ("", none()),
            ("rotate", Control { rotate: Some(true), ..none() }),
            ("rotate=?0", Control { rotate: Some(false), ..none() }),
            ("rotate;a=1;b", Control { rotate: Some(true), ..none() }),
            ("clear, destroy", Control { clear: true, destroy: true, ..none() }),
            (
                "clear=?0, destroy=?0, revoke-others=?0, subject=?0, idle=?0, lifetime=?0, if-version=?0, revoke-subject=?0",
                none(),
            ),
            ("subject=\"alice\"", Control { subject: Some("alice".into()), ..none() }),
            ("subject=alice", Control { subject: Some("alice".into()), ..none() }),
            ("subject=\"\"", Control { subject: Some(String::new()), ..none() }),
            ("subject=%\"caf%c3%a9\"", Control { subject: Some("café".into()), ..none() }),
            ("idle=600, lifetime=default", Control { idle: span(600), lifetime: Some(Timer::Default), ..none() }),
            ("idle=1, idle=2", Control { idle: span(2), ..none() }),
            ("lifetime=999999999999999", Control { lifetime: span(999_999_999_999_999), ..none() }),
            ("persistent", Control { persistent: Some(true), ..none() }),
            ("persistent=?0", Control { persistent: Some(false), ..none() }),
            ("if-version=0", Control { if_version: Some(0), ..none() }),
            (
                "revoke-others, revoke-subject=\"bob\"",
                Control { revoke_others: true, revoke_subject: Some("bob".into()), ..none() },
            ),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn several_lines_are_one_dictionary_and_the_last_key_counts() {
        let lines = [&b"rotate, subject=\"a\""[..], b"subject=\"b\"", b"rotate=?0"];
        let wanted = Control { rotate: Some(false), subject: Some("b".into()), ..Control::default() };
        assert_eq!(Control::parse(lines), Ok(wanted));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("subject=\"{}\"", "a".repeat(257));
        for text in [
            "frobnicate",
            "rotate, frobnicate=1",
            "frobnicate=?0",
            "rotate=1",
            "rotate=yes",
            "clear=\"x\"",
            "destroy=()",
            "idle",
            "idle=0",
            "idle=-1",
            "idle=1.5",
            "idle=\"x\"",
            "idle=never",
            "lifetime=0",
            "lifetime=-1",
            "if-version",
            "if-version=-1",
            "if-version=abc",
            "if-version=1.0",
            "subject",
            "subject=5",
            "subject=(a b)",
            "subject=%\"a%0ab\"",
            "revoke-subject",
            "revoke-subject=\"\"",
            "Rotate",
            "rotate,",
            "rotate, , clear",
            "rotate;;",
            "rotate clear",
            "=1",
            "subject=\"alice",
            "caf\u{e9}",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
