//! What `django.contrib.auth` does to a session.

use crate::support::{Answer, OurCookie, every_store};

every_store! {
    fn login_keeps_the_cart_and_changes_the_cookie(w) {
        let proxy = w.proxy();
        let (browser, planted) = (w.browser(&proxy), w.browser(&proxy));
        browser.update(r#"{"cart":["hat"]}"#);
        planted.plant(&browser.ticket().expect("a ticket"));
        browser.get("/", Answer::updating(r#"{"user":42}"#).control(r#"rotate, subject="42""#)).passed(200);
        assert_eq!(browser.data(), r#"{"cart":["hat"],"user":42}"#);
        assert_eq!(browser.visit().subject(), Some("42"));
        assert!(!planted.visit().is_live());
    }

    fn login_as_somebody_else_begins_with_nothing(w) {
        let browser = w.browser(&w.proxy());
        browser.get("/", Answer::updating(r#"{"user":42,"cart":["hat"]}"#).control(r#"subject="42""#)).passed(200);
        let before = browser.visit();
        browser.get("/", Answer::updating(r#"{"user":7}"#).control(r#"destroy, subject="7""#)).passed(200);
        let after = browser.visit();
        assert_eq!(after.data(), r#"{"user":7}"#);
        assert_eq!(after.subject(), Some("7"));
        assert_ne!(before.handle(), after.handle());
    }

    fn another_subject_changes_the_cookie_by_itself(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"cart":["hat"]}"#);
        let before = browser.ticket();
        OurCookie::of(&browser.control(r#"subject="42""#));
        assert_ne!(browser.ticket(), before);
        assert_eq!(browser.data(), r#"{"cart":["hat"]}"#);
    }

    fn a_new_password_ends_the_other_sessions_of_the_user(w) {
        let proxy = w.proxy();
        let (desk, phone, other) = (w.browser(&proxy), w.browser(&proxy), w.browser(&proxy));
        for (browser, subject) in [(&desk, r#"subject="42""#), (&phone, r#"subject="42""#), (&other, r#"subject="7""#)] {
            browser.get("/", Answer::updating(r#"{"signed-in":true}"#).control(subject)).passed(200);
        }
        desk.control("rotate, revoke-others");
        assert!(desk.visit().is_live() && other.visit().is_live());
        assert!(!phone.visit().is_live());
    }

    fn the_session_of_a_user_elsewhere_is_ended_by_who_has_the_right(w) {
        let proxy = w.proxy_with(r#"upstreams.app.may = ["subject", "revoke"]"#);
        let (ada, root) = (w.browser(&proxy), w.browser(&proxy));
        ada.get("/", Answer::updating(r#"{"user":42}"#).control(r#"subject="42""#)).passed(200);
        root.control(r#"revoke-subject="42""#);
        assert!(!ada.visit().is_live());
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.get("/", Answer::controlling(r#"revoke-subject="42""#)).refused(502, "invalid-update");
    }
}
