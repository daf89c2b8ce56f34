//! `capture`: what the application says in a header of its own is kept in the session. With `subject_from` beside it, an
//! application that knows nothing of sessions signs its users in.

use http::{HeaderValue, Request};

use crate::support::{Answer, Ask, Gate, Http2, Piece, Reply, SCRIPT, Store, World, every_store, latin1, until, world};

const CONFIG: &str = r#"
    session.subject_from = "/user/name"
    routes = [{ path = "/", upstream = "app", capture = { X-Auth-User = "/user/name", X-Auth-Role = "/user/role" } }]
"#;

fn says(user: &str) -> Answer {
    Answer::ok().header("X-Auth-User", user)
}

every_store! {
    fn an_application_that_says_who_it_is_has_signed_in(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        let reply = browser.get("/login", says("ada").header("X-Auth-Role", "admin")).passed(200);
        assert_eq!((reply.header("x-auth-user"), reply.header("x-auth-role")), (None, None));
        // The test's configuration is written in the order of the alphabet.
        assert_eq!(browser.data(), r#"{"user":{"role":"admin","name":"ada"}}"#);
        assert_eq!(browser.visit().subject(), Some("ada"));
        let ticket = browser.ticket();
        browser.get("/", says("ada")).passed(200).without_cookie();
        assert_eq!(browser.visit().claims.ver, Some(1), "what is there already is no change");
        browser.get("/", says("")).passed(200).without_cookie();
        assert_eq!(browser.data(), r#"{"user":{"role":"admin"}}"#);
        assert_eq!((browser.visit().subject(), browser.ticket()), (None, ticket));
    }

    fn whoever_planted_the_ticket_does_not_follow_into_the_log_in(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"cart":1}"#);
        let planted = browser.ticket().expect("a ticket");
        browser.get("/login", says("ada")).passed(200);
        assert_ne!(browser.ticket().expect("a ticket"), planted);
        assert!(!browser.visit_with(&planted).is_live());
        assert_eq!(browser.data(), r#"{"cart":1,"user":{"name":"ada"}}"#);
    }

    fn what_is_captured_beside_an_update_is_one_change(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", says("ada").update(r#"{"user":{"name":"eve"},"cart":1}"#)).passed(200);
        assert_eq!(browser.data(), r#"{"user":{"name":"eve"},"cart":1}"#);
        let before = browser.visit().claims.ver;
        browser.get("/", says("bob").update(r#"[{"op":"remove","path":"/nothing"}]"#)).refused(409, "version-conflict");
        assert_eq!((browser.visit().subject(), browser.visit().claims.ver), (Some("eve"), before), "all or nothing");
    }

    fn a_session_that_ended_meanwhile_captures_nothing(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"cart":1}"#);
        let gate = Gate::new();
        let slow = browser.start(Ask::get("/"), says("ada").after(&gate));
        gate.arrived();
        browser.control("destroy");
        gate.release();
        slow.reply().refused(409, "session-ended").without_cookie();
        assert!(!browser.visit().is_live());
    }
}

#[test]
fn rights_and_views_of_the_upstream_do_not_bind_the_operator() {
    world(Store::Memory, |w| {
        let config = format!(
            "{CONFIG}\nupstreams.app.may_write = [\"/cart\"]\nupstreams.app.may = []\nupstreams.app.forward = [\"/user\"]"
        );
        let browser = w.browser(&w.proxy_with(&config));
        browser.get("/", says("ada")).passed(200);
        assert_eq!(browser.data(), r#"{"user":{"name":"ada"}}"#);
        browser.get("/", Answer::updating(r#"{"user":{"name":"eve"}}"#)).refused(502, "invalid-update");
    });
}

#[test]
fn the_header_counts_on_good_answers_only_and_is_removed_from_all() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(CONFIG);
        for status in [200, 204, 302, 304, 404, 500, 503] {
            for method in ["GET", "HEAD"] {
                let browser = w.browser(&proxy);
                let answer = Answer::status(status).header("x-auth-USER", "ada");
                let reply = browser.ask(Ask::of(method, "/"), answer).passed(status);
                assert_eq!(reply.header("x-auth-user"), None, "{method} {status}");
                assert_eq!(browser.visit().subject().is_some(), status < 500, "{method} {status}");
            }
        }
    });
}

#[test]
fn keep_captured_leaves_the_header_in_the_response() {
    world(Store::Memory, |w| {
        let config = CONFIG.replace("path = \"/\"", "path = \"/\", keep_captured = true");
        let browser = w.browser(&w.proxy_with(&config));
        let reply = browser.get("/", says("ada")).passed(200);
        assert_eq!(reply.header("x-auth-user"), Some("ada"));
        assert_eq!(browser.data(), r#"{"user":{"name":"ada"}}"#);
    });
}

/// What comes after the body is captured by nobody, and is nothing for the browser all the same.
#[test]
fn the_header_is_removed_from_trailers_too_and_from_the_announcement_of_them() {
    for (keep, left) in [("", None), (", keep_captured = true", Some("ada"))] {
        world(Store::Memory, |w| {
            let proxy = w.proxy_with(&CONFIG.replace("path = \"/\"", &format!("path = \"/\"{keep}")));
            let answer = || {
                let answer = Answer::ok().pieces([Piece::Data("body")]);
                answer.trailer("X-Auth-User", "ada").trailer("X-Sum", "1")
            };
            let announced = if left.is_some() { "X-Auth-User, X-Sum" } else { "X-Sum" };
            let seen = |reply: Reply| {
                assert_eq!((reply.trailers.first("x-auth-user"), reply.trailers.first("x-sum")), (left, Some("1")));
                assert_eq!(reply.header("trailer"), Some(announced));
            };
            seen(w.browser(&proxy).ask(Ask::get("/").header("TE", "trailers"), answer()).passed(200));
            let mut client = Http2::plain(&proxy);
            let request = Request::get("http://localhost/").header(SCRIPT, w.expect(answer()));
            let mut request = request.body(()).expect("a request");
            request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
            seen(client.ask(request).expect("an answer").passed(200));
        });
    }
}

#[test]
fn the_last_of_several_lines_counts_and_what_is_not_utf_8_is_refused() {
    world(Store::Memory, |w: &World| {
        let proxy = w.proxy_with(CONFIG);
        let browser = w.browser(&proxy);
        browser.get("/", says("ada").header("X-Auth-User", "Löwe")).passed(200);
        assert_eq!(browser.data(), r#"{"user":{"name":"Löwe"}}"#);
        browser.get("/", Answer::ok().raw_header("X-Auth-User", b"canary-J\xfcrgen")).refused(502, "invalid-update");
        assert_eq!(browser.data(), r#"{"user":{"name":"Löwe"}}"#);
        let told = || proxy.log().contains("the captured header x-auth-user is not UTF-8").then_some(());
        until("the log to say why", told);
        assert!(!proxy.log().contains("canary"));
    });
}

/// What an application says of its user goes through the data and back into a request of its own.
#[test]
fn no_captured_value_breaks_splits_or_forges_a_header() {
    world(Store::Redis, |w| {
        let config = CONFIG.replace("capture =", "inject = { X-Remote-User = \"/user/name\" }, capture =");
        let proxy = w.proxy_with(&config);
        let long = "x".repeat(10 * 1024);
        for value in ["ключ 🗝", "%0d%0aX-Admin: 1", r"ada\r\nX-Admin: 1", "a: b; c=d, \"e\"", r#"{"a":null}"#, &long]
        {
            let browser = w.browser(&proxy);
            browser.get("/login", says(value)).passed(200);
            let reply = browser.get("/", Answer::ok()).passed(200);
            let seen = &reply.seen.as_ref().expect("a request at the upstream").headers;
            assert_eq!(seen.all("x-remote-user"), [latin1(value.as_bytes())], "{value:?}");
            assert!(seen.all("x-admin").is_empty(), "{value:?}");
        }
        for value in [&b"ada\0"[..], b"a\x01b", b"a\x7fb", b"a\rX-Admin: 1", b"\xff\xfe", b"a\xc3", b"\xc0\x8d\xc0\x8a"]
        {
            let browser = w.browser(&proxy);
            let reply = browser.get("/login", Answer::ok().raw_header("X-Auth-User", value));
            assert_eq!(reply.status, 502, "{value:?}");
            assert_eq!((reply.header("x-auth-user"), reply.header("x-admin")), (None, None), "{value:?}");
            let seen = browser.get("/", Answer::ok()).passed(200).seen.expect("a request at the upstream");
            assert!(
                seen.headers.all("x-remote-user").is_empty() && seen.headers.all("x-admin").is_empty(),
                "{value:?}"
            );
        }
    });
}
