//! Steps 7 and 8 of the order of errors: a record with what the response says about its data, subject and timers.

use super::{Context, Refusal};
use crate::session::{
    change::Change,
    control::{Control, Timer, is_subject},
    document::{Document, Json, Pointer},
    patch::Patch,
    record::Record,
};

/// Steps 7 and 8: `base` with the change applied, but for the data if that does not fit. Secret, version and times of
/// the write are still `base`'s.
pub(super) fn applied(base: &Record, change: &Change, context: &Context<'_>) -> (Record, Result<(), Refusal>) {
    let control = &change.control;
    let mut next = base.clone();
    if control.clear {
        next.data = "{}".into();
        next.subject = None;
    }
    set_timers(&mut next, control, context);
    next.persistent = control.persistent.unwrap_or(next.persistent);
    let fits = patched(&next.data, change, context.policy.max_bytes).map(|data| next.data = data);
    if let Some(place) = context.policy.subject_from.as_ref().filter(|_| next.data != base.data) {
        let name = named(&next.data, place);
        if name != named(&base.data, place) {
            next.subject = name;
        }
    }
    if let Some(subject) = &control.subject {
        next.subject = (!subject.is_empty()).then(|| subject.clone());
    }
    (next, fits)
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

fn patched(data: &str, change: &Change, max_bytes: usize) -> Result<Box<str>, Refusal> {
    if change.captures.is_empty() && change.patches().iter().all(Patch::is_empty) {
        return Ok(data.into());
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
    let text = document.to_text();
    if text.len() > max_bytes && *text != *data { Err(Refusal::TooLarge) } else { Ok(text.into()) }
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
