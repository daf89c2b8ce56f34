//! The text of an object, which remembers what its outline was found to be.
//!
//! Two are equal if their letters are: the outline is a pure function of them, and says what [`Outline::of`] would, where
//! that says anything. It stands beside the text, so that whoever changes one member of a session does not take all of its
//! data apart each time.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use super::{Outline, outline::Place};

/// The outline of an object with more members is found anew.
const KEPT: usize = 8;

/// The text of an object. In this order: most want nothing but the letters.
#[derive(Clone)]
#[repr(C)]
pub struct Text {
    /// Always made of letters.
    content: Bytes,
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
        let text = Self { content: bytes_of(content), members };
        debug_assert!(text.is_outlined_rightly(), "it is as it was written");
        text
    }

    /// Its bytes. Cheaper than its letters, which are looked at whenever somebody wants them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "an object has braces")]
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Its outline, if it is plain.
    pub(crate) fn outline(&self) -> Option<Outline<'_>> {
        match self.members.known() {
            Some(places) => Some(Outline::known(self, places)),
            None => Outline::of(self),
        }
    }

    /// Moves into `whole`, if it stands there as all but the last byte at the end: so it is in memory only once.
    pub(crate) fn move_into(&mut self, whole: &Bytes) {
        let end = whole.len().saturating_sub(1);
        let Some(begin) = end.checked_sub(self.content.len()) else { return };
        if whole[begin..end] == self.content {
            self.content = whole.slice(begin..end);
        }
    }

    fn is_outlined_rightly(&self) -> bool {
        let parts = |outline: Outline<'_>| -> Vec<_> {
            outline.members().map(|member| (member.head(), member.part())).collect()
        };
        Outline::of(self).is_none_or(|found| self.outline().map(parts) == Some(parts(found)))
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
        Text { content: Bytes::copy_from_slice(self.text().as_bytes()), members }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap_or_default()
    }
}

impl From<&str> for Text {
    fn from(content: &str) -> Self {
        Self { content: Bytes::copy_from_slice(content.as_bytes()), members: Members::UNKNOWN }
    }
}

impl From<String> for Text {
    fn from(content: String) -> Self {
        Self { content: bytes_of(content), members: Members::UNKNOWN }
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
        str::fmt(self, f)
    }
}

fn bytes_of(text: String) -> Bytes {
    text.into_boxed_str().into_boxed_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_moves_to_where_it_stands_before_the_last_byte_and_nowhere_else() {
        for (whole, moves) in [
            ("1L={\"data\":{\"a\":1}}", true),
            ("{\"a\":1}}", true),
            ("{\"a\":1}", false),
            ("{\"data\":{\"a\":2}}", false),
            ("{\"data\":{\"a\":1} }", false),
            ("}", false),
            ("", false),
        ] {
            let (whole, mut text) = (Bytes::from(whole), Text::from("{\"a\":1}"));
            text.move_into(&whole);
            assert_eq!(&*text, "{\"a\":1}");
            assert_eq!(whole.as_ptr_range().contains(&text.as_bytes().as_ptr()), moves, "{whole:?}");
        }
    }
}
