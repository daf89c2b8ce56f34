//! The request's `Cookie` lines as bytes (RFC 6265 §5.4, the way browsers write them; threats C-10 to C-14).
//!
//! Split on `;` and on nothing else: quotes hide nothing and reveal nothing. Names are trimmed of SP and HTAB, never of
//! Unicode white space, and compared exactly. Values are as sent: no dequoting, no percent-decoding. A foreign cookie
//! is never read, and reaches the upstream byte for byte.

use http::header::{COOKIE, Entry, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use memchr::{memchr, memchr_iter};

/// The values of every cookie of that name, in order, over all `Cookie` lines; equal ones too.
pub fn tickets<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines.flat_map(|line| pieces(line.as_bytes())).filter_map(move |piece| value_of(piece, name))
}

/// The names of all cookies that have one, in order.
pub fn names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pieces = headers.get_all(COOKIE).into_iter().flat_map(|line| pieces(line.as_bytes()));
    pieces.filter_map(split_pair).map(|(name, _)| name).filter(|name| !name.is_empty())
}

/// Removes every cookie of that name. A line left empty is removed; a line without our cookie is not touched.
pub fn strip(headers: &mut HeaderMap, name: &str) {
    let is_ours = |piece: &[u8]| value_of(piece, name).is_some();
    let Entry::Occupied(mut lines) = headers.entry(COOKIE) else { return };
    if lines.iter().nth(1).is_some() {
        return strip_pieces(headers, is_ours);
    }
    // Nearly always there is one line, and often there is nothing but our cookie in it.
    match without(lines.get(), is_ours) {
        Left::All => {}
        Left::Some(left) => drop(lines.insert(left)),
        Left::Nothing => drop(lines.remove()),
    }
}

/// Removes every cookie that some server could read as one of the `unwanted`: old ones (servlets, CGI.pm) split at commas
/// too, and PHP takes a piece without `=` for a name.
pub fn take_back(headers: &mut HeaderMap, unwanted: impl Fn(&[u8]) -> bool) {
    let is_unwanted = |piece: &[u8]| {
        let mut parts = piece.split(|&byte| byte == b',');
        let first = parts.next().unwrap_or_default();
        let first = split_pair(first).map_or_else(|| trim(first), |(name, _)| name);
        unwanted(first) || parts.filter_map(split_pair).any(|(name, _)| unwanted(name))
    };
    if headers.get_all(COOKIE).into_iter().any(|line| pieces(line.as_bytes()).any(is_unwanted)) {
        strip_pieces(headers, is_unwanted);
    }
}

/// Puts cookies in front of those that the browser sent, all in one line.
pub fn hand_out(headers: &mut HeaderMap, cookies: &[(&[u8], &[u8])]) {
    if cookies.is_empty() {
        return;
    }
    let pairs: Vec<Vec<u8>> = cookies.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let whole: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).chain(lines).collect();
    if let Ok(mut whole) = HeaderValue::from_bytes(&whole.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(COOKIE, whole);
    }
}

/// Removes `Set-Cookie` lines from a response, keeping the others in order; says whether there was any.
pub fn keep_back(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderValue) -> bool) -> bool {
    if !headers.get_all(SET_COOKIE).into_iter().any(&unwanted) {
        return false;
    }
    let kept: Vec<_> = headers.get_all(SET_COOKIE).into_iter().filter(|line| !unwanted(line)).cloned().collect();
    headers.remove(SET_COOKIE);
    for line in kept {
        headers.append(SET_COOKIE, line);
    }
    true
}

fn strip_pieces(headers: &mut HeaderMap, unwanted: impl Fn(&[u8]) -> bool) {
    let mut kept = Vec::new();
    for line in headers.get_all(COOKIE) {
        match without(line, &unwanted) {
            Left::All => kept.push(line.clone()),
            Left::Some(left) => kept.push(left),
            Left::Nothing => {}
        }
    }
    headers.remove(COOKIE);
    for line in kept {
        headers.append(COOKIE, line);
    }
}

/// Joins several `Cookie` lines into one with `"; "`: HTTP/2 splits them into crumbs, HTTP/1 must not see that (RFC 9113
/// §8.2.3). One line is not touched.
pub fn join_crumbs(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).into_iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(COOKIE, whole);
    }
}

/// Whether this `Set-Cookie` line of an upstream would give the browser a cookie of our name, or one without a name that
/// it sends back as if it were ours (`=name=value`).
pub fn covers_set_cookie(line: &HeaderValue, name: &str) -> bool {
    let Some(pair) = pieces(line.as_bytes()).next() else { return false };
    match split_pair(pair) {
        Some(([], value)) => value_of(value, name).is_some(),
        Some((found, _)) => found == name.as_bytes(),
        None => false,
    }
}

/// What is left of a line.
enum Left {
    All,
    Some(HeaderValue),
    Nothing,
}

/// What is left of a line: the other pieces as they were. The separator before a piece of ours goes with it; where ours
/// stood first, so does the white space before the next.
fn without(line: &HeaderValue, is_ours: impl Fn(&[u8]) -> bool) -> Left {
    if memchr(b';', line.as_bytes()).is_none() {
        return if is_ours(line.as_bytes()) { Left::Nothing } else { Left::All };
    }
    if !pieces(line.as_bytes()).any(&is_ours) {
        return Left::All;
    }
    let mut kept: Vec<&[u8]> = pieces(line.as_bytes()).filter(|piece| !is_ours(piece)).collect();
    if kept.iter().all(|piece| trim(piece).is_empty()) {
        return Left::Nothing;
    }
    if let (true, Some(first)) = (pieces(line.as_bytes()).next().is_some_and(is_ours), kept.first_mut()) {
        *first = trim_start(first);
    }
    let Ok(mut left) = HeaderValue::from_bytes(&kept.join(&b";"[..])) else { return Left::Nothing };
    left.set_sensitive(line.is_sensitive());
    Left::Some(left)
}

pub(super) fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr_iter(b';', line).chain([line.len()]).map(move |end| {
        let piece = &line[begin..end];
        begin = end + 1;
        piece
    })
}

/// The value, if the piece is of this name, in which there is no `=`. Says what [`split_pair`] says, without looking at
/// more of a foreign piece than at its first characters.
pub(super) fn value_of<'a>(piece: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = trim_start(piece).strip_prefix(name.as_bytes())?;
    trim_start(rest).strip_prefix(b"=").map(trim_end)
}

/// Name and value of a piece, up to the first `=`; the name trimmed, the value trimmed at its end only.
pub(super) fn split_pair(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let piece = trim(piece);
    let equals = memchr(b'=', piece)?;
    Some((trim(&piece[..equals]), &piece[equals + 1..]))
}

pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "__Host-session";

    fn map<T: AsRef<[u8]>>(lines: &[T]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_ref()).unwrap());
        }
        headers
    }

    fn found(lines: &[&str], name: &str) -> Vec<String> {
        tickets(&map(lines), name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn left(lines: &[&str], name: &str) -> Vec<Vec<u8>> {
        let mut headers = map(lines);
        strip(&mut headers, name);
        headers.get_all(COOKIE).into_iter().map(|line| line.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_value_is_that_of_the_pair_however_the_piece_is_written() {
        let marks = [" ", "\t", "=", "s", "ss", ",", "\"", "\u{a0}"];
        let mut pieces = vec![String::new()];
        for _ in 0..4 {
            let longer = pieces.iter().flat_map(|piece| marks.iter().map(move |mark| format!("{piece}{mark}")));
            let longer: Vec<String> = longer.collect();
            pieces.extend(longer);
        }
        for piece in pieces {
            let bytes = piece.as_bytes();
            let pair = split_pair(bytes).filter(|(name, _)| *name == b"s").map(|(_, value)| value);
            assert_eq!(value_of(bytes, "s"), pair, "{piece:?}");
        }
    }

    #[test]
    fn every_cookie_of_the_name_is_found_in_order_over_all_lines() {
        assert_eq!(found(&["s=1; a=x; s=2", "b=y", "s=1"], "s"), ["1", "2", "1"]);
        assert_eq!(found(&["s=1;s=2;\ts=3 "], "s"), ["1", "2", "3"]);
    }

    #[test]
    fn the_name_is_exact() {
        for line in [
            "__Host-session2=v",
            "x__Host-session=v",
            "__host-session=v",
            "__HOST-session=v",
            "__Host-session",
            "=__Host-session=v",
            ";;;",
            "=;=",
            "",
        ] {
            assert_eq!(found(&[line], NAME), [""; 0], "{line}");
        }
    }

    #[test]
    fn names_are_told_without_values() {
        let headers = map(&["a=1; secret; b = 2;c=3=4", "=secret; a=5"]);
        assert_eq!(names(&headers).collect::<Vec<_>>(), [b"a", b"b", b"c", b"a"]);
    }

    #[test]
    fn unicode_white_space_is_part_of_the_name() {
        assert_eq!(found(&["\u{2000}__Host-session=v; \u{a0}__Host-session=v; __Host-session\u{85}=v"], NAME), [""; 0]);
    }

    #[test]
    fn the_value_is_as_it_was_sent() {
        for (line, value) in [
            ("s=\"v\"", "\"v\""),
            ("s=v%20", "v%20"),
            ("s=v,w", "v,w"),
            ("s=a=b", "a=b"),
            ("s=", ""),
            ("s = v", " v"),
            (" s=v ", "v"),
        ] {
            assert_eq!(found(&[line], "s"), [value], "{line}");
        }
    }

    #[test]
    fn quotes_and_dollar_names_mean_nothing() {
        assert_eq!(found(&["$Version=\"1\"; a=\"x; s=1; y\"; $Path=/"], "s"), ["1"]);
    }

    #[test]
    fn foreign_bytes_in_a_neighbour_do_not_matter() {
        let headers = map(&[b"a=\xff\xfe\xc3; s=1; \x80"]);
        assert_eq!(tickets(&headers, "s").collect::<Vec<_>>(), [b"1"]);
        assert_eq!(tickets(&map(&[vec![b';'; 65536]]), "s").count(), 0);
    }

    #[test]
    fn separators_go_with_our_cookie() {
        for (line, expected) in [
            ("a=1; ours=x; b=2", Some("a=1; b=2")),
            ("ours=x; a=1", Some("a=1")),
            ("a=1;ours=x;b=2", Some("a=1;b=2")),
            ("a=1; ours=x", Some("a=1")),
            ("ours=x; ours=y; a=1; ours=z", Some("a=1")),
            ("ours=x;a=1;", Some("a=1;")),
            ("a=\"1; ours=x; 2\"", Some("a=\"1; 2\"")),
            ("a=1;  b;ours = x; c=%20", Some("a=1;  b; c=%20")),
            ("ours=x", None),
            ("ours=x; ", None),
            ("; ours=x;;", None),
        ] {
            let expected: Vec<Vec<u8>> = expected.into_iter().map(|line| line.as_bytes().to_vec()).collect();
            assert_eq!(left(&[line], "ours"), expected, "{line}");
        }
    }

    #[test]
    fn a_line_without_ours_stays_byte_for_byte() {
        for line in ["a=1;b=2", " ; a", ";;;", "Ours=x", "ours", "=ours=x", "oursx=1"] {
            assert_eq!(left(&[line], "ours"), [line.as_bytes()], "{line}");
        }
        assert_eq!(left(&["ours=x", " b = 2;", "a=1; ours=y"], "ours"), [&b" b = 2;"[..], b"a=1"]);
    }

    #[test]
    fn what_some_server_could_read_as_an_unwanted_cookie_is_taken_back() {
        let taken = |line: &str| {
            let mut headers = map(&[line]);
            take_back(&mut headers, |name| name == b"id");
            headers.get(COOKIE).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        };
        for (line, wanted) in [
            ("id=evil", None),
            ("a=1; id=evil; b=2", Some("a=1; b=2")),
            ("a=1;id=x;id=y", Some("a=1")),
            (" id\t= evil; a=1", Some("a=1")),
            ("id; a=1", Some("a=1")),
            ("a=\"1; id=evil; 2\"", Some("a=\"1; 2\"")),
            ("a=1,id=evil; b=2", Some("b=2")),
            ("id=evil,a=1; b=2", Some("b=2")),
            ("$Version=1; id=evil; $Path=/", Some("$Version=1; $Path=/")),
            ("a=1,id; b=id; ids=1; xid=1", Some("a=1,id; b=id; ids=1; xid=1")),
            ("a=b=id=1", Some("a=b=id=1")),
        ] {
            assert_eq!(taken(line).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_handed_out_comes_first_in_one_line() {
        for (lines, wanted) in [
            (&[][..], &b"id=\xe9; b=2"[..]),
            (&["a=1"], b"id=\xe9; b=2; a=1"),
            (&["a=1", "c=3;d=4"], b"id=\xe9; b=2; a=1; c=3;d=4"),
        ] {
            let mut headers = map(lines);
            hand_out(&mut headers, &[(b"id", b"\xe9"), (b"b", b"2")]);
            assert_eq!(headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect::<Vec<_>>(), [wanted]);
            assert!(headers[COOKIE].is_sensitive());
        }
        let mut headers = map(&["a=1", "b=2"]);
        hand_out(&mut headers, &[]);
        assert_eq!(headers.get_all(COOKIE).into_iter().count(), 2);
    }

    #[test]
    fn lines_that_are_kept_back_leave_the_others_in_order() {
        let mut headers = HeaderMap::new();
        for line in ["a=1", "id=2", "b=3", "id=4"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        assert!(keep_back(&mut headers, |line| line.as_bytes().starts_with(b"id")));
        assert_eq!(headers.get_all(SET_COOKIE).into_iter().collect::<Vec<_>>(), ["a=1", "b=3"]);
        assert!(!keep_back(&mut headers, |line| line.as_bytes().starts_with(b"id")));
    }

    #[test]
    fn crumbs_are_joined() {
        let mut headers = map(&["a=1", "b=2; c=3"]);
        join_crumbs(&mut headers);
        assert_eq!(headers.get_all(COOKIE).into_iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn a_set_cookie_line_of_our_name_is_recognised() {
        for (line, covered) in [
            ("s=1; Path=/", true),
            (" \ts\t =1", true),
            ("s=", true),
            ("=s=1", true),
            ("S=1", false),
            ("s2=1", false),
            ("s", false),
            ("a=1; s=2", false),
            ("a=s=1", false),
            ("", false),
        ] {
            assert_eq!(covers_set_cookie(&HeaderValue::from_str(line).unwrap(), "s"), covered, "{line:?}");
        }
        assert!(covers_set_cookie(&HeaderValue::from_bytes(b"s=\xff").unwrap(), "s"));
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_other_pieces_byte_for_byte(
            line in proptest::collection::vec(prop_oneof![
                Just(b"s=x".to_vec()), Just(b" s = y".to_vec()), Just(b" ".to_vec()), Just(b"".to_vec()),
                proptest::collection::vec(prop_oneof![Just(b'\t'), 0x20u8..0x7f, 0x80u8..=0xff], 0..8),
            ], 0..8).prop_map(|pieces| pieces.join(&b';')),
        ) {
            let is_ours = |piece: &&[u8]| {
                let text: String = piece.iter().map(|&byte| char::from(byte)).collect();
                text.split_once('=').is_some_and(|(name, _)| name.trim_matches([' ', '\t']) == "s")
            };
            let others: Vec<&[u8]> = line.split(|&b| b == b';').filter(|piece| !is_ours(piece)).collect();
            let mut headers = map(std::slice::from_ref(&line));
            prop_assert_eq!(tickets(&headers, "s").count(), line.split(|&b| b == b';').filter(is_ours).count());
            strip(&mut headers, "s");
            prop_assert_eq!(tickets(&headers, "s").count(), 0);
            let rest = headers.get(COOKIE).map(|line| line.as_bytes().to_vec());
            if others.len() == line.split(|&b| b == b';').count() {
                prop_assert_eq!(rest, Some(line));
            } else if others.iter().all(|piece| trim(piece).is_empty()) {
                prop_assert_eq!(rest, None);
            } else {
                let rest = rest.unwrap();
                let seen: Vec<&[u8]> = rest.split(|&b| b == b';').collect();
                prop_assert_eq!(seen.len(), others.len());
                prop_assert_eq!(trim_start(seen[0]), trim_start(others[0]));
                prop_assert_eq!(&seen[1..], &others[1..]);
            }
        }

        #[test]
        fn the_scan_finds_what_a_browser_sent(
            jar in proptest::collection::vec(("[a-zA-Z_]{1,3}|s", "[!#-+./-:<-~-]{0,6}"), 0..12),
        ) {
            let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let headers = map(&[pairs.join("; ")]);
            let expected: Vec<&[u8]> = jar.iter().filter(|(n, _)| n == "s").map(|(_, v)| v.as_bytes()).collect();
            prop_assert_eq!(tickets(&headers, "s").collect::<Vec<_>>(), expected);
        }
    }
}
