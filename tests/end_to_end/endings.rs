//! Contract section 5: what ends sessions, and what else the response says beside it.

use crate::support::{Answer, Browser, Store, World, every_store, world};

fn signed_in(w: &World, config: &str, count: usize) -> Vec<Browser> {
    let proxy = w.proxy_with(config);
    let browsers: Vec<_> = (0..count).map(|_| w.browser(&proxy)).collect();
    for browser in &browsers {
        browser.get("/", Answer::updating(r#"{"user":"ada"}"#).control("subject=\"ada\"")).passed(200);
    }
    browsers
}

every_store! {
    fn a_log_out_everywhere_ends_every_session_of_the_subject(w) {
        let browsers = signed_in(w, "", 3);
        let stranger = w.browser(&w.proxy());
        stranger.update(r#"{"user":"bob"}"#);
        let own = browsers[0].ticket().expect("a ticket");
        browsers[0].get("/", Answer::controlling("destroy, revoke-others")).passed(200);
        assert_eq!(browsers[0].ticket(), None);
        assert!(!browsers[0].visit_with(&own).is_live());
        assert!(browsers[1..].iter().all(|browser| !browser.visit().is_live()));
        assert!(stranger.visit().is_live());
    }

    fn an_ending_on_a_5xx_is_carried_out_whatever_else_the_answer_says(w) {
        let config = "upstreams.app.may = [\"destroy\", \"subject\"]\nupstreams.app.may_write = [\"/user\"]";
        for answer in [
            Answer::status(500).control("destroy").update("{bad"),
            Answer::status(500).control("destroy").update(r#"{"cart":1}"#),
            Answer::status(500).control("destroy, rotate, idle=60"),
            Answer::status(503).control("destroy, if-version=77"),
        ] {
            let browser = &signed_in(w, config, 1)[0];
            let ticket = browser.ticket().expect("a ticket");
            browser.get("/", answer);
            assert_eq!(browser.ticket(), None, "the cookie is deleted");
            assert!(!browser.visit_with(&ticket).is_live());
        }
    }

    fn an_ending_that_cannot_be_read_or_is_no_right_changes_nothing_on_a_5xx(w) {
        let browser = &signed_in(w, "upstreams.app.may = [\"subject\"]", 1)[0];
        for answer in [Answer::status(500).control("destroy"), Answer::status(500).control("destroy, frobnicate")] {
            browser.get("/", answer).passed(500).without_cookie();
            assert!(browser.visit().is_live());
        }
    }

    fn with_subject_from_a_change_elsewhere_does_not_sign_in_again(w) {
        let browser = w.browser(&w.proxy_with("session.subject_from = \"/user\""));
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(browser.visit().subject(), Some("ada"));
        browser.control("subject=\"\"");
        let ticket = browser.ticket();
        browser.update(r#"{"cart":1}"#);
        assert_eq!((browser.visit().subject(), browser.ticket()), (None, ticket));
        browser.update(r#"{"user":"eve"}"#);
        assert_eq!(browser.visit().subject(), Some("eve"));
    }
}

/// The others end first: once its own session is gone, a second try would no longer know whose sessions to end.
#[test]
fn a_log_out_everywhere_that_fails_can_be_tried_again() {
    world(Store::Redis, |w| {
        let browsers = signed_in(w, "", 3);
        let _: () = w.redis().command(&["ACL", "SETUSER", "default", "-zscan"]);
        let everywhere = || browsers[0].get("/", Answer::controlling("destroy, revoke-others"));
        everywhere().refused(503, "store-unavailable").without_cookie();
        assert!(browsers.iter().all(|browser| browser.visit().is_live()));
        let _: () = w.redis().command(&["ACL", "SETUSER", "default", "+zscan"]);
        everywhere().passed(200);
        assert_eq!(browsers[0].ticket(), None);
        assert!(browsers[1..].iter().all(|browser| !browser.visit().is_live()));
    });
}

#[test]
fn in_a_full_memory_store_a_destroyed_session_makes_room() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("store.max_sessions = 2");
        let (one, two, three) = (w.browser(&proxy), w.browser(&proxy), w.browser(&proxy));
        one.update(r#"{"n":1}"#);
        two.update(r#"{"n":2}"#);
        three.get("/", Answer::updating(r#"{"n":3}"#)).refused(503, "store-unavailable").without_cookie();
        one.get("/", Answer::updating(r#"{"n":4}"#).control("destroy")).passed(200);
        assert_eq!(one.data(), r#"{"n":4}"#);
        one.control("destroy");
        three.update(r#"{"n":3}"#);
        assert_eq!(two.data(), r#"{"n":2}"#);
        assert_eq!(three.data(), r#"{"n":3}"#);
    });
}
