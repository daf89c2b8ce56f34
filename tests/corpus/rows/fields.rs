//! Fields that a client must not say: ours, hop-by-hop ones, claims about itself.

use super::GET;
use crate::row::{Row, passed, seen};

pub(super) fn rows() -> Vec<Row> {
    [removed(), nominated(), kept()].concat()
}

fn removed() -> Vec<Row> {
    let mut rows = Vec::new();
    for (cites, names) in [
        (
            "contract 4",
            &[
                "X-Session",
                "x-session",
                "X-SESSION",
                "X_Session",
                "x_session",
                "X.Session",
                "X~Session",
                "X!Session",
                "X-Session-Update",
                "X_Session_Update",
                "X-Session-Control",
                "x.session.control",
                "X^Session",
                "X|Session",
                "X`Session",
                "X'Session",
                "X*Session",
                "X+Session",
                "X#Session",
                "X$Session",
                "X%Session",
                "X&Session",
            ][..],
        ),
        (
            "RFC 9110 §7.6.1",
            &[
                "Keep-Alive",
                "Proxy-Connection",
                "Proxy-Authorization",
                "HTTP2-Settings",
                "Upgrade",
                "TE",
                "Keep_Alive",
                "Proxy_Connection",
                "Proxy_Authorization",
            ],
        ),
        ("CVE-2016-5385", &["Proxy", "PROXY"]),
        (
            "RFC 7239 §8.1",
            &[
                "X-Forwarded",
                "X-Forwarded-Port",
                "X-Forwarded-Prefix",
                "X-Forwarded-User",
                "X-Forwarded-Server",
                "X_Forwarded_For",
                "X.Forwarded.Proto",
                "X-Real-IP",
                "X_Real_IP",
                "X-Client-IP",
                "X-Cluster-Client-IP",
                "True-Client-IP",
                "X-Original-URL",
                "X-Rewrite-URL",
                "X_Original_URL",
                "X-Original-Host",
                "X-Scheme",
                "X-Url-Scheme",
                "Front-End-Https",
            ],
        ),
        ("RFC 3875 §4.1.18", &["X_Request_Id"]),
    ] {
        for name in names {
            let send = format!("{GET}{name}: forged\r\nX: /p\r\n\r\n");
            rows.push(passed(
                format!("{name} is removed"),
                cites,
                send,
                vec![seen("GET /p", &["host: a", "x: /p"], "")],
            ));
        }
    }
    // What of these reaches the application is the proxy's own: the suite leaves it out, the text `forged` is looked for.
    for name in ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Request-Id"] {
        let send = format!("{GET}{name}: forged\r\n\r\n");
        rows.push(passed(format!("{name} is replaced"), "RFC 7239 §8.1", send, vec![seen("GET /p", &["host: a"], "")]));
    }
    rows
}

fn nominated() -> Vec<Row> {
    let mut rows = Vec::new();
    for (nomination, left) in [
        ("X-A", &["x-b: 2"][..]),
        ("x-a, X-B", &[]),
        ("X-A,,X-C", &["x-b: 2"]),
        (",", &["x-a: 1", "x-b: 2"]),
        ("\"X-A\"", &["x-a: 1", "x-b: 2"]),
        ("X-Session", &["x-a: 1", "x-b: 2"]),
        ("Via, X-Forwarded-For, Forwarded, X-Request-Id", &["x-a: 1", "x-b: 2"]),
        ("keep-alive, X_Session", &["x-a: 1", "x-b: 2"]),
        ("connection", &["x-a: 1", "x-b: 2"]),
    ] {
        let send = format!("{GET}Connection: {nomination}\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
        let fields: Vec<&str> = [&["host: a"], left].concat();
        rows.push(passed(
            format!("Connection: {nomination}"),
            "RFC 9110 §7.6.1",
            send,
            vec![seen("GET /p", &fields, "")],
        ));
    }
    for kept in ["Cookie: a=b", "Authorization: x", "Content-Type: text/plain", "Cache-Control: no-cache"] {
        let name = kept.split(':').next().unwrap_or_default();
        let send = format!("{GET}Connection: {name}\r\n{kept}\r\n\r\n");
        let field = kept.replacen(name, &name.to_ascii_lowercase(), 1);
        rows.push(passed(
            format!("Connection cannot remove {name}"),
            "RFC 9110 §7.6.1",
            send,
            vec![seen("GET /p", &["host: a", &field], "")],
        ));
    }
    let close = format!("{GET}Connection: close\r\nConnection: keep-alive\r\n\r\n");
    rows.push(
        passed("close wins over keep-alive", "RFC 9112 §9.3", close, vec![seen("GET /p", &["host: a"], "")]).closed(),
    );
    rows
}

fn kept() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, lines, fields) in [
        ("one name's lines in order", "A: 1\r\nB: x\r\nA: 2\r\n", &["a: 1", "a: 2", "b: x", "host: a"][..]),
        ("an underscore of nobody's", "My_Field: 1\r\n", &["host: a", "my_field: 1"]),
        ("TE: trailers", "TE: gzip, trailers\r\n", &["host: a", "te: trailers"]),
        (
            "h2c is not asked for",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            &["host: a"],
        ),
        (
            "a traceparent",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
            &["host: a", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        ),
    ] {
        rows.push(passed(name, "RFC 9110 §5.3", format!("{GET}{lines}\r\n"), vec![seen("GET /p", fields, "")]));
    }
    rows
}
