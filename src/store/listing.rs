//! Listing what a store holds, page by page, for those who move or look through all sessions; never for a request.
//!
//! A session that is there from the first page to the last is listed at least once. One that comes or goes meanwhile may
//! be listed or not, and Redis may list one twice while it resizes its table. The work of one page is bounded, whatever
//! the store holds, so a page may be empty and not be the last.

use std::fmt;

use super::Entry;
use crate::session::Handle;

/// Where the next page begins. Opaque: it has a meaning only for the store that it came from. Its text is for whoever
/// asks for one page at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(super) Place);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind this session, in the store's own order.
    After(Handle),
    /// What the server said (`SCAN`).
    Number(u64),
}

impl Cursor {
    /// Behind this session.
    pub(super) fn after(handle: Handle) -> Self {
        Self(Place::After(handle))
    }

    /// The session that it stands behind, if it stands behind one.
    pub(super) fn handle(self) -> Option<Handle> {
        match self.0 {
            Place::After(handle) => Some(handle),
            Place::Number(_) => None,
        }
    }

    /// The cursor whose text this is.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let place = match text.split_at_checked(1)? {
            ("h", handle) => Place::After(Handle::parse(handle)?),
            ("n", number) => Place::Number(Some(number).filter(digits)?.parse().ok()?),
            _ => return None,
        };
        Some(Self(place))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::After(handle) => write!(f, "h{handle}"),
            Place::Number(number) => write!(f, "n{number}"),
        }
    }
}

/// Some of what a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Sessions and tombstones, also such that cannot be read. One that never expires has `Duration::MAX` left.
    pub entries: Vec<(Handle, Entry)>,
    /// Keys among ours that are none of ours: where a handle should be there is something else.
    pub strangers: usize,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        let handle = Handle::parse(&"A".repeat(43)).unwrap();
        for place in [Place::After(handle), Place::Number(0), Place::Number(u64::MAX)] {
            assert_eq!(Cursor::parse(&Cursor(place).to_string()), Some(Cursor(place)));
        }
        for text in ["", "h", "n", "n-1", "n+1", "n 1", "n18446744073709551616", "hAAAA", "x1", "é1", &"A".repeat(43)]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
