//! Who may ask what: the token, other sites' names and pages, the public listener (threats G-03), and the description.

use std::collections::BTreeSet;
use std::fs;

use cloakroom::admin::ROUTES;

use super::operator::{ask_socket, operator};
use crate::support::{Answer, Ask, Connection, Store, until, world};

const NOBODY: &str = "/v1/sessions/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn without_a_token_only_health_and_metrics_are_served_and_the_answer_says_what_to_set() {
    world(Store::Memory, |w| {
        let mut operator = operator(w, "");
        operator.proxy = w.proxy();
        for target in ["/", "/v1/status", "/v1/traffic", "/v1/sessions", "/v1/sessions/count", NOBODY] {
            let refusal = operator.ask("GET", target);
            assert_eq!(refusal.status, 403, "{target}");
            assert!(refusal.text().contains("admin.token = { file") && refusal.text().contains("error:closed"));
        }
        for target in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(operator.ask_with("GET", target, &[("Host", "evil.example")]).status, 200);
        }
        let said = "admin.token is not set: of the admin listener only health and metrics are served";
        until("the reason in the log", || operator.proxy.log().contains(said).then_some(()));
    });
}

#[test]
fn nobody_gets_in_with_another_token_or_from_another_site() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let right = format!("Bearer {}", operator.token());
        let host = operator.proxy.admin().to_string();
        let own = format!("http://{host}");
        let half = &right[..right.len() / 2];
        let (ours, theirs) = (("Host", host.as_str()), ("Host", "evil.example"));
        let token = ("Authorization", right.as_str());
        for (status, headers) in [
            (200, &[ours, token][..]),
            (200, &[ours, token, ("Origin", &own)]),
            (401, &[ours]),
            (401, &[ours, ("Authorization", half)]),
            (401, &[ours, token, token]),
            (401, &[ours, ("Cookie", &right), ("X-Authorization", &right)]),
            (403, &[theirs, token]),
            (403, &[("Host", "localhost.evil.example"), token]),
            (403, &[ours, token, ("Origin", "http://evil.example")]),
            (403, &[ours, token, ("Origin", "null")]),
        ] {
            let targets = ["/v1/sessions", "/v1/status", "/v1/traffic", "/v1/sessions/count"];
            for (method, target) in targets.map(|target| ("GET", target)) {
                let reply = operator.ask_with(method, target, headers);
                assert_eq!(reply.status, status, "{target} {headers:?}: {}", reply.text());
                assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
                assert_eq!(reply.header("access-control-allow-origin"), None);
            }
        }
        assert!(!operator.proxy.log().contains(operator.token()), "the token is in the log");
    });
}

/// A request for another host in absolute form, which outranks `Host`, and one that names the admin listener.
#[test]
fn the_public_and_the_application_listener_never_serve_it() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let (proxy, admin) = (&operator.proxy, operator.proxy.admin());
        let browser = w.browser(proxy);
        browser.get("/", Answer::updating(r#"{"a":1}"#).control("subject=ada")).passed(200);
        let bearer = format!("Bearer {}", operator.token());
        for target in ["/v1/sessions", "/v1/sessions?subject=ada", "/v1/status", "/healthz", "/metrics", NOBODY] {
            for target in [target.to_owned(), format!("http://{admin}{target}")] {
                for host in [&admin.to_string(), "localhost"] {
                    let there = browser.at(host);
                    let ask = |method| Ask::of(method, &target).header("Authorization", &bearer);
                    for method in ["GET", "DELETE"] {
                        let reply = there.ask(ask(method), Answer::ok().body("the application"));
                        assert!(reply.text() == "the application" || reply.status == 400, "{target}: {}", reply.text());
                    }
                }
            }
        }
        let mut connection = Connection::at(proxy.application(), proxy.ledger());
        let request = format!("GET /v1/sessions HTTP/1.1\r\nHost: {admin}\r\nAuthorization: {bearer}\r\n\r\n");
        connection.send(request.as_bytes()).expect("asking");
        assert_eq!(connection.reply("GET").expect("an answer").status, 404);
        assert_eq!(operator.json("GET", "/v1/sessions/count")["count"], 1);
    });
}

#[test]
fn over_the_unix_socket_no_token_is_needed() {
    world(Store::Memory, |w| {
        let socket = w.file("admin.sock");
        let proxy = w.proxy_with(&format!("admin.address = \"unix:{}\"", socket.display()));
        let browser = w.browser(&proxy);
        browser.update(r#"{"a":1}"#);
        assert_eq!(ask_socket(&socket, "GET", "/v1/sessions/count"), (200, r#"{"count":1}"#.to_owned()));
        let handle = browser.visit().handle().to_owned();
        assert_eq!(ask_socket(&socket, "DELETE", &format!("/v1/sessions/{handle}")).0, 204);
        assert!(!browser.visit().is_live());
    });
}

#[test]
fn a_reload_brings_another_token_and_leaves_the_address() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        assert_eq!(operator.ask("GET", "/v1/status").status, 200);
        fs::write(w.file("admin-token"), "Kq8vR2nWz5TbX9cLmJ4hPsY7dFg3aE6u").expect("another token");
        operator.proxy.reconfigure("");
        assert_eq!(operator.ask("GET", "/v1/status").status, 401);
        let token = ("Authorization", "Bearer Kq8vR2nWz5TbX9cLmJ4hPsY7dFg3aE6u");
        assert_eq!(operator.ask_with("GET", "/v1/status", &[("Host", "a"), token]).status, 200);
    });
}

#[test]
fn every_route_is_described_with_its_methods_and_refuses_the_others() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let served = ROUTES.iter().flat_map(|route| {
            let methods = route.methods.split(", ").filter(|method| *method != "HEAD");
            methods.map(|method| (route.path.to_owned(), method.to_owned()))
        });
        assert_eq!(operator.description().operations(), served.collect::<BTreeSet<_>>());
        for route in ROUTES {
            let target = route.path.replace("/v1/sessions/{handle}", NOBODY);
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
                if !route.methods.contains(method) {
                    let reply = operator.ask(method, &target);
                    assert_eq!((reply.status, reply.header("allow")), (405, Some(route.methods)), "{method} {target}");
                }
            }
            let (get, head) = (operator.ask("GET", &target), operator.ask("HEAD", &target));
            assert_eq!(get.status, head.status, "{target}");
            assert_eq!(head.body, b"");
        }
        for target in ["/v1", "/v1/", "/v1/sessions/", "/v1/sessions/a/b", "/v1/session", "/healthz/", "//healthz"] {
            assert_eq!(operator.ask("GET", target).status, 404, "{target}");
        }
    });
}

/// Every status that is described is answered by some request, and every answer is described (which each `ask` checks).
#[test]
fn every_described_answer_is_given() {
    world(Store::Redis, |w| {
        let operator = operator(w, "store.timeout = \"1s\"");
        let browser = w.browser(&operator.proxy);
        browser.get("/", Answer::updating(r#"{"a":1}"#).control("subject=ada")).passed(200);
        let session = format!("/v1/sessions/{}", browser.visit().handle());
        let operations = [
            ("GET", "/", ""),
            ("GET", "/healthz", ""),
            ("GET", "/readyz", ""),
            ("GET", "/metrics", ""),
            ("GET", "/v1/status", "?x=1"),
            ("GET", "/v1/traffic", "?x=1"),
            ("GET", "/v1/sessions", "?limit=x"),
            ("GET", "/v1/sessions/count", "?subject="),
            ("GET", &session, "?data=1"),
            ("DELETE", &session, "?data=true"),
            ("DELETE", "/v1/sessions", ""),
        ];
        for (method, target, wrong) in operations {
            if !wrong.is_empty() || target == "/v1/sessions" {
                assert_eq!(operator.ask(method, &format!("{target}{wrong}")).status, 400);
                assert_eq!(operator.ask_with(method, target, &[("Host", "a")]).status, 401);
            }
            assert_eq!(operator.ask_with(method, target, &[("Host", "a"), ("Origin", "null")]).status, 403);
            let subject = if method == "DELETE" && target == "/v1/sessions" { "?subject=ada" } else { "" };
            let good = operator.ask(method, &format!("{target}{subject}")).status;
            assert!(matches!(good, 200 | 204), "{method} {target}");
        }
        assert_eq!(operator.ask("GET", &session).status, 404);
        assert_eq!(operator.ask("DELETE", &session).status, 404);
        w.redis().kill();
        for (method, target) in [
            ("GET", "/readyz"),
            ("GET", "/v1/sessions"),
            ("DELETE", "/v1/sessions?subject=ada"),
            ("GET", "/v1/sessions/count"),
            ("GET", &session),
            ("DELETE", &session),
        ] {
            assert_eq!(operator.ask(method, target).status, 503, "{method} {target}");
        }
        let description = operator.description();
        let missing: Vec<_> = description.described().difference(&description.seen()).cloned().collect();
        assert!(missing.is_empty(), "described and never answered: {missing:?}");
    });
}
