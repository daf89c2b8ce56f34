//! Contract 7: `SIGHUP` reads routes, upstreams, limits, keys and certificates again without dropping a connection; what
//! is faulty or needs a restart is refused, and the old configuration stays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use crate::support::{
    Answer, Ask, Connection, Gate, Http2, OurCookie, Proxy, SCRIPT, Store, TICKET, World, every_store, tls_client,
    until, world,
};

/// A request on a connection that stays open, and its answer.
fn ask(w: &World, connection: &mut Connection, path: &str, answer: Answer) -> crate::support::Reply {
    let key = w.expect(answer);
    connection
        .send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n\r\n").as_bytes())
        .expect("sending");
    let reply = connection.reply("GET").expect("an answer");
    crate::support::Reply { seen: w.upstream.seen(&key), ..reply }
}

#[test]
fn a_kept_alive_connection_has_the_new_routes_with_its_next_request() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("routes = [{ path = \"/old\" }]");
        let mut kept = proxy.connect();
        ask(w, &mut kept, "/old", Answer::ok()).passed(200);
        ask(w, &mut kept, "/new", Answer::ok()).refused(404, "no-route");
        proxy.reconfigure("routes = [{ path = \"/new\" }]");
        ask(w, &mut kept, "/new", Answer::ok()).passed(200);
        ask(w, &mut kept, "/old", Answer::ok()).refused(404, "no-route");
    });
}

every_store! {
    fn a_request_under_way_ends_with_the_configuration_that_it_began_with(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let gate = Gate::new();
        let pending = browser.start(Ask::get("/"), Answer::updating(r#"{"late":true}"#).after(&gate));
        gate.arrived();
        proxy.reconfigure("token.update_header = \"X-Other-Update\"\nupstreams.app.may_write = [\"/nothing\"]");
        gate.release();
        pending.reply().passed(200);
        assert_eq!(browser.data(), r#"{"user":"ada","late":true}"#);
        browser.get("/", Answer::ok().header("X-Other-Update", r#"{"user":"bob"}"#)).refused(502, "invalid-update");
    }

    fn a_new_root_makes_new_tickets_while_the_old_one_is_still_believed(w) {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let old = browser.ticket().expect("a ticket");
        let root = w.secret_file("new-root");
        let before = w.file("root");
        proxy.reconfigure(&format!("keys.root = [{{ file = {root:?} }}, {{ file = {before:?} }}]"));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        OurCookie::of(&browser.control("rotate"));
        proxy.reconfigure(&format!("keys.root = [{{ file = {root:?} }}]"));
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        assert!(!browser.visit_with(&old).is_live());
    }
}

#[test]
fn a_new_root_seals_what_is_written_from_then_on() {
    for store in [Store::File, Store::Redis] {
        world(store, |w| {
            let proxy = w.proxy_with("store.encrypt = true");
            let (browser, quiet) = (w.browser(&proxy), w.browser(&proxy));
            browser.update(r#"{"user":"ada"}"#);
            quiet.update(r#"{"user":"bob"}"#);
            let (root, before) = (w.secret_file("new-root"), w.file("root"));
            proxy.reconfigure(&format!("keys.root = [{{ file = {root:?} }}, {{ file = {before:?} }}]"));
            browser.control("rotate");
            assert_eq!(quiet.data(), r#"{"user":"bob"}"#);
            proxy.reconfigure(&format!("keys.root = [{{ file = {root:?} }}]"));
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
            // A process that never knew the old root reads what was written under the new one.
            proxy.terminate();
            proxy.restart();
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        });
    }
}

#[test]
fn random_keys_and_sessions_in_memory_outlive_a_reload() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("keys.root = []");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        proxy.reconfigure("limits.headers = 50");
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn the_application_listener_verifies_with_the_new_keys() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let jwks = || {
            let mut connection = Connection::at(proxy.application(), proxy.ledger());
            connection
                .send(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .expect("sending");
            connection.reply("GET").expect("an answer").text()
        };
        assert_eq!(jwks(), r#"{"keys":[]}"#);
        let key = w.file("es256");
        let made = crate::support::cloakroom(w.file("").as_path(), &["keys", "new", "--algorithm", "ES256"]);
        std::fs::write(&key, made.out).expect("a key");
        proxy.reconfigure(&format!("token = {{ algorithm = \"ES256\", keys = [{{ id = \"k9\", file = {key:?} }}] }}"));
        assert!(jwks().contains(r#""kid":"k9""#), "{}", jwks());
    });
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    world(Store::Memory, |w| {
        let (tls, first) = w.certificate("one");
        let proxy = w.proxy_with(&tls);
        let mut kept = Http2::tls(&proxy, &first);
        let request =
            |key: &str| http::Request::get("https://localhost/").header(SCRIPT, key).body(()).expect("a request");
        kept.ask(request(&w.expect(Answer::ok()))).expect("an answer").passed(200);
        let (tls, second) = w.certificate("two");
        proxy.reconfigure(&tls);
        kept.ask(request(&w.expect(Answer::ok()))).expect("an answer").passed(200);
        Http2::tls(&proxy, &second).ask(request(&w.expect(Answer::ok()))).expect("an answer").passed(200);
        let name = ServerName::try_from("localhost").expect("a name");
        let mut distrustful = rustls::ClientConnection::new(tls_client(&first, &[]), name).expect("a client");
        let mut socket = std::net::TcpStream::connect(proxy.address()).expect("connecting");
        while distrustful.is_handshaking() {
            if distrustful.complete_io(&mut socket).is_err() {
                return;
            }
        }
        panic!("the old certificate is still shown");
    });
}

#[test]
fn limits_are_those_of_the_new_configuration() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.head_timeout = \"1s\"");
        let mut idle = proxy.connect();
        ask(w, &mut idle, "/", Answer::ok()).passed(200);
        proxy.reconfigure("limits = { idle_timeout = \"200ms\", connections = 1 }");
        assert!(idle.head().is_err(), "the connection is closed when the new time is over");
        let held = until("a place", || {
            let mut held = proxy.try_connect().ok()?;
            let key = w.expect(Answer::ok());
            held.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n\r\n").as_bytes()).ok()?;
            held.reply("GET").ok().filter(|reply| reply.status == 200).map(|_| held)
        });
        let mut turned_away = proxy.connect();
        let _ = turned_away.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(turned_away.reply("GET").expect("an answer").status, 503);
        drop(held);
    });
}

#[test]
fn what_is_faulty_or_needs_a_restart_is_refused_with_every_fault() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let sound = proxy.text();
        for (config, faults) in [
            ("[limits]\nheaders = 0\n[cookie]\nnme = \"x\"", &["limits.headers", "cookie.nme"][..]),
            ("[listen]\naddress = \"127.0.0.1:1\"", &["only a restart can change listen.address"]),
            (
                "[admin]\naddress = \"127.0.0.1:1\"\n[application]\naddress = \"127.0.0.1:2\"",
                &["application.address and admin.address"],
            ),
            ("[store]\nurl = \"redis://127.0.0.1:1/0\"", &["only a restart can change [store]"]),
            ("[store]\ntimeout = \"6s\"", &["only a restart can change [store]"]),
            ("not toml", &["is not TOML"]),
        ] {
            proxy.overwrite(&sound);
            proxy.overwrite(&proxy.laid_over(config).unwrap_or_else(|| config.to_owned()));
            let log = proxy.reload();
            assert!(log.contains("the old configuration stays"), "{config}\n{log}");
            for fault in faults {
                assert!(log.contains(fault), "{config}: no {fault}\n{log}");
            }
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
        proxy.overwrite(&sound);
        assert!(proxy.reload().contains("the new configuration is at work"));
        proxy.reconfigure("store = { save_timeout = \"9s\", on_failure = \"anonymous\" }");
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

/// The upstream's connections are kept if it is the same, and the old ones end with their requests if it is not.
#[test]
fn connections_to_an_upstream_that_is_the_same_are_kept() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits.connections = 100");
        let mut kept = proxy.connect();
        ask(w, &mut kept, "/", Answer::ok()).passed(200);
        let before = w.upstream.connections();
        for headers in 60..65 {
            proxy.reconfigure(&format!("limits.headers = {headers}"));
            ask(w, &mut kept, "/", Answer::ok()).passed(200);
        }
        assert_eq!(w.upstream.connections(), before);
    });
}

/// R-17: reloads under load fail no request. `CLOAKROOM_RELOADS` says how many (20).
#[test]
fn reloads_under_load_fail_no_request() {
    let reloads: usize = std::env::var("CLOAKROOM_RELOADS").map_or(20, |text| text.parse().expect("a number"));
    world(Store::Memory, |w| {
        let proxy = w.proxy_with_arguments(
            &format!("upstreams.app.servers = [\"{}\"]", crate::load::echo()),
            &["--log", "info"],
        );
        let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for client in 0..8 {
                let (proxy, over, answered) = (&proxy, &over, &answered);
                scope.spawn(move || keep_asking(proxy, client, over, answered));
            }
            for reload in 0..reloads {
                let seen = answered.load(Ordering::SeqCst);
                proxy.reconfigure(&format!(
                    "limits.headers = {}\nupstreams.app.response_timeout = \"{}s\"",
                    60 + reload % 2,
                    30 + reload % 3
                ));
                until("requests after the reload", || (answered.load(Ordering::SeqCst) > seen + 50).then_some(()));
            }
            over.store(true, Ordering::SeqCst);
        });
    });
}

fn keep_asking(proxy: &Proxy, client: usize, over: &AtomicBool, answered: &AtomicU64) {
    let mut connection = proxy.connect();
    let ticket = format!("Cookie: {TICKET}=none{client}\r\n");
    let begun = Instant::now();
    // A failed test must end as well.
    while !over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(600) {
        connection.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{ticket}\r\n").as_bytes()).expect("sending");
        connection.reply("GET").expect("an answer").passed(200);
        answered.fetch_add(1, Ordering::SeqCst);
    }
}
