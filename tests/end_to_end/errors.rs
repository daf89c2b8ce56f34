//! Contract 5, the table of errors: each says what it is, keeps its secrets and leaves the session alone.

use crate::support::{Answer, Ask, Browser, Gate, Store, World, every_store, free_port, until, world};

const UNTOUCHED: &str = r#"{"user":"ada"}"#;

/// A browser with a session, to be found untouched afterwards.
fn signed_in(w: &World, config: &str) -> Browser {
    let browser = w.browser(&w.proxy_with(config));
    browser.update(UNTOUCHED);
    browser
}

#[track_caller]
fn assert_untouched(browser: &Browser) {
    let token = browser.visit();
    assert_eq!(token.data(), UNTOUCHED);
    assert_eq!(token.claims.ver, Some(1));
}

/// The answer must be replaced by this error, the session left as it was.
#[track_caller]
fn assert_refused(browser: &Browser, answer: Answer, status: u16, kind: &str) {
    let reply = browser.get("/", answer.header("X-Of-The-Answer", "1").body("the answer")).refused(status, kind);
    let reply = reply.without_cookie();
    assert_eq!(reply.header("x-of-the-answer"), None);
    assert!(!reply.text().contains("the answer"));
    assert_untouched(browser);
}

#[test]
fn an_update_that_cannot_be_read_is_an_error() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for update in [
            "{",
            "{\"a\":1} {\"b\":2}",
            "{\"a\":1}x",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{'a':1}",
            "{\"a\":\"\t\"}",
            "not base64url!",
            "bm90IEpTT04",
            "NQ",
            "\"text\"",
            "null",
            &deep,
        ] {
            assert_refused(&browser, Answer::updating(update), 502, "invalid-update");
            // One bad line spoils all: nothing is half done.
            let lines = Answer::updating(r#"{"half":"done"}"#).update(update).control("rotate");
            assert_refused(&browser, lines, 502, "invalid-update");
        }
        let not_utf8 = browser.get("/", Answer::ok().raw_header("X-Session-Update", b"{\"a\":\"\xff\"}"));
        not_utf8.refused(502, "invalid-update").without_cookie();
        assert_untouched(&browser);
    });
}

#[test]
fn a_control_that_cannot_be_read_is_an_error() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "");
        for control in [
            "rotat",
            "rotate=5",
            "rotate,",
            "rotate;;",
            "\"rotate\"",
            "Rotate",
            "clear=\"x\"",
            "destroy=()",
            "rotate, unknown=1",
        ] {
            assert_refused(&browser, Answer::updating(r#"{"half":"done"}"#).control(control), 502, "invalid-update");
        }
        // What is absent has no effect; parameters are ignored; the last of duplicate keys counts.
        let harmless = "destroy=?0, clear=?0, rotate, rotate=?0";
        browser.control(harmless).without_cookie();
        browser.control("clear, clear=?0;parameter=1").without_cookie();
        assert_untouched(&browser);
    });
}

#[test]
fn a_change_beyond_its_rights_is_an_error() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "upstreams.app.may = []");
        for control in ["rotate", "clear", "destroy"] {
            assert_refused(&browser, Answer::controlling(control), 502, "invalid-update");
        }
        let narrow = w.proxy_with("upstreams.app.may_write = [\"/cart\"]");
        let browser = w.browser(&narrow);
        browser.update(r#"{"cart":[1]}"#);
        let beyond = browser.get("/", Answer::updating(r#"{"cart":[2],"user":"eve"}"#));
        beyond.refused(502, "invalid-update").without_cookie();
        assert_eq!(browser.data(), r#"{"cart":[1]}"#);
    });
}

every_store! {
    fn data_over_its_limit_is_an_error(w) {
        let browser = signed_in(w, "session.max_bytes = \"1KiB\"");
        let large = format!(r#"{{"blob":"{}"}}"#, "x".repeat(2_000));
        assert_refused(&browser, Answer::updating(&large), 502, "session-too-large");
        let visitor = w.browser(&w.proxy());
        let larger = format!(r#"{{"blob":"{}"}}"#, "x".repeat(70_000));
        visitor.get("/", Answer::updating(&larger)).refused(502, "session-too-large").without_cookie();
        assert!(!visitor.visit().is_live());
    }

    fn a_version_that_does_not_match_is_a_conflict(w) {
        let browser = signed_in(w, "");
        assert_refused(&browser, Answer::updating(r#"{"a":1}"#).control("if-version=7"), 409, "version-conflict");
        browser.get("/", Answer::updating(r#"{"a":1}"#).control("if-version=1")).passed(200).without_cookie();
        assert_eq!(browser.visit().claims.ver, Some(2));
    }
}

#[test]
fn a_cookie_that_the_browser_would_throw_away_is_an_error_before_anything_is_stored() {
    world(Store::Redis, |w| {
        let proxy = w.proxy();
        let browser = w.browser_at(&proxy, "http", "shop.example");
        browser.visit();
        browser.get("/", Answer::updating(UNTOUCHED)).refused(502, "insecure-transport").without_cookie();
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
        until("the log to say which setting to change", || proxy.log().contains("listen.scheme").then_some(()));
        for host in ["localhost", "shop.localhost", "127.0.0.1"] {
            w.browser_at(&proxy, "http", host).update(UNTOUCHED);
        }
        let behind_tls = w.proxy_with("listen.scheme = \"https\"");
        w.browser_at(&behind_tls, "https", "shop.example").update(UNTOUCHED);
    });
}

#[test]
fn a_full_memory_refuses_new_sessions_only() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "store.max_sessions = 1");
        let full = browser.ask(Ask::get("/").without_cookies(), Answer::updating(r#"{"user":"bob"}"#));
        let full = full.refused(503, "store-unavailable").without_cookie();
        assert!(full.header("retry-after").is_some());
        assert_untouched(&browser);
        browser.update(r#"{"more":1}"#);
    });
}

#[test]
fn an_upstream_that_is_away_is_an_error() {
    world(Store::Memory, |w| {
        let nobody = w.proxy_with(&format!("upstreams.app.servers = [\"http://127.0.0.1:{}\"]", free_port()));
        let reply = w.browser(&nobody).get("/", Answer::ok()).refused(502, "upstream-unavailable").without_cookie();
        assert!(!reply.text().contains("127.0.0.1"), "{}", reply.text());
    });
}

#[test]
fn an_upstream_that_is_too_slow_is_an_error() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "upstreams.app.response_timeout = \"1s\"");
        let gate = Gate::new();
        let late = Answer::updating(r#"{"late":true}"#).control("rotate").after(&gate);
        browser.get("/", late).refused(504, "upstream-timeout").without_cookie();
        assert_untouched(&browser);
        gate.release();
        assert_untouched(&browser);
    });
}

#[test]
fn an_upstream_that_closes_early_or_answers_nonsense_is_an_error() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "");
        for nonsense in [
            "",
            "HTTP/1.1 200 OK\r\nX-Session-Update: {\"half\":\"done\"}\r\n",
            "garbage\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\nX-Session-Control: destroy\r\n\r\nabc",
        ] {
            let post = browser.ask(Ask::post("/", "a body"), Answer::raw(nonsense));
            post.refused(502, "upstream-failed").without_cookie();
            browser.get("/", Answer::raw(nonsense)).refused(502, "upstream-failed").without_cookie();
            assert_untouched(&browser);
        }
    });
}

#[test]
fn a_path_without_route_is_an_error() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with("routes = [{ path = \"/app\", upstream = \"app\" }]"));
        browser.get("/app/x", Answer::ok()).passed(200);
        for target in ["/", "/application", "/ap"] {
            browser.get(target, Answer::ok()).refused(404, "no-route").without_cookie();
        }
    });
}

#[test]
fn a_request_that_is_not_acceptable_never_reaches_the_upstream() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        // Without a script of their own: whatever arrives at the upstream is a breach of the ledger.
        for (request, statuses) in [
            ("GET / HTTP/1.1\r\n\r\n", &[400_u16][..]),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
            ("GET / HTTP/1.1\r\nHost: a\r\nX-Session : forged\r\n\r\n", &[400]),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n X-Session: forged\r\n\r\n", &[400]),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", &[400]),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", &[400]),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", &[400, 501]),
            ("CONNECT 127.0.0.1:6379 HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\n", &[400, 405]),
            ("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[405]),
            (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(600_000)), &[431]),
            (&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(1_000)), &[431]),
        ] {
            let mut connection = proxy.connect();
            let _ = connection.send(request.as_bytes()); // may be answered and closed before it is sent whole
            let status = connection.head().map(|reply| reply.status);
            let short: String = request.chars().take(80).collect();
            // A connection that is reset while the request is still being sent may lose the answer.
            assert!(
                status.as_ref().map_or(request.len() > 10_000, |status| statuses.contains(status)),
                "{status:?} to {short:?}"
            );
        }
        w.browser(&proxy).visit();
    });
}

#[test]
fn a_browser_is_given_a_page_and_head_no_body() {
    world(Store::Memory, |w| {
        let browser = signed_in(w, "");
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let page = browser.ask(Ask::get("/").header("Accept", accept), Answer::updating("{")).without_cookie();
        assert_eq!(page.status, 502);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        assert!(page.text().to_ascii_lowercase().contains("<html") && page.header("cache-control") == Some("no-store"));
        let head = browser.ask(Ask::of("HEAD", "/"), Answer::updating("{")).without_cookie();
        assert_eq!((head.status, head.body.len()), (502, 0));
        let instances = ["one", "two"].map(|_| {
            let reply = browser.get("/", Answer::updating("{")).refused(502, "invalid-update");
            let problem: serde_json::Value = serde_json::from_slice(&reply.body).expect("a problem document");
            problem["instance"].as_str().expect("an instance").to_owned()
        });
        assert_ne!(instances[0], instances[1]);
        assert_untouched(&browser);
    });
}
