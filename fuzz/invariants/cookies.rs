//! The cookie scan: ours is found and removed, every other cookie is left in order and byte for byte.

use cloakroom::cookie::{join_crumbs, strip, tickets};
use http::{HeaderMap, HeaderValue, header::COOKIE};

const NAME: &str = "__Host-session";

/// The input's lines are `Cookie` lines.
pub(crate) fn check(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|&byte| byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, value);
        }
    }
    let before = others(&headers);
    let found: Vec<Vec<u8>> = tickets(&headers, NAME).map(<[u8]>::to_vec).collect();
    for value in &found {
        let needle = [b"=", value.as_slice()].concat();
        assert!(input.windows(needle.len()).any(|window| window == needle), "a ticket that nobody sent");
    }
    let mut joined = headers.clone();
    join_crumbs(&mut joined);
    let after_join: Vec<Vec<u8>> = tickets(&joined, NAME).map(<[u8]>::to_vec).collect();
    assert_eq!(after_join, found, "crumbs joined mean something else");

    strip(&mut headers, NAME);
    assert_eq!(tickets(&headers, NAME).count(), 0, "a ticket was left");
    assert_eq!(others(&headers), before, "another cookie was changed, moved or lost");
    let once = headers.clone();
    strip(&mut headers, NAME);
    assert_eq!(headers, once);
}

/// Every piece that is not ours and not empty, read as simply as can be.
fn others(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trim = |piece: &[u8]| {
        let start = piece.iter().take_while(|byte| blank(byte)).count();
        let end = piece.iter().rev().take_while(|byte| blank(byte)).count();
        piece[start..piece.len().saturating_sub(end).max(start)].to_vec()
    };
    let pieces = headers.get_all(COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    let ours = |piece: &Vec<u8>| {
        let equals = piece.iter().position(|&byte| byte == b'=');
        equals.is_some_and(|at| trim(&piece[..at]) == NAME.as_bytes())
    };
    pieces.map(trim).filter(|piece| !piece.is_empty() && !ours(piece)).collect()
}
