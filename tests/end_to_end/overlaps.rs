//! Issue 3, "must hold" 1: two requests of one session, the first held back in the upstream until the second was
//! answered. Each pair in memory, in a file, in Redis, and with a proxy of its own for each of the two.

use std::time::Duration;

use crate::support::{Answer, Ask, Browser, Gate, OurCookie, Pending, Stop, Store, Turnstile, let_pass, world};

/// The same test with one proxy on each store and with two on one Redis. `there` shares the jar of `here`.
macro_rules! every_way {
    ($(fn $name:ident($here:ident, $there:ident) $body:block)+) => {$(
        mod $name {
            use super::*;

            fn test($here: &Browser, $there: &Browser) $body

            #[test]
            fn in_memory() {
                world(Store::Memory, |w| {
                    let here = w.browser(&w.proxy_with(CONFIG));
                    test(&here, &here.clone());
                });
            }

            #[test]
            fn in_a_file() {
                world(Store::File, |w| {
                    let here = w.browser(&w.proxy_with(CONFIG));
                    test(&here, &here.clone());
                });
            }

            #[test]
            fn in_redis() {
                world(Store::Redis, |w| {
                    let here = w.browser(&w.proxy_with(CONFIG));
                    test(&here, &here.clone());
                });
            }

            #[test]
            fn through_two_proxies() {
                world(Store::Redis, |w| {
                    let here = w.browser(&w.proxy_with(CONFIG));
                    test(&here, &here.through(&w.proxy_with(CONFIG)));
                });
            }
        }
    )+};
}

/// Every request is a reason to touch.
const CONFIG: &str = r#"
    session.touch_interval = "1ms"
    upstreams.app.may = ["rotate", "destroy", "clear", "subject", "lifetime", "revoke"]
"#;
const DATA: &str = r#"{"user":"ada"}"#;

/// A request that was given its session and waits in the upstream.
fn slow(browser: &Browser, answer: Answer) -> (Gate, Pending) {
    let gate = Gate::new();
    let pending = browser.start(Ask::get("/slow"), answer.after(&gate));
    gate.arrived();
    (gate, pending)
}

/// A session, and its ticket.
fn session(browser: &Browser) -> String {
    browser.update(DATA);
    browser.ticket().expect("a ticket")
}

#[track_caller]
fn assert_dead<'a>(browsers: [&Browser; 2], tickets: impl IntoIterator<Item = &'a String>) {
    for ticket in tickets {
        for browser in browsers {
            assert!(!browser.visit_with(ticket).is_live());
        }
    }
}

every_way! {
    fn two_writes_on_different_keys_both_stay(here, there) {
        session(here);
        let (gate, slow) = slow(here, Answer::updating(r#"{"slow":1}"#));
        there.update(r#"{"fast":2}"#).without_cookie();
        gate.release();
        slow.reply().passed(200).without_cookie();
        for browser in [here, there] {
            let token = browser.visit();
            assert_eq!(token.data(), r#"{"user":"ada","fast":2,"slow":1}"#);
            assert_eq!(token.claims.ver, Some(3));
        }
    }

    fn a_write_that_a_destroy_overtook_is_refused(here, there) {
        let ticket = session(here);
        let (gate, writer) = slow(here, Answer::updating(r#"{"late":true}"#));
        assert!(OurCookie::of(&there.control("destroy")).is_deletion());
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert_dead([here, there], [&ticket]);
    }

    fn a_destroy_that_a_write_overtook_ends_the_session(here, there) {
        let ticket = session(here);
        let (gate, sign_out) = slow(here, Answer::controlling("destroy"));
        there.update(r#"{"more":true}"#).without_cookie();
        gate.release();
        assert!(OurCookie::of(&sign_out.reply().passed(200)).is_deletion());
        assert_dead([here, there], [&ticket]);
    }

    fn a_read_that_a_destroy_overtook_brings_nothing_back(here, there) {
        let ticket = session(here);
        let (gate, reader) = slow(here, Answer::ok());
        there.control("destroy");
        gate.release();
        assert!(reader.reply().passed(200).without_cookie().token().is_live());
        assert_dead([here, there], [&ticket]);
    }

    fn of_two_rotations_one_ticket_lives(here, there) {
        let old = session(here);
        let (first_gate, first) = slow(here, Answer::controlling("rotate"));
        let (second_gate, second) = slow(there, Answer::controlling("rotate"));
        second_gate.release();
        OurCookie::of(&second.reply().passed(200));
        let new = here.ticket().expect("the ticket after the rotation");
        first_gate.release();
        first.reply().refused(409, "session-ended").without_cookie();
        assert_dead([here, there], [&old]);
        assert_eq!(here.visit_with(&new).handle(), there.visit_with(&new).handle());
        assert_eq!(here.visit().claims.ver, Some(2));
    }

    fn a_destroy_that_a_rotation_overtook_leaves_no_ticket_alive(here, there) {
        let old = session(here);
        let (gate, sign_out) = slow(here, Answer::controlling("destroy"));
        there.control("rotate");
        let new = there.ticket().expect("the ticket after the rotation");
        gate.release();
        assert!(OurCookie::of(&sign_out.reply().passed(200)).is_deletion());
        assert_dead([here, there], [&old, &new]);
    }

    fn a_rotation_that_a_destroy_overtook_leaves_no_ticket_alive(here, there) {
        let old = session(here);
        let (gate, rotation) = slow(here, Answer::updating(r#"{"in":true}"#).control("rotate"));
        there.control("destroy");
        gate.release();
        rotation.reply().refused(409, "session-ended").without_cookie();
        assert_eq!(here.ticket(), None);
        assert_dead([here, there], [&old]);
    }

    fn a_write_that_a_rotation_overtook_is_refused(here, there) {
        let old = session(here);
        let (gate, writer) = slow(here, Answer::updating(r#"{"late":true}"#));
        there.control("rotate");
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert_eq!(here.data(), DATA);
        assert_dead([here, there], [&old]);
    }

    fn a_rotation_that_a_write_overtook_keeps_what_was_written(here, there) {
        let old = session(here);
        let (gate, rotation) = slow(here, Answer::controlling("rotate"));
        there.update(r#"{"more":true}"#).without_cookie();
        gate.release();
        OurCookie::of(&rotation.reply().passed(200));
        for browser in [here, there] {
            assert_eq!(browser.data(), r#"{"user":"ada","more":true}"#);
        }
        assert_dead([here, there], [&old]);
    }

    fn a_write_that_the_idle_timeout_overtook_is_refused(here, there) {
        here.get("/", Answer::updating(DATA).control("idle=1")).passed(200);
        let ticket = here.ticket().expect("a ticket");
        let (gate, writer) = slow(here, Answer::updating(r#"{"late":true}"#));
        let_pass(Duration::from_millis(1_300)); // the timeout and its touch step
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert_dead([here, there], [&ticket]);
    }

    fn a_write_that_the_deadline_overtook_is_refused(here, there) {
        here.get("/", Answer::updating(DATA).control("lifetime=1")).passed(200);
        let ticket = here.ticket().expect("a ticket");
        let (gate, writer) = slow(here, Answer::updating(r#"{"late":true}"#).control("lifetime=100"));
        let_pass(Duration::from_millis(1_100));
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert_dead([here, there], [&ticket]);
    }

    fn a_write_that_a_revocation_overtook_is_refused(here, there) {
        here.get("/", Answer::updating(DATA).control("subject=ada")).passed(200);
        let ticket = here.ticket().expect("a ticket");
        let (gate, writer) = slow(here, Answer::updating(r#"{"late":true}"#));
        let (rotation_gate, rotation) = slow(here, Answer::controlling("rotate"));
        there.ask(Ask::get("/").without_cookies(), Answer::controlling("revoke-subject=ada")).passed(200);
        gate.release();
        rotation_gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        rotation.reply().refused(409, "session-ended").without_cookie();
        assert_dead([here, there], [&ticket]);
    }

    fn a_session_that_is_made_after_a_revocation_lives(here, there) {
        let (gate, log_in) = slow(here, Answer::updating(DATA).control("subject=ada"));
        there.ask(Ask::get("/").without_cookies(), Answer::controlling("revoke-subject=ada")).passed(200);
        gate.release();
        OurCookie::of(&log_in.reply().passed(200));
        assert_eq!(there.data(), DATA);
        there.ask(Ask::get("/").without_cookies(), Answer::controlling("revoke-subject=ada")).passed(200);
        assert!(!here.visit().is_live());
    }
}

/// A visit whose touch is held back; what happens before it is let through; then the touch.
fn late_touch(meanwhile: impl FnOnce(&crate::support::World, &Browser), after: impl FnOnce(&crate::support::World)) {
    world(Store::Redis, |w| {
        let turnstile = Turnstile::before(w.redis().port());
        let here = w.browser(&w.proxy_with(&format!("{CONFIG}\nstore.url = \"{}\"", turnstile.url())));
        let there = here.through(&w.proxy_with(CONFIG));
        let ticket = session(&there);
        let touch = turnstile.hold(Stop::Touch);
        let_pass(Duration::from_millis(5)); // the touch interval
        assert!(here.visit().is_live());
        touch.arrived();
        meanwhile(w, &there);
        touch.release();
        turnstile.carried_out(1);
        after(w);
        assert!(!there.visit_with(&ticket).is_live());
    });
}

#[test]
fn a_touch_that_a_destroy_overtook_extends_nothing_and_brings_nothing_back() {
    late_touch(
        |_, there| drop(there.control("destroy")),
        |w| {
            for key in w.redis().sessions() {
                let left: i64 = w.redis().command(&["PTTL", &key]);
                assert!((1..=10_000).contains(&left), "a tombstone is kept for {left} ms");
            }
        },
    );
}

#[test]
fn a_touch_that_a_shorter_idle_timeout_overtook_does_not_give_the_old_life_back() {
    late_touch(
        |_, there| drop(there.control("idle=1")),
        |_| let_pass(Duration::from_millis(1_300)), // the timeout and its touch step
    );
}

#[test]
fn a_touch_that_the_expiry_overtook_brings_nothing_back() {
    late_touch(
        |w, _| {
            for key in w.redis().sessions() {
                let _: i64 = w.redis().command(&["PEXPIRE", &key, "-1"]);
            }
        },
        |w| assert_eq!(w.redis().sessions(), Vec::<String>::new()),
    );
}
