//! Contract 2, last paragraph: what shared caches are told about responses that depend on a cookie or set one.

use crate::support::{Answer, Ask, OurCookie, Reply, Store, TICKET, world};

/// The items of a list-valued header, lower case.
fn items(reply: &Reply, name: &str) -> Vec<String> {
    let lines = reply.headers.all(name);
    let items = lines.iter().flat_map(|line| line.split(',')).map(|item| item.trim().to_ascii_lowercase());
    items.filter(|item| !item.is_empty()).collect()
}

#[test]
fn every_response_of_a_session_route_varies_by_cookie() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        for (given, expected) in [
            (None, &["cookie"][..]),
            (Some("Accept-Encoding"), &["accept-encoding", "cookie"]),
            (Some("Accept, cookie"), &["accept", "cookie"]),
            (Some("*"), &["*"]),
        ] {
            let answer = given.map_or_else(Answer::ok, |value| Answer::ok().header("Vary", value));
            let mut vary = items(&browser.get("/", answer).passed(200), "vary");
            vary.sort();
            assert_eq!(vary, expected, "Vary: {given:?}");
        }
    });
}

#[test]
fn an_options_that_goes_no_further_varies_as_well() {
    world(Store::Memory, |w| {
        let reply = w.browser(&w.proxy()).ask(Ask::of("OPTIONS", "/").header("Max-Forwards", "0"), Answer::ok());
        assert_eq!((reply.status, items(&reply, "vary")), (204, vec!["cookie".to_owned()]));
    });
}

#[test]
fn no_shared_cache_may_store_a_response_that_sets_our_cookie() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        for (given, kept) in [
            (None, &[][..]),
            (Some("public, max-age=60, s-maxage=600"), &["max-age=60"]),
            (Some("max-age=60, private"), &["max-age=60"]),
            (Some("private=\"x-field\", max-age=60"), &["max-age=60"]),
            (Some("no-store"), &["no-store"]),
        ] {
            let mut answer = Answer::updating(r#"{"user":"ada"}"#)
                .header("CDN-Cache-Control", "max-age=600")
                .header("Surrogate-Control", "max-age=600");
            if let Some(value) = given {
                answer = answer.header("Cache-Control", value);
            }
            let reply = w.browser(&proxy).get("/", answer).passed(200);
            assert_eq!(OurCookie::of(&reply).name, TICKET);
            let control = items(&reply, "cache-control");
            assert!(control.iter().any(|item| item == "private" || item == "no-store"), "{given:?}: {control:?}");
            assert!(!control.iter().any(|item| item == "public" || item.starts_with("s-maxage")), "{control:?}");
            assert!(kept.iter().all(|item| control.iter().any(|other| other == item)), "{given:?}: {control:?}");
            assert_eq!((reply.header("cdn-cache-control"), reply.header("surrogate-control")), (None, None));
        }
    });
}

#[test]
fn routes_without_session_keep_what_the_application_says_to_caches() {
    world(Store::Memory, |w| {
        w.without_session("/static/");
        let proxy = w.proxy_with("routes = [{ path = \"/static/\", upstream = \"app\", session = false }]");
        let said = [
            ("Cache-Control", "public, s-maxage=600"),
            ("Vary", "Accept-Encoding"),
            ("CDN-Cache-Control", "max-age=9"),
            ("Surrogate-Control", "max-age=9"),
        ];
        let answer = said.iter().fold(Answer::ok(), |answer, (name, value)| answer.header(name, value));
        let reply = w.browser(&proxy).get("/static/app.css", answer).passed(200);
        for (name, value) in said {
            assert_eq!(reply.headers.all(name), [value], "{name}");
        }
    });
}
