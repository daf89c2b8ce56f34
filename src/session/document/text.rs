//! The text of an object, which remembers what its outline was found to be.
//!
//! Two are equal if their letters are: the outline is a pure function of them, and says what [`Outline::of`] would, where
//! that says anything. It stands beside the text, so that whoever changes one member of a session does not take all of its
//! data apart each time.

use std::{fmt, ops::Deref};

use super::{Outline, outline::Place};

/// The outline of an object with more members is found anew.
const KEPT: usize = 8;

/// The text of an object.
#[derive(Clone)]
pub struct Text {
    content: Box<str>,
    members: Members,
}

/// The members of an object as they are written, as long as they are few.
#[derive(Clone, Copy, Default)]
pub(crate) struct Members {
    places: [Place; KEPT],
    /// More than [`KEPT`]: nothing is known.
    count: usize,
}

impl Text {
    /// A text to which just these members were written.
    pub(crate) fn written(content: String, members: Members) -> Self {
        let text = Self { content: content.into(), members };
        debug_assert!(text.is_outlined_rightly(), "it is as it was written");
        text
    }

    /// Its outline, if it is plain.
    pub(crate) fn outline(&self) -> Option<Outline<'_>> {
        match self.members.known() {
            Some(places) => Some(Outline::known(&self.content, places)),
            None => Outline::of(&self.content),
        }
    }

    fn is_outlined_rightly(&self) -> bool {
        let parts = |outline: Outline<'_>| -> Vec<_> {
            outline.members().map(|member| (member.head(), member.part())).collect()
        };
        Outline::of(&self.content).is_none_or(|found| self.outline().map(parts) == Some(parts(found)))
    }
}

impl Members {
    const UNKNOWN: Self = Self { places: [Place::NONE; KEPT], count: usize::MAX };

    /// One more; none if it is too long.
    pub(crate) fn push(&mut self, place: Option<Place>) {
        match (self.places.get_mut(self.count), place) {
            (Some(free), Some(place)) => {
                *free = place;
                self.count += 1;
            }
            _ => *self = Self::UNKNOWN,
        }
    }

    fn known(&self) -> Option<&[Place]> {
        self.places.get(..self.count)
    }
}

impl Outline<'_> {
    /// Its text, which remembers what was found.
    pub(crate) fn to_text(&self) -> Text {
        let mut members = Members::default();
        self.members().for_each(|member| members.push(Some(member.place())));
        Text { content: self.text().into(), members }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.content
    }
}

impl From<&str> for Text {
    fn from(content: &str) -> Self {
        Self { content: content.into(), members: Members::UNKNOWN }
    }
}

impl From<String> for Text {
    fn from(content: String) -> Self {
        Self { content: content.into(), members: Members::UNKNOWN }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}
