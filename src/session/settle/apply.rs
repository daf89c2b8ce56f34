//! Steps 7 and 8 of the order of errors: a record with what the response says about its data, cookies, subject and
//! timers.

use std::sync::Arc;

use super::{COOKIE_MAX, Context, Refusal};
use crate::session::{
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
/// of the write are still `base`'s. Nobody else has the record yet: it is made where it stays, and changed there. The order is
/// the contract's: `clear`, captures, update lines, vault, control attributes.
pub(super) fn applied(base: &Record, change: &Change, context: &Context<'_>) -> (Arc<Record>, Result<(), Refusal>) {
    let control = &change.control;
    let clear = control.clear.then(|| Text::from("{}"));
    let before = clear.as_ref().unwrap_or(&base.data);
    let (data, vault, fits) = match contents(before, &base.vault, change, context) {
        Ok((data, vault)) => (data, vault, Ok(())),
        Err(refusal) => (before.clone(), base.vault.clone(), Err(refusal)),
    };
    let subject = base.subject.clone().filter(|_| !control.clear);
    let (retired, homes) = (base.retired.clone(), base.homes.clone());
    let mut made = Arc::new(Record { retired, subject, vault, homes, data, ..*base });
    let next = Arc::make_mut(&mut made);
    if fits.is_ok() {
        outlive_cookies(next, change, context);
    }
    if let Some(place) = context.policy.subject_from.as_ref().filter(|_| next.data != base.data) {
        let name = named(&next.data, place);
        if name != named(&base.data, place) {
            next.subject = name;
        }
    }
    set_timers(next, control, context);
    next.persistent = control.persistent.unwrap_or(next.persistent);
    if let Some(subject) = &control.subject {
        next.subject = (!subject.is_empty()).then(|| subject.clone());
    }
    (made, fits)
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

/// A cookie with an end of its own makes the session last as long, as far as the bounds allow.
fn outlive_cookies(next: &mut Record, change: &Change, context: &Context<'_>) {
    let (now, policy) = (context.now, context.policy);
    let Some(end) = change.cookies.iter().filter_map(|offer| next.vault.expiry(offer)).max() else { return };
    let life = end.since(now).min(COOKIE_MAX);
    next.persistent = true;
    next.deadline = next.deadline.max(now.after(life.min(policy.max_absolute_timeout)));
    let idle = life.min(policy.max_idle_timeout);
    if idle > next.idle_timeout(policy) {
        next.idle = Some(idle);
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

fn set_timers(next: &mut Record, control: &Control, context: &Context<'_>) {
    let policy = context.policy;
    match control.idle {
        Some(Timer::Span(span)) => next.idle = Some(span.min(policy.max_idle_timeout)),
        Some(Timer::Default) => next.idle = None,
        None => {}
    }
    match control.lifetime {
        Some(Timer::Span(span)) => next.deadline = context.now.after(span.min(policy.max_absolute_timeout)),
        Some(Timer::Default) => next.deadline = next.created.after(policy.absolute_timeout),
        None => {}
    }
}
