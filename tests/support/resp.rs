//! RESP2, as far as those who stand between a client and a server must read it to pass it on.

use std::io::{self, BufRead};

/// One value: its bytes, and the bulk strings in it.
fn read_value(from: &mut impl BufRead, raw: &mut Vec<u8>, words: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let start = raw.len();
    if from.read_until(b'\n', raw)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&raw[start..]).trim_end().to_owned();
    let count: i64 = line.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(-1);
    match line.as_bytes().first() {
        Some(b'*') => (0..count).try_for_each(|_| read_value(from, raw, words)),
        Some(b'$') if count >= 0 => {
            let mut word = vec![0; usize::try_from(count).unwrap_or_default() + 2];
            from.read_exact(&mut word)?;
            raw.extend_from_slice(&word);
            word.truncate(word.len() - 2);
            words.push(word);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a client said.
#[derive(Default)]
pub(crate) struct Command {
    pub(crate) words: Vec<Vec<u8>>,
    /// As it stood on the wire.
    pub(crate) raw: Vec<u8>,
}

impl Command {
    /// `EVALSHA`, `GET` ...
    pub(crate) fn name(&self) -> String {
        self.words.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase()).unwrap_or_default()
    }

    /// Runs a script, by its text or its digest.
    pub(crate) fn is_script(&self) -> bool {
        self.name().starts_with("EVAL")
    }
}

/// The next command; `None` at the end of the stream.
pub(crate) fn read_command(from: &mut impl BufRead) -> io::Result<Option<Command>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut command = Command::default();
    read_value(from, &mut command.raw, &mut command.words)?;
    Ok(Some(command))
}

/// The bytes of one answer.
pub(crate) fn read_answer(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    read_value(from, &mut raw, &mut Vec::new())?;
    Ok(raw)
}

#[test]
fn values_are_read_to_their_end_and_no_further() {
    let mut wire = &b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n+OK\r\n*3\r\n:1\r\n$-1\r\n*1\r\n$1\r\nx\r\n-ERR no\r\n"[..];
    let command = read_command(&mut wire).expect("a command").expect("a command");
    assert_eq!(command.words, [b"GET".to_vec(), b"\r\n".to_vec()]);
    assert_eq!(command.raw, b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n");
    for answer in [&b"+OK\r\n"[..], b"*3\r\n:1\r\n$-1\r\n*1\r\n$1\r\nx\r\n", b"-ERR no\r\n"] {
        assert_eq!(read_answer(&mut wire).expect("an answer"), answer);
    }
    assert!(read_command(&mut wire).expect("the end").is_none());
}
