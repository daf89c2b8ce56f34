//! Contract 2, 3 and 10: how a session comes, stays and goes; restarts; the end of the process; what the log holds.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Answer, Ask, Gate, OurCookie, Store, TICKET, every_store, let_pass, until, world};

every_store! {
    fn a_session_is_created_by_the_first_write_and_never_by_a_visit(w) {
        let browser = w.browser(&w.proxy());
        for answer in [Answer::ok(), Answer::updating("{}"), Answer::updating(r#"{"absent":null}"#)] {
            browser.get("/", answer).passed(200).without_cookie();
        }
        for control in ["destroy", "clear", "rotate"] {
            browser.control(control).without_cookie();
        }
        assert!(!browser.visit().is_live());
        OurCookie::of(&browser.update(r#"{"user":"ada"}"#));
        let token = browser.visit();
        assert_eq!(token.data(), r#"{"user":"ada"}"#);
        assert_eq!(token.claims.ver, Some(1));
        assert_eq!(token.handle().len(), 43);
        assert!(!browser.ticket().expect("a ticket").contains(token.handle()));
        let life = token.claims.expires.zip(token.claims.created).map(|(end, start)| end - start);
        assert!(life.is_some_and(|life| (life - 12 * 3600).abs() <= 1), "{life:?}");
    }

    fn a_cookie_is_set_for_news_and_not_for_changes_of_data(w) {
        let browser = w.browser(&w.proxy());
        OurCookie::of(&browser.update(r#"{"n":1}"#));
        browser.update(r#"{"n":2}"#).without_cookie();
        browser.visit();
        let before = browser.ticket();
        OurCookie::of(&browser.control("rotate"));
        assert_ne!(browser.ticket(), before);
        let token = browser.visit();
        assert_eq!(token.data(), r#"{"n":2}"#);
        assert_eq!(token.claims.ver, Some(3));
        assert!(OurCookie::of(&browser.control("destroy")).is_deletion());
        browser.control("destroy").without_cookie();
    }

    fn the_cookie_is_as_strict_as_promised_and_deleted_alike(w) {
        let browser = w.browser(&w.proxy());
        let made = OurCookie::of(&browser.update(r#"{"user":"ada"}"#));
        let gone = OurCookie::of(&browser.control("destroy"));
        for cookie in [&made, &gone] {
            assert_eq!(cookie.attribute("path"), Some("/"));
            assert_eq!(cookie.attribute("samesite").map(str::to_ascii_lowercase).as_deref(), Some("lax"));
            assert!(cookie.attribute("secure").is_some() && cookie.attribute("httponly").is_some());
            assert_eq!(cookie.attribute("domain"), None);
        }
        assert_eq!((made.attribute("max-age"), made.attribute("expires")), (None, None));
        assert!(gone.is_deletion());
    }

    fn a_persistent_cookie_outlives_the_browser_and_another_does_not(w) {
        let lasting = w.browser(&w.proxy_with("cookie.persistent = true"));
        let cookie = OurCookie::of(&lasting.update(r#"{"user":"ada"}"#));
        let kept: i64 = cookie.attribute("max-age").and_then(|seconds| seconds.parse().ok()).expect("Max-Age");
        assert!((kept - 12 * 3600).abs() <= 60, "{kept}");
        lasting.close();
        assert_eq!(lasting.data(), r#"{"user":"ada"}"#);
        let passing = w.browser(&w.proxy());
        passing.update(r#"{"user":"ada"}"#);
        passing.close();
        assert!(!passing.visit().is_live());
    }

    fn an_idle_session_ends(w) {
        // Reads do not extend it here, so that the test may look while it waits.
        let browser = w.browser(&w.proxy_with("session.idle_timeout = \"2s\"\nsession.slide = \"write\""));
        let started = Instant::now();
        browser.update(r#"{"user":"ada"}"#);
        until("the session to end", || (!browser.visit().is_live()).then_some(()));
        let lived = started.elapsed();
        assert!(lived >= Duration::from_secs(2) && lived < Duration::from_secs(5), "{lived:?}");
        // An expired ticket is unknown, not retired: the next log-in makes a session at once.
        OurCookie::of(&browser.update(r#"{"user":"again"}"#));
        assert_eq!(browser.data(), r#"{"user":"again"}"#);
    }

    fn a_session_that_is_used_lives_on(w) {
        let browser = w.browser(&w.proxy_with("session.idle_timeout = \"3s\""));
        browser.update(r#"{"user":"ada"}"#);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(7) {
            assert!(browser.visit().is_live(), "ended after {:?}", started.elapsed());
            let_pass(Duration::from_millis(200));
        }
        assert_eq!(browser.visit().claims.ver, Some(1));
    }

    fn the_absolute_deadline_is_not_moved_by_use(w) {
        let browser = w.browser(&w.proxy_with("session.idle_timeout = \"3s\"\nsession.absolute_timeout = \"3s\""));
        let started = Instant::now();
        browser.update(r#"{"n":0}"#);
        until("the session to end", || {
            let reply = browser.get("/", Answer::ok()).passed(200);
            (!reply.token().is_live()).then_some(())
        });
        let lived = started.elapsed();
        assert!(lived >= Duration::from_millis(2_000) && lived < Duration::from_secs(6), "{lived:?}");
    }

    fn a_sign_in_again_after_a_sign_out_is_another_session(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let first = browser.visit();
        browser.control("destroy");
        browser.update(r#"{"user":"ada"}"#);
        assert_ne!(browser.visit().handle(), first.handle());
    }
}

#[test]
fn visits_cost_the_store_one_read_and_no_write() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.visit();
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(w.redis().sessions(), [format!("cloakroom:s:{}", browser.visit().handle())]);
        let watch = w.redis().watch();
        for _ in 0..10 {
            browser.visit();
        }
        assert_eq!(watch.round_trips(), 10, "{:?}", watch.commands());
        assert!(!watch.commands().iter().any(|name| name.contains("EVAL") || name == "SET" || name.contains("EXPIRE")));
        let anonymous = w.redis().watch();
        browser.ask(Ask::get("/").without_cookies(), Answer::ok()).passed(200).without_cookie();
        assert_eq!(anonymous.commands(), Vec::<String>::new());
    });
}

#[test]
fn a_touch_extends_the_session_and_changes_nothing_else() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with("session.touch_interval = \"1ms\""));
        browser.update(r#"{"user":"ada"}"#);
        let first = browser.visit();
        let key = w.redis().sessions().remove(0);
        let _: i64 = w.redis().command(&["PEXPIRE", &key, "60000"]);
        until("the session to be extended", || {
            let token = browser.visit();
            assert_eq!((token.text(), token.claims.ver), (first.text(), Some(1)));
            let left: i64 = w.redis().command(&["PTTL", &key]);
            (left > 20 * 60 * 1000).then_some(())
        });
        assert_eq!(browser.visit().claims.expires, first.claims.expires);
    });
}

#[test]
fn with_what_is_in_the_store_nobody_gets_in() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let mut tickets = Vec::from_iter(browser.ticket());
        browser.control("rotate");
        tickets.extend(browser.ticket());
        let key = w.redis().sessions().remove(0);
        let stored: Vec<u8> = w.redis().command(&["GET", &key]);
        for ticket in tickets {
            let bytes = URL_SAFE_NO_PAD.decode(&ticket).unwrap_or_default();
            for part in ticket.as_bytes().windows(16).chain(bytes.windows(12)) {
                assert!(!stored.windows(part.len()).any(|window| window == part), "a part of the ticket is stored");
            }
        }
    });
}

#[test]
fn every_session_key_expires_by_itself() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with("session.idle_timeout = \"2s\"\nsession.retire_grace = \"2s\""));
        browser.update(r#"{"user":"ada"}"#);
        browser.twin().control("destroy");
        w.browser(&w.proxy_with("session.idle_timeout = \"2s\"")).update(r#"{"user":"bob"}"#);
        let keys = w.redis().sessions();
        assert_eq!(keys.len(), 2);
        for key in &keys {
            let left: i64 = w.redis().command(&["PTTL", key]);
            assert!(left > 0 && left <= 5_000, "{key} lives for {left} ms");
        }
        until("Redis to drop what ended", || w.redis().sessions().is_empty().then_some(()));
    });
}

#[test]
fn sessions_in_redis_outlive_the_proxy() {
    world(Store::Redis, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        for stop in [true, false] {
            if stop {
                proxy.terminate()
            } else {
                proxy.kill()
            }
            proxy.restart();
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
    });
}

every_store! {
    fn sigterm_lets_the_request_under_way_finish_and_save(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let gate = Gate::new();
        let pending = browser.start(Ask::get("/"), Answer::updating(r#"{"saved":true}"#).control("rotate").after(&gate));
        gate.arrived();
        proxy.ask_to_end();
        until("the proxy to accept no new connections", || proxy.try_connect().err());
        gate.release();
        OurCookie::of(&pending.reply().passed(200));
        proxy.ended();
    }
}

#[test]
fn no_secret_is_logged_at_any_level() {
    const CANARY: &str = "canary-5f0c77";
    world(Store::Redis, |w| {
        let proxy = w.proxy_with_arguments("", &["--log", "trace"]);
        let browser = w.browser(&proxy);
        let mut secrets = vec![CANARY.to_owned()];
        for name in ["root", "token"] {
            secrets.push(std::fs::read_to_string(w.file(name)).expect("a secret").trim_end().to_owned());
        }
        let value = format!(r#"{{"secret":"{CANARY}"}}"#);
        let broken = format!(r#"{{"secret":"{CANARY}"#);
        for answer in [
            Answer::updating(&value),
            Answer::ok(),
            Answer::controlling("rotate"),
            Answer::updating(&broken),
            Answer::ok().control(&format!("unknown=\"{CANARY}\"")),
            Answer::status(500).update(&value),
            Answer::raw(&format!("garbage {CANARY}\r\n\r\n")),
            Answer::controlling("destroy"),
        ] {
            let ask = Ask::post(&format!("/path?query={CANARY}"), CANARY).header("Authorization", CANARY);
            let seen = browser.ask(ask, answer).seen.expect("a request at the upstream");
            let token = seen.headers.first("x-session").expect("a token");
            secrets.extend(token.split('.').skip(1).map(str::to_owned));
            secrets.extend(browser.ticket());
        }
        browser.ask(Ask::get("/").cookie(format!("{TICKET}={CANARY}; other={CANARY}")), Answer::ok()).passed(200);
        proxy.terminate();
        let log = proxy.log();
        assert!(log.contains("/path"), "one line for each request:\n{log}");
        for secret in secrets {
            let line = log.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "{secret} in the log");
        }
    });
}

/// Contract section 5, the table: over a connection limit.
#[test]
fn a_connection_beyond_the_limit_is_told_so_and_a_later_one_finds_room() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.connections = 2");
        let browser = w.browser(&proxy);
        until("the connections of the start to be gone", || {
            let gates = [Gate::new(), Gate::new()];
            let held = gates.each_ref().map(|gate| browser.start(Ask::get("/"), Answer::ok().after(gate)));
            let reply = browser.get("/", Answer::ok());
            gates.iter().for_each(Gate::release);
            let full = held.into_iter().all(|held| held.reply().status == 200) && reply.status == 503;
            full.then(|| reply.refused(503, "unavailable"))
        });
        until("room for another connection", || (browser.get("/", Answer::ok()).status == 200).then_some(()));
    });
}

/// D-09: a process without room for another connection waits for room, and does not spin meanwhile.
#[test]
fn connections_beyond_the_files_of_the_process_wait_and_are_served_later() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.visit();
        let refused = || proxy.log().matches("a connection cannot be accepted").count();
        proxy.limit_open_files(Some(20));
        let crowd: Vec<_> = (0..60).map(|_| proxy.connect()).collect();
        until("the process to be full", || (refused() > 0).then_some(()));
        let (begun, before) = (Instant::now(), refused());
        let_pass(Duration::from_secs(1));
        let tries = refused() - before;
        assert!(tries as u128 <= begun.elapsed().as_millis() / 40, "{tries} tries in {:?}", begun.elapsed());
        drop(crowd);
        browser.visit();
        assert!(proxy.readiness().0 == 200);
        proxy.limit_open_files(None);
    });
}
