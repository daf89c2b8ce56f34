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
fn what_is_said_of_the_user_can_be_injected() {
    for name in ["X-Remote-User", "Remote-User", "Authorization", "Accept-Language", "From", "x_user"] {
        let loaded = route(&format!("inject = {{ {name} = \"/a\" }}")).unwrap();
        assert_eq!(loaded.proxy.routes[0].legacy.inject.len(), 1, "{name}");
    }
}
