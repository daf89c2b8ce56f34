//! How questions are written down for the server: a command is a list of words, each behind its length.
//!
//! Written straight into the connection's buffer, so that the questions of every request need no memory of their own.
//! What is asked seldom is put together by redis-rs.

use crate::session::ticket::HANDLE_LEN;

/// Stands behind every word.
pub(super) const END: &[u8] = b"\r\n";

/// A command with the key of a session as its only argument, as far as it is the same for all: up to the handle.
pub(super) fn front(verb: &str, prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    command(&mut out, 2);
    word(&mut out, [verb.as_bytes()]);
    word(&mut out, [prefix.as_bytes(), b"s:", &[b'-'; HANDLE_LEN]]);
    out.truncate(out.len() - HANDLE_LEN - END.len());
    out
}

/// Begins a command of so many words.
pub(super) fn command(out: &mut Vec<u8>, words: usize) {
    number(out, b'*', words);
}

/// A word of a command, given in parts.
pub(super) fn word<const PARTS: usize>(out: &mut Vec<u8>, parts: [&[u8]; PARTS]) {
    number(out, b'$', parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(END);
}

fn number(out: &mut Vec<u8>, mark: u8, number: usize) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_as_redis_rs_writes_it() {
        let long = vec![b'x'; 12_345];
        for words in [&[&b"PING"[..]][..], &[b"GET", b"a:\r\n\0\xff"], &[b"SET", b"", &long, b"PX", b"1800000"]] {
            let (mut ours, mut theirs) = (Vec::new(), redis::Cmd::new());
            command(&mut ours, words.len());
            for text in words {
                let (front, back) = text.split_at(text.len() / 2);
                word(&mut ours, [front, back]);
                theirs.arg(*text);
            }
            assert_eq!(ours, theirs.get_packed_command());
        }
    }

    #[test]
    fn a_read_lacks_nothing_but_the_handle() {
        let handle = "h".repeat(HANDLE_LEN);
        let ours = [&front("PTTL", "cloakroom:"), handle.as_bytes(), END].concat();
        assert_eq!(ours, redis::Cmd::pttl(format!("cloakroom:s:{handle}")).get_packed_command());
    }
}
