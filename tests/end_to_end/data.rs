//! Contract 5, guarantee 6: data is data. Issue 2, "must hold" 7.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Answer, OurCookie, every_store};

/// Everything that a JSON library likes to lose.
const DIFFICULT: &str = r#"{"zebra":12345678901234567890123,"price":1.10,"huge":1e400,"tiny":-0.0,"small":1E-7,"nested":{"b":{"a":[],"empty":{}},"a":1.50},"list":[[],[1,[2.50,null]],{"k":[]}],"text":"é 😀 \u0000 \" / \\ 日本","":"empty key","__proto__":{"admin":true},"constructor":1,"exp":1,"sid":"mine","$serde_json::private::Number":"1.0","$serde_json::private::RawValue":"[1]","odd":{"$serde_json::private::Number":"7"},"été":"key","apple":true}"#;

every_store! {
    fn every_digit_every_key_and_their_order_come_back(w) {
        let browser = w.browser(&w.proxy());
        browser.update(DIFFICULT);
        assert_eq!(browser.data(), DIFFICULT);
        for number in ["12345678901234567890123", "1.10", "1e400", "-0.0", "1E-7", "2.50"] {
            assert!(browser.visit().text().contains(number), "{number} is gone from {}", browser.visit().text());
        }
    }

    fn a_change_leaves_everything_else_as_it_was(w) {
        let browser = w.browser(&w.proxy());
        browser.update(DIFFICULT);
        browser.update(r#"{"more":[0.10]}"#);
        let with_more = format!(r#"{},"more":[0.10]}}"#, DIFFICULT.trim_end_matches('}'));
        assert_eq!(browser.data(), with_more.as_str());
        OurCookie::of(&browser.control("rotate"));
        assert_eq!(browser.data(), with_more.as_str());
        browser.update(r#"{"price":1.100,"apple":null}"#);
        let cheaper = with_more.replace("1.10,", "1.100,").replace(r#","apple":true"#, "");
        assert_eq!(browser.data(), cheaper.as_str());
    }

    fn an_update_may_be_base64url_or_ascii_with_escapes(w) {
        let browser = w.browser(&w.proxy());
        browser.update(&URL_SAFE_NO_PAD.encode(DIFFICULT));
        assert_eq!(browser.data(), DIFFICULT);
        browser.control("clear");
        browser.update(r#"{"text":"\u00e9 \ud83d\ude00 \u65e5\u672c"}"#);
        assert_eq!(browser.data(), r#"{"text":"é 😀 日本"}"#);
    }

    fn several_update_lines_are_applied_in_order(w) {
        let browser = w.browser(&w.proxy());
        browser.get("/", Answer::updating(r#"{"a":1,"b":{"c":1}}"#).update(r#"{"a":2,"b":{"d":2.0}}"#)).passed(200);
        assert_eq!(browser.data(), r#"{"a":2,"b":{"c":1,"d":2.0}}"#);
        assert_eq!(browser.visit().claims.ver, Some(1));
    }

    fn a_merge_patch_works_as_in_its_standard(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"title":"Goodbye!","author":{"given":"John","family":"Doe"},"tags":["example","sample"]}"#);
        browser.update(r#"{"title":"Hello!","phone":"+01","author":{"family":null},"tags":["example"]}"#);
        assert_eq!(browser.data(), r#"{"title":"Hello!","author":{"given":"John"},"tags":["example"],"phone":"+01"}"#);
        browser.update(r#"{"title":{"a":{"bb":{"ccc":null}}}}"#);
        assert_eq!(browser.data(), r#"{"title":{"a":{"bb":{}}},"author":{"given":"John"},"tags":["example"],"phone":"+01"}"#);
    }

    fn an_update_that_changes_nothing_writes_nothing(w) {
        let browser = w.browser(&w.proxy());
        browser.update(DIFFICULT);
        for same in ["{}", r#"{"absent":null}"#, DIFFICULT, r#"{"price":1.10}"#] {
            browser.update(same).without_cookie();
        }
        assert_eq!(browser.visit().claims.ver, Some(1));
    }

    fn clear_and_update_replace_everything_and_clear_alone_keeps_the_session(w) {
        let browser = w.browser(&w.proxy());
        browser.update(DIFFICULT);
        let handle = browser.visit().handle().to_owned();
        browser.get("/", Answer::updating(r#"{"only":1}"#).control("clear")).passed(200).without_cookie();
        assert_eq!(browser.data(), r#"{"only":1}"#);
        browser.control("clear").without_cookie();
        let token = browser.visit();
        assert_eq!(token.data(), "{}");
        assert_eq!(token.handle(), handle);
    }
}
