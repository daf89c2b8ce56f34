//! `request.session` as a dictionary: what an application reads, sets and removes.

use crate::support::{Answer, Ask, Gate, OurCookie, every_store};

every_store! {
    fn what_the_session_holds_comes_with_the_request_in_order(w) {
        let browser = w.browser(&w.proxy());
        assert_eq!(browser.data(), "{}");
        browser.update(r#"{"user":"ada","cart":{"hat":2},"admin":false}"#);
        let data = browser.data();
        assert_eq!(data, r#"{"user":"ada","cart":{"hat":2},"admin":false}"#);
        assert_eq!(data.keys(), ["user", "cart", "admin"]);
    }

    fn setting_a_key_leaves_the_others(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        browser.update(r#"{"theme":"dark"}"#);
        assert_eq!(browser.data(), r#"{"user":"ada","theme":"dark"}"#);
        browser.update(r#"{"theme":"light"}"#);
        assert_eq!(browser.data(), r#"{"user":"ada","theme":"light"}"#);
    }

    fn an_object_is_merged_unless_a_json_patch_replaces_it(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"address":{"city":"Paris","floor":3}}"#);
        browser.update(r#"{"address":{"city":"Rome"}}"#);
        assert_eq!(browser.data(), r#"{"address":{"city":"Rome","floor":3}}"#);
        browser.update(r#"[{"op":"add","path":"/address","value":{"city":"Oslo"}}]"#);
        assert_eq!(browser.data(), r#"{"address":{"city":"Oslo"}}"#);
    }

    fn only_a_json_patch_stores_null(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada","theme":null}"#);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        browser.update(r#"[{"op":"add","path":"/theme","value":null}]"#);
        assert_eq!(browser.data(), r#"{"user":"ada","theme":null}"#);
    }

    fn null_removes_a_key_and_one_that_is_not_there_does_no_harm(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada","theme":"dark"}"#);
        for _ in 0..2 {
            browser.update(r#"{"theme":null}"#);
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
        assert_eq!(browser.visit().claims.ver, Some(2));
    }

    fn removing_what_must_be_there_is_refused_when_it_is_not(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        browser.get("/", Answer::updating(r#"[{"op":"remove","path":"/theme"}]"#)).refused(409, "version-conflict");
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    }

    fn of_two_requests_that_pop_the_same_key_one_is_refused(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"coupon":"SPRING","user":"ada"}"#);
        let gate = Gate::for_all(2);
        let popped = || Answer::updating(r#"[{"op":"remove","path":"/coupon"}]"#).after(&gate);
        let pending = [browser.start(Ask::get("/"), popped()), browser.start(Ask::get("/"), popped())];
        gate.arrived();
        gate.release();
        let replies = pending.map(|pending| pending.reply());
        assert!(replies.iter().all(|reply| reply.token().data() == r#"{"coupon":"SPRING","user":"ada"}"#));
        let mut statuses = replies.each_ref().map(|reply| reply.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    }

    fn a_default_is_set_only_while_the_session_is_as_it_was_read(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let default = || Answer::updating(r#"{"theme":"dark"}"#).control("if-version=1");
        browser.get("/", default()).passed(200);
        assert_eq!(browser.data(), r#"{"user":"ada","theme":"dark"}"#);
        browser.update(r#"{"theme":"light"}"#);
        browser.get("/", default()).refused(409, "version-conflict");
        assert_eq!(browser.data(), r#"{"user":"ada","theme":"light"}"#);
    }

    fn several_keys_change_in_one_step(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        browser.update(r#"{"user":"bob","theme":"dark","size":12}"#);
        let token = browser.visit();
        assert_eq!(token.data(), r#"{"user":"bob","theme":"dark","size":12}"#);
        assert_eq!(token.claims.ver, Some(2));
    }

    fn a_change_deep_inside_is_saved_like_any_other(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"cart":{"hat":1,"scarf":1}}"#);
        browser.update(r#"{"cart":{"hat":2}}"#);
        assert_eq!(browser.data(), r#"{"cart":{"hat":2,"scarf":1}}"#);
    }

    fn two_requests_that_set_different_keys_both_win(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let gate = Gate::for_all(2);
        let pending = [r#"{"theme":"dark"}"#, r#"{"size":12}"#]
            .map(|update| browser.start(Ask::get("/"), Answer::updating(update).after(&gate)));
        gate.arrived();
        gate.release();
        for pending in pending {
            assert_eq!(pending.reply().passed(200).token().data(), r#"{"user":"ada"}"#);
        }
        let data = browser.data();
        assert!(data == r#"{"user":"ada","theme":"dark","size":12}"# || data == r#"{"user":"ada","size":12,"theme":"dark"}"#);
    }

    fn clear_empties_the_session_and_keeps_its_cookie(w) {
        let browser = w.browser(&w.proxy());
        browser.get("/", Answer::updating(r#"{"user":"ada"}"#).control(r#"subject="ada""#)).passed(200);
        let before = browser.visit();
        browser.control("clear").without_cookie();
        let after = browser.visit();
        assert_eq!(after.data(), "{}");
        assert_eq!(after.handle(), before.handle());
        assert_eq!((before.subject(), after.subject()), (Some("ada"), None));
    }

    fn a_page_that_failed_saves_nothing_but_still_signs_out(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        browser.get("/", Answer::status(500).update(r#"{"user":"bob"}"#)).passed(500);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        assert!(OurCookie::of(&browser.get("/", Answer::status(500).control("destroy")).passed(500)).is_deletion());
        assert!(!browser.visit().is_live());
    }

    fn a_message_is_shown_once_and_none_is_lost(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"messages":[]}"#);
        browser.update(r#"[{"op":"add","path":"/messages/-","value":"Saved."}]"#);
        browser.update(r#"[{"op":"add","path":"/messages/-","value":"Sent."}]"#);
        assert_eq!(browser.data(), r#"{"messages":["Saved.","Sent."]}"#);
        let shown = r#"[{"op":"test","path":"/messages","value":["Saved.","Sent."]},{"op":"replace","path":"/messages","value":[]}]"#;
        browser.update(shown);
        assert_eq!(browser.data(), r#"{"messages":[]}"#);
        browser.get("/", Answer::updating(shown)).refused(409, "version-conflict");
    }

    fn a_csrf_token_in_the_session_is_its_own_and_never_in_a_cookie(w) {
        let proxy = w.proxy();
        let (ada, bob) = (w.browser(&proxy), w.browser(&proxy));
        let reply = ada.update(r#"{"csrf":"k2Zr8vQ0"}"#);
        assert!(!reply.set_cookies().iter().any(|line| line.contains("k2Zr8vQ0")));
        assert_eq!(ada.data(), r#"{"csrf":"k2Zr8vQ0"}"#);
        assert_eq!(bob.data(), "{}");
    }
}
