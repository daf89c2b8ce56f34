//! The fenced blocks of a page.

/// One block.
pub(crate) struct Block<'a> {
    /// What stands behind the opening fence.
    pub(crate) kind: &'a str,
    pub(crate) text: &'a str,
    /// Of the opening fence, from 1.
    pub(crate) line: usize,
}

/// All blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> impl Iterator<Item = Block<'_>> {
    let mut line = 1;
    let parts = page.split("\n```").map(move |part| {
        let first = line + 1;
        line += part.matches('\n').count() + 1;
        let (kind, text) = part.split_once('\n').unwrap_or((part, ""));
        Block { kind, text, line: first - 1 }
    });
    parts.enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, block)| block)
}
