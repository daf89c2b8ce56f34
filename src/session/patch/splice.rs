//! Merge patches on text: what [`super::merge`] makes of the document that a text is, without reading all of it.
//!
//! Nearly every change is a merge patch of a few members, and a session's data is text that we wrote. The members that
//! stay are copied as they stand, those that change are written. Where anything is out of the ordinary there is no
//! answer; what the answer is, when there is one, [`super::merge`] decides.

use crate::session::document::{Json, Object, Outline};

/// More members in a patch are merged in the document, where keys that are many are sorted.
const FEW: usize = 32;

/// `change` merged into the object that `text` is: the compact text of the result.
pub(super) fn spliced(text: &str, change: &Object, room: usize) -> Option<String> {
    let mut out = String::with_capacity(text.len() + room);
    merge(&Outline::of(text)?, change, &mut out)?;
    Some(out)
}

fn merge(target: &Outline<'_>, change: &Object, out: &mut String) -> Option<()> {
    if change.len() > FEW {
        return None;
    }
    let mut list = List::begin(out);
    for member in target.members() {
        match change.member(member.key) {
            None => list.next().push_str(member.text),
            Some(Json::Null) => {}
            Some(change) => {
                let out = list.next();
                out.push_str(&member.text[..member.text.len() - member.value.len()]);
                value(member.value, change, out)?;
            }
        }
    }
    let new = change.iter().filter(|(key, change)| !matches!(change, Json::Null) && !target.has(key));
    for (key, change) in new {
        let out = list.next();
        Json::write_string(key, out);
        out.push(':');
        value("", change, out)?;
    }
    list.end();
    Some(())
}

/// What takes the place of a value, or comes anew where there was nothing.
fn value(target: &str, change: &Json, out: &mut String) -> Option<()> {
    let Json::Object(change) = change else {
        change.write_to(out);
        return Some(());
    };
    let target = if target.starts_with('{') { Outline::of(target)? } else { Outline::empty() };
    merge(&target, change, out)
}

/// The members of an object that is being written.
struct List<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> List<'a> {
    fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    fn next(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(',');
        }
        self.out
    }

    fn end(self) {
        self.out.push('}');
    }
}
