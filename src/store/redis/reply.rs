//! Replies in a stream of bytes: where each ends, however it was cut into pieces, and what it says.
//!
//! The frames are found here, for this happens for every request: in RESP2, the only protocol that a server speaks to
//! us, there are five marks, a length behind two of them. What the two replies of a read say (a text, a number) is
//! taken from the frame; everything else is read by redis-rs. Nothing here takes memory for a length that is only
//! announced.

use redis::Value;

/// Every number of so many digits fits.
const SHORT: usize = 18;

/// What came is no RESP2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbage;

/// How far the reply at the head of a buffer has been followed: pieces are looked at once.
#[derive(Debug)]
pub(super) struct Frame {
    at: usize,
    /// Values that belong to it and have not been passed yet.
    left: u64,
}

impl Default for Frame {
    fn default() -> Self {
        Self { at: 0, left: 1 }
    }
}

impl Frame {
    /// Whether nothing was followed yet.
    pub(super) fn is_new(&self) -> bool {
        self.at == 0
    }

    /// Follows the reply that `bytes` begin with; its length, once all of it is there. Until then call it again with
    /// the same bytes and more.
    ///
    /// # Errors
    /// [`Garbage`]
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Garbage> {
        while self.left > 0 {
            let Some(head) = Head::at(self.at, bytes)? else { return Ok(None) };
            let more = match head.mark {
                b'$' => {
                    let Some(end) = head.end_of_text(bytes)? else { return Ok(None) };
                    self.at = end;
                    0
                }
                b'*' => {
                    self.at = head.end;
                    head.length()?.unwrap_or(0) as u64
                }
                _ => {
                    self.at = head.end;
                    0
                }
            };
            self.left = (self.left - 1).checked_add(more).ok_or(Garbage)?;
        }
        Ok(Some(self.at))
    }
}

/// The line that a value begins with, and often all of it.
struct Head<'a> {
    mark: u8,
    line: &'a [u8],
    end: usize,
}

impl<'a> Head<'a> {
    /// `None`: there is not all of it yet.
    fn at(at: usize, bytes: &'a [u8]) -> Result<Option<Self>, Garbage> {
        let Some((mark, rest)) = bytes[at..].split_first() else { return Ok(None) };
        if !matches!(mark, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(Garbage);
        }
        let ends = |end: &usize| end.checked_sub(1).is_some_and(|before| rest[before] == b'\r');
        let end = memchr::memchr_iter(b'\n', rest).find(ends);
        Ok(end.map(|end| Self { mark: *mark, line: &rest[..end - 1], end: at + 1 + end + 1 }))
    }

    /// The number that it says.
    fn number(&self) -> Result<i64, Garbage> {
        if matches!(self.line.len(), 1..=SHORT) && self.line.iter().all(u8::is_ascii_digit) {
            return Ok(self.line.iter().fold(0, |number, digit| 10 * number + i64::from(digit - b'0')));
        }
        std::str::from_utf8(self.line).ok().and_then(|digits| digits.parse().ok()).ok_or(Garbage)
    }

    /// The length that it says; `None`: there is nothing.
    fn length(&self) -> Result<Option<usize>, Garbage> {
        Ok(usize::try_from(self.number()?).ok())
    }

    /// Where the text behind it ends; `None`: there is not all of it yet.
    fn end_of_text(&self, bytes: &[u8]) -> Result<Option<usize>, Garbage> {
        let Some(length) = self.length()? else { return Ok(Some(self.end)) };
        let text = self.end.checked_add(length).ok_or(Garbage)?;
        let end = text.checked_add(2).ok_or(Garbage)?;
        match bytes.get(text..end) {
            Some(b"\r\n") => Ok(Some(end)),
            Some(_) => Err(Garbage),
            None => Ok(None),
        }
    }
}

/// The text or the number that `bytes` begin with, and its length: nearly all that is ever answered. `None`: it is something
/// else, or there is not all of it yet.
///
/// # Errors
/// [`Garbage`]
pub(super) fn plain_value(bytes: &[u8]) -> Result<Option<(Value, usize)>, Garbage> {
    let Some(head) = Head::at(0, bytes)? else { return Ok(None) };
    Ok(match head.mark {
        b'$' => head.end_of_text(bytes)?.filter(|end| *end > head.end).map(|end| {
            let text = bytes[head.end..end - 2].to_vec();
            (Value::BulkString(text), end)
        }),
        b':' => Some((Value::Int(head.number()?), head.end)),
        _ => None,
    })
}

/// What one whole reply says.
///
/// # Errors
/// [`Garbage`]
pub(super) fn value_of(frame: &[u8]) -> Result<Value, Garbage> {
    let head = Head::at(0, frame)?.ok_or(Garbage)?;
    match head.mark {
        b'$' => Ok(match head.length()? {
            Some(length) => Value::BulkString(frame.get(head.end..head.end + length).ok_or(Garbage)?.to_vec()),
            None => Value::Nil,
        }),
        b':' => head.number().map(Value::Int),
        _ => redis::parse_redis_value(frame).map_err(|_| Garbage),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The replies that these bytes are, in pieces of this size.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Value>, Garbage> {
        let (mut values, mut begin, mut frame) = (Vec::new(), 0, Frame::default());
        for end in (0..bytes.len()).step_by(piece).map(|at| (at + piece).min(bytes.len())) {
            while let Some(length) = frame.follow(&bytes[begin..end])? {
                let value = value_of(&bytes[begin..begin + length])?;
                for there in [begin + length, end] {
                    match plain_value(&bytes[begin..there])? {
                        Some(plain) => assert_eq!(plain, (value.clone(), length)),
                        None => assert!(!matches!(value, Value::BulkString(_) | Value::Int(_))),
                    }
                }
                assert_eq!(plain_value(&bytes[begin..begin + length - 1])?, None);
                values.push(value);
                (begin, frame) = (begin + length, Frame::default());
                if begin == end {
                    break;
                }
            }
        }
        assert_eq!(begin, bytes.len(), "an end was not found");
        Ok(values)
    }

    fn text(value: &[u8]) -> Value {
        Value::BulkString(value.to_vec())
    }

    #[test]
    fn replies_are_read_however_they_are_cut() {
        let bytes = b"$3\r\na\r\n\r\n:-2\r\n$-1\r\n*2\r\n$0\r\n\r\n*2\r\n:1\r\n*0\r\n+OK\r\n-ERR a\nb\r\n*-1\r\n:7\r\n";
        let nested = Value::Array(vec![text(b""), Value::Array(vec![Value::Int(1), Value::Array(vec![])])]);
        for piece in 1..=bytes.len() {
            let mut values = read(bytes, piece).unwrap();
            let Value::ServerError(error) = values.remove(5) else { panic!("an error") };
            assert_eq!((error.code(), error.details()), ("ERR", Some("a\nb")));
            let expected =
                [text(b"a\r\n"), Value::Int(-2), Value::Nil, nested.clone(), Value::Okay, Value::Nil, Value::Int(7)];
            assert_eq!(values, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_reply_is_garbage_and_as_soon_as_it_shows() {
        for bytes in [
            &b"H"[..],
            b"\r\n",
            b"\0",
            b"_\r\n",
            b"$x\r\n",
            b"$\r\n",
            b"$1\r\nab",
            b"$1\r\na\r\r",
            b"$18446744073709551616\r\n",
            b"*1\r\nx",
            b"*1 \r\n",
            b"*2\r\n*18446744073709551615\r\n",
            b":1\r\n?",
        ] {
            let mut frame = Frame::default();
            let first = frame.follow(bytes);
            let found = first.and_then(|length| Frame::default().follow(&bytes[length.ok_or(Garbage)?..]).map(drop));
            assert_eq!(found, Err(Garbage), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(value_of(b":1x\r\n"), Err(Garbage));
        assert_eq!(value_of(&[&b"*1\r\n".repeat(200)[..], b":1\r\n"].concat()), Err(Garbage), "too deep");
    }

    #[test]
    fn what_is_only_announced_is_waited_for() {
        for bytes in [
            &b""[..],
            b"$",
            b"$5",
            b"$5\r",
            b"$5\r\nabcd",
            b"$5\r\nabcde\r",
            b"$9223372036854775807\r\n",
            b"*1000000000\r\n:1\r\n",
            b":1\r",
        ] {
            assert_eq!(Frame::default().follow(bytes), Ok(None), "{}", String::from_utf8_lossy(bytes));
        }
    }

    /// Any reply, as a server writes it.
    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        let leaf = prop_oneof![
            bytes.prop_map(|text| [format!("${}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat()),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            "[ -~\n]{0,20}".prop_map(|line| format!("+{line}\r\n").into_bytes()),
            "[A-Z]{1,9}( [ -~\n]{0,20})?".prop_map(|line| format!("-{line}\r\n").into_bytes()),
            Just(b"$-1\r\n".to_vec()),
            Just(b"*-1\r\n".to_vec()),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            let many = prop::collection::vec(inner, 0..5);
            many.prop_map(|parts| [format!("*{}\r\n", parts.len()).into_bytes(), parts.concat()].concat())
        })
    }

    proptest! {
        #[test]
        fn replies_are_what_redis_rs_reads_in_them(replies in prop::collection::vec(any_reply(), 1..5), piece in 1_usize..50) {
            let expected: Vec<Value> = replies.iter().map(|reply| redis::parse_redis_value(reply).unwrap()).collect();
            prop_assert_eq!(read(&replies.concat(), piece).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in "[-+:$*0-9\r\na]{0,40}") {
            let bytes = bytes.as_bytes();
            if let Ok(Some(length)) = Frame::default().follow(bytes) {
                prop_assert!((1..=bytes.len()).contains(&length));
                let _ = value_of(&bytes[..length]);
            }
        }
    }
}
