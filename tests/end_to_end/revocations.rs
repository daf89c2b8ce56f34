//! Contract 8: a revocation by subject that has been answered holds for every session of that subject, also one that was
//! being made at that moment. The log-in goes through a proxy whose way to Redis has a turnstile; it is stopped between
//! two of its steps, the subject is revoked through another proxy, and the log-in goes on.

use crate::support::{Answer, Ask, Browser, OurCookie, Stop, Store, Turnstile, World, world};

const RIGHTS: &str = r#"upstreams.app.may = ["rotate", "destroy", "clear", "subject", "lifetime", "revoke"]"#;

/// A browser that goes through the turnstile, and the same one through another proxy.
fn scene(test: impl FnOnce(&World, &Turnstile, &Browser, &Browser)) {
    world(Store::Redis, |w| {
        let turnstile = Turnstile::before(w.redis().port());
        let here = w.browser(&w.proxy_with(&format!("{RIGHTS}\nstore.url = \"{}\"", turnstile.url())));
        let there = here.through(&w.proxy_with(RIGHTS));
        test(w, &turnstile, &here, &there);
    });
}

fn revoke(there: &Browser, subject: &str) {
    let control = format!("revoke-subject={subject}");
    there.ask(Ask::get("/").without_cookies(), Answer::controlling(&control)).passed(200).without_cookie();
}

#[test]
fn a_session_that_is_being_made_does_not_outlive_the_revocation_of_its_subject() {
    scene(|w, turnstile, here, there| {
        for step in [Stop::Swap, Stop::Epoch] {
            let stopped = turnstile.hold(step);
            let log_in = here.start(Ask::get("/"), Answer::updating(r#"{"in":true}"#).control("subject=ada"));
            stopped.arrived();
            revoke(there, "ada");
            stopped.release();
            log_in.reply().refused(409, "session-ended").without_cookie();
            assert_eq!(w.redis().sessions(), Vec::<String>::new(), "{step:?}");
        }
    });
}

#[test]
fn a_log_in_that_a_revocation_preceded_lives_and_can_be_revoked() {
    scene(|w, turnstile, here, there| {
        let stopped = turnstile.hold(Stop::Enter);
        let log_in = here.start(Ask::get("/"), Answer::updating(r#"{"in":true}"#).control("subject=ada"));
        stopped.arrived();
        revoke(there, "ada");
        stopped.release();
        OurCookie::of(&log_in.reply().passed(200));
        assert!(there.visit().is_live());
        revoke(there, "ada");
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
    });
}

#[test]
fn a_session_that_is_being_given_a_subject_does_not_outlive_its_revocation() {
    scene(|_, turnstile, here, there| {
        for (step, control) in [
            (Stop::Swap, "subject=ada"),
            (Stop::Epoch, "subject=ada"),
            (Stop::Swap, "subject=ada, rotate=?0"),
            (Stop::Epoch, "subject=ada, rotate=?0"),
        ] {
            here.update(r#"{"visits":1}"#);
            let ticket = here.ticket().expect("a ticket");
            let stopped = turnstile.hold(step);
            let log_in = here.start(Ask::get("/"), Answer::updating(r#"{"in":true}"#).control(control));
            stopped.arrived();
            revoke(there, "ada");
            stopped.release();
            log_in.reply().refused(409, "session-ended").without_cookie();
            assert!(!there.visit_with(&ticket).is_live(), "{step:?} {control}");
            assert!(!here.visit().is_live(), "{step:?} {control}");
        }
    });
}

#[test]
fn a_revoked_session_does_not_live_on_because_somebody_wrote_it_meanwhile() {
    scene(|w, turnstile, here, there| {
        here.update(r#"{"visits":1}"#);
        let (swap, epoch) = (turnstile.hold(Stop::Swap), turnstile.hold(Stop::Epoch));
        let log_in = here.start(Ask::get("/"), Answer::controlling("subject=ada, rotate=?0"));
        swap.arrived();
        revoke(there, "ada"); // it does not find the session: that is not ada's yet
        swap.release();
        epoch.arrived();
        there.update(r#"{"visits":2}"#).without_cookie();
        epoch.release();
        log_in.reply().refused(409, "session-ended").without_cookie();
        assert!(!there.visit().is_live());
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
    });
}

#[test]
fn others_are_revoked_and_one_that_is_being_made_meanwhile_as_well() {
    scene(|w, turnstile, here, there| {
        let desk = w.browser(&w.proxy_with(RIGHTS));
        desk.get("/", Answer::updating(r#"{"at":"desk"}"#).control("subject=ada")).passed(200);
        let phone = there.twin();
        phone.get("/", Answer::updating(r#"{"at":"phone"}"#).control("subject=ada")).passed(200);
        let stopped = turnstile.hold(Stop::Epoch);
        let log_in =
            here.start(Ask::get("/").without_cookies(), Answer::updating("{\"at\":\"car\"}").control("subject=ada"));
        stopped.arrived();
        desk.control("revoke-others").without_cookie();
        stopped.release();
        log_in.reply().refused(409, "session-ended").without_cookie();
        assert!(!phone.visit().is_live());
        assert_eq!(desk.data(), r#"{"at":"desk"}"#);
        assert_eq!(w.redis().sessions().len(), 1);
    });
}
