//! Where a body ends: `Content-Length` and `Transfer-Encoding`.

use super::{GET, POST, join, shown};
use crate::row::{Row, aborted, passed, refused, seen};

const CODING: &str = "RFC 9112 §6.1";
const LENGTH: &str = "RFC 9110 §8.6";
const BOTH: &str = "RFC 9112 §6.3, rule 3";

pub(super) fn rows() -> Vec<Row> {
    [codings(), lengths(), both(), bodies()].concat()
}

fn codings() -> Vec<Row> {
    let mut rows = Vec::new();
    for coding in [
        &b"chunked, chunked"[..],
        b",chunked",
        b"chunked,",
        b"chunked;q=1",
        b"\"chunked\"",
        b"'chunked'",
        b"identity",
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, identity",
        b"identity, chunked",
        b"x",
        b"",
        b"xchunked",
        b"chunkedx",
        b"chunked\xa0",
        b"\xa0chunked",
        b"chunke",
        b"chunked-false",
        b"chunked chunked",
        b"chunked\t, chunked",
        b"deflate",
        b"compress",
        b"c hunked",
        b"chunked;",
        b"chunked; foo=bar",
        b"\xefchunked",
        b"trailers",
        b"[chunked]",
    ] {
        let name = format!("Transfer-Encoding: {}", shown(coding));
        let send = join(&[POST.as_bytes(), b"Transfer-Encoding: ", coding, b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]);
        rows.push(refused(400, name, CODING, send));
    }
    for coding in [
        &b" chunked\x0b"[..],
        b"\x0bchunked",
        b"chunked\0",
        b"\x0cchunked",
        b"chunked\x7f",
        b"\x01chunked",
        b"\x08chunked",
    ] {
        let name = format!("Transfer-Encoding: {}", shown(coding));
        let send = join(&[POST.as_bytes(), b"Transfer-Encoding: ", coding, b"\r\n\r\n0\r\n\r\n"]);
        rows.push(refused(400, name, "CVE-2019-16276", send));
    }
    for (name, lines) in [
        ("two lines that say chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("chunked, then identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("identity, then chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
        ("chunked, then nothing", "Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
        ("chunked apart", "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: chunked"),
        ("space before the colon", "Transfer-Encoding : chunked"),
        ("tab before the colon", "Transfer-Encoding\t: chunked"),
        ("space before the name", " Transfer-Encoding: chunked"),
        ("a name over two lines", "Transfer-\r\nEncoding: chunked"),
        ("a value on the next line", "Transfer-Encoding:\r\n chunked"),
        ("a NUL in the name", "Transfer-Encoding\0: chunked"),
        ("no colon", "Transfer-Encoding chunked"),
    ] {
        let send = format!("{POST}{lines}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        rows.push(refused(400, format!("Transfer-Encoding: {name}"), CODING, send));
    }
    for (name, version) in
        [("HTTP/1.0", "HTTP/1.0"), ("HTTP/1.0 that keeps alive", "HTTP/1.0\r\nConnection: keep-alive")]
    {
        let send = format!("POST /p {version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        rows.push(refused(400, format!("chunked on {name}"), "CVE-2026-2835", send));
    }
    let at_app = || vec![seen("POST /p", &["host: a", "transfer-encoding: chunked"], "abc")];
    for coding in ["cHuNkEd", "chunked \t", "\t chunked", "CHUNKED"] {
        let send = format!("{POST}Transfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        rows.push(passed(format!("Transfer-Encoding: {}", shown(coding)), CODING, send, at_app()));
    }
    for name in ["Transfer_Encoding", "transfer.encoding", "Transfer~Encoding", "TRANSFER_ENCODING"] {
        let send = format!("{POST}{name}: chunked\r\nContent-Length: 3\r\n\r\nabc");
        let at_app = vec![seen("POST /p", &["content-length: 3", "host: a"], "abc")];
        rows.push(passed(format!("a look-alike: {name}"), "RFC 3875 §4.1.18", send, at_app));
    }
    rows
}

fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    for length in [
        &b"+3"[..],
        b"-1",
        b"-0",
        b"0x3",
        b"3_0",
        b"1 0",
        b"",
        b" ",
        b"3;",
        b"018",
        b"03",
        b"00",
        b"3, 3",
        b"3,3",
        b"3,",
        b",3",
        b"3, 4",
        b"0, 3",
        b"18446744073709551616",
        b"18446744073709551615",
        b"99999999999999999999999999",
        b"3.0",
        b"3e0",
        b"\"3\"",
        b"3a",
        b"a",
        b"\xb2",
        b"\xd9\xa3",
        b"3 ;",
        b"3 3",
        b"0b11",
        b"Infinity",
        b"NaN",
        b"\xa03",
        b"3\xa0",
        b"3'",
        b"(3)",
        b"--3",
    ] {
        let send = join(&[POST.as_bytes(), b"Content-Length: ", length, b"\r\n\r\nabc"]);
        rows.push(refused(400, format!("Content-Length: {}", shown(length)), LENGTH, send));
    }
    for length in [&b"3\x0b"[..], b"\x0b3", b"3\0", b"\x003", b"3\x0c", b"3\x7f"] {
        let send = join(&[POST.as_bytes(), b"Content-Length: ", length, b"\r\n\r\nabc"]);
        rows.push(refused(400, format!("Content-Length: {}", shown(length)), "RFC 9110 §5.5", send));
    }
    for (name, lines) in [
        ("two that differ", "Content-Length: 3\r\nContent-Length: 4"),
        ("two that are the same", "Content-Length: 3\r\nContent-Length: 3"),
        ("two that are nothing", "Content-Length: 0\r\nContent-Length: 0"),
        ("two apart", "Content-Length: 3\r\nX: y\r\ncontent-length: 0"),
        ("one with a leading zero", "Content-Length: 3\r\nContent-Length: 03"),
        ("space before the colon", "Content-Length : 3"),
        ("tab before the colon", "Content-Length\t: 3"),
        ("on the next line", "Content-Length:\r\n 3"),
        ("going on on the next line", "Content-Length: 3\r\n 0"),
        ("a NUL in the name", "Content\0-Length: 3"),
        ("a bare CR in the value", "Content-Length: 3\r0"),
        ("a bare CR before it", "X: y\rContent-Length: 3"),
    ] {
        let send = format!("{POST}{lines}\r\n\r\nabc");
        rows.push(refused(400, format!("Content-Length: {name}"), LENGTH, send));
    }
    for name in ["Content_Length", "content.length", "Content~Length"] {
        let send = format!("{POST}{name}: 44\r\nContent-Length: 3\r\n\r\nabc");
        let at_app = vec![seen("POST /p", &["content-length: 3", "host: a"], "abc")];
        rows.push(passed(format!("a look-alike: {name}"), "RFC 3875 §4.1.2", send, at_app));
    }
    let bare = vec![seen("POST /p", &["host: a"], "")];
    rows.push(passed(
        "a look-alike alone frames nothing",
        "RFC 3875 §4.1.2",
        format!("{POST}Content_Length: 44\r\n\r\n"),
        bare,
    ));
    rows
}

fn both() -> Vec<Row> {
    let smuggled = "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut rows = Vec::new();
    for (name, lines) in [
        ("length first", "Content-Length: 30\r\nTransfer-Encoding: chunked"),
        ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 30"),
        ("a length of nothing", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        ("a length that fits", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("a coding of nothing", "Content-Length: 5\r\nTransfer-Encoding:"),
        ("identity", "Content-Length: 5\r\nTransfer-Encoding: identity"),
        ("upper case", "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED"),
        ("far apart", "Content-Length: 5\r\nA: 1\r\nB: 2\r\nC: 3\r\nTransfer-Encoding: chunked"),
        (
            "the length named by Connection",
            "Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        (
            "the coding named by Connection",
            "Connection: Transfer-Encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        ),
    ] {
        rows.push(refused(400, format!("length and coding: {name}"), BOTH, format!("{POST}{lines}\r\n\r\n{smuggled}")));
    }
    let get = format!("{GET}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    rows.push(refused(400, "length and coding on GET", BOTH, get));
    let old = "POST /p HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    rows.push(refused(400, "length and coding on HTTP/1.0", BOTH, old));
    rows
}

fn bodies() -> Vec<Row> {
    let mut rows = Vec::new();
    let three = ["content-length: 3", "host: a"];
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH"] {
        let send = format!("{method} /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        let at_app = vec![seen(&format!("{method} /p"), &three, "abc")];
        rows.push(passed(format!("a body on {method}"), "RFC 9110 §9.3.1", send, at_app));
        let send =
            format!("{method} /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let at_app = vec![seen(&format!("{method} /p"), &["host: a", "transfer-encoding: chunked"], "abc")];
        rows.push(passed(format!("a chunked body on {method}"), "RFC 9112 §6.3", send, at_app));
    }
    for lines in ["Connection: Content-Length", "Connection: close, Content-Length", "Connection: Transfer-Encoding"] {
        let send = format!("{POST}{lines}\r\nContent-Length: 3\r\n\r\nabc");
        let row = passed(
            format!("{lines} does not undo a length"),
            "RFC 9110 §7.6.1",
            send,
            vec![seen("POST /p", &three, "abc")],
        );
        rows.push(if lines.contains("close") { row.closed() } else { row });
    }
    for (name, framing, part) in [
        ("a short body", "Content-Length: 10", "short"),
        ("no body at all", "Content-Length: 10", ""),
        ("chunks without their end", "Transfer-Encoding: chunked", "5\r\nshort\r\n"),
        ("half a chunk", "Transfer-Encoding: chunked", "5\r\nsh"),
        ("no chunk at all", "Transfer-Encoding: chunked", ""),
        ("no last empty line", "Transfer-Encoding: chunked", "5\r\nshort\r\n0\r\n"),
        ("half a size", "Transfer-Encoding: chunked", "5"),
        ("half a trailer", "Transfer-Encoding: chunked", "0\r\nX-T"),
    ] {
        let send = format!("{POST}{framing}\r\n\r\n{part}");
        rows.push(aborted(400, format!("{name}, then the end"), "RFC 9112 §8", send).half_closing());
    }
    let zero = format!("{POST}Content-Length: 0\r\n\r\n");
    rows.push(passed("a body of nothing", LENGTH, zero, vec![seen("POST /p", &["content-length: 0", "host: a"], "")]));
    let old = "POST /p HTTP/1.0\r\nHost: a\r\n\r\nbytes that are no body";
    rows.push(
        passed("HTTP/1.0 without a length", "RFC 9112 §6.3, rule 7", old, vec![seen("POST /p", &["host: a"], "")])
            .closed(),
    );
    let large = format!("{POST}Content-Length: 65537\r\n\r\n");
    rows.push(refused(413, "a body that says it is over the limit", "RFC 9110 §15.5.14", large));
    let chunk =
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n10000\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(65_536));
    rows.push(aborted(413, "chunks over the limit", "RFC 9110 §15.5.14", chunk));
    rows
}
