//! `store.encrypt` as an operator meets it: switched on and off, its root replaced, one proxy after the other, while
//! people are logged in; and what becomes of a record that cannot be opened.

use std::sync::Arc;

use crate::support::{Answer, Ask, Browser, Proxy, Store, World, until, world};

/// What stands behind the stamp of a stored record.
const MARK_AT: usize = 34;

fn configuration(w: &World, roots: &[&str], encrypt: bool) -> String {
    let roots: Vec<String> = roots.iter().map(|name| format!("{{ file = {:?} }}", w.file(name))).collect();
    format!(
        "keys.root = [{}]\nstore.encrypt = {encrypt}\nupstreams.app.may = [\"rotate\", \"destroy\", \"subject\", \"revoke\"]",
        roots.join(", ")
    )
}

fn start(w: &World, roots: &[&str], encrypt: bool) -> Arc<Proxy> {
    w.proxy_with(&configuration(w, roots, encrypt))
}

fn make_root(w: &World, name: &str) {
    let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    std::fs::write(w.file(name), secret).expect("writing a secret");
}

fn only_record(w: &World) -> Vec<u8> {
    let keys = w.redis().sessions();
    assert_eq!(keys.len(), 1, "{keys:?}");
    w.redis().command(&["GET", &keys[0]])
}

fn seal_of(w: &World) -> Option<Vec<u8>> {
    let record = only_record(w);
    (record[MARK_AT] == b'#').then(|| record[MARK_AT + 1..MARK_AT + 9].to_vec())
}

/// Every proxy reads and changes the session; nobody gets a new cookie.
fn use_through(browser: &Browser, proxies: &[&Arc<Proxy>], counted: &mut u32) {
    let ticket = browser.ticket();
    for proxy in proxies {
        let there = browser.through(proxy);
        assert_eq!(there.data(), format!("{{\"n\":{counted}}}").as_str());
        *counted += 1;
        there.update(&format!("{{\"n\":{counted}}}")).without_cookie();
        for reader in proxies {
            assert_eq!(browser.through(reader).data(), format!("{{\"n\":{counted}}}").as_str());
        }
    }
    assert_eq!(browser.ticket(), ticket);
}

fn logged_in(browser: &Browser, subject: &str) {
    browser.get("/", Answer::updating(r#"{"n":0}"#).control(&format!("subject={subject}"))).passed(200);
}

#[test]
fn encryption_is_switched_on_and_off_one_proxy_after_the_other_and_nobody_notices() {
    world(Store::Redis, |w| {
        let mut proxies = [start(w, &["root"], false), start(w, &["root"], false)];
        let (browser, mut counted) = (w.browser(&proxies[0]), 0);
        logged_in(&browser, "ada");
        for encrypt in [true, false] {
            for index in 0..2 {
                proxies[index].terminate();
                proxies[index] = start(w, &["root"], encrypt);
                use_through(&browser, &[&proxies[0], &proxies[1]], &mut counted);
            }
            assert_eq!(seal_of(w).is_some(), encrypt);
        }
    });
}

#[test]
fn a_root_is_replaced_one_proxy_after_the_other_and_nobody_notices() {
    world(Store::Redis, |w| {
        make_root(w, "new");
        let mut proxies = [start(w, &["root"], true), start(w, &["root"], true)];
        let (browser, mut counted) = (w.browser(&proxies[0]), 0);
        logged_in(&browser, "ada");
        let first = seal_of(w);
        for (step, roots) in [["root", "new"], ["new", "root"]].iter().enumerate() {
            for index in 0..2 {
                proxies[index].terminate();
                proxies[index] = start(w, roots, true);
                use_through(&browser, &[&proxies[0], &proxies[1]], &mut counted);
            }
            assert!(seal_of(w).is_some());
            assert_eq!(seal_of(w) == first, step == 0, "sealed anew with the root that is first now");
        }
        // Who logs in now needs the old root no more.
        let last = start(w, &["new"], true);
        let fresh = w.browser(&last);
        logged_in(&fresh, "bob");
        use_through(&fresh, &[&proxies[0], &last], &mut 0);
        assert!(!browser.through(&last).visit().is_live(), "its cookie is of the root that is gone");
    });
}

#[test]
fn a_revocation_ends_the_sessions_of_a_subject_whatever_their_proxies_were_told() {
    world(Store::Redis, |w| {
        make_root(w, "new");
        let told = [(&["root"][..], false), (&["root"], true), (&["root", "new"], true), (&["new", "root"], true)];
        let proxies = told.map(|(roots, encrypt)| start(w, roots, encrypt));
        for (here, there) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)] {
            let browser = w.browser(&proxies[here]);
            logged_in(&browser, "ada");
            let control = Answer::controlling("revoke-subject=ada");
            browser.through(&proxies[there]).ask(Ask::get("/").without_cookies(), control).passed(200);
            assert!(!browser.visit().is_live(), "made by {here}, revoked by {there}");
        }
    });
}

#[test]
fn a_record_of_a_root_that_is_not_listed_is_an_outage_and_no_log_out() {
    world(Store::Redis, |w| {
        make_root(w, "new");
        let (old, new) = (start(w, &["root"], true), start(w, &["new", "root"], true));
        let degrading = format!("{}\nstore.on_failure = \"anonymous\"", configuration(w, &["root"], true));
        let degraded = w.proxy_with(&degrading);
        let browser = w.browser(&old);
        logged_in(&browser, "ada");
        browser.through(&new).update(r#"{"n":1}"#);
        let (ticket, sealed) = (browser.ticket(), only_record(w));
        browser.get("/", Answer::ok()).refused(503, "store-unavailable").without_cookie();
        let token = browser.through(&degraded).visit();
        assert!(!token.is_live());
        browser.through(&degraded).get("/", Answer::updating(r#"{"n":2}"#)).refused(503, "store-unavailable");
        assert_eq!((browser.ticket(), only_record(w)), (ticket, sealed));
        until("the log to name the cure", || old.log().contains("keys.root").then_some(()));
        assert_eq!(browser.through(&new).data(), r#"{"n":1}"#);
    });
}

#[test]
fn a_record_with_a_broken_seal_is_logged_and_the_visitor_begins_anew() {
    world(Store::Redis, |w| {
        let proxy = start(w, &["root"], true);
        let (ada, eve) = (w.browser(&proxy), w.browser(&proxy));
        logged_in(&ada, "ada");
        let theirs = w.redis().sessions().remove(0);
        logged_in(&eve, "eve");
        let ours = w.redis().sessions().into_iter().find(|key| *key != theirs).expect("a second session");
        let _: i64 = w.redis().command(&["COPY", &theirs, &ours, "REPLACE"]);
        assert!(!eve.visit().is_live());
        until("the log to say so", || proxy.log().contains("its seal is broken").then_some(()));
        logged_in(&eve, "eve");
        assert_eq!((eve.data(), ada.data()), (ada.data(), eve.data()));
        let (eve, ada) = (eve.visit(), ada.visit());
        assert_ne!(eve.handle(), ada.handle());
    });
}
