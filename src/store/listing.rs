//! Listing what a store holds, page by page, for those who move or look through all sessions; never for a request.
//!
//! A session that is there from the first page to the last is listed at least once. One that comes or goes meanwhile may
//! be listed or not, and Redis may list one twice while it resizes its table. The work of one page is bounded, whatever
//! the store holds, so a page may be empty and not be the last.

use super::Entry;
use crate::session::Handle;

/// Where the next page begins. Opaque: it has a meaning only for the store that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(super) Place);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind this session, in the store's own order.
    After(Handle),
    /// What the server said (`SCAN`).
    Number(u64),
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
