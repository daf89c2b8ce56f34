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
    up_to_handle(out, prefix)
}

/// The call of a script on one session with so many arguments, up to the handle.
pub(super) fn call_front(digest: &str, prefix: &str, arguments: usize) -> Vec<u8> {
    let mut out = Vec::new();
    call(&mut out, "EVALSHA", digest, (1, arguments));
    up_to_handle(out, prefix)
}

fn up_to_handle(mut out: Vec<u8>, prefix: &str) -> Vec<u8> {
    word(&mut out, [prefix.as_bytes(), b"s:", &[b'-'; HANDLE_LEN]]);
    out.truncate(out.len() - HANDLE_LEN - END.len());
    out
}

/// Begins to call a script, with so many keys and arguments.
pub(super) fn call(out: &mut Vec<u8>, verb: &str, what: &str, (keys, arguments): (usize, usize)) {
    command(out, 3 + keys + arguments);
    word(out, [verb.as_bytes()]);
    word(out, [what.as_bytes()]);
    word(out, [itoa::Buffer::new().format(keys).as_bytes()]);
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
    let (mut line, mut digits) = ([mark; 24], itoa::Buffer::new());
    let digits = digits.format(number).as_bytes();
    let end = 1 + digits.len();
    line[1..end].copy_from_slice(digits);
    line[end..end + END.len()].copy_from_slice(END);
    out.extend_from_slice(&line[..end + END.len()]);
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
    fn a_call_lacks_the_handle_and_the_arguments() {
        let (handle, digest) = ("h".repeat(HANDLE_LEN), "d".repeat(40));
        let mut ours = [&call_front(&digest, "cloakroom:", 1), handle.as_bytes(), END].concat();
        word(&mut ours, [b"argument"]);
        let mut theirs = redis::cmd("EVALSHA");
        theirs.arg(digest).arg(1).arg(format!("cloakroom:s:{handle}")).arg("argument");
        assert_eq!(ours, theirs.get_packed_command());
    }

    #[test]
    fn a_read_lacks_nothing_but_the_handle() {
        let handle = "h".repeat(HANDLE_LEN);
        let ours = [&front("PTTL", "cloakroom:"), handle.as_bytes(), END].concat();
        assert_eq!(ours, redis::Cmd::pttl(format!("cloakroom:s:{handle}")).get_packed_command());
    }
}
