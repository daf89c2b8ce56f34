//! The engines: where sessions are kept, what is kept there, and who cleans up.

use super::settings::check;
use crate::support::{Answer, Ask, Store, until, world};

/// What the configuration check says of something that a later version will have.
fn is_not_in_this_version(config: &str) {
    let said = check(config);
    let report = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, Some(78), "{report}");
    assert!(report.contains("not in this version of Cloakroom"), "{report}");
}

#[test]
fn sessions_in_redis_are_shared_by_proxies_and_outlive_them() {
    world(Store::Redis, |w| {
        let (one, other) = (w.proxy(), w.proxy());
        let browser = w.browser(&one);
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(browser.through(&other).data(), r#"{"user":"ada"}"#);
        one.terminate();
        one.restart();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
    // The keys are missing; the address is good.
    let said = check(r#"store.url = "redis://127.0.0.1:6379/0""#);
    assert!(!format!("{}{}", said.out, said.err).contains("store.url"), "{}{}", said.out, said.err);
}

#[test]
fn sessions_in_memory_end_with_the_process() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(r#"store.url = "memory:""#);
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        proxy.terminate();
        proxy.restart();
        assert!(!browser.visit().is_live());
    });
}

#[test]
fn sessions_in_a_file_outlive_the_process() {
    world(Store::File, |w| {
        let proxy = w.proxy_with(r#"store.url = "file:sessions""#);
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        proxy.terminate();
        proxy.restart();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn a_file_drops_what_ended_by_itself() {
    world(Store::File, |w| {
        let proxy = w.proxy_with("session.idle_timeout = \"1s\"");
        let browser = w.browser(&proxy);
        let holds = |what: &str| w.store_files()[0].windows(what.len()).any(|bytes| bytes == what.as_bytes());
        browser.update(r#"{"user":"ada-of-the-file"}"#);
        assert!(holds("ada-of-the-file"));
        // When it has ended its page is free, and written anew by what comes after it.
        until("the session to leave the file", || {
            w.browser(&proxy).update(r#"{"user":"bob"}"#);
            (!holds("ada-of-the-file")).then_some(())
        });
    });
}

#[test]
fn a_cache_in_the_proxy_is_not_in_this_version() {
    is_not_in_this_version("store.near_cache = true");
}

#[test]
fn no_data_is_in_the_cookie_and_what_ended_cannot_be_sent_again() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let update = format!(r#"{{"note":"{}"}}"#, "x".repeat(20_000));
        browser.update(&update);
        let ticket = browser.ticket().expect("a ticket");
        assert!(ticket.len() <= 128, "{}", ticket.len());
        browser.control("destroy");
        assert!(!browser.visit_with(&ticket).is_live());
        let write = Answer::updating(r#"{"user":"mallory"}"#);
        browser.ask(Ask::get("/").ticket(&ticket), write).refused(409, "session-ended");
    });
}

#[test]
fn redis_drops_what_ended_by_itself() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with("session.idle_timeout = \"3s\""));
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(w.redis().sessions().len(), 1);
        until("Redis to drop the session", || {
            w.redis().command::<Vec<String>>(&["KEYS", "*"]).is_empty().then_some(())
        });
    });
}

#[test]
fn memory_drops_what_ended_by_itself() {
    world(Store::Memory, |w| {
        let config = "store.max_sessions = 1\nsession.idle_timeout = \"1s\"\nsession.retire_grace = \"1s\"";
        let proxy = w.proxy_with(config);
        w.browser(&proxy).update(r#"{"user":"ada"}"#);
        let browser = w.browser(&proxy);
        until("room for a new session", || {
            let reply = browser.get("/", Answer::updating(r#"{"user":"bob"}"#));
            (reply.status == 200).then_some(())
        });
        assert_eq!(browser.data(), r#"{"user":"bob"}"#);
    });
}
