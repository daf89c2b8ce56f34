//! `end_on`: log-out pages of applications that send no headers.

use crate::support::{Answer, Ask, Gate, OurCookie, Store, every_store, world};

const CONFIG: &str = r#"
    routes = [
        { path = "/", upstream = "app", end_on = ["/logout", "/account/leave/"], capture = { X-Auth-User = "/user" } },
        { path = "/api", upstream = "app" },
    ]
"#;

every_store! {
    fn a_good_answer_to_a_log_out_page_ends_the_session(w) {
        let proxy = w.proxy_with(CONFIG);
        for (method, target, status) in [
            ("GET", "/logout", 200), ("POST", "/logout", 302), ("GET", "/logout?next=%2F", 204), ("HEAD", "/logout/", 200),
            ("GET", "/account/leave", 303), ("GET", "//log%6Fut", 200), ("GET", "/x/../logout", 200),
        ] {
            let browser = w.browser(&proxy);
            browser.update(r#"{"user":"ada"}"#);
            let ticket = browser.ticket().expect("a ticket");
            let reply = browser.ask(Ask::of(method, target), Answer::status(status)).passed(status);
            assert!(OurCookie::of(&reply).is_deletion(), "{method} {target}");
            assert_eq!(browser.ticket(), None);
            assert!(!browser.visit_with(&ticket).is_live(), "{method} {target}");
        }
    }

    fn nothing_else_does(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"user":"ada"}"#);
        for (method, target, status) in [
            ("GET", "/logout", 404), ("POST", "/logout", 422), ("GET", "/logout", 500), ("OPTIONS", "/logout", 204),
            ("GET", "/logout/confirm", 200), ("GET", "/logouts", 200), ("GET", "/?p=/logout", 200), ("GET", "/api/logout", 200),
        ] {
            browser.ask(Ask::of(method, target), Answer::status(status)).passed(status).without_cookie();
            assert!(browser.visit().is_live(), "{method} {target} {status}");
        }
    }

    fn whoever_signs_out_is_not_captured_again(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", Answer::ok().header("X-Auth-User", "ada")).passed(200);
        browser.get("/logout", Answer::ok().header("X-Auth-User", "ada")).passed(200);
        assert_eq!(browser.ticket(), None);
        browser.update(r#"{"user":"ada"}"#);
        let ticket = browser.ticket().expect("a ticket");
        browser.get("/logout", Answer::updating(r#"{"bye":1}"#).header("X-Auth-User", "ada")).passed(200);
        assert_eq!(browser.data(), r#"{"bye":1}"#);
        assert!(!browser.visit_with(&ticket).is_live());
    }

    fn a_log_out_wins_over_a_slower_request(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"user":"ada"}"#);
        let (slow, gate) = (browser.twin(), Gate::new());
        let slow = slow.start(Ask::get("/"), Answer::updating(r#"{"late":1}"#).after(&gate));
        gate.arrived();
        browser.get("/logout", Answer::ok()).passed(200);
        gate.release();
        slow.reply().refused(409, "session-ended").without_cookie();
        assert!(!browser.visit().is_live());
    }
}

#[test]
fn a_visitor_without_a_session_signs_out_in_peace() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/logout", Answer::ok()).passed(200).without_cookie();
    });
}
