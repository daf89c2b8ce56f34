//! `require`: a gate that only sessions with something at its pointer pass.

use crate::support::{Answer, Ask, Reply, Store, World, every_store, world};

const CONFIG: &str = r#"
    routes = [
        { path = "/", upstream = "app" },
        { path = "/inside", upstream = "app", require = { pointer = "/user", redirect = "/login?next={path}" } },
        { path = "/admin", upstream = "app", require = { pointer = "/user/admin", status = 403 } },
    ]
"#;

const PAGE: (&str, &str) = ("Accept", "text/html,application/xhtml+xml");

fn page(target: &str) -> Ask {
    Ask::get(target).header("Sec-Fetch-Mode", "navigate").header(PAGE.0, PAGE.1)
}

#[track_caller]
fn sent_away(reply: Reply, target: &str) {
    assert_eq!((reply.status, reply.header("location")), (303, Some(target)));
    assert_eq!((reply.header("cache-control"), reply.header("vary")), (Some("no-store"), Some("Cookie")));
    assert!(reply.seen.is_none(), "the application was asked");
    reply.without_cookie();
}

every_store! {
    fn only_who_has_what_is_required_comes_in(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        sent_away(browser.ask(page("/inside/a?b=c&d=%20"), Answer::ok()), "/login?next=%2Finside%2Fa%3Fb%3Dc%26d%3D%2520");
        let reply = browser.get("/inside", Answer::ok()).refused(401, "session-required").without_cookie();
        assert!(reply.seen.is_none() && reply.header("www-authenticate").is_some());
        assert_eq!(browser.ask(page("/admin"), Answer::ok()).status, 403, "without redirect a navigation is refused too");
        browser.update(r#"{"cart":1}"#);
        browser.get("/inside", Answer::ok()).refused(401, "session-required");
        browser.update(r#"{"user":{"name":"ada","admin":false}}"#);
        browser.ask(page("/inside/a"), Answer::ok()).passed(200);
        browser.get("/admin", Answer::ok()).refused(403, "session-required");
        browser.update(r#"{"user":{"admin":true}}"#);
        browser.get("/admin", Answer::ok()).passed(200);
        browser.control("destroy");
        browser.get("/admin", Answer::ok()).refused(403, "session-required");
    }

    fn null_and_false_are_nothing_and_everything_else_is_something(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        for (user, opens) in [
            ("null", false), ("false", false), ("true", true), ("0", true), ("\"\"", true), ("{}", true), ("[]", true), ("\"false\"", true),
        ] {
            browser.update(&format!(r#"[{{"op":"add","path":"/user","value":{user}}}]"#));
            let reply = browser.get("/inside", Answer::ok());
            assert_eq!(reply.status, if opens { 200 } else { 401 }, "{user}");
        }
    }
}

#[test]
fn navigations_are_sent_to_the_log_in_and_everything_else_is_refused() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        sent_away(browser.ask(Ask::get("/inside").header(PAGE.0, PAGE.1), Answer::ok()), "/login?next=%2Finside");
        sent_away(
            browser.ask(Ask::of("HEAD", "/inside").header("Sec-Fetch-Mode", "navigate"), Answer::ok()),
            "/login?next=%2Finside",
        );
        for ask in [
            Ask::post("/inside", "a=b").header("Sec-Fetch-Mode", "navigate"),
            Ask::get("/inside").header("Sec-Fetch-Mode", "cors").header("Accept", "*/*"),
            Ask::of("OPTIONS", "/inside")
                .header("Origin", "https://a.test")
                .header("Access-Control-Request-Method", "GET"),
            Ask::get("/inside")
                .header("Upgrade", "websocket")
                .header("Connection", "upgrade")
                .header("Sec-Fetch-Mode", "websocket"),
        ] {
            browser.ask(ask, Answer::ok()).refused(401, "session-required");
        }
    });
}

#[test]
fn the_log_in_is_no_open_redirect() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(
            r#"routes = [{ path = "/", upstream = "app", require = { pointer = "/user", redirect = "/login?next={path}" } }]"#,
        );
        let browser = w.browser(&proxy);
        for (target, next) in [
            ("//evil.test/x", "%2Fevil.test%2Fx"),
            ("///evil.test", "%2Fevil.test"),
            ("/%2f/evil.test", "%2F%252f%2Fevil.test"),
            ("/x?next=//evil.test", "%2Fx%3Fnext%3D%2F%2Fevil.test"),
            ("http://localhost//evil.test", "%2Fevil.test"),
        ] {
            sent_away(browser.ask(page(target), Answer::ok()), &format!("/login?next={next}"));
        }
        assert!(
            proxy.log().contains("which has a require too"),
            "a log-in page behind its own gate is worth a warning"
        );
    });
}

#[test]
fn nobody_walks_around_the_gate() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        for target in [
            "/inside/",
            "//inside",
            "/x/../inside",
            "/%69nside",
            "/./inside",
            "/inside;x",
            "/x/..;/inside",
            "/x%2f../inside",
            "/inside%2f",
            "/x/%2e%2e/inside",
        ] {
            let reply = browser.get(target, Answer::ok());
            assert!([400, 401].contains(&reply.status) && reply.seen.is_none(), "{target}: {}", reply.status);
        }
    });
}

#[test]
fn a_late_ticket_opens_no_gate() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"user":"ada"}"#);
        let old = browser.ticket().expect("a ticket");
        browser.control("rotate");
        browser.ask(Ask::get("/inside").ticket(&old), Answer::ok()).refused(401, "session-required").without_cookie();
        browser.get("/inside", Answer::ok()).passed(200);
    });
}

/// An outage must not log anybody out: whether the gate is open is not known, so that nobody is sent to sign in.
#[test]
fn while_the_store_is_away_the_gate_is_closed_and_says_why() {
    world(Store::Redis, |w: &World| {
        let config = format!("{CONFIG}\n[store]\non_failure = \"anonymous\"\ntimeout = \"300ms\"");
        let browser = w.browser(&w.proxy_with(&config));
        browser.update(r#"{"user":"ada"}"#);
        w.redis().kill();
        browser.get("/", Answer::ok()).passed(200);
        let reply = browser.get("/inside", Answer::ok()).refused(503, "store-unavailable").without_cookie();
        assert!(reply.header("retry-after").is_some() && reply.seen.is_none());
        sent_away(browser.ask(page("/inside").without_cookies(), Answer::ok()), "/login?next=%2Finside");
    });
}
