//! Where a request's head ends and how its body is framed (RFC 9112 §2.2, §5, §6), decided on the bytes themselves.
//!
//! The parser behind this is lenient where servers differ: it lets a line end in a bare LF, drops a `Content-Length`
//! beside a `Transfer-Encoding`, and takes any list that ends in `chunked`. Here such a head is a fault. What is sound
//! here may still be refused by the parser; nothing is ever made sound.

use std::fmt;

use memchr::{memchr, memchr_iter};

/// How large a head may be (`limits.header_bytes`, `limits.headers`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeadBounds {
    /// Bytes, the empty line at its end included.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
}

/// Why a head is not acceptable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeadFault {
    /// The request line alone is larger than a head may be.
    TargetTooLong,
    /// The head is.
    TooLong,
    /// More field lines than may be.
    TooManyFields,
    /// Empty lines where a request should begin, more than anybody sends by mistake.
    EmptyLines,
    /// A line ends in LF without CR.
    BareLineFeed,
    /// A field goes on on the next line (obs-fold).
    Folded,
    /// `Content-Length` is not one plain decimal number.
    Length,
    /// `Transfer-Encoding` is not one line that says `chunked`, or came with HTTP/1.0.
    Coding,
    /// Both say where the body ends.
    LengthAndCoding,
    /// It began, and did not end in time.
    TooSlow,
}

impl fmt::Display for HeadFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            HeadFault::TargetTooLong => {
                "the request line is larger than limits.header_bytes, or its target than 64 KiB"
            }
            HeadFault::TooLong => "the request's head is larger than limits.header_bytes",
            HeadFault::TooManyFields => "the request has more header lines than limits.headers",
            HeadFault::EmptyLines => "too many empty lines before a request",
            HeadFault::BareLineFeed => "a line ends in LF without CR",
            HeadFault::Folded => "a header is folded over two lines",
            HeadFault::Length => "Content-Length is not one decimal number",
            HeadFault::Coding => "Transfer-Encoding is not one line that says chunked, or came with HTTP/1.0",
            HeadFault::LengthAndCoding => "there are both Content-Length and Transfer-Encoding",
            HeadFault::TooSlow => "the request's head took longer than limits.head_timeout",
        })
    }
}

impl std::error::Error for HeadFault {}

/// Looks for the end of a head in bytes that arrive piece by piece, each of which is looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    at: usize,
    line: usize,
    lines: usize,
}

impl HeadScan {
    /// Whether nothing was looked at yet.
    pub fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// How many lines were seen, the first included and the empty one not.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// The length of the head that `bytes` begin with (empty lines before it are the caller's to skip), once it is all there. `bytes` are those of the last call and more.
    ///
    /// # Errors
    /// A [`HeadFault`] about lines or size.
    pub fn end(&mut self, bytes: &[u8], bounds: &HeadBounds) -> Result<Option<usize>, HeadFault> {
        while let Some(found) = bytes.get(self.at..).and_then(|rest| memchr(b'\n', rest)) {
            let feed = self.at + found;
            if feed >= bounds.bytes {
                return Err(self.too_long());
            }
            let line = &bytes[self.line..=feed];
            if !line.ends_with(b"\r\n") {
                return Err(HeadFault::BareLineFeed);
            }
            match (line.len(), self.lines) {
                (2, 0) => return Err(HeadFault::EmptyLines),
                (2, _) => return Ok(Some(feed + 1)),
                _ => {}
            }
            if self.lines > 0 && matches!(line[0], b' ' | b'\t') {
                return Err(HeadFault::Folded);
            }
            if self.lines > bounds.fields {
                return Err(HeadFault::TooManyFields);
            }
            *self = Self { at: feed + 1, line: feed + 1, lines: self.lines + 1 };
        }
        self.at = bytes.len();
        if bytes.len() > bounds.bytes { Err(self.too_long()) } else { Ok(None) }
    }

    fn too_long(&self) -> HeadFault {
        if self.lines == 0 { HeadFault::TargetTooLong } else { HeadFault::TooLong }
    }
}

/// How the body after a head is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What a whole head says about the bytes after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announced {
    /// Its body.
    pub body: Framing,
    /// Whether it has an `Upgrade` line, after which the bytes may be of another protocol.
    pub upgrade: bool,
}

/// How the body after this head is framed; the head is one that [`HeadScan::end`] found.
///
/// # Errors
/// A [`HeadFault`] about framing.
pub fn announced_by(head: &[u8]) -> Result<Announced, HeadFault> {
    let (mut length, mut chunked, mut upgrade) = (None, false, false);
    let mut lines = lines(head);
    let first = lines.next().unwrap_or_default();
    for line in lines.filter(|line| matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U'))) {
        if let Some(value) = value_of(line, b"content-length:") {
            if length.replace(parse_length(value)?).is_some() {
                return Err(HeadFault::Length);
            }
        } else if let Some(value) = value_of(line, b"transfer-encoding:") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") || first.ends_with(b"HTTP/1.0") {
                return Err(HeadFault::Coding);
            }
            chunked = true;
        } else if value_of(line, b"upgrade:").is_some() {
            upgrade = true;
        }
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err(HeadFault::LengthAndCoding),
        (None, true) => Framing::Chunked,
        (None | Some(0), false) => Framing::Nothing,
        (Some(length), false) => Framing::Length(length),
    };
    Ok(Announced { body, upgrade })
}

/// The lines of a head, without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr_iter(b'\n', head).map(move |end| {
        let line = &head[begin..end];
        begin = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// The trimmed value, if the line's name and colon are this.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| super::trim(value))
}

/// Digits without a leading zero, which some read as octal.
fn parse_length(value: &[u8]) -> Result<u64, HeadFault> {
    let plain = value == b"0" || matches!(value, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    let number = std::str::from_utf8(value).ok().filter(|_| plain).and_then(|text| text.parse().ok());
    // The two highest numbers mean something else to hyper.
    number.filter(|&number: &u64| number <= u64::MAX - 2).ok_or(HeadFault::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 64, fields: 3 };

    /// What a scan says, fed whole and byte by byte.
    #[track_caller]
    fn scanned(text: &[u8]) -> Result<Option<usize>, HeadFault> {
        let whole = HeadScan::default().end(text, &BOUNDS);
        let mut scan = HeadScan::default();
        let bytewise = (1..=text.len()).map(|end| scan.end(&text[..end], &BOUNDS)).find(|found| *found != Ok(None));
        assert_eq!(bytewise.unwrap_or(Ok(None)), whole, "{}", text.escape_ascii());
        whole
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(scanned(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(scanned(b"GET / HTTP/1.1\r\n\r\n"), Ok(Some(18)));
        for partial in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"] {
            assert_eq!(scanned(partial.as_bytes()), Ok(None), "{partial:?}");
        }
    }

    #[test]
    fn only_cr_lf_ends_a_line_and_no_line_goes_on() {
        for text in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\n", "GET / HTTP/1.1\r\n\n", "\n"] {
            assert_eq!(scanned(text.as_bytes()), Err(HeadFault::BareLineFeed), "{text:?}");
        }
        for text in ["GET / HTTP/1.1\r\nA: 1\r\n b\r\n\r\n", "GET / HTTP/1.1\r\n\tA: 1\r\n\r\n"] {
            assert_eq!(scanned(text.as_bytes()), Err(HeadFault::Folded), "{text:?}");
        }
    }

    #[test]
    fn an_empty_line_is_no_head() {
        assert_eq!(scanned(b"\r\n"), Err(HeadFault::EmptyLines));
        assert_eq!(scanned(b"\r\nGET / HTTP/1.1\r\n\r\n"), Err(HeadFault::EmptyLines));
    }

    #[test]
    fn a_head_may_be_as_large_as_its_bounds_and_no_larger() {
        let head = |line: usize, field: usize| format!("{}\r\nA: {}\r\n\r\n", "G".repeat(line), "x".repeat(field));
        assert_eq!(scanned(head(20, 35).as_bytes()), Ok(Some(64)));
        assert_eq!(scanned(head(20, 36).as_bytes()), Err(HeadFault::TooLong));
        assert_eq!(scanned(head(62, 0).as_bytes()), Err(HeadFault::TooLong));
        assert_eq!(scanned(head(63, 0).as_bytes()), Err(HeadFault::TargetTooLong));
        assert_eq!(scanned(&[b'G'; 65]), Err(HeadFault::TargetTooLong));
        assert_eq!(scanned(b"G\r\na:\r\nb:\r\nc:\r\n\r\n"), Ok(Some(17)));
        assert_eq!(scanned(b"G\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n"), Err(HeadFault::TooManyFields));
    }

    fn body(fields: &str) -> Result<Framing, HeadFault> {
        announced_by(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").as_bytes()).map(|found| found.body)
    }

    #[test]
    fn one_plain_length_or_one_plain_chunked_frames_a_body() {
        for (fields, framing) in [
            ("", Framing::Nothing),
            ("Content-Length: 0", Framing::Nothing),
            ("content-length:3", Framing::Length(3)),
            ("CONTENT-LENGTH: \t30 \t", Framing::Length(30)),
            ("Transfer-Encoding: cHuNkEd", Framing::Chunked),
            ("transfer-encoding:chunked ", Framing::Chunked),
            ("Transfer_Encoding: chunked\r\nContent-Length: 3", Framing::Length(3)),
        ] {
            assert_eq!(body(fields), Ok(framing), "{fields:?}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_a_fault() {
        for length in ["", "+3", "-1", "0x3", "3_0", "1 0", "3;", "03", "00", "3, 3", "3\u{b}", "\u{663}"] {
            assert_eq!(body(&format!("Content-Length: {length}")), Err(HeadFault::Length), "{length:?}");
        }
        for length in ["18446744073709551614", "18446744073709551615", "18446744073709551616"] {
            assert_eq!(body(&format!("Content-Length: {length}")), Err(HeadFault::Length), "{length:?}");
        }
        assert_eq!(body("Content-Length: 3\r\nContent-Length: 3"), Err(HeadFault::Length));
        for coding in ["", "chunked, chunked", ",chunked", "chunked,", "chunked;q=1", "\"chunked\"", "gzip, chunked"] {
            assert_eq!(body(&format!("Transfer-Encoding: {coding}")), Err(HeadFault::Coding), "{coding:?}");
        }
        for coding in ["identity", "gzip", "chunked\u{b}", "\u{b}chunked", "\u{a0}chunked", "x chunked"] {
            assert_eq!(body(&format!("Transfer-Encoding: {coding}")), Err(HeadFault::Coding), "{coding:?}");
        }
        assert_eq!(body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Err(HeadFault::Coding));
        for both in
            ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 0"]
        {
            assert_eq!(body(both), Err(HeadFault::LengthAndCoding), "{both:?}");
        }
        let old = announced_by(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(HeadFault::Coding));
    }

    #[test]
    fn an_upgrade_line_is_noticed() {
        assert!(announced_by(b"GET / HTTP/1.1\r\nuPgrade: websocket\r\n\r\n").unwrap().upgrade);
        assert!(!announced_by(b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n").unwrap().upgrade);
    }
}
