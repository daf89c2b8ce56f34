//! Contract 5, guarantees 2 and 3, and section 3, rotation and retired tickets: requests of one session at once, each
//! interleaving forced by a gate in the upstream. Issue 2, "must hold" 1 and 2.

use std::slice;

use crate::support::{Answer, Ask, Browser, Gate, OurCookie, Pending, Store, every_store, world};

/// A request that has been given its token and waits in the upstream until the gate is released.
fn slow(browser: &Browser, answer: Answer) -> (Gate, Pending) {
    let gate = Gate::new();
    let pending = browser.start(Ask::get("/slow"), answer.after(&gate));
    gate.arrived();
    (gate, pending)
}

/// A session with one key, and its ticket.
fn session(browser: &Browser) -> String {
    browser.update(r#"{"user":"ada"}"#);
    browser.ticket().expect("a ticket")
}

/// A hundred requests of one new session, all of them given their token before the first one is answered, each
/// setting a key of its own.
fn a_hundred_at_once(ways: &[Browser]) {
    let home = &ways[0];
    session(home);
    let gate = Gate::for_all(100);
    let start = |n: usize| {
        let answer = Answer::updating(&format!(r#"{{"key-{n}":{n}}}"#)).after(&gate);
        ways[n % ways.len()].start(Ask::get("/"), answer)
    };
    let pending: Vec<_> = (0..100).map(start).collect();
    gate.arrived();
    gate.release();
    for pending in pending {
        pending.reply().passed(200).without_cookie();
    }
    let token = home.visit();
    let data = token.data();
    let mut keys = data.keys();
    keys.sort_unstable();
    let mut expected: Vec<_> = (0..100).map(|n| format!("key-{n}")).chain(["user".to_owned()]).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(token.claims.ver, Some(101));
    home.control("destroy");
}

every_store! {
    fn a_hundred_changes_at_once_all_survive_twenty_times(w) {
        let browser = w.browser(&w.proxy());
        for _ in 0..20 {
            a_hundred_at_once(slice::from_ref(&browser));
        }
    }

    fn a_change_that_a_sign_out_overtook_is_refused_and_the_session_stays_gone(w) {
        let browser = w.browser(&w.proxy());
        let ticket = session(&browser);
        let (gate, writer) = slow(&browser, Answer::updating(r#"{"late":true}"#));
        assert!(OurCookie::of(&browser.control("destroy")).is_deletion());
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert!(!browser.visit_with(&ticket).is_live());
    }

    fn a_reader_that_a_sign_out_overtook_changes_nothing(w) {
        let browser = w.browser(&w.proxy_with("session.touch_interval = \"1ms\""));
        let ticket = session(&browser);
        let (gate, reader) = slow(&browser, Answer::ok());
        browser.control("destroy");
        gate.release();
        reader.reply().passed(200).without_cookie();
        assert!(!browser.visit_with(&ticket).is_live());
    }

    fn a_change_that_a_rotation_overtook_is_refused_and_changes_nothing(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        let (gate, writer) = slow(&browser, Answer::updating(r#"{"late":true}"#));
        browser.control("rotate");
        gate.release();
        writer.reply().refused(409, "session-ended").without_cookie();
        assert_ne!(browser.ticket().as_ref(), Some(&old));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        assert!(!browser.visit_with(&old).is_live());
    }

    fn a_reader_that_a_rotation_overtook_changes_nothing(w) {
        let browser = w.browser(&w.proxy_with("session.touch_interval = \"1ms\""));
        let old = session(&browser);
        let (gate, reader) = slow(&browser, Answer::ok());
        browser.control("rotate");
        gate.release();
        reader.reply().passed(200).without_cookie();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        assert!(!browser.visit_with(&old).is_live());
    }

    fn a_sign_out_that_a_rotation_overtook_still_signs_out(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        let (gate, sign_out) = slow(&browser, Answer::controlling("destroy"));
        browser.control("rotate");
        let new = browser.ticket().expect("the ticket after the rotation");
        gate.release();
        assert!(OurCookie::of(&sign_out.reply().passed(200)).is_deletion());
        assert_eq!(browser.ticket(), None);
        assert!(!browser.visit_with(&old).is_live() && !browser.visit_with(&new).is_live());
    }

    fn a_sign_out_with_an_update_that_a_rotation_overtook_does_nothing(w) {
        let browser = w.browser(&w.proxy());
        session(&browser);
        let (gate, both) = slow(&browser, Answer::updating(r#"{"late":true}"#).control("destroy"));
        browser.control("rotate");
        gate.release();
        both.reply().refused(409, "session-ended").without_cookie();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    }

    fn two_rotations_at_once_leave_one_live_ticket(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        let handle = browser.visit().handle().to_owned();
        let (first_gate, first) = slow(&browser, Answer::controlling("rotate"));
        let (second_gate, second) = slow(&browser, Answer::controlling("rotate"));
        first_gate.release();
        OurCookie::of(&first.reply().passed(200));
        let new = browser.ticket().expect("the ticket after the rotation");
        second_gate.release();
        let late = second.reply().without_cookie();
        assert!([200, 409].contains(&late.status), "{}", late.status);
        assert!(!browser.visit_with(&old).is_live());
        assert_eq!(browser.visit_with(&new).handle(), handle);
    }

    fn two_sign_outs_at_once_both_succeed_and_one_deletes_the_cookie(w) {
        let browser = w.browser(&w.proxy());
        let ticket = session(&browser);
        let (first_gate, first) = slow(&browser, Answer::controlling("destroy"));
        let (second_gate, second) = slow(&browser, Answer::controlling("destroy"));
        first_gate.release();
        assert!(OurCookie::of(&first.reply().passed(200)).is_deletion());
        second_gate.release();
        second.reply().passed(200).without_cookie();
        assert!(!browser.visit_with(&ticket).is_live());
    }

    fn a_sign_out_with_an_update_makes_one_new_session_however_often_it_is_asked(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        let handle = browser.visit().handle().to_owned();
        let (first_gate, first) = slow(&browser, Answer::updating(r#"{"next":1}"#).control("destroy"));
        let (second_gate, second) = slow(&browser, Answer::updating(r#"{"next":2}"#).control("destroy"));
        first_gate.release();
        assert!(!OurCookie::of(&first.reply().passed(200)).is_deletion());
        second_gate.release();
        second.reply().refused(409, "session-ended").without_cookie();
        let token = browser.visit();
        assert_ne!(token.handle(), handle);
        assert_eq!(token.data(), r#"{"next":1}"#);
        assert!(!browser.visit_with(&old).is_live());
    }

    fn whoever_sends_a_rotated_ticket_cannot_write_and_cannot_sign_out(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        browser.control("rotate");
        let late = |answer: Answer| browser.ask(Ask::get("/").ticket(&old), answer);
        let refused = late(Answer::updating(r#"{"late":true}"#)).refused(409, "session-ended").without_cookie();
        let seconds = refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds <= 10), "{:?}", refused.header("retry-after"));
        late(Answer::controlling("destroy")).refused(409, "session-ended").without_cookie();
        late(Answer::controlling("rotate")).passed(200).without_cookie();
        late(Answer::controlling("clear")).passed(200).without_cookie();
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    }

    fn whoever_sends_a_signed_out_ticket_cannot_write_but_may_sign_out_again(w) {
        let browser = w.browser(&w.proxy());
        let old = session(&browser);
        browser.control("destroy");
        let late = |answer: Answer| browser.ask(Ask::get("/").ticket(&old), answer);
        late(Answer::updating(r#"{"late":true}"#)).refused(409, "session-ended").without_cookie();
        late(Answer::controlling("destroy")).passed(200).without_cookie();
        assert!(!browser.visit_with(&old).is_live());
    }

    fn a_reader_never_takes_back_what_a_writer_changed_meanwhile(w) {
        let browser = w.browser(&w.proxy_with("session.touch_interval = \"1ms\""));
        session(&browser);
        let (gate, reader) = slow(&browser, Answer::ok());
        browser.update(r#"{"user":"eve"}"#);
        gate.release();
        reader.reply().passed(200).without_cookie();
        let token = browser.visit();
        assert_eq!(token.data(), r#"{"user":"eve"}"#);
        assert_eq!(token.claims.ver, Some(2));
    }

    fn on_the_same_key_the_last_to_finish_wins(w) {
        let browser = w.browser(&w.proxy());
        session(&browser);
        let (gate, writer) = slow(&browser, Answer::updating(r#"{"user":"slow"}"#));
        browser.update(r#"{"user":"fast"}"#);
        gate.release();
        writer.reply().passed(200).without_cookie();
        assert_eq!(browser.data(), r#"{"user":"slow"}"#);
    }
}

#[test]
fn a_hundred_changes_at_once_survive_through_two_proxies_on_one_redis() {
    world(Store::Redis, |w| {
        let (one, two) = (w.proxy(), w.proxy());
        let browser = w.browser(&one);
        for _ in 0..20 {
            a_hundred_at_once(&[browser.clone(), browser.through(&two)]);
        }
    });
}

#[test]
fn a_hundred_changes_at_once_cost_at_most_three_round_trips_each() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.visit();
        let watch = w.redis().watch();
        for _ in 0..5 {
            a_hundred_at_once(slice::from_ref(&browser));
        }
        let (requests, round_trips) = (5 * 103, watch.round_trips());
        assert!(round_trips <= 3 * requests, "{round_trips} round trips for {requests} requests");
    });
}

#[test]
fn a_change_through_one_proxy_is_seen_at_once_through_the_other() {
    world(Store::Redis, |w| {
        let (one, two) = (w.proxy(), w.proxy());
        let here = w.browser(&one);
        let there = here.through(&two);
        for n in 0..10 {
            let update = format!(r#"{{"n":{n}}}"#);
            here.update(&update);
            assert_eq!(there.data(), update.as_str());
        }
        let ticket = here.ticket().expect("a ticket");
        there.control("destroy");
        assert!(!here.visit_with(&ticket).is_live());
    });
}
