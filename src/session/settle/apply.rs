//! Steps 7 and 8 of the order of errors: a record with what the response says about its data, cookies, subject and
//! timers.

use std::{sync::Arc, time::Duration};

use super::{COOKIE_MAX, Context, Refusal};
use crate::session::{
    Timestamp,
    change::Change,
    control::{Control, Timer, is_subject},
    document::{Document, Json, Pointer, Text},
    patch::Patch,
    record::Record,
    vault::Jar,
};

/// Most changes make the data no longer than by this.
const MORE: usize = 64;

/// Steps 7 and 8: `base` with the change applied, but for data and cookies if those do not fit. Secret, version and times
/// of the write are still `base`'s. Nobody else has the record yet: it is made where it stays. The order is the contract's:
/// `clear`, captures, update lines, vault, control attributes.
pub(super) fn applied(base: &Record, change: &Change, context: &Context<'_>) -> (Arc<Record>, Result<(), Refusal>) {
    let control = &change.control;
    let clear = control.clear.then(|| Text::from("{}"));
    let before = clear.as_ref().unwrap_or(&base.data);
    let (data, vault, fits) = match contents(before, &base.vault, change, context) {
        Ok((data, vault)) => (data, vault, Ok(())),
        Err(refusal) => (before.clone(), base.vault.clone(), Err(refusal)),
    };
    let subject = subject(base, &data, control, context);
    let mut life = Life { idle: base.idle, deadline: base.deadline, persistent: base.persistent };
    if fits.is_ok() {
        life.outlive_cookies(&vault, change, context);
    }
    life.set_timers(base.created, control, context);
    let Life { idle, deadline, persistent } = life;
    let (retired, homes) = (base.retired.clone(), base.homes.clone());
    (Arc::new(Record { retired, subject, vault, homes, data, idle, deadline, persistent, ..*base }), fits)
}

/// The subject: that which the data names, if the data has changed and names another one, unless the application says.
fn subject(base: &Record, data: &Text, control: &Control, context: &Context<'_>) -> Option<String> {
    if let Some(subject) = &control.subject {
        return (!subject.is_empty()).then(|| subject.clone());
    }
    if let Some(place) = context.policy.subject_from.as_ref().filter(|_| *data != base.data) {
        let name = named(data, place);
        if name != named(&base.data, place) {
            return name;
        }
    }
    base.subject.clone().filter(|_| !control.clear)
}

/// Data and vault, both or none of them. What is too large since the limit was lowered may stay as it is.
fn contents(data: &Text, vault: &Jar, change: &Change, context: &Context<'_>) -> Result<(Text, Jar), Refusal> {
    let (now, max_bytes) = (context.now, context.policy.max_bytes);
    let (next, mut jar) = (patched(data, change, max_bytes)?, vault.clone());
    change.cookies.iter().for_each(|offer| jar.take(offer));
    let is_larger = next.len() + jar.weight(now) > max_bytes;
    if is_larger && (next != *data || jar != *vault) {
        return Err(Refusal::TooLarge);
    }
    Ok((next, jar))
}

/// How long a session lives, and its cookie.
struct Life {
    idle: Option<Duration>,
    deadline: Timestamp,
    persistent: bool,
}

impl Life {
    /// A cookie with an end of its own makes the session last as long, as far as the bounds allow.
    fn outlive_cookies(&mut self, vault: &Jar, change: &Change, context: &Context<'_>) {
        let (now, policy) = (context.now, context.policy);
        let Some(end) = change.cookies.iter().filter_map(|offer| vault.expiry(offer)).max() else { return };
        let life = end.since(now).min(COOKIE_MAX);
        self.persistent = true;
        self.deadline = self.deadline.max(now.after(life.min(policy.max_absolute_timeout)));
        let idle = life.min(policy.max_idle_timeout);
        if idle > self.idle.unwrap_or(policy.idle_timeout) {
            self.idle = Some(idle);
        }
    }

    fn set_timers(&mut self, created: Timestamp, control: &Control, context: &Context<'_>) {
        let policy = context.policy;
        match control.idle {
            Some(Timer::Span(span)) => self.idle = Some(span.min(policy.max_idle_timeout)),
            Some(Timer::Default) => self.idle = None,
            None => {}
        }
        match control.lifetime {
            Some(Timer::Span(span)) => self.deadline = context.now.after(span.min(policy.max_absolute_timeout)),
            Some(Timer::Default) => self.deadline = created.after(policy.absolute_timeout),
            None => {}
        }
        self.persistent = control.persistent.unwrap_or(self.persistent);
    }
}

/// The subject that the data names: a string that may be one, or a number's text.
fn named(data: &str, place: &Pointer) -> Option<String> {
    let document = Document::parse(data).ok()?;
    let text = match document.get(place)? {
        Json::String(text) => text.to_string(),
        Json::Number(number) => number.as_str().to_owned(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    is_subject(&text).then_some(text).filter(|text| !text.is_empty())
}

fn patched(data: &Text, change: &Change, max_bytes: usize) -> Result<Text, Refusal> {
    if change.captures.is_empty() && change.patches().iter().all(Patch::is_empty) {
        return Ok(data.clone());
    }
    if let (true, [patch]) = (change.captures.is_empty(), change.patches())
        && let Some(text) = patch.splice(data)
    {
        return Ok(text);
    }
    let mut document = Document::parse(data).map_err(|_| Refusal::DoesNotFit)?;
    for capture in &change.captures {
        capture.apply(&mut document).map_err(|_| Refusal::DoesNotFit)?;
    }
    for patch in change.patches() {
        patch.apply(&mut document, max_bytes)?;
    }
    if !document.is_object() {
        return Err(Refusal::NotAnObject);
    }
    let mut text = String::with_capacity(data.len() + MORE);
    document.write_to(&mut text);
    Ok(text.into())
}
