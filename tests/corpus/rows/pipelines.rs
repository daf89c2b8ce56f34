//! Several requests on one connection: a bad one ends it, in its turn.

use super::{GET, POST};
use crate::row::{Row, passed, refused, seen};

const PIPELINE: &str = "RFC 9112 §9.3.2";

pub(super) fn rows() -> Vec<Row> {
    let get = format!("{GET}\r\n");
    let got = || seen("GET /p", &["host: a"], "");
    let post = format!("{POST}Content-Length: 3\r\n\r\nabc");
    let posted = || seen("POST /p", &["content-length: 3", "host: a"], "abc");
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let chunks = || seen("POST /p", &["host: a", "transfer-encoding: chunked"], "abc");
    let mut rows = vec![
        passed("two requests at once", PIPELINE, get.repeat(2), vec![got(), got()]),
        passed(
            "bodies and none",
            PIPELINE,
            format!("{post}{get}{chunked}{get}{post}"),
            vec![posted(), got(), chunks(), got(), posted()],
        ),
        passed("empty lines between requests", "RFC 9112 §2.2", format!("{get}\r\n\r\n{get}"), vec![got(), got()]),
        passed("an empty line after a body", "RFC 9112 §2.2", format!("{post}\r\n{get}"), vec![posted(), got()]),
        passed("nothing after close", "RFC 9112 §9.6", format!("{GET}Connection: close\r\n\r\n{get}"), vec![got()])
            .closed(),
        passed(
            "nothing after HTTP/1.0",
            "RFC 9112 §9.3",
            format!("GET /p HTTP/1.0\r\nHost: a\r\n\r\n{get}"),
            vec![got()],
        )
        .closed(),
        passed("50 requests at once", PIPELINE, get.repeat(50), vec![got(); 50]),
    ];
    for (name, bad) in [
        ("a bad method", "G\0T /p HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("garbage", "GPOST...\r\n\r\n"),
        ("a NUL", "\0\r\n\r\n"),
        ("no Host", "GET /p HTTP/1.1\r\n\r\n"),
        (
            "length and coding",
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a bare LF", "GET /p HTTP/1.1\nHost: a\n\n"),
        ("a bad length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        ("a folded field", "GET /p HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
        ("a name with a space", "GET /p HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
    ] {
        let send = format!("{get}{post}{bad}{get}{get}");
        let row = refused(400, format!("in the middle: {name}"), PIPELINE, send);
        rows.push(row.answering(&[200, 200, 400]).at_application(vec![got(), posted()]));
    }
    let zero = "GET /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGPOST /p\r\n\r\n";
    let at_app = vec![seen("GET /p", &["content-length: 0", "host: a"], "")];
    rows.push(
        refused(400, "garbage after a body of nothing", PIPELINE, zero).answering(&[200, 400]).at_application(at_app),
    );
    let nul = format!("{chunked}\0");
    rows.push(
        refused(400, "a NUL after the last chunk", PIPELINE, format!("{nul}\r\n\r\n"))
            .answering(&[200, 400])
            .at_application(vec![chunks()]),
    );
    let long = format!("{get}{GET}X: {}\r\n\r\n{get}", "y".repeat(40 * 1024));
    rows.push(
        refused(431, "a large head in the middle", PIPELINE, long).answering(&[200, 431]).at_application(vec![got()]),
    );
    let trace = format!("{get}TRACE /p HTTP/1.1\r\nHost: a\r\n\r\n{get}");
    rows.push(refused(405, "TRACE in the middle", PIPELINE, trace).answering(&[200, 405]).at_application(vec![got()]));
    rows
}
