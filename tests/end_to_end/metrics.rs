//! Issue 8, "must hold" 4: the metrics agree with what the test did, to the request, and with the log. Each act is held
//! against everything that grew by it: what it should have counted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use crate::support::{Answer, Ask, Frame, Frames, Gate, Piece, Proxy, Store, TICKET, free_port, until, world};

const ROUTES: &str = r#"
    session.max_bytes = "1KiB"
    routes = [{ host = "localhost", path = "/" }, { host = "localhost", path = "/static", session = false }]
    [upstreams.app]
    may = ["rotate", "destroy", "clear", "subject", "lifetime", "revoke"]
"#;

/// A request on the route of all visits.
fn request(status: u16, outcome: &str) -> String {
    on("localhost/", status, outcome)
}

fn on(route: &str, status: u16, outcome: &str) -> String {
    format!("requests_total{{route=\"{route}\",status=\"{status}\",outcome=\"{outcome}\"}}")
}

fn event(event: &str) -> String {
    format!("session_events_total{{event=\"{event}\"}}")
}

fn rejected(reason: &str) -> String {
    format!("requests_rejected_total{{reason=\"{reason}\"}}")
}

fn unsaved(reason: &str) -> String {
    format!("writes_refused_total{{reason=\"{reason}\"}}")
}

fn ticket(reason: &str) -> String {
    format!("tickets_rejected_total{{reason=\"{reason}\"}}")
}

fn incomplete(reason: &str) -> String {
    format!("requests_incomplete_total{{route=\"localhost/\",reason=\"{reason}\"}}")
}

/// Holds what grows by an act against what should: each of these by one.
#[track_caller]
fn counts<T>(proxy: &Proxy, wanted: &[String], act: impl FnOnce() -> T) -> T {
    let before = proxy.settled();
    let done = act();
    let grown = proxy.settled().growth(&before);
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for series in wanted {
        *expected.entry(format!("cloakroom_{series}")).or_default() += 1.0;
    }
    // How often the store and the cache of tokens are asked, and who connects, is held elsewhere.
    let elsewhere = ["cloakroom_store_", "cloakroom_token_", "cloakroom_connections_"];
    let grown: BTreeMap<_, _> =
        grown.into_iter().filter(|(series, _)| !elsewhere.iter().any(|name| series.starts_with(name))).collect();
    assert_eq!(grown, expected);
    done
}

/// What the access log says of requests: how many there are of each kind.
fn logged(proxy: &Proxy) -> BTreeMap<String, f64> {
    let log = proxy.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut kinds: BTreeMap<String, f64> = BTreeMap::new();
    for line in lines.filter(|line| line["target"] == "cloakroom::access") {
        let route = line["route"].as_str().filter(|route| !route.is_empty()).unwrap_or("none");
        let status = line["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status");
        let outcome = line["outcome"].as_str().expect("an outcome");
        *kinds.entry(format!("cloakroom_{}", on(route, status, outcome))).or_default() += 1.0;
    }
    kinds
}

/// The log is written beside the requests.
#[track_caller]
fn assert_log_agrees(proxy: &Proxy) {
    let scrape = proxy.settled();
    let of_requests = |(series, number): &(&str, f64)| series.starts_with("cloakroom_requests_total") && *number > 0.0;
    let told: BTreeMap<String, f64> =
        scrape.series().filter(of_requests).map(|(series, number)| (series.to_owned(), number)).collect();
    until("the log to have a line for each request", || {
        let sum = |counts: &BTreeMap<String, f64>| counts.values().sum::<f64>();
        (sum(&logged(proxy)) >= sum(&told)).then_some(())
    });
    assert_eq!(logged(proxy), told);
    assert_eq!(scrape.sum("cloakroom_request_duration_seconds_count"), scrape.sum("cloakroom_requests_total"));
}

fn measured(proxy: &Proxy) -> [f64; 4] {
    let scrape = proxy.settled();
    [
        "request_duration_seconds",
        "request_store_duration_seconds",
        "request_upstream_duration_seconds",
        "token_header_bytes",
    ]
    .map(|name| scrape.sum(&format!("cloakroom_{name}_count")))
}

#[test]
fn every_outcome_is_counted_as_what_it_is() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        counts(&proxy, &[request(200, "none")], || browser.visit());
        counts(&proxy, &[request(200, "created"), event("created")], || browser.update(r#"{"user":"ada"}"#));
        let returned = event("returned");
        let first = browser.ticket().expect("a ticket");
        counts(&proxy, &[request(200, "live"), returned.clone()], || browser.visit());
        counts(&proxy, &[request(200, "live"), returned.clone()], || browser.update("{}"));
        let updated = [request(200, "updated"), returned.clone(), event("updated")];
        counts(&proxy, &updated, || browser.update(r#"{"n":1}"#));
        counts(&proxy, &[request(200, "rotated"), returned.clone(), event("rotated")], || browser.control("rotate"));
        let replaced = [request(200, "destroyed"), returned.clone(), event("destroyed"), event("created")];
        counts(&proxy, &replaced, || browser.get("/", Answer::updating(r#"{"user":"bob"}"#).control("destroy")));
        counts(&proxy, &[request(200, "destroyed"), returned, event("destroyed")], || browser.control("destroy"));
        counts(&proxy, &[request(200, "none")], || browser.control("destroy"));
        let bare = Ask::get("/").ticket(&first);
        counts(&proxy, &[request(200, "none"), ticket("destroyed")], || browser.ask(bare, Answer::ok()).passed(200));
        assert_log_agrees(&proxy);
    });
}

#[test]
fn every_refused_write_is_counted_with_its_reason() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let refused =
            |status, reason: &str| [request(status, "rejected"), event("returned"), rejected(reason), unsaved(reason)];
        let large = format!(r#"{{"blob":"{}"}}"#, "x".repeat(2_000));
        for (status, reason, answer) in [
            (502, "invalid-update", Answer::updating("{")),
            (502, "session-too-large", Answer::updating(&large)),
            (409, "version-conflict", Answer::updating(r#"{"a":1}"#).control("if-version=9")),
        ] {
            counts(&proxy, &refused(status, reason), || browser.get("/", answer).refused(status, reason));
        }
        let dropped = [request(500, "live"), event("returned"), unsaved("server-error")];
        counts(&proxy, &dropped, || browser.get("/", Answer::status(500).update(r#"{"lost":true}"#)).passed(500));
        let old = browser.ticket().expect("a ticket");
        browser.control("rotate");
        let ended = || Ask::get("/").ticket(&old);
        let late = [request(409, "rejected"), ticket("retired"), rejected("session-ended"), unsaved("session-ended")];
        counts(&proxy, &late, || browser.ask(ended(), Answer::updating(r#"{"a":1}"#)).refused(409, "session-ended"));
        let insecure = w.browser_at(&proxy, "http", "shop.example.com");
        assert_eq!(insecure.get("/", Answer::ok()).status, 404);
        assert_log_agrees(&proxy);
        let proxy = w.proxy();
        let insecure = w.browser_at(&proxy, "http", "shop.example.com");
        let wanted = [on("/", 502, "rejected"), rejected("insecure-transport"), unsaved("insecure-transport")];
        let write = || insecure.get("/", Answer::updating("{\"a\":1}")).refused(502, "insecure-transport");
        counts(&proxy, &wanted, write);
    });
}

#[test]
fn every_ticket_that_opens_nothing_is_counted_with_its_reason() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let [ada, bob] = [w.browser(&proxy), w.browser(&proxy)];
        ada.update(r#"{"user":"ada"}"#);
        bob.update(r#"{"user":"bob"}"#);
        let [good, other] = [&ada, &bob].map(|browser| browser.ticket().expect("a ticket"));
        let forged = format!("{}{}", if good.starts_with('A') { 'B' } else { 'A' }, &good[1..]);
        let presented = |cookie: &str| ada.ask(Ask::get("/").cookie(cookie), Answer::ok()).passed(200);
        let nobody = request(200, "none");
        counts(&proxy, &[nobody.clone(), ticket("malformed")], || presented(&format!("{TICKET}=nonsense")));
        counts(&proxy, &[nobody.clone(), ticket("forged")], || presented(&format!("{TICKET}={forged}")));
        let both = format!("{TICKET}={good}; {TICKET}={other}");
        counts(&proxy, &[nobody.clone(), ticket("several")], || presented(&both));
        let twice = format!("{TICKET}=x; {TICKET}={forged}; {TICKET}={good}; {TICKET}={good}");
        let one_live = [request(200, "live"), event("returned"), ticket("malformed"), ticket("forged")];
        counts(&proxy, &one_live, || presented(&twice));
        ada.control("rotate");
        counts(&proxy, &[nobody.clone(), ticket("retired")], || presented(&format!("{TICKET}={good}")));
        bob.control("subject=\"bob\", rotate=?0");
        let revoked = [request(200, "live"), event("returned"), "sessions_revoked_total".to_owned()];
        counts(&proxy, &revoked, || ada.control("revoke-subject=\"bob\""));
        counts(&proxy, &[nobody, ticket("unknown")], || presented(&format!("{TICKET}={other}")));
        assert_log_agrees(&proxy);
    });
}

/// The three ways in which a request ends before its answer does.
#[test]
fn a_request_that_nobody_waits_for_is_counted_once() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        let detached = [request(200, "created"), event("created"), incomplete("detached")];
        counts(&proxy, &detached, || {
            let gate = Gate::new();
            let exchange = browser.open(Ask::get("/"), Answer::updating(r#"{"a":1}"#).after(&gate));
            gate.arrived();
            exchange.into_connection().reset();
            let log_has_grown = || proxy.log().contains("a connection broke").then_some(());
            until("the proxy to notice", log_has_grown);
            gate.release();
        });
        counts(&proxy, &[request(200, "none"), incomplete("aborted")], || {
            let gate = Gate::new();
            let pieces = [Piece::Data("the beginning"), Piece::Wait(gate.clone()), Piece::Data("the rest")];
            let mut exchange = browser.open(Ask::get("/"), Answer::ok().pieces(pieces));
            let (reply, mut framing) = exchange.head();
            assert_eq!(reply.status, 200);
            assert!(exchange.piece(&mut framing).expect("a piece").is_some());
            gate.arrived();
            exchange.into_connection().reset();
            until("the proxy to notice", || {
                let scrape = proxy.scrape();
                (scrape.value(&format!("cloakroom_{}", incomplete("aborted"))) > 0.0).then_some(())
            });
            gate.release();
        });
        counts(&proxy, &[request(200, "none"), incomplete("upstream")], || {
            let reply = browser.get("/", Answer::ok().pieces([Piece::Data("half of it"), Piece::Abort]));
            assert!(!reply.complete);
        });
        for ask in [Ask::of("HEAD", "/"), Ask::get("/")] {
            counts(&proxy, &[request(204, "none")], || browser.ask(ask, Answer::status(204)).passed(204));
        }
        counts(&proxy, &[request(200, "none")], || browser.get("/", Answer::ok().generated(300_000)).passed(200));
        assert_log_agrees(&proxy);
    });
}

#[test]
fn what_is_refused_before_it_has_a_route_is_counted_once() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(&format!("{ROUTES}\n[limits]\nstreams = 1\nheaders = 20"));
        let browser = w.browser(&proxy);
        let nowhere = |status, reason: &str| [on("none", status, "rejected"), rejected(reason)];
        let unknown = [on("none", 404, "none"), rejected("no-route")];
        counts(&proxy, &unknown, || browser.at("elsewhere.localhost").get("/", Answer::ok()).refused(404, "no-route"));
        counts(&proxy, &nowhere(405, "method-not-allowed"), || {
            assert_eq!(browser.ask(Ask::of("TRACE", "/"), Answer::ok()).status, 405);
        });
        counts(&proxy, &nowhere(400, "bad-request"), || {
            let mut raw = proxy.connect();
            raw.send(b"GET / HTTP/1.1\nHost: localhost\n\n").expect("bytes");
            assert_eq!(raw.reply("GET").expect("an answer").status, 400);
        });
        // What the parser refuses.
        let before = proxy.settled().value(&format!("cloakroom_{}", rejected("bad-request")));
        counts(&proxy, &nowhere(400, "bad-request"), || {
            let mut raw = TcpStream::connect(proxy.address()).expect("a connection");
            raw.write_all(b"G\x01T / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("bytes");
            until("it to be counted", || {
                let now = proxy.scrape().value(&format!("cloakroom_{}", rejected("bad-request")));
                (now > before).then_some(())
            });
        });
        counts(&proxy, &nowhere(431, "head-too-large"), || {
            let mut fields: Vec<(&str, &[u8])> = plain().to_vec();
            fields.extend([("x-more", &b"1"[..]); 21]);
            let mut frames = Frames::open(proxy.address());
            frames.request(1, &fields).expect("a request");
            assert_eq!(frames.next_of(&[Frame::HEADERS]).expect("an answer").status(), 431);
        });
        let gate = Gate::new();
        let key = w.expect(Answer::ok().after(&gate));
        let script: &[u8] = key.as_bytes();
        let late = [request(200, "none"), incomplete("detached")];
        counts(&proxy, &[&late[..], &nowhere(503, "unavailable")].concat(), || {
            let mut frames = Frames::open(proxy.address());
            frames.request(1, &[&plain()[..], &[("x-script", script)]].concat()).expect("a request");
            gate.arrived();
            frames.frame(Frame::RESET, 0, 1, &8_u32.to_be_bytes()).expect("a reset");
            frames.request(3, &plain()).expect("one more");
            until("the refusal", || {
                (proxy.scrape().value(&format!("cloakroom_{}", rejected("unavailable"))) > 0.0).then_some(())
            });
            gate.release();
        });
        assert_log_agrees(&proxy);
    });
}

fn plain() -> [(&'static str, &'static [u8]); 4] {
    [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"localhost")]
}

#[test]
fn what_the_application_could_not_answer_is_counted_once() {
    world(Store::Memory, |w| {
        let silent = free_port();
        let config =
            format!("{ROUTES}\nresponse_timeout = \"1s\"\n[upstreams.gone]\nservers = [\"http://127.0.0.1:{silent}\"]");
        let config = config.replace(
            "path = \"/\" }",
            "path = \"/\", upstream = \"app\" }, { host = \"localhost\", path = \"/gone\", upstream = \"gone\" }",
        );
        let config = config.replace("session = false }", "session = false, upstream = \"app\" }");
        let proxy = w.proxy_with(&config);
        let browser = w.browser(&proxy);
        w.without_session("/static");
        counts(&proxy, &[request(502, "rejected"), rejected("upstream-failed")], || {
            browser.ask(Ask::post("/", "x"), Answer::raw("no HTTP at all\r\n\r\n")).refused(502, "upstream-failed")
        });
        let gone = [on("localhost/gone", 502, "rejected"), rejected("upstream-unavailable")];
        counts(&proxy, &gone, || browser.get("/gone", Answer::ok()).refused(502, "upstream-unavailable"));
        let (gate, late) = (Gate::new(), [request(504, "rejected"), rejected("upstream-timeout")]);
        counts(&proxy, &late, || browser.get("/", Answer::ok().after(&gate)).refused(504, "upstream-timeout"));
        gate.release();
        counts(&proxy, &[on("localhost/static", 200, "none")], || browser.get("/static", Answer::ok()).passed(200));
        let scrape = proxy.scrape();
        let healthy = |upstream: &str, server: &str| {
            scrape.value(&format!("cloakroom_upstream_server_healthy{{upstream=\"{upstream}\",server=\"{server}\"}}"))
        };
        assert_eq!(healthy("gone", &format!("http://127.0.0.1:{silent}")), 0.0);
        assert_eq!(healthy("app", &w.upstream.url()), 1.0);
    });
}

#[test]
fn durations_and_tokens_are_measured_where_there_is_something_to_measure() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        w.without_session("/static");
        let mut last = measured(&proxy);
        let mut grown = |act: &dyn Fn()| {
            act();
            let now = measured(&proxy);
            let grown = std::array::from_fn::<_, 4, _>(|index| now[index] - last[index]);
            last = now;
            grown
        };
        let visit = || drop(browser.visit());
        assert_eq!(grown(&visit), [1.0, 0.0, 1.0, 1.0], "no ticket: the store is not asked");
        assert_eq!(grown(&|| drop(browser.update(r#"{"a":1}"#))), [1.0; 4]);
        assert_eq!(grown(&visit), [1.0; 4]);
        assert_eq!(grown(&|| drop(browser.get("/static", Answer::ok()).passed(200))), [1.0, 0.0, 1.0, 0.0]);
        let elsewhere = || drop(browser.at("elsewhere.localhost").get("/", Answer::ok()));
        assert_eq!(grown(&elsewhere), [1.0, 0.0, 0.0, 0.0]);
        let scrape = proxy.settled();
        assert_eq!(scrape.sum("cloakroom_token_cache_total"), scrape.sum("cloakroom_token_header_bytes_count"));
        let bytes = browser.get("/", Answer::ok()).seen.and_then(|seen| Some(seen.headers.first("x-session")?.len()));
        let sum =
            proxy.settled().sum("cloakroom_token_header_bytes_sum") - scrape.sum("cloakroom_token_header_bytes_sum");
        assert_eq!(Some(sum), bytes.map(|bytes| bytes as f64));
    });
}

#[test]
fn changes_out_of_band_count_like_those_in_headers() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        let seen = browser.get("/", Answer::ok()).seen.expect("a request");
        let bearer = format!("Bearer {}", seen.headers.first("x-session").expect("a token"));
        let patch = |kind: &str, text: &str| {
            let mut wire = TcpStream::connect(proxy.application()).expect("the application listener");
            let length = text.len();
            let head = format!(
                "PATCH /v1/session HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\nContent-Type: {kind}\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
            wire.write_all(head.as_bytes()).expect("a request");
            std::io::read_to_string(wire).expect("an answer")
        };
        let merge = "application/merge-patch+json";
        counts(&proxy, &[event("updated")], || assert!(patch(merge, r#"{"b":2}"#).starts_with("HTTP/1.1 204")));
        counts(&proxy, &[], || assert!(patch(merge, "{}").starts_with("HTTP/1.1 204")));
        counts(&proxy, &[unsaved("invalid-update")], || assert!(patch(merge, "{").starts_with("HTTP/1.1 422")));
        browser.control("destroy");
        counts(&proxy, &[unsaved("session-ended")], || assert!(patch(merge, r#"{"c":3}"#).starts_with("HTTP/1.1 410")));
    });
}

#[test]
fn round_trips_to_the_store_are_counted_by_what_was_asked() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        // The first session of each shard asks for the time as well.
        for _ in 0..2 * std::thread::available_parallelism().map_or(1, usize::from) {
            browser.twin().update(r#"{"warm":true}"#);
        }
        let trips = |act: &dyn Fn()| {
            let before = proxy.settled();
            act();
            let grown = proxy.settled().growth(&before);
            let trips = ["load", "swap", "touch", "remove", "index"];
            trips.map(|operation| {
                let series = format!("cloakroom_store_round_trips_total{{operation=\"{operation}\"}}");
                grown.get(&series).copied().unwrap_or_default()
            })
        };
        assert_eq!(trips(&|| drop(browser.visit())), [0.0; 5]);
        assert_eq!(trips(&|| drop(browser.update(r#"{"a":1}"#))), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(trips(&|| drop(browser.visit())), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(trips(&|| drop(browser.update(r#"{"a":2}"#))), [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(trips(&|| drop(browser.control("subject=\"ada\""))), [1.0, 1.0, 0.0, 0.0, 2.0]);
        assert_eq!(trips(&|| drop(browser.control("revoke-subject=\"ada\""))), [2.0, 0.0, 0.0, 1.0, 2.0]);
    });
}

#[test]
fn another_writer_is_counted_as_a_retry() {
    world(Store::Redis, |w| {
        let (proxy, second) = (w.proxy(), w.proxy());
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        let gate = Gate::new();
        let pending = browser.start(Ask::get("/"), Answer::updating(r#"{"late":true}"#).after(&gate));
        gate.arrived();
        browser.through(&second).update(r#"{"b":2}"#);
        gate.release();
        pending.reply().passed(200);
        assert_eq!(proxy.settled().value("cloakroom_store_retries_total{reason=\"conflict\"}"), 1.0);
        assert_eq!(second.settled().value("cloakroom_store_retries_total{reason=\"conflict\"}"), 0.0);
    });
}

/// "Must hold" 5.
#[test]
fn while_the_store_is_away_the_metrics_say_so_and_readyz_why() {
    world(Store::DurableRedis, |w| {
        let short = "[store]\ntimeout = \"500ms\"\nsave_timeout = \"1s\"\n";
        let proxy = w.proxy_with(short);
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        let up = |wanted| {
            let scrape = proxy.scrape();
            assert_eq!([scrape.value("cloakroom_store_up"), scrape.value("cloakroom_ready")], [wanted; 2]);
            scrape
        };
        let before = up(1.0);
        w.redis().kill();
        browser.get("/", Answer::ok()).refused(503, "store-unavailable");
        let during = up(0.0);
        let errors: f64 = during
            .growth(&before)
            .iter()
            .filter(|(name, _)| name.starts_with("cloakroom_store_errors"))
            .map(|(_, more)| more)
            .sum();
        assert!(errors >= 1.0, "{during:?}");
        assert_eq!(during.value(&format!("cloakroom_{}", rejected("store-unavailable"))), 1.0);
        assert_eq!(proxy.told("/healthz").status, 200);
        let (status, reason) = proxy.readiness();
        assert_eq!(status, 503);
        assert!(reason.starts_with("store: "), "{reason}");
        w.redis().restart();
        assert_eq!(browser.data(), r#"{"a":1}"#);
        until("the store to be back", || (proxy.readiness().0 == 200).then_some(()));
        assert!(up(1.0).value("cloakroom_store_reconnects_total") >= 1.0);
    });
}

#[test]
fn readyz_says_everything_that_is_wrong_at_once() {
    world(Store::DurableRedis, |w| {
        let config = format!(
            "[store]\ntimeout = \"500ms\"\n[drain]\ndelay = \"5s\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:{}\"]\n\
             health = {{ path = \"/\", interval = \"100ms\" }}",
            free_port()
        );
        let proxy = w.proxy_with(&config);
        let told = |wanted: &[&str]| {
            until("readyz to say it", || {
                let (status, text) = proxy.readiness();
                let lines: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).collect();
                (status == 503 && lines == wanted).then_some(text)
            })
        };
        assert!(told(&["upstreams"]).contains("app"));
        w.redis().kill();
        told(&["store", "upstreams"]);
        proxy.ask_to_end();
        told(&["draining", "store", "upstreams"]);
        assert_eq!(proxy.scrape().value("cloakroom_ready"), 0.0);
        w.redis().restart();
        proxy.ended();
    });
}

#[test]
fn what_was_counted_stays_when_the_configuration_is_read_again() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("routes = [{ path = \"/\" }, { path = \"/old\" }]");
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        browser.get("/old", Answer::ok()).passed(200);
        let before = proxy.settled();
        proxy.reconfigure("routes = [{ path = \"/new\" }, { path = \"/\" }]");
        assert!(
            proxy.settled().growth(&before).keys().all(|series| series.contains("ping")),
            "a reload counts nothing"
        );
        counts(&proxy, &[on("/new", 200, "live"), event("returned")], || browser.get("/new", Answer::ok()));
        counts(&proxy, &[on("/", 200, "live"), event("returned")], || browser.get("/old", Answer::ok()));
        proxy.reconfigure("routes = [{ path = \"/\" }, { path = \"/old\" }]");
        counts(&proxy, &[on("/old", 200, "live"), event("returned")], || browser.get("/old", Answer::ok()));
        let scrape = proxy.settled();
        assert_eq!(scrape.value(&format!("cloakroom_{}", on("/old", 200, "live"))), 2.0);
    });
}

#[test]
fn connections_are_counted_at_the_door() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.connections = 2");
        let open = |wanted: f64| {
            until("the connections to be counted", || {
                (proxy.scrape().value("cloakroom_connections_open") == wanted).then_some(())
            });
        };
        open(0.0);
        let before = proxy.scrape();
        let kept = [proxy.connect(), proxy.connect()];
        open(2.0);
        let mut third = proxy.connect();
        third.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
        assert_eq!(third.reply("GET").expect("an answer").status, 503);
        let grown = proxy.scrape().growth(&before);
        assert_eq!(grown["cloakroom_connections_accepted_total"], 2.0);
        assert_eq!(grown["cloakroom_connections_refused_total"], 1.0);
        assert_eq!(proxy.scrape().value("cloakroom_connections_max"), 2.0);
        drop(kept);
        open(0.0);
    });
}

/// Nothing that a client or an application says becomes a label.
#[test]
fn no_client_and_no_application_can_make_a_series() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(ROUTES);
        let browser = w.browser(&proxy);
        for known in [200, 299] {
            browser.get("/", Answer::status(known)).passed(known);
        }
        let names =
            |proxy: &Proxy| proxy.settled().series().map(|(series, _)| series.to_owned()).collect::<BTreeSet<_>>();
        let before = names(&proxy);
        for number in 0..20 {
            browser.get(&format!("/path-{number}?q={number}"), Answer::status(230 + number)).passed(230 + number);
            let odd = Ask::of("BREW", "/").header("X-Odd", "\"} 1\\");
            browser.ask(odd, Answer::ok()).passed(200);
        }
        assert_eq!(names(&proxy), before);
    });
}

/// A dashboard or an alert that names what is not told shows nothing, or never fires.
#[test]
fn the_dashboard_and_the_alerts_name_only_what_is_told() {
    world(Store::Memory, |w| {
        let told: BTreeSet<String> = w.proxy().scrape().names().collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        for file in ["alerts.yml", "alerts-test.yml", "dashboard.json"] {
            let text = std::fs::read_to_string(folder.join(file)).expect("a file of deploy/prometheus");
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let named: BTreeSet<&str> =
                words.filter(|word| word.starts_with("cloakroom_") || word.starts_with("process_")).collect();
            assert!(named.len() > 5, "{file}: {named:?}");
            for name in named {
                assert!(told.contains(name), "{file} names {name}, which is not told");
            }
        }
    });
}

/// What the operations guide says of the metrics is a table: every family once, and no other.
#[test]
fn the_guide_explains_every_metric() {
    world(Store::Memory, |w| {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let guide = std::fs::read_to_string(guide).expect("the operations guide");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
        let listed: Vec<&str> =
            rows.filter(|name| name.starts_with("cloakroom_") || name.starts_with("process_")).collect();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        let scrape = w.proxy().scrape();
        assert_eq!(sorted, scrape.families().collect::<Vec<_>>());
    });
}
