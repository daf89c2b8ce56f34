//! Merge patches on text: what [`super::merge`] makes of the document that a text is, without reading all of it.
//!
//! Nearly every change is a merge patch of a few members in plain text, and a session's data is text that we wrote. The
//! members that stay are copied as they stand, those that change take the patch's text. Where anything is out of the
//! ordinary there is no answer; what the answer is, when there is one, [`super::merge`] decides.

use std::ops::Range;

use crate::session::document::{Member, Members, Outline, Place, Text};

/// `change` merged into the object that `text` is: the compact text of the result.
pub(super) fn spliced(text: &Text, change: &Text) -> Option<Text> {
    // A new member needs a comma more, and the patch has braces.
    let mut out = String::with_capacity(text.len() + change.len());
    let members = merge(&text.outline()?, &change.outline()?, &mut out)?;
    Some(Text::written(out, members))
}

fn merge(target: &Outline<'_>, change: &Outline<'_>, out: &mut String) -> Option<Members> {
    let mut list = List { out, target, kept: 0..0, members: Members::default() };
    list.out.push('{');
    let mut met = 0_u32;
    for member in target.members() {
        let Some((number, change)) = change.find(member.key()) else {
            list.keep(member.part());
            list.members.push(Some(member.place()));
            continue;
        };
        met |= 1 << number;
        if change.value() == "null" {
            list.flush();
        } else {
            list.keep(member.head());
            list.flush();
            list.value(member.value(), &change)?;
        }
    }
    list.flush();
    for (number, new) in change.members().enumerate() {
        if met & 1 << number == 0 && new.value() != "null" {
            list.comma();
            list.out.push_str(change.part(new.head()));
            list.value("", &new)?;
        }
    }
    list.out.push('}');
    Some(list.members)
}

/// The members of an object that is being written.
struct List<'a> {
    out: &'a mut String,
    target: &'a Outline<'a>,
    /// What of the target stays and is not written yet: members that stand side by side are copied at once.
    kept: Range<usize>,
    members: Members,
}

impl List<'_> {
    fn keep(&mut self, part: Range<usize>) {
        if self.kept.is_empty() {
            self.kept.start = part.start;
        }
        self.kept.end = part.end;
    }

    fn flush(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if !kept.is_empty() {
            self.comma();
            self.out.push_str(self.target.part(kept));
        }
    }

    fn comma(&mut self) {
        if self.out.as_bytes().last() != Some(&b'{') {
            self.out.push(',');
        }
    }

    /// Writes what takes the place of a value, or comes anew where there was nothing. The head stands there already.
    fn value(&mut self, target: &str, change: &Member<'_>) -> Option<()> {
        let (begin, head) = (self.out.len(), change.head().len());
        let change = change.value();
        if change.starts_with('{') {
            let target = if target.starts_with('{') { Outline::of(target)? } else { Outline::empty() };
            merge(&target, &Outline::of(change)?, self.out)?;
        } else {
            self.out.push_str(change);
        }
        self.members.push(Place::new(head, head + self.out.len() - begin));
        Some(())
    }
}
