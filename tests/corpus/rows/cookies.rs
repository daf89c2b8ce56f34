//! Cookies: ours goes, every other one reaches the application byte for byte.

use super::{GET, join, shown};
use crate::row::{Row, passed, seen};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (cookie, left) in [
        (&b"a=1"[..], Some(&b"a=1"[..])),
        (b"__Host-session=x", None),
        (b"__Host-session=x; a=1", Some(b"a=1")),
        (b"a=1; __Host-session=x", Some(b"a=1")),
        (b"a=1; __Host-session=x; b=2", Some(b"a=1; b=2")),
        (b"__Host-session=x; __Host-session=y", None),
        (b"__host-session=x", Some(b"__host-session=x")),
        (b"__HOST-SESSION=x", Some(b"__HOST-SESSION=x")),
        (b"__Host-session2=x; x__Host-session=y", Some(b"__Host-session2=x; x__Host-session=y")),
        (b"c=\xe9\xff; a=1", Some(b"c=\xe9\xff; a=1")),
        (b"b=\"x y,z\"", Some(b"b=\"x y,z\"")),
        (b"session=&=", Some(b"session=&=")),
        (b"=x", Some(b"=x")),
    ] {
        let send = join(&[GET.as_bytes(), b"Cookie: ", cookie, b"\r\n\r\n"]);
        let field =
            left.map(|left| format!("cookie: {}", left.iter().map(|&byte| char::from(byte)).collect::<String>()));
        let fields: Vec<&str> = ["host: a"].into_iter().chain(field.as_deref()).collect();
        rows.push(passed(
            format!("Cookie: {}", shown(cookie)),
            "RFC 6265 §5.4",
            send,
            vec![seen("GET /p", &fields, "")],
        ));
    }
    rows
}
