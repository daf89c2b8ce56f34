//! Contract 1 and 2: whose cookie it is, and tickets that somebody else planted. Issue 2, "must hold" 8.

use crate::support::{Answer, Ask, Store, every_store, world};

const TWO_SITES: &str = r#"
    listen.scheme = "https"
    routes = [
        { host = "a.example", path = "/", upstream = "app" },
        { host = "b.example", path = "/", upstream = "app" },
    ]
    "#;

every_store! {
    fn a_ticket_of_one_site_is_no_ticket_on_another(w) {
        let proxy = w.proxy_with(TWO_SITES);
        let (a, b) = (w.browser_at(&proxy, "https", "a.example"), w.browser_at(&proxy, "https", "b.example"));
        a.update(r#"{"user":"ada"}"#);
        let ticket = a.ticket().expect("a ticket");
        assert!(!b.visit_with(&ticket).is_live());
        // A write there makes a session of its own, and an end there ends nothing here.
        b.plant(&ticket);
        b.update(r#"{"user":"bob"}"#);
        assert_ne!(b.ticket().as_ref(), Some(&ticket));
        assert_ne!(b.visit().handle(), a.visit().handle());
        b.ask(Ask::get("/").ticket(&ticket), Answer::controlling("destroy")).passed(200).without_cookie();
        assert_eq!(a.data(), r#"{"user":"ada"}"#);
        assert_eq!(b.data(), r#"{"user":"bob"}"#);
    }

    fn a_planted_ticket_does_not_follow_its_victim_into_the_log_in(w) {
        let proxy = w.proxy();
        let (attacker, victim) = (w.browser(&proxy), w.browser(&proxy));
        attacker.update(r#"{"cart":[]}"#);
        let planted = attacker.ticket().expect("a ticket");
        victim.plant(&planted);
        victim.get("/", Answer::updating(r#"{"user":"victim"}"#).control("rotate")).passed(200);
        assert_ne!(victim.ticket().as_ref(), Some(&planted));
        assert!(!attacker.visit().is_live());
        assert_eq!(attacker.data(), "{}");
        attacker.get("/", Answer::updating(r#"{"user":"evil"}"#)).refused(409, "session-ended").without_cookie();
        attacker.get("/", Answer::controlling("destroy")).refused(409, "session-ended").without_cookie();
        assert_eq!(victim.data(), r#"{"cart":[],"user":"victim"}"#);
    }

    fn a_ticket_that_nobody_gave_out_is_never_adopted(w) {
        let browser = w.browser(&w.proxy());
        browser.plant("chosen-by-the-attacker");
        browser.update(r#"{"user":"ada"}"#);
        assert_ne!(browser.ticket().as_deref(), Some("chosen-by-the-attacker"));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    }

    fn a_forged_ticket_beside_the_genuine_one_is_ignored(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let genuine = browser.ticket().expect("a ticket");
        for cookies in [
            format!("__Host-session=forged; __Host-session={genuine}"),
            format!("__Host-session={genuine}; __Host-session=forged"),
            format!("__Host-session={genuine}; __Host-session={genuine}"),
        ] {
            let reply = browser.ask(Ask::get("/").cookie(&cookies), Answer::ok()).passed(200).without_cookie();
            assert_eq!(reply.token().data(), r#"{"user":"ada"}"#, "{cookies}");
        }
    }

    fn two_live_tickets_at_once_load_no_session_and_cannot_write(w) {
        let proxy = w.proxy();
        let (one, two) = (w.browser(&proxy), w.browser(&proxy));
        one.update(r#"{"user":"one"}"#);
        two.update(r#"{"user":"two"}"#);
        let tickets = [&one, &two].map(|browser| format!("__Host-session={}", browser.ticket().expect("a ticket"))).join("; ");
        let both = |answer: Answer| one.ask(Ask::get("/").cookie(&tickets), answer);
        assert!(!both(Answer::ok()).passed(200).without_cookie().token().is_live());
        both(Answer::updating(r#"{"user":"both"}"#)).refused(409, "session-ended").without_cookie();
        assert_eq!(one.data(), r#"{"user":"one"}"#);
        assert_eq!(two.data(), r#"{"user":"two"}"#);
    }
}

#[test]
fn a_forged_ticket_of_another_site_is_not_looked_up() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with(TWO_SITES);
        let (a, b) = (w.browser_at(&proxy, "https", "a.example"), w.browser_at(&proxy, "https", "b.example"));
        a.update(r#"{"user":"ada"}"#);
        let ticket = a.ticket().expect("a ticket");
        let watch = w.redis().watch();
        assert!(!b.visit_with(&ticket).is_live());
        assert_eq!(watch.commands(), Vec::<String>::new());
    });
}
