//! The chunked coding of a request's body (RFC 9112 §7.1), followed byte by byte and held to its grammar.
//!
//! It copies nothing: it says which of the bytes are data, and keeps the trailers. It refuses what other parsers skip
//! (control bytes in extensions, white space for nothing, an extension without a name), so that no two servers see two
//! bodies.

use std::fmt;

use super::HeadBounds;

/// The longest line of a size and its extensions. Nobody uses any.
const LONGEST_LINE: usize = 1024;

/// Why a chunked body is not acceptable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChunkFault;

impl fmt::Display for ChunkFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the chunked body is malformed")
    }
}

impl std::error::Error for ChunkFault {}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    SizeLine,
    Data(u64),
    DataCr,
    DataLf,
    Trailers { bytes: usize, lines: usize },
    Over,
}

/// What the next bytes of a chunked body are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Piece {
    /// So many bytes of sizes, line ends and trailers.
    Framing(usize),
    /// So many bytes of data.
    Data(usize),
}

/// A chunked body, as far as it was seen.
#[derive(Debug)]
pub struct Chunks {
    place: Place,
    /// The line that is not yet complete.
    line: Vec<u8>,
    trailers: Vec<u8>,
    bounds: HeadBounds,
}

impl Chunks {
    /// A body of which nothing was seen; `bounds` are those of its trailers.
    pub fn new(bounds: HeadBounds) -> Self {
        Self { place: Place::SizeLine, line: Vec::new(), trailers: Vec::new(), bounds }
    }

    /// Whether its end was seen.
    pub fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// The lines of its trailers with the empty line behind them; nothing if there are none.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Looks at what comes next: one kind of bytes, and all of it that is there.
    ///
    /// # Errors
    /// [`ChunkFault`]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, ChunkFault> {
        if let Place::Data(left) = self.place {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - taken as u64;
            self.place = if left == 0 { Place::DataCr } else { Place::Data(left) };
            return Ok(Piece::Data(taken));
        }
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.place {
                Place::Data(_) | Place::Over => break,
                Place::DataCr if *byte == b'\r' => self.place = Place::DataLf,
                Place::DataLf if *byte == b'\n' => self.place = Place::SizeLine,
                Place::DataCr | Place::DataLf => return Err(ChunkFault),
                Place::SizeLine | Place::Trailers { .. } => self.push(*byte)?,
            }
            at += 1;
        }
        Ok(Piece::Framing(at))
    }

    fn push(&mut self, byte: u8) -> Result<(), ChunkFault> {
        self.line.push(byte);
        if byte != b'\n' {
            let limit = if self.place == Place::SizeLine { LONGEST_LINE } else { self.bounds.bytes };
            return if self.line.len() < limit { Ok(()) } else { Err(ChunkFault) };
        }
        let text = self.line.strip_suffix(b"\r\n").ok_or(ChunkFault)?;
        self.place = match self.place {
            Place::Trailers { bytes, lines } => self.after_trailer(text, bytes, lines)?,
            _ => match size_in(text)? {
                0 => Place::Trailers { bytes: 0, lines: 0 },
                size => Place::Data(size),
            },
        };
        if matches!(self.place, Place::Trailers { lines: 1.., .. }) || !self.trailers.is_empty() {
            self.trailers.extend_from_slice(&self.line);
        }
        self.line.clear();
        Ok(())
    }

    fn after_trailer(&self, line: &[u8], bytes: usize, lines: usize) -> Result<Place, ChunkFault> {
        if line.is_empty() {
            return Ok(Place::Over);
        }
        let (bytes, lines) = (bytes + self.line.len(), lines + 1);
        let colon = line.iter().position(|&byte| byte == b':').ok_or(ChunkFault)?;
        let (name, value) = line.split_at(colon);
        let sound = !name.is_empty() && name.iter().all(is_token) && value.iter().all(is_text);
        let fits = bytes <= self.bounds.bytes && lines <= self.bounds.fields;
        if sound && fits { Ok(Place::Trailers { bytes, lines }) } else { Err(ChunkFault) }
    }
}

/// The size in `1*HEXDIG [ chunk-ext ]`.
fn size_in(line: &[u8]) -> Result<u64, ChunkFault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    let size = std::str::from_utf8(size).map_err(|_| ChunkFault)?;
    if !(1..=16).contains(&digits) || !are_extensions(extensions) {
        return Err(ChunkFault);
    }
    u64::from_str_radix(size, 16).map_err(|_| ChunkFault)
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = blank(rest).strip_prefix(b";") else { return false };
        let Some(after) = token(blank(after)) else { return false };
        rest = match blank(after).strip_prefix(b"=") {
            None => after,
            Some(value) => match token(blank(value)).or_else(|| quoted(blank(value))) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    true
}

fn blank(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

/// What follows a token.
fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| is_token(byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a quoted string.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(escaped) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text(byte) => rest,
            _ => return None,
        };
    }
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// HTAB, SP, VCHAR, obs-text.
fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 64, fields: 3 };

    /// How much of the text is the body, `None` if its end is not there; the same whole and byte by byte.
    #[track_caller]
    fn length_of(text: &[u8]) -> Result<Option<usize>, ChunkFault> {
        let follow = |step: usize| {
            let mut chunks = Chunks::new(BOUNDS);
            let mut length = 0;
            for mut piece in text.chunks(step) {
                while !piece.is_empty() && !chunks.is_over() {
                    let (Piece::Framing(count) | Piece::Data(count)) = chunks.next(piece)?;
                    length += count;
                    piece = &piece[count..];
                }
            }
            Ok(chunks.is_over().then_some(length))
        };
        let whole = follow(text.len().max(1));
        assert_eq!(follow(1), whole, "{}", text.escape_ascii());
        whole
    }

    #[test]
    fn a_sound_body_ends_where_it_says() {
        for text in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "003\r\nabc\r\n00\r\n\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
            "3;a\r\nabc\r\n0;b=c\r\n\r\n",
            "3 ; a = \"x;\\\" y\" ;b\r\nabc\r\n0\r\n\r\n",
            "0\r\nX-T: 1\r\nX-U:\r\n\r\n",
        ] {
            assert_eq!(length_of(text.as_bytes()), Ok(Some(text.len())), "{text:?}");
            assert_eq!(length_of(format!("{text}GET /").as_bytes()), Ok(Some(text.len())), "{text:?}");
            assert_eq!(length_of(&text.as_bytes()[..text.len() - 1]), Ok(None), "{text:?}");
        }
    }

    /// The data and the trailers of a body that comes in pieces of this size.
    fn told_apart(text: &str, step: usize) -> (String, String) {
        let (mut chunks, mut data) = (Chunks::new(BOUNDS), Vec::new());
        for mut piece in text.as_bytes().chunks(step) {
            while !piece.is_empty() && !chunks.is_over() {
                let count = match chunks.next(piece).unwrap() {
                    Piece::Framing(count) => count,
                    Piece::Data(count) => {
                        data.extend_from_slice(&piece[..count]);
                        count
                    }
                };
                piece = &piece[count..];
            }
        }
        assert!(chunks.is_over());
        (String::from_utf8(data).unwrap(), String::from_utf8(chunks.trailers().to_vec()).unwrap())
    }

    #[test]
    fn data_framing_and_trailers_are_told_apart_however_they_are_cut() {
        for (text, data, trailers) in [
            ("0\r\n\r\n", "", ""),
            ("3;a=b\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n", "abc\r\n", ""),
            ("1\r\na\r\n0\r\nX-T: 1\r\nX-U:\r\n\r\nGET", "a", "X-T: 1\r\nX-U:\r\n\r\n"),
        ] {
            for step in 1..=text.len() {
                assert_eq!(told_apart(text, step), (data.to_owned(), trailers.to_owned()), "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_a_fault() {
        for text in [
            "\r\n",
            "\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x3\r\n",
            "3_0\r\n",
            " 3\r\n",
            "3 \r\n",
            "3\t\r\n",
            "3\n",
            "3\r\r\n",
            "3\0\r\n",
            "3;\r\n",
            "3;;a\r\n",
            "3;a=\r\n",
            "3;a=\"\r\n",
            "3;a=\"x\"y\r\n",
            "3;a b\r\n",
            "3;\u{1}\r\n",
            "3;\0x\r\n",
            "3;a\nb\r\n",
            "3;a\rb\r\n",
            "3;\n",
            "3;=x\r\n",
            "3;a=\"\\\r\n",
            "10000000000000000\r\n",
            "00000000000000003\r\n",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc0",
            "3\r\nabc\r0",
            "0\r\nX-T\r\n",
            "0\r\n: x\r\n",
            "0\r\nX-T : 1\r\n",
            "0\r\nA: 1\n",
            "0\r\nA: 1\r\n b\r\n",
            "0\r\nA: \0\r\n",
            "0\r\nA: \r1\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(length_of(text.as_bytes()), Err(ChunkFault), "{text:?}");
        }
    }

    #[test]
    fn size_lines_and_trailers_have_limits() {
        let extension = |length: usize| format!("0;{}\r\n\r\n", "x".repeat(length));
        assert!(length_of(extension(LONGEST_LINE - 4).as_bytes()).is_ok_and(|end| end.is_some()));
        assert_eq!(length_of(extension(LONGEST_LINE - 1).as_bytes()), Err(ChunkFault));
        assert_eq!(length_of(format!("0\r\nA: {}\r\n\r\n", "x".repeat(70)).as_bytes()), Err(ChunkFault));
        assert_eq!(
            length_of(format!("0\r\n{}\r\n", "A: xxxxxxxxxxxxxxxxxx\r\n".repeat(3)).as_bytes()),
            Err(ChunkFault)
        );
        assert_eq!(length_of(format!("0\r\n{}\r\n", "A: x\r\n".repeat(4)).as_bytes()), Err(ChunkFault));
        assert!(length_of(format!("0\r\n{}\r\n", "A: x\r\n".repeat(3)).as_bytes()).is_ok_and(|end| end.is_some()));
    }
}
