//! Contract 8: a store that is away is never "no session", and nobody's cookie is touched. Issue 2, "must hold" 4.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd;
use crate::support::{
    Answer, Ask, Browser, Gate, OurCookie, Proxy, Relay, Store, World, let_pass, mirror, until, world,
};

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

/// What the visitors of a long outage are doing.
const BEFORE: u8 = 0;
const AWAY: u8 = 1;
const BACK: u8 = 2;
const OVER: u8 = 3;
const VISITORS: usize = 24;
/// `store.timeout` by default: an error comes no later.
const PROMISED: Duration = Duration::from_millis(250);

/// What they saw.
#[derive(Default)]
struct Seen {
    phase: AtomicU8,
    served: AtomicUsize,
    refused: Mutex<Vec<Duration>>,
}

/// Comes again and again with its ticket; `back` says when the store came back, once it has.
fn visit_all_along(proxy: &Proxy, number: usize, ticket: &str, seen: &Seen, back: &Mutex<Option<Instant>>) {
    let mut connection = proxy.connect();
    for turn in 0_u64.. {
        let phase = seen.phase.load(Ordering::SeqCst);
        if phase == OVER {
            return;
        }
        let begun = Instant::now();
        let update = format!("{{\"n\":{turn}}}");
        let write = (turn % 4 == 0).then_some(update.as_str());
        connection.send(&crowd::request(Some(ticket), write)).expect("sending");
        let reply = connection.reply("GET").expect("an answer").without_cookie();
        let late =
            back.lock().expect("back").is_some_and(|back| begun.duration_since(back) > Duration::from_secs(1) + SLACK);
        match reply.status {
            200 => {
                let data: serde_json::Value = serde_json::from_slice(&reply.body).expect("the data");
                assert_eq!(data["who"], number);
                seen.served.fetch_add(1, Ordering::SeqCst);
            }
            _ => {
                assert!(phase != BEFORE || seen.phase.load(Ordering::SeqCst) == AWAY, "{}", reply.text());
                assert!(!late, "still refused a second after the store came back: {}", reply.text());
                let reply = reply.refused(503, "store-unavailable");
                assert!(reply.header("retry-after").is_some());
                seen.refused.lock().expect("seen").push(begun.elapsed());
            }
        }
        // A tenth of a second between two visits, as of people who press a button again.
        let_pass(Duration::from_millis(100));
    }
}

/// Issue 4, "must hold" 2. `CLOAKROOM_OUTAGE_SECONDS` says how long (3).
#[test]
fn a_redis_that_is_away_under_load_is_an_error_in_time_and_over_at_once() {
    let seconds = crowd::number("CLOAKROOM_OUTAGE_SECONDS", || 3);
    world(Store::DurableRedis, |w| {
        let relay = Relay::to(w.redis().port());
        let mirror = mirror();
        let config = format!(
            "store.url = \"{}\"\nstore.timeout = \"250ms\"\nstore.save_timeout = \"2s\"\nupstreams.app.servers = [\"{mirror}\"]",
            relay.url()
        );
        let proxy = w.proxy_with_arguments(&config, &["--log", "warn"]);
        let tickets: Vec<String> = (0..VISITORS).map(|number| crowd::sign_in(&proxy, number)).collect();
        let (seen, back) = (Seen::default(), Mutex::new(None));
        thread::scope(|scope| {
            for (number, ticket) in tickets.iter().enumerate() {
                let (proxy, seen, back) = (&proxy, &seen, &back);
                scope.spawn(move || visit_all_along(proxy, number, ticket, seen, back));
            }
            let served = |more: usize| {
                let now = seen.served.load(Ordering::SeqCst);
                until("visitors to be served", || (seen.served.load(Ordering::SeqCst) >= now + more).then_some(()));
            };
            served(10 * VISITORS);
            let (warm, begun) = (proxy.resident(), Instant::now());
            seen.phase.store(AWAY, Ordering::SeqCst);
            w.redis().kill();
            let_pass(Duration::from_secs(seconds));
            let resident = proxy.resident();
            w.redis().restart();
            *back.lock().expect("back") = Some(Instant::now());
            seen.phase.store(BACK, Ordering::SeqCst);
            served(1);
            let healed = back.lock().expect("back").expect("a moment").elapsed();
            served(10 * VISITORS);
            let_pass(Duration::from_secs(1));
            seen.phase.store(OVER, Ordering::SeqCst);

            let arrivals: Vec<_> = relay.arrivals().into_iter().filter(|arrival| *arrival >= begun).collect();
            let within = |from: &Instant| {
                arrivals.iter().filter(|a| **a >= *from && a.duration_since(*from) < Duration::from_secs(1)).count()
            };
            let busiest = arrivals.iter().map(within).max().unwrap_or_default();
            let mut refused = seen.refused.lock().expect("seen").clone();
            refused.sort_unstable();
            let (median, last) = (refused[refused.len() / 2], refused[refused.len() - 1]);
            let grown = resident.saturating_sub(warm) / 1024;
            eprintln!(
                "{seconds} s: {} refusals, median {median:?}, slowest {last:?}; served {healed:?} after the return; at most \
                 {busiest} connections a second; {grown} KiB more",
                refused.len()
            );
            assert!(refused.len() > VISITORS && median <= PROMISED && last <= PROMISED + SLACK);
            assert!(healed <= Duration::from_secs(1) + SLACK, "{healed:?}");
            // One for each shard follows the first that gets through.
            let shards = thread::available_parallelism().map_or(1, usize::from);
            assert!(busiest <= 10 + shards, "{busiest} connections in one second");
            assert!(grown <= 8 * 1024, "{grown} KiB more than before");
        });
    });
}
