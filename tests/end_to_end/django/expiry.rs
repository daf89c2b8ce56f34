//! `set_expiry` and what can be asked about it.

use std::time::{Duration, Instant};

use crate::support::{OurCookie, Store, World, every_store, until, world};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Seconds after which Redis drops the only session.
fn stored_for(w: &World) -> i64 {
    let key = w.redis().sessions().remove(0);
    w.redis().command::<i64>(&["PTTL", &key]) / 1000
}

fn max_age(cookie: &OurCookie) -> Option<i64> {
    cookie.attribute("max-age").and_then(|seconds| seconds.parse().ok())
}

/// What is left of `expected` seconds after a moment; the two may be rounded differently.
fn near(seconds: i64, expected: i64) -> bool {
    (expected - 30..=expected + 1).contains(&seconds)
}

#[test]
fn a_number_is_an_idle_timeout_of_this_session() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        assert!(stored_for(w) >= 30 * 60);
        let cookie = OurCookie::of(&browser.control("idle=300, persistent"));
        // The cookie is kept until the absolute deadline: the store, not the browser, counts how long nobody came.
        assert!(max_age(&cookie).is_some_and(|age| near(age, 12 * HOUR)));
        // Uses are noted every tenth of the idle timeout, so the store keeps the session for that much longer.
        assert!((270..=330).contains(&stored_for(w)), "{}", stored_for(w));
        browser.close();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

every_store! {
    fn a_session_with_an_idle_timeout_of_its_own_ends_when_nobody_came(w) {
        // Reads do not extend it here, so that the test may look while it waits.
        let proxy = w.proxy_with("session.slide = \"write\"");
        let (short, long) = (w.browser(&proxy), w.browser(&proxy));
        let started = Instant::now();
        for browser in [&short, &long] {
            browser.update(r#"{"user":"ada"}"#);
        }
        short.control("idle=1");
        until("the session to end", || (!short.visit().is_live()).then_some(()));
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert!(long.visit().is_live());
    }

    fn zero_is_a_cookie_that_ends_with_the_browser(w) {
        let browser = w.browser(&w.proxy_with("cookie.persistent = true"));
        assert!(max_age(&OurCookie::of(&browser.update(r#"{"user":"ada"}"#))).is_some());
        let cookie = OurCookie::of(&browser.control("persistent=?0"));
        assert_eq!((cookie.attribute("max-age"), cookie.attribute("expires")), (None, None));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        browser.close();
        assert!(!browser.visit().is_live());
    }

    fn none_is_a_return_to_the_settings(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let life = || {
            let claims = browser.visit().claims;
            claims.expires.zip(claims.created).map(|(end, start)| end - start).expect("a live session")
        };
        let configured = life();
        browser.control("idle=300, lifetime=7200, persistent");
        assert!((life() - 2 * HOUR).abs() <= 30, "{}", life());
        let cookie = OurCookie::of(&browser.control("idle=default, lifetime=default, persistent=?0"));
        assert_eq!(cookie.attribute("max-age"), None);
        assert!((life() - configured).abs() <= 1, "{} instead of {configured}", life());
    }

    fn a_date_is_a_lifetime_that_use_does_not_extend(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let started = Instant::now();
        browser.control("lifetime=2, idle=2");
        until("the session to end", || (!browser.visit().is_live()).then_some(()));
        let lived = started.elapsed();
        assert!(lived > Duration::from_secs(1) && lived < Duration::from_secs(6), "{lived:?}");
    }

    fn the_age_is_what_is_left_until_the_deadline(w) {
        let browser = w.browser(&w.proxy());
        assert_eq!(browser.visit().claims.expires, None);
        browser.update(r#"{"user":"ada"}"#);
        let left = || {
            let claims = browser.visit().claims;
            claims.expires.map(|end| end - claims.iat).expect("a live session")
        };
        assert!(near(left(), 12 * HOUR), "{}", left());
        browser.control("lifetime=86400");
        assert!(near(left(), DAY), "{}", left());
        // The idle timeout is not in the token, and none of it shows in the deadline.
        browser.control("idle=60");
        assert!(near(left(), DAY), "{}", left());
    }

    fn more_than_the_settings_allow_is_cut_to_what_they_allow(w) {
        let browser = w.browser(&w.proxy_with("session.max_absolute_timeout = \"24h\""));
        browser.update(r#"{"user":"ada"}"#);
        let cookie = OurCookie::of(&browser.control("lifetime=1209600, persistent"));
        assert!(max_age(&cookie).is_some_and(|age| near(age, DAY)));
    }
}

#[test]
fn a_date_sets_the_deadline_of_session_and_cookie() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let cookie = OurCookie::of(&browser.control("lifetime=86400, idle=86400, persistent"));
        assert!(max_age(&cookie).is_some_and(|age| near(age, DAY)));
        let claims = browser.visit().claims;
        assert!(claims.expires.is_some_and(|end| near(end - claims.iat, DAY)));
        assert!((DAY - 30..=DAY + 60).contains(&stored_for(w)), "{}", stored_for(w));
    });
}

#[test]
fn none_gives_the_store_its_idle_timeout_back() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let configured = stored_for(w);
        browser.control("idle=300");
        assert!(stored_for(w) <= 330, "{}", stored_for(w));
        browser.control("idle=default");
        assert!(near(stored_for(w), configured), "{} instead of {configured}", stored_for(w));
    });
}
