use std::fs;

use super::super::{Faults, Loaded, Overrides, load};

/// The configuration of one route, from line 3 on.
fn route(text: &str) -> Result<Loaded, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cloakroom.toml");
    let app = "[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n";
    fs::write(&file, format!("{app}[[routes]]\n{text}\n")).unwrap();
    load(Some(&file), &Overrides::default(), &|_| None)
}

/// What is typed in a route from line 4 on, and every fault of it: line, key, a part of the problem or cure.
type Row = (&'static str, &'static [(usize, &'static str, &'static str)]);

fn hold(rows: &[Row]) {
    for (text, wanted) in rows {
        let faults = route(text).map(|_| ()).expect_err(text);
        let found: Vec<_> = faults.iter().map(|fault| (fault.line.unwrap_or(0), fault.key.as_str())).collect();
        let expected: Vec<_> = wanted.iter().map(|(line, key, _)| (*line, *key)).collect();
        assert_eq!(found, expected, "{text}\n{faults}");
        for (fault, (.., part)) in faults.iter().zip(*wanted) {
            assert!(fault.to_string().contains(part), "{text}\n{fault}\nwithout {part:?}");
        }
    }
}

#[test]
fn what_cannot_be_injected_is_a_fault() {
    hold(&[
        ("inject = 1", &[(4, "routes[0].inject", "is a bare number, not a table")]),
        ("inject = { X-User = 1 }", &[(4, "routes[0].inject.X-User", "not a string")]),
        ("inject = { X-User = \"user\" }", &[(4, "routes[0].inject.X-User", "\"user\" names no place in the data")]),
        ("inject = { X-User = \"\" }", &[(4, "routes[0].inject.X-User", "names no place")]),
        ("inject = { X-User = \"{}\" }", &[(4, "routes[0].inject.X-User", "the whole data")]),
        ("inject = { X-User = \"/a~2\" }", &[(4, "routes[0].inject.X-User", "no JSON Pointer")]),
        ("inject = { X-User = \"{/a\" }", &[(4, "routes[0].inject.X-User", "a brace without its partner")]),
        ("inject = { X-User = \"{/a} \" }", &[(4, "routes[0].inject.X-User", "white space at an end")]),
        ("inject = { \"X User\" = \"/a\" }", &[(4, "routes[0].inject.X User", "is not a header name")]),
        ("inject = { x-session = \"/a\" }", &[(4, "routes[0].inject.x-session", "Cloakroom's own")]),
        ("inject = { X_Session_Update = \"/a\" }", &[(4, "routes[0].inject.X_Session_Update", "Cloakroom's own")]),
        (
            "[routes.inject]\nX-User = \"/a\"\nx_user = \"/b\"",
            &[(6, "routes[0].inject.x_user", "is the same header as x-user")],
        ),
        (
            "session = false\ninject = { X-User = \"/a\" }",
            &[(5, "routes[0].inject", "no meaning on a route with session = false")],
        ),
    ]);
    for name in [
        "Host",
        "Cookie",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Transfer_Encoding",
        "TE",
        "Upgrade",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "x_forwarded_user",
        "X-Real-IP",
        "X-Original-URL",
        "Proxy-Authorization",
        "Keep-Alive",
        "Expect",
        "Range",
        "If-Match",
        "Sec-Fetch-Mode",
        "X-Request-Id",
        "traceparent",
        "Trailer",
    ] {
        let faults = route(&format!("inject = {{ {name} = \"/a\" }}")).unwrap_err();
        assert!(
            faults.to_string().contains("has a meaning already; write a name of the application's own"),
            "{faults}"
        );
    }
}

#[test]
fn what_cannot_be_captured_is_a_fault() {
    hold(&[
        ("capture = []", &[(4, "routes[0].capture", "is a list, not a table")]),
        ("capture = { X-User = \"user\" }", &[(4, "routes[0].capture.X-User", "is not a JSON Pointer")]),
        ("capture = { X-User = \"\" }", &[(4, "routes[0].capture.X-User", "is the whole data")]),
        ("capture = { Set-Cookie = \"/a\" }", &[(4, "routes[0].capture.Set-Cookie", "has a meaning already")]),
        ("capture = { Location = \"/a\" }", &[(4, "routes[0].capture.Location", "such as X-Auth-User")]),
        ("capture = { x_session_control = \"/a\" }", &[(4, "routes[0].capture.x_session_control", "Cloakroom's own")]),
        ("keep_captured = true", &[(4, "routes[0].keep_captured", "no meaning without capture")]),
        ("session = false\ncapture = { X-A = \"/a\" }", &[(5, "routes[0].capture", "no meaning on a route")]),
    ]);
    let deep = "/x".repeat(129);
    assert!(route(&format!("capture = {{ X-A = \"{deep}\" }}")).unwrap_err().to_string().contains("is deeper than"));
}

#[test]
fn captures_keep_the_order_of_the_file() {
    for text in [
        "capture = { X-B = \"/a\", X-A = \"/a/b\", X-C = \"/c\" }",
        "[routes.capture]\nX-B = \"/a\"\nX-A = \"/a/b\"\nX-C = \"/c\"",
    ] {
        let loaded = route(text).unwrap();
        let names: Vec<_> =
            loaded.proxy.routes[0].legacy.capture.iter().map(|captured| captured.name.as_str()).collect();
        assert_eq!(names, ["x-b", "x-a", "x-c"], "{text}");
    }
}

#[test]
fn what_ends_a_session_is_a_path() {
    hold(&[
        ("end_on = \"/logout\"", &[(4, "routes[0].end_on", "write it in brackets")]),
        ("end_on = [\"logout\"]", &[(4, "routes[0].end_on[0]", "write \"/logout\"")]),
        ("end_on = [\"/a\", \"/logout?x\"]", &[(4, "routes[0].end_on[1]", "has a query")]),
        ("session = false\nend_on = [\"/logout\"]", &[(5, "routes[0].end_on", "no meaning on a route")]),
    ]);
}

#[test]
fn a_gate_has_a_pointer_and_leads_somewhere() {
    hold(&[
        ("require = \"/user\"", &[(4, "routes[0].require", "is a string, not a table")]),
        ("require = { }", &[(4, "routes[0].require.pointer", "is missing; write what a session must have")]),
        ("require = { pointer = \"\" }", &[(4, "routes[0].require.pointer", "is the whole data")]),
        ("require = { pointer = \"/a\", status = 200 }", &[(4, "routes[0].require.status", "write 401, 403 or 404")]),
        (
            "require = { pointer = \"/a\", status = \"403\" }",
            &[(4, "routes[0].require.status", "write 401, 403 or 404")],
        ),
        ("require = { pointer = \"/a\", redirect = \"login\" }", &[(4, "routes[0].require.redirect", "leads nowhere")]),
        ("require = { pointer = \"/a\", redirect = \"//b\" }", &[(4, "routes[0].require.redirect", "leads nowhere")]),
        (
            "require = { pointer = \"/a\", redirect = \"/b?{uri}\" }",
            &[(4, "routes[0].require.redirect", "write {path}")],
        ),
        ("require = { pointer = \"/a\", stat = 401 }", &[(4, "routes[0].require.stat", "did you mean status?")]),
        ("session = false\nrequire = { pointer = \"/a\" }", &[(5, "routes[0].require", "no meaning on a route")]),
    ]);
}

#[test]
fn a_vault_has_names_of_cookies() {
    hold(&[
        ("vault = [\"PHPSESSID\"]", &[(4, "routes[0].vault", "is a list, not a table")]),
        ("vault = { }", &[(4, "routes[0].vault.cookies", "is missing or empty")]),
        ("vault = { cookies = [] }", &[(4, "routes[0].vault.cookies", "is missing or empty")]),
        ("vault = { cookies = \"a\" }", &[(4, "routes[0].vault.cookies", "write it in brackets")]),
        (
            "vault = { cookies = [\"a\", \"b c\"] }",
            &[(4, "routes[0].vault.cookies[1]", "\"b c\" is not the name of a cookie")],
        ),
        ("vault = { cookies = [\"a;b\"] }", &[(4, "routes[0].vault.cookies[0]", "with * for any characters")]),
        ("vault = { cookies = [\"__Host-session\"] }", &[(4, "routes[0].vault.cookies[0]", "Cloakroom's own cookie")]),
        (
            "vault = { cookies = [\"a\"], volatile = [\"b\"] }",
            &[(4, "routes[0].vault.volatile", "a name that is not among cookies")],
        ),
        (
            "vault = { cookies = [\"a\"], session_only = [\"b*\"] }",
            &[(4, "routes[0].vault.session_only", "a name that is not among cookies")],
        ),
        ("vault = { cookies = [\"a\"], volatil = [] }", &[(4, "routes[0].vault.volatil", "did you mean volatile?")]),
        ("session = false\nvault = { cookies = [\"a\"] }", &[(5, "routes[0].vault", "no meaning on a route")]),
    ]);
    for text in [
        "cookies = [\"*\"]",
        "cookies = [\"a*\"], volatile = [\"abc\", \"ab*\"], session_only = [\"a\"]",
        "cookies = [\"user[id]\"]",
    ] {
        assert!(route(&format!("vault = {{ {text} }}")).unwrap().proxy.routes[0].legacy.vault.is_some(), "{text}");
    }
}

#[test]
fn a_log_in_page_behind_its_own_gate_is_worth_a_warning() {
    let gate = "require = { pointer = \"/user\", redirect = \"/login?next={path}\" }";
    assert!(
        route(gate)
            .unwrap()
            .warnings
            .iter()
            .any(|warning| warning.contains("routes[0].require.redirect leads to /login"))
    );
    let with_login = format!("{gate}\n[[routes]]\npath = \"/login\"");
    assert!(!route(&with_login).unwrap().warnings.iter().any(|warning| warning.contains("redirect")));
}

#[test]
fn what_is_said_of_the_user_can_be_injected() {
    for name in ["X-Remote-User", "Remote-User", "Authorization", "Accept-Language", "From", "x_user"] {
        let loaded = route(&format!("inject = {{ {name} = \"/a\" }}")).unwrap();
        assert_eq!(loaded.proxy.routes[0].legacy.inject.len(), 1, "{name}");
    }
}
