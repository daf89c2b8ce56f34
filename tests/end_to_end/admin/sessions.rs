//! What an operator finds and ends, in every store.

use serde_json::Value;

use super::operator::{Operator, operator};
use crate::support::{Answer, Ask, Browser, Gate, Store, World, every_store, until, world};

/// A browser that is logged in.
fn log_in(w: &World, operator: &Operator, subject: &str) -> Browser {
    let browser = w.browser(&operator.proxy);
    browser.get("/", Answer::updating(r#"{"canary":1.10}"#).control(&format!("subject=%\"{subject}\""))).passed(200);
    browser
}

fn handle(browser: &Browser) -> String {
    browser.visit().handle().to_owned()
}

fn logged(operator: &Operator, text: &str) {
    until(text, || operator.proxy.log().contains(text).then_some(()));
}

every_store! {
    fn a_session_is_shown_as_it_is_and_its_data_only_if_asked_for(w) {
        let operator = operator(w, "session.idle_timeout = \"2h\"");
        let browser = log_in(w, &operator, "ada");
        browser.update(r#"{"cart":["hat"]}"#);
        let handle = handle(&browser);
        let listed = operator.json("GET", "/v1/sessions");
        let shown = operator.json("GET", &format!("/v1/sessions/{handle}"));
        assert!(!format!("{listed}{shown}").contains("canary"));
        for session in [&listed["sessions"][0], &shown] {
            assert_eq!(session["handle"], handle);
            assert_eq!(session["subject"], "ada");
            assert_eq!(session["version"], 2);
            assert_eq!(session["bytes"], r#"{"canary":1.10,"cart":["hat"]}"#.len());
            assert_eq!(session["idle_timeout"], 7200);
            assert!(session["age"].as_u64() < Some(60) && session["idle"].as_u64() < Some(60), "{session}");
            let number = |name: &str| session[name].as_u64().expect("a number");
            assert_eq!(session["deadline"], browser.visit().claims.expires.expect("a deadline"));
            assert!(number("created") <= number("changed") && number("changed") < number("expires"));
        }
        let whole = operator.ask("GET", &format!("/v1/sessions/{handle}?data=true")).text();
        assert!(whole.contains(r#""data":{"canary":1.10,"cart":["hat"]}"#), "{whole}");
        logged(&operator, "the data of a session is shown");
        assert!(!operator.proxy.log().contains("canary"));
    }

    fn all_sessions_and_those_of_a_user_are_listed_page_by_page_and_counted(w) {
        let operator = operator(w, "");
        let ada: Vec<_> = (0..5).map(|_| log_in(w, &operator, "ada & %c3%bc")).collect();
        let others: Vec<_> = ["", "bob", "ada"].map(|subject| log_in(w, &operator, subject)).into();
        let changed = log_in(w, &operator, "ada & %c3%bc");
        changed.control("subject=carol");
        let gone = log_in(w, &operator, "bob");
        gone.control("destroy");
        let sorted = |browsers: &[&Browser]| {
            let mut handles: Vec<_> = browsers.iter().map(|browser| handle(browser)).collect();
            handles.sort_unstable();
            handles
        };
        let of_ada = sorted(&ada.iter().collect::<Vec<_>>());
        let all = sorted(&ada.iter().chain(&others).chain([&changed]).collect::<Vec<_>>());
        for limit in [1, 2, 5, 1000] {
            assert_eq!(operator.listed(&format!("limit={limit}&subject=ada+%26+%C3%BC")), of_ada, "{limit}");
            let mut listed = operator.listed(&format!("limit={limit}"));
            listed.dedup();
            assert_eq!(listed, all, "{limit}");
        }
        let count = |query: &str| operator.json("GET", &format!("/v1/sessions/count{query}"))["count"].clone();
        assert_eq!((count(""), count("?subject=ada+%26+%C3%BC"), count("?subject=nobody")), (9.into(), 5.into(), 0.into()));
    }

    fn a_session_that_is_revoked_is_over_at_once_and_no_other_is(w) {
        let operator = operator(w, "");
        let (one, two) = (log_in(w, &operator, "ada"), log_in(w, &operator, "ada"));
        let target = format!("/v1/sessions/{}", handle(&one));
        let gone = operator.ask("DELETE", &target);
        assert_eq!((gone.status, gone.header("content-type")), (204, None));
        assert!(!one.visit().is_live() && two.visit().is_live());
        assert_eq!(operator.ask("GET", &target).status, 404);
        assert_eq!(operator.ask("DELETE", &target).status, 404);
        assert_eq!(operator.listed("subject=ada"), [handle(&two)]);
        assert!(operator.ask("GET", "/metrics").text().contains("\ncloakroom_sessions_revoked_total 1\n"));
        one.update(r#"{"again":true}"#);
        assert!(one.visit().is_live(), "the next log-in makes a new session at once");
        logged(&operator, "a session was revoked");
    }

    fn all_sessions_of_a_user_end_and_nobody_elses(w) {
        let operator = operator(w, "");
        let ada: Vec<_> = (0..3).map(|_| log_in(w, &operator, "ada")).collect();
        let bob = log_in(w, &operator, "bob");
        assert_eq!(operator.json("DELETE", "/v1/sessions?subject=ada")["revoked"], 3);
        assert!(ada.iter().all(|browser| !browser.visit().is_live()) && bob.visit().is_live());
        assert_eq!(operator.json("DELETE", "/v1/sessions?subject=ada")["revoked"], 0);
        let metrics = operator.ask("GET", "/metrics").text();
        assert!(metrics.contains("\ncloakroom_sessions_revoked_total 3\n"), "{metrics}");
        assert_eq!(operator.json("GET", "/v1/sessions?subject=ada")["sessions"], Value::Array(vec![]));
        for target in ["/v1/sessions", "/v1/sessions?subject=", "/v1/sessions?subjct=bob", "/v1/sessions?limit=1"] {
            assert_eq!(operator.ask("DELETE", target).status, 400, "{target}");
        }
        assert!(bob.visit().is_live());
        logged(&operator, "the sessions of a subject were revoked");
        assert!(!operator.proxy.log().contains("subject=ada"));
    }
}

/// A change that was under way when its session was revoked must not bring it back.
#[test]
fn who_had_loaded_a_session_before_it_was_revoked_cannot_write_it_any_more() {
    world(Store::Redis, |w| {
        let operator = operator(w, "");
        let browser = log_in(w, &operator, "ada");
        let gate = Gate::new();
        let late = browser.start(Ask::get("/"), Answer::updating(r#"{"late":1}"#).after(&gate));
        gate.arrived();
        assert_eq!(operator.ask("DELETE", &format!("/v1/sessions/{}", handle(&browser))).status, 204);
        gate.release();
        late.reply().refused(409, "session-ended").without_cookie();
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
    });
}

#[test]
fn sealed_records_are_listed_and_what_cannot_be_read_is_counted_and_hides_nothing() {
    world(Store::Redis, |w| {
        let operator = operator(w, "store.encrypt = true");
        let browsers = ["ada", "ada", "bob"].map(|subject| log_in(w, &operator, subject));
        assert_eq!(operator.listed("subject=ada").len(), 2);
        let broken = format!("cloakroom:s:{}", handle(&browsers[0]));
        let _: String = w.redis().command(&["SET", &broken, "garbage"]);
        let _: i64 = w.redis().command(&["LPUSH", &format!("cloakroom:s:{}", "B".repeat(42) + "A"), "list"]);
        let _: String = w.redis().command(&["SET", "cloakroom:s:stranger", "x"]);
        let page = operator.json("GET", "/v1/sessions?limit=1000");
        assert_eq!((page["sessions"].as_array().map(Vec::len), &page["unreadable"]), (Some(2), &2.into()), "{page}");
        assert_eq!(operator.json("GET", "/v1/sessions?subject=ada")["sessions"].as_array().map(Vec::len), Some(1));
        assert_eq!(operator.json("GET", "/v1/sessions/count")["count"], 2);
        assert_eq!(operator.ask("GET", &format!("/v1/sessions/{}", handle(&browsers[1]))).status, 200);
    });
}

/// What the page plots is what was counted, from the moment on at which the process began.
#[test]
fn the_traffic_of_the_last_minutes_is_what_was_counted() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let browser = log_in(w, &operator, "ada");
        browser.visit();
        let last = until("a look at the counters", || {
            let traffic = operator.json("GET", "/v1/traffic");
            let last = traffic["samples"].as_array().and_then(|samples| samples.last().cloned())?;
            (last["requests"] == 2).then_some(last)
        });
        assert_eq!((&last["statuses"]["2xx"], &last["outcomes"]["created"]), (&2.into(), &1.into()), "{last}");
        assert_eq!(last["outcomes"]["live"], 1, "{last}");
        assert!(last["seconds"].as_f64() > Some(0.0), "{last}");
    });
}

#[test]
fn while_the_store_is_away_health_and_status_answer_and_the_rest_says_why_not() {
    world(Store::Redis, |w| {
        let operator = operator(w, "store.timeout = \"300ms\"");
        log_in(w, &operator, "ada");
        let status = || operator.json("GET", "/v1/status");
        assert_eq!(status()["store"], serde_json::json!({ "kind": "redis", "trouble": null }));
        assert_eq!(status()["upstreams"][0]["servers"][0]["standing"], "up");
        w.redis().freeze();
        for target in ["/healthz", "/", "/metrics", "/v1/traffic"] {
            assert_eq!(operator.ask("GET", target).status, 200, "{target}");
        }
        // It does not answer, and then there is no connection to it.
        let says_why = |text: &str| {
            ["the store did not answer in time", "the connection to the store broke"]
                .iter()
                .any(|why| text.contains(why))
        };
        assert!(status()["store"]["trouble"].as_str().is_some_and(says_why));
        assert!(says_why(&operator.ask("GET", "/readyz").text()));
        let refusal = operator.ask("GET", "/v1/sessions?subject=ada");
        assert!(says_why(&refusal.text()) && refusal.header("retry-after").is_some(), "{}", refusal.text());
        w.redis().thaw();
        until("the store to be back", || status()["store"]["trouble"].is_null().then_some(()));
        assert_eq!(operator.listed("subject=ada").len(), 1);
    });
}
