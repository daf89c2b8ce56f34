//! `inject`: plain request headers made of session data, which nobody else can send.

use crate::support::{Answer, Ask, Reply, Store, World, every_store, folded, latin1, until, world};

const CONFIG: &str = r#"
    routes = [
        { path = "/", upstream = "app", inject = { X-Remote-User = "/user/name", X-Display = "{/user/first} {/user/last}" } },
        { path = "/other", upstream = "app" },
        { path = "/static/", upstream = "app", session = false },
    ]
"#;

/// Every line at the upstream's socket that anybody could read as this header.
fn seen(reply: &Reply, name: &str) -> Vec<String> {
    let seen = reply.seen.as_ref().expect("a request at the upstream");
    let whole = seen.headers.iter().chain(seen.trailers.iter());
    whole.filter(|(other, _)| folded(other) == name).map(|(_, value)| value.to_owned()).collect()
}

every_store! {
    fn an_application_that_reads_no_token_is_told_by_plain_headers(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        assert!(seen(&browser.get("/", Answer::ok()), "x-remote-user").is_empty());
        browser.update(r#"{"user":{"name":"ada","first":"Ada","last":"Löwe"}}"#);
        let reply = browser.get("/page", Answer::ok()).passed(200);
        assert_eq!(seen(&reply, "x-remote-user"), ["ada"]);
        assert_eq!(seen(&reply, "x-display"), [latin1("Ada Löwe".as_bytes())], "UTF-8 as it is");
        browser.update(r#"{"user":{"name":42,"last":null}}"#);
        let reply = browser.get("/page", Answer::ok()).passed(200);
        assert_eq!((seen(&reply, "x-remote-user"), seen(&reply, "x-display")), (vec!["42".to_owned()], vec![]));
        browser.control("destroy");
        assert!(seen(&browser.get("/", Answer::ok()), "x-remote-user").is_empty());
    }
}

#[test]
fn what_a_client_sends_under_an_injected_name_never_arrives_on_any_route() {
    world(Store::Memory, |w| {
        w.without_session("/static/");
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"user":{"name":"ada"}}"#);
        for spelling in ["X-Remote-User", "x-remote-user", "X_REMOTE_USER", "x.remote-user", "X~Remote!User"] {
            for (target, own) in [("/", &["ada"][..]), ("/other", &[]), ("/static/a.css", &[])] {
                let ask = Ask::get(target).header(spelling, "admin").header(spelling, "root, admin");
                let ask = ask.header("Connection", "X-Remote-User, x-display").header("x_display", "The Admin");
                let reply = browser.ask(ask, Answer::ok()).passed(200);
                assert_eq!(seen(&reply, "x-remote-user"), own, "{spelling} to {target}");
                assert!(seen(&reply, "x-display").is_empty(), "{spelling} to {target}");
            }
        }
        let ask = Ask::of("POST", "/other").header("Transfer-Encoding", "chunked").header("Trailer", "X-Remote-User");
        let mut exchange = browser.open(ask, Answer::ok());
        let body = b"3\r\nabc\r\n0\r\nX-Remote-User: admin\r\nx_display: The Admin\r\n\r\n";
        exchange.send(body).expect("sending the body");
        let reply = exchange.reply().passed(200);
        assert!(seen(&reply, "x-remote-user").is_empty() && seen(&reply, "x-display").is_empty());
    });
}

#[test]
fn no_value_breaks_splits_or_forges_a_header() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        for name in [
            r"ada\r\nX-Admin: 1",
            r"ada\nX-Admin: 1",
            r"ada\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
            r"\u0000",
            r"ada\u007f",
            r"\u0085",
            r"a\tb",
            r" ada",
            r"ada ",
            r"\u2003ada",
        ] {
            browser.update(&format!(r#"{{"user":{{"name":"{name}"}}}}"#));
            let reply = browser.get("/", Answer::ok()).passed(200);
            assert!(seen(&reply, "x-remote-user").is_empty() && seen(&reply, "x-admin").is_empty(), "{name}");
        }
        for name in ["ключ 🗝".to_owned(), "x".repeat(10 * 1024), "a: b; c=d, \\\"e\\\"".to_owned()] {
            browser.update(&format!(r#"{{"user":{{"name":"{name}"}}}}"#));
            let reply = browser.get("/", Answer::ok()).passed(200);
            assert_eq!(seen(&reply, "x-remote-user"), [latin1(name.replace('\\', "").as_bytes())]);
        }
    });
}

/// The names are forbidden to clients; what the application answers under them is its own affair.
#[test]
fn an_application_may_answer_with_a_header_of_an_injected_name() {
    world(Store::Memory, |w: &World| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        let reply = browser.get("/", Answer::ok().header("X-Remote-User", "ada")).passed(200);
        assert_eq!(reply.header("x-remote-user"), Some("ada"));
    });
}

#[test]
fn a_header_that_is_left_out_is_logged_without_its_value() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(CONFIG);
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":{"name":"canary\nvalue"}}"#);
        browser.visit();
        let told = || proxy.log().contains("control characters").then(|| proxy.log());
        let log = until("the log to say why", told);
        assert!(log.contains("x-remote-user") && !log.contains("canary"), "{log}");
    });
}
