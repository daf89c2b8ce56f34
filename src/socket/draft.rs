//! What is to be written, which nearly always is sent whole as soon as it is put together: in one buffer of the thread, which
//! whoever has something to write takes and gives back when it is sent.
//!
//! So connections hold no memory for what they do not write, and a busy one finds the buffer in the processor's cache. A
//! buffer is somebody's or nobody's: nothing of one draft can get into another. Who has to wait keeps what is left in memory
//! of its size.

use std::{cell::Cell, mem};

/// A buffer that has grown larger is not kept for the next draft.
const MOST: usize = 32 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes to be written, and how many of them are.
#[derive(Debug, Default)]
pub struct Draft {
    /// Without memory as long as there is nothing.
    bytes: Vec<u8>,
    written: usize,
}

impl Draft {
    /// Where more is put behind what is there.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        &mut self.bytes
    }

    /// How much it holds, written or not.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is still to be written.
    pub fn left(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So much of it was written.
    pub fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.bytes.len() {
            self.clear();
        }
    }

    /// Drops what is there.
    pub fn clear(&mut self) {
        let mut bytes = mem::take(self).bytes;
        if (1..=MOST).contains(&bytes.capacity()) {
            bytes.clear();
            SPARE.set(bytes);
        }
    }

    /// Nothing more can be written for now: others may have the buffer.
    pub fn wait(&mut self) {
        if self.bytes.capacity() > 2 * self.left().len() {
            let bytes = self.left().to_vec();
            self.clear();
            self.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        let mut draft = Draft::default();
        draft.bytes().extend_from_slice(text.as_bytes());
        draft
    }

    /// Where it has its bytes.
    fn place(draft: &Draft) -> *const u8 {
        draft.bytes.as_ptr()
    }

    #[test]
    fn drafts_that_follow_each_other_share_a_buffer_and_nothing_in_it() {
        let mut first = draft(&"first ".repeat(100));
        let buffer = place(&first);
        first.advance(599);
        assert_eq!(first.left(), b" ");
        first.advance(1);
        assert_eq!((first.len(), first.is_empty(), first.bytes.capacity()), (0, true, 0));
        let second = draft("second");
        assert_eq!((second.left(), place(&second)), (&b"second"[..], buffer));
    }

    #[test]
    fn drafts_at_the_same_time_have_buffers_of_their_own() {
        let (mut first, mut second) = (draft("first"), draft("second"));
        assert_ne!(place(&first), place(&second));
        second.advance(6);
        first.bytes().extend_from_slice(b" and more");
        assert_eq!((first.left(), draft("third").left()), (&b"first and more"[..], &b"third"[..]));
    }

    #[test]
    fn who_waits_keeps_what_is_left_in_memory_of_its_size() {
        draft(&"x".repeat(MOST)).clear();
        let mut first = draft("first and more");
        let buffer = place(&first);
        first.advance(6);
        first.wait();
        assert_eq!((first.left(), first.bytes.capacity()), (&b"and more"[..], 8));
        let (second, kept) = (draft("second"), place(&first));
        assert_eq!(place(&second), buffer);
        first.advance(4);
        first.wait();
        assert_eq!((first.left(), place(&first)), (&b"more"[..], kept), "it is not copied again");
    }

    #[test]
    fn a_buffer_that_has_grown_large_is_not_kept() {
        draft("").clear();
        draft(&"x".repeat(MOST + 1)).clear();
        assert!(draft("").bytes.capacity() <= MOST);
    }
}
