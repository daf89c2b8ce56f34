//! Contract section 4: the application listener. Data by reference, changes out of band, the public keys.

use std::net::TcpStream;

use crate::support::{
    Answer, Ask, Browser, Framing, Gate, Headers, Proxy, Store, Wire, every_store, parse_head, world,
};

const MERGE: (&str, &str) = ("Content-Type", "application/merge-patch+json");
const OPERATIONS: (&str, &str) = ("Content-Type", "application/json-patch+json");

struct Said {
    status: u16,
    headers: Headers,
    body: String,
}

/// One request of an application.
fn ask(proxy: &Proxy, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
    let address = proxy.application();
    let mut wire = Wire::new(TcpStream::connect(address).expect("the application listener"));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{lines}\r\n{body}");
    wire.send(head.as_bytes()).expect("a request");
    let (first, headers) = parse_head(&wire.head().expect("a response"));
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut framing = Framing::of_reply(&headers, status, method);
    let mut body = Vec::new();
    while let Some(piece) = wire.piece(&mut framing).expect("a body") {
        body.extend(piece);
    }
    Said { status, headers, body: String::from_utf8(body).expect("text") }
}

/// The token that the application is given now, as `Authorization` wants it.
fn bearer(browser: &Browser) -> String {
    let reply = browser.get("/", Answer::ok()).passed(200);
    let seen = reply.seen.expect("the upstream was asked");
    format!("Bearer {}", seen.headers.first("x-session").expect("a token"))
}

fn patch(proxy: &Proxy, bearer: &str, kind: (&str, &str), body: &str) -> Said {
    ask(proxy, "PATCH", "/v1/session", &[("Authorization", bearer), kind], body)
}

every_store! {
    fn the_data_of_a_long_token_is_fetched_by_reference(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        let data = format!(r#"{{"n":1.10,"blob":"{}"}}"#, "x".repeat(5000));
        browser.update(&data);
        let token = bearer(&browser);
        assert!(token.len() < 4096 + 7);
        let said = ask(&proxy, "GET", "/v1/session", &[("Authorization", &token)], "");
        assert_eq!((said.status, said.body.as_str()), (200, data.as_str()));
        assert_eq!(said.headers.first("etag"), Some("\"1\""));
        browser.control("rotate");
        assert_eq!(ask(&proxy, "GET", "/v1/session", &[("Authorization", &token)], "").status, 200);
        browser.control("destroy");
        assert_eq!(ask(&proxy, "GET", "/v1/session", &[("Authorization", &token)], "").status, 410);
        assert_eq!(patch(&proxy, &token, MERGE, r#"{"a":1}"#).status, 410);
    }

    fn a_patch_changes_the_data_and_tells_the_version(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1,"list":[]}"#);
        let token = bearer(&browser);
        let said = patch(&proxy, &token, MERGE, r#"{"a":null,"b":{"c":2}}"#);
        assert_eq!((said.status, said.headers.first("etag"), said.body.as_str()), (204, Some("\"2\""), ""));
        let said = patch(&proxy, &token, OPERATIONS, r#"[{"op":"add","path":"/list/-","value":null}]"#);
        assert_eq!((said.status, said.headers.first("etag")), (204, Some("\"3\"")));
        assert_eq!(browser.data(), r#"{"list":[null],"b":{"c":2}}"#);
        let said = patch(&proxy, &token, MERGE, "{}");
        assert_eq!((said.status, said.headers.first("etag")), (204, Some("\"3\"")));
    }

    fn a_patch_and_an_update_under_way_lose_neither(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"n":0}"#);
        let token = bearer(&browser);
        let gate = Gate::new();
        let slow = browser.start(Ask::get("/"), Answer::updating(r#"{"head":1}"#).after(&gate));
        gate.arrived();
        assert_eq!(patch(&proxy, &token, MERGE, r#"{"band":1}"#).status, 204);
        gate.release();
        slow.reply().passed(200);
        assert_eq!(browser.data(), r#"{"n":0,"band":1,"head":1}"#);
    }

    fn a_patch_with_if_match_is_for_that_version_only(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"n":0}"#);
        let token = bearer(&browser);
        let matching = |etag: &str| {
            let headers = [("Authorization", token.as_str()), MERGE, ("If-Match", etag)];
            ask(&proxy, "PATCH", "/v1/session", &headers, r#"{"n":1}"#).status
        };
        assert_eq!([matching("\"7\""), matching("W/\"1\""), matching("1")], [412; 3]);
        assert_eq!([matching("\"1\""), matching("\"1\""), matching("*")], [204, 412, 204]);
    }
}

#[test]
fn what_is_no_change_is_refused_and_changes_nothing() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("session.max_bytes = \"1KiB\"\nupstreams.app.may_write = [\"/a\"]");
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        let token = bearer(&browser);
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1500));
        let larger = format!(r#"{{"a":"{}"}}"#, "x".repeat(5000));
        for (kind, body, status) in [
            (MERGE, "{", 422),
            (MERGE, "[]", 403), // would replace the whole data
            (MERGE, r#"{"a":1,"a":2}"#, 422),
            (OPERATIONS, r#"[{"op":"frob","path":"/a"}]"#, 422),
            (OPERATIONS, r#"[{"op":"remove","path":"/a/b"}]"#, 409),
            (OPERATIONS, r#"[{"op":"test","path":"/a","value":2}]"#, 409),
            (("Content-Type", "application/json"), r#"{"a":2}"#, 415),
            (MERGE, r#"{"b":2}"#, 403),
            (MERGE, &large, 413),
            (MERGE, &larger, 413),
        ] {
            let said = patch(&proxy, &token, kind, body);
            assert_eq!(said.status, status, "{body}: {}", said.body);
            assert_eq!(said.headers.first("content-type"), Some("application/problem+json"));
        }
        assert_eq!(browser.data(), r#"{"a":1}"#);
    });
}

#[test]
fn only_a_token_of_ours_opens_anything() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        let nobody = bearer(&browser);
        browser.update(r#"{"a":1}"#);
        let token = bearer(&browser);
        let forged = format!("{}AAAA", &token[..token.len() - 4]);
        for wrong in ["", "Bearer", "Bearer x", "Basic eDp5", &forged, &token.replace("Bearer ", "Token ")] {
            for method in ["GET", "PATCH"] {
                let said = ask(&proxy, method, "/v1/session", &[("Authorization", wrong), MERGE], "{}");
                assert_eq!((said.status, said.headers.first("www-authenticate")), (401, Some("Bearer")), "{wrong:?}");
            }
        }
        let empty = ask(&proxy, "GET", "/v1/session", &[("Authorization", &nobody)], "");
        assert_eq!((empty.status, empty.body.as_str()), (200, "{}"));
        assert_eq!(patch(&proxy, &nobody, MERGE, r#"{"a":1}"#).status, 410);
        let deleted = ask(&proxy, "DELETE", "/v1/session", &[("Authorization", &token)], "");
        assert_eq!((deleted.status, deleted.headers.first("allow")), (405, Some("GET, HEAD, PATCH")));
        assert_eq!(ask(&proxy, "GET", "/", &[], "").status, 404);
        let keys = ask(&proxy, "GET", "/.well-known/jwks.json", &[], "");
        assert_eq!((keys.status, keys.body.as_str()), (200, r#"{"keys":[]}"#));
        assert_eq!(keys.headers.first("cache-control"), Some("max-age=60"));
    });
}

#[test]
fn with_subject_from_the_subject_follows_the_data() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with("session.subject_from = \"/user/name\"");
        let (one, two) = (w.browser(&proxy), w.browser(&proxy));
        one.update(r#"{"user":{"name":"ada"}}"#);
        two.update(r#"{"cart":1}"#);
        let before = two.ticket();
        two.update(r#"{"user":{"name":"ada"}}"#);
        assert_ne!(two.ticket(), before, "a log-in rotates");
        two.control("revoke-others");
        assert!(two.visit().is_live() && !one.visit().is_live());
        two.update(r#"{"user":null}"#);
        two.control("revoke-others");
        assert!(two.visit().is_live());
    });
}
