//! Contract 8: a store that is away is never "no session", and nobody's cookie is touched. Issue 2, "must hold" 4.

use std::time::{Duration, Instant};

use crate::support::{Answer, Ask, Browser, Gate, OurCookie, Relay, Store, World, until, world};

/// What the busy machine may add to what the contract allows: twice `store.timeout`.
const SLACK: Duration = Duration::from_millis(750);
const LIMIT: Duration = Duration::from_millis(2 * 500);

fn config(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\ntimeout = \"500ms\"\nsave_timeout = \"1s\"\n")
}

/// Asserts that a request is refused because of the store: in time, with advice, the cookie untouched.
#[track_caller]
fn refused_in_time(browser: &Browser, ask: Ask, answer: Answer) {
    let started = Instant::now();
    let reply = browser.ask(ask, answer).refused(503, "store-unavailable").without_cookie();
    let elapsed = started.elapsed();
    assert!(elapsed <= LIMIT + SLACK, "answered after {elapsed:?}");
    let seconds = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds.is_some(), "Retry-After: {:?}", reply.header("retry-after"));
}

/// A session, an outage, the way back: the contract of every kind of outage.
fn endure(w: &World, url: &str, fail: impl Fn(), heal: impl Fn()) {
    let proxy = w.proxy_with(&config(url));
    let (browser, visitor) = (w.browser(&proxy), w.browser(&proxy));
    browser.update(r#"{"user":"ada"}"#);
    let ticket = browser.ticket();
    for round in 0..2 {
        fail();
        let requests = w.upstream.requests().len();
        for _ in 0..3 {
            refused_in_time(&browser, Ask::get("/"), Answer::ok());
            refused_in_time(&browser, Ask::post("/", "a body"), Answer::updating(r#"{"lost":true}"#));
        }
        assert_eq!(w.upstream.requests().len(), requests, "the upstream was asked although nothing was known");
        // Who has no ticket needs no store, until there is something to keep.
        assert!(!visitor.visit().is_live());
        refused_in_time(&visitor, Ask::get("/"), Answer::updating(r#"{"first":true}"#));
        assert_eq!(visitor.ticket(), None);
        assert_eq!(browser.ticket(), ticket);
        heal();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#, "the first request after outage {round}");
        browser.update(r#"{"back":true}"#).without_cookie();
        browser.update(r#"{"back":null}"#).without_cookie();
    }
}

#[test]
fn a_killed_redis_costs_nobody_the_session() {
    world(Store::DurableRedis, |w| {
        endure(w, &w.redis().url(), || w.redis().kill(), || w.redis().restart());
    });
}

#[test]
fn a_frozen_redis_costs_nobody_the_session() {
    world(Store::Redis, |w| {
        endure(w, &w.redis().url(), || w.redis().freeze(), || w.redis().thaw());
    });
}

#[test]
fn a_network_that_swallows_costs_nobody_the_session() {
    world(Store::Redis, |w| {
        let relay = Relay::to(w.redis().port());
        endure(w, &relay.url(), || relay.swallow(), || relay.release());
    });
}

#[test]
fn a_change_that_the_store_cannot_take_is_an_error_and_not_the_answer() {
    world(Store::Redis, |w| {
        let relay = Relay::to(w.redis().port());
        let browser = w.browser(&w.proxy_with(&config(&relay.url())));
        browser.update(r#"{"user":"ada"}"#);
        let ticket = browser.ticket().expect("a ticket");
        for answer in
            [Answer::updating(r#"{"lost":true}"#), Answer::controlling("rotate"), Answer::controlling("destroy")]
        {
            let gate = Gate::new();
            let pending = browser.start(Ask::get("/"), answer.header("X-Of-The-Answer", "1").after(&gate));
            gate.arrived();
            relay.swallow();
            gate.release();
            let reply = pending.reply().refused(503, "store-unavailable").without_cookie();
            assert!(reply.header("retry-after").is_some() && reply.header("x-of-the-answer").is_none());
            relay.release();
            assert_eq!(browser.ticket().as_ref(), Some(&ticket));
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
        // What could not be carried out can be tried again: the browser still has what it needs.
        assert!(OurCookie::of(&browser.control("destroy")).is_deletion());
        assert!(!browser.visit_with(&ticket).is_live());
    });
}

#[test]
fn a_connection_that_the_network_cut_is_replaced() {
    world(Store::Redis, |w| {
        let relay = Relay::to(w.redis().port());
        let browser = w.browser(&w.proxy_with(&config(&relay.url())));
        browser.update(r#"{"user":"ada"}"#);
        for _ in 0..5 {
            relay.cut();
            let answered = until("the session after the cut", || {
                let reply = browser.get("/", Answer::ok()).without_cookie();
                assert!([200, 503].contains(&reply.status), "{}", reply.text());
                (reply.status == 200).then_some(reply)
            });
            assert_eq!(answered.token().data(), r#"{"user":"ada"}"#);
        }
    });
}

#[test]
fn a_redis_that_forgot_everything_makes_everybody_anonymous_and_adopts_nothing() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with(&config(&w.redis().url())));
        browser.update(r#"{"user":"ada"}"#);
        let old = browser.ticket();
        w.redis().restart();
        assert!(!browser.visit().is_live());
        browser.update(r#"{"user":"again"}"#);
        assert_ne!(browser.ticket(), old);
        assert_eq!(browser.data(), r#"{"user":"again"}"#);
    });
}

#[test]
fn a_store_may_be_given_by_name() {
    world(Store::Redis, |w| {
        let url = w.redis().url().replace("127.0.0.1", "localhost");
        let browser = w.browser(&w.proxy_with(&format!("store.url = \"{url}\"")));
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn a_name_that_leads_nowhere_is_said_so_in_the_log() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with("store.url = \"redis://no-such-host.invalid:6379/0\"");
        until("the log to name the fault", || proxy.log().contains("name cannot be looked up").then_some(()));
    });
}
