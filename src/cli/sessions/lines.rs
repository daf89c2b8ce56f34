//! Lines of a file that nobody vouches for: numbered, and none of them longer than a limit.

use std::io::{self, BufRead, Read};

/// Reads lines; at most `limit` bytes of one are ever held.
pub(super) struct Lines<R> {
    reader: R,
    limit: usize,
    number: u64,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    TooLong,
    NotUtf8,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(reader: R, limit: usize) -> Self {
        Self { reader, limit, number: 0 }
    }

    /// The next line that is not blank, with its number from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Content)>> {
        loop {
            let mut bytes = Vec::new();
            let limit = self.limit as u64 + 1;
            if self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if bytes.last() != Some(&b'\n') && bytes.len() > self.limit {
                self.reader.skip_until(b'\n')?;
                return Ok(Some((self.number, Content::TooLong)));
            }
            match String::from_utf8(bytes) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Ok(Some((self.number, Content::Text(text)))),
                Err(_) => return Ok(Some((self.number, Content::NotUtf8))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], limit: usize) -> Vec<(u64, Content)> {
        let mut lines = Lines::of(text, limit);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn text(text: &str) -> Content {
        Content::Text(text.to_owned())
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_counted_but_left_out() {
        assert_eq!(all(b"", 10), []);
        assert_eq!(all(b"\n \n\r\n", 10), []);
        assert_eq!(all(b"a\n\nb\r\nc", 10), [(1, text("a\n")), (3, text("b\r\n")), (4, text("c"))]);
        assert_eq!(all(b"a\n\xff\nb", 10), [(1, text("a\n")), (2, Content::NotUtf8), (3, text("b"))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        assert_eq!(all(b"12345\n123456\n1", 5), [(1, text("12345\n")), (2, Content::TooLong), (3, text("1"))]);
        assert_eq!(all(b"12345", 5), [(1, text("12345"))]);
        assert_eq!(all(b"123456", 5), [(1, Content::TooLong)]);
    }
}
