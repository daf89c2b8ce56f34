//! The chunked coding of an answer's body (RFC 9112 §7.1), taken off.
//!
//! `headers::Chunks` follows that of a request, which must leave no room for two readings. Applications may be as lax as
//! `httparse` allows (white space behind a size): nobody else reads these bytes.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use httparse::Status;

use super::{super::error::Breakdown, head::MOST_FIELDS};
use crate::headers::trailers;

/// The longest line of a size and its extensions.
const LONGEST_LINE: usize = 1024;

#[derive(Debug)]
enum Place {
    Size,
    Data(u64),
    /// The line end behind a chunk.
    End,
    Trailers,
    Over,
}

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More must be read.
    Unknown,
    Over,
}

/// A chunked body, as far as it was decoded.
#[derive(Debug)]
pub(in crate::upstream) struct Chunks {
    place: Place,
    trailers: Option<HeaderMap>,
    /// What the trailers may measure.
    most: usize,
}

impl Chunks {
    pub(super) fn new(most: usize) -> Self {
        Self { place: Place::Size, trailers: None, most }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.place, Place::Over) && self.trailers.is_none()
    }

    /// Takes the next piece off the front of what was read.
    ///
    /// # Errors
    /// It is no chunked body.
    pub(super) fn next(&mut self, read: &mut Bytes) -> Result<Piece, Breakdown> {
        self.skip(read)?;
        if let Some(trailers) = self.trailers.take() {
            return Ok(Piece::Trailers(trailers));
        }
        match self.place {
            Place::Over => Ok(Piece::Over),
            Place::Data(left) if !read.is_empty() => {
                let data = read.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(read.len()));
                let left = left - data.len() as u64;
                self.place = if left == 0 { Place::End } else { Place::Data(left) };
                // That this was the last of it is known with it, if it can be.
                self.skip(read)?;
                Ok(Piece::Data(data))
            }
            Place::Size | Place::Data(_) | Place::End | Place::Trailers => Ok(Piece::Unknown),
        }
    }

    /// Passes over everything that is no data.
    fn skip(&mut self, read: &mut Bytes) -> Result<(), Breakdown> {
        loop {
            match self.place {
                Place::Size => match httparse::parse_chunk_size(read).map_err(|_| Breakdown::Chunks)? {
                    Status::Complete((length, size)) => {
                        read.advance(length);
                        self.place = if size == 0 { Place::Trailers } else { Place::Data(size) };
                    }
                    Status::Partial if read.len() > LONGEST_LINE => return Err(Breakdown::Chunks),
                    Status::Partial => return Ok(()),
                },
                Place::End => match &**read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        self.place = Place::Size;
                    }
                    [] | [b'\r'] => return Ok(()),
                    _ => return Err(Breakdown::Chunks),
                },
                Place::Trailers => match trailers(read, MOST_FIELDS).map_err(Breakdown::Malformed)? {
                    Some((length, lines)) => {
                        read.advance(length);
                        self.trailers = Some(lines).filter(|lines| !lines.is_empty());
                        self.place = Place::Over;
                    }
                    None if read.len() > self.most => return Err(Breakdown::HeadTooLarge),
                    None => return Ok(()),
                },
                Place::Data(_) | Place::Over => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, the trailers and what is left behind the body, read in pieces of so many bytes.
    fn decoded(text: &str, step: usize) -> Result<Option<(String, Option<HeaderMap>, String)>, Breakdown> {
        let (mut chunks, mut data, mut trailers, mut read) = (Chunks::new(64), Vec::new(), None, Bytes::new());
        let mut pieces = text.as_bytes().chunks(step);
        loop {
            match chunks.next(&mut read)? {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                Piece::Trailers(map) => trailers = Some(map),
                Piece::Unknown => match pieces.next() {
                    Some(piece) => read = [&*read, piece].concat().into(),
                    None => return Ok(None),
                },
                Piece::Over => {
                    let rest = [&*read, &pieces.flatten().copied().collect::<Vec<_>>()].concat();
                    return Ok(Some((String::from_utf8(data).unwrap(), trailers, String::from_utf8(rest).unwrap())));
                }
            }
        }
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        for (text, wanted, left) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            ("3\r\nabc\r\nA;x=y\r\n0123456789\r\n000\r\n\r\n", "abc0123456789", ""),
            ("3 \r\nabc\r\n0\r\n\r\nmore", "abc", "more"),
        ] {
            for step in 1..=text.len() {
                let wanted = Some((wanted.to_owned(), None, left.to_owned()));
                assert_eq!(decoded(text, step).unwrap(), wanted, "{text:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn trailers_come_after_the_data() {
        let text = "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";
        for step in 1..=text.len() {
            let (data, trailers, _) = decoded(text, step).unwrap().unwrap();
            let sums: Vec<_> = trailers.as_ref().unwrap().get_all("x-sum").iter().collect();
            assert_eq!(data, "a", "{step}");
            assert_eq!(sums, ["1", "2"], "{step}");
        }
    }

    #[test]
    fn the_end_is_known_with_the_last_data() {
        let (mut chunks, mut read) = (Chunks::new(64), Bytes::from_static(b"1\r\na\r\n0\r\n\r\n"));
        assert_eq!(chunks.next(&mut read).unwrap(), Piece::Data(Bytes::from_static(b"a")));
        assert!(chunks.is_over());
    }

    #[test]
    fn a_body_that_breaks_off_has_no_end() {
        let text = "3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(decoded(&text[..cut], 99).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in ["x\r\n", "3\r\nabcd\r\n", "-1\r\n", "11111111111111111\r\n", "0\r\nA b: 1\r\n\r\n"] {
            assert!(decoded(text, 1).is_err(), "{text:?}");
        }
        assert!(decoded(&format!("1;{}", "x".repeat(2000)), 99).is_err());
        assert!(decoded(&format!("0\r\nA: {}", "x".repeat(200)), 99).is_err());
    }
}
