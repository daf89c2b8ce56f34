//! The walk-through of Django's tutorials: a form whose submissions are kept in the session and shown. What
//! examples/history does, by the headers that it sends; tests/browser/history_tour.py does it as people do.

use crate::support::{Answer, Ask, Gate, Pending, every_store};

/// The answer to a submission.
fn appended(entry: &str) -> Answer {
    let answer = Answer::status(303).header("Location", "/");
    answer.update(&format!(r#"[{{"op":"add","path":"/history/-","value":"{entry}"}}]"#))
}

every_store! {
    fn two_browsers_have_two_histories(w) {
        let proxy = w.proxy();
        let (ada, bob) = (w.browser(&proxy), w.browser(&proxy));
        for browser in [&ada, &bob] {
            browser.update(r#"{"history":[]}"#);
        }
        ada.update(r#"[{"op":"add","path":"/history/-","value":"one"}]"#).without_cookie();
        for (browser, entry) in [(&bob, "eins"), (&ada, "two"), (&bob, "zwei"), (&ada, "three")] {
            browser.ask(Ask::post("/", entry), appended(entry)).passed(303).without_cookie();
        }
        assert_eq!(ada.data(), r#"{"history":["one","two","three"]}"#);
        assert_eq!(bob.data(), r#"{"history":["eins","zwei"]}"#);
    }

    fn of_twenty_submissions_at_once_none_is_lost(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"history":[]}"#);
        let gate = Gate::for_all(20);
        let entries: Vec<_> = (0..20).map(|n| format!("entry {n:02}")).collect();
        let submit = |entry: &String| browser.start(Ask::post("/", entry), appended(entry).after(&gate));
        let pending: Vec<Pending> = entries.iter().map(submit).collect();
        gate.arrived();
        gate.release();
        for pending in pending {
            // Each application was given the empty history.
            assert_eq!(pending.reply().passed(303).without_cookie().token().data(), r#"{"history":[]}"#);
        }
        let text = browser.visit().text().to_owned();
        assert!(entries.iter().all(|entry| text.matches(entry.as_str()).count() == 1), "{text}");
        assert_eq!(browser.visit().claims.ver, Some(21));
    }
}
