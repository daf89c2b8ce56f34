//! Which session it is: its key, a new key, no session any more, and whether the browser keeps cookies at all.

use crate::support::{Answer, Ask, OurCookie, every_store};

every_store! {
    fn the_key_names_the_session_and_opens_nothing(w) {
        let browser = w.browser(&w.proxy());
        assert!(!browser.visit().is_live());
        browser.update(r#"{"user":"ada"}"#);
        let sid = browser.visit().handle().to_owned();
        assert!(!browser.visit_with(&sid).is_live());
        browser.control("rotate");
        assert_eq!(browser.visit().handle(), sid);
    }

    fn a_session_is_there_or_not_whatever_it_holds(w) {
        let browser = w.browser(&w.proxy());
        let token = browser.visit();
        assert!(!token.is_live() && token.data() == "{}");
        browser.update(r#"{"user":"ada"}"#);
        browser.update(r#"{"user":null}"#).without_cookie();
        let token = browser.visit();
        assert!(token.is_live() && token.data() == "{}");
    }

    fn cycle_key_is_rotate(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"cart":["hat"]}"#);
        let before = (browser.visit(), browser.ticket().expect("a ticket"));
        OurCookie::of(&browser.control("rotate"));
        assert_eq!(browser.visit().data(), before.0.data());
        assert_eq!(browser.visit().claims.expires, before.0.claims.expires);
        assert_ne!(browser.ticket().as_ref(), Some(&before.1));
        let late = Ask::get("/").ticket(&before.1);
        let reply = browser.ask(late, Answer::updating(r#"{"cart":[]}"#)).refused(409, "session-ended");
        assert!(!reply.token().is_live());
    }

    fn flush_is_destroy(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let ticket = browser.ticket().expect("a ticket");
        assert!(OurCookie::of(&browser.control("destroy")).is_deletion());
        assert_eq!(browser.ticket(), None);
        assert!(!browser.visit_with(&ticket).is_live());
        // Twice is no fault.
        browser.control("destroy").without_cookie();
    }

    fn flush_and_a_change_are_destroy_with_an_update(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada","cart":["hat"]}"#);
        let before = (browser.visit(), browser.ticket().expect("a ticket"));
        let reply = browser.get("/", Answer::updating(r#"{"message":"Goodbye!"}"#).control("destroy")).passed(200);
        assert!(!OurCookie::of(&reply).is_deletion());
        let after = browser.visit();
        assert_eq!(after.data(), r#"{"message":"Goodbye!"}"#);
        assert_ne!(after.handle(), before.0.handle());
        assert!(!browser.visit_with(&before.1).is_live());
    }

    fn whether_cookies_are_on_shows_in_the_request_after_the_redirect(w) {
        let browser = w.browser(&w.proxy());
        let set = || Answer::status(303).header("Location", "/sign-in").update(r#"{"testcookie":"worked"}"#);
        browser.get("/", set()).passed(303);
        assert_eq!(browser.ask(Ask::get("/sign-in"), Answer::ok()).token().data(), r#"{"testcookie":"worked"}"#);
        browser.update(r#"{"testcookie":null}"#);
        assert_eq!(browser.data(), "{}");
        let without = || Ask::get("/sign-in").without_cookies();
        browser.ask(without(), set()).passed(303);
        assert!(!browser.ask(without(), Answer::ok()).token().is_live());
    }

    fn with_a_session_for_everybody_no_key_is_needed_to_see_whether_cookies_are_on(w) {
        let browser = w.browser(&w.proxy_with(r#"session.create = "always""#));
        let redirect = || Answer::status(303).header("Location", "/sign-in");
        OurCookie::of(&browser.get("/", redirect()).passed(303));
        assert!(browser.get("/sign-in", Answer::ok()).passed(200).token().is_live());
        let without = || Ask::get("/sign-in").without_cookies();
        browser.ask(without(), redirect()).passed(303);
        assert!(!browser.ask(without(), Answer::ok()).passed(200).token().is_live());
    }
}
