//! Contract 6, last line: with `affinity` a session stays on the server that first answered it, as long as that is healthy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Answer, Ask, Backend, Browser, Proxy, Store, World, every_store, until, world};

/// A server that answers its name, and at `/write` changes the session.
fn server(name: &'static str) -> Backend {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    Backend::start(move |heard| {
        let update = match heard.path() {
            "/write" => format!("X-Session-Update: {{\"n\":{}}}\r\n", WRITES.fetch_add(1, Ordering::Relaxed)),
            _ => String::new(),
        };
        heard.send(&format!("HTTP/1.1 200 OK\r\n{update}Content-Length: {}\r\n\r\n{name}", name.len()))
    })
}

fn servers() -> [Backend; 3] {
    ["a", "b", "c"].map(server)
}

fn over(w: &World, servers: &[Backend], more: &str) -> Arc<Proxy> {
    w.proxy_with(&format!("{}\n{more}", among(servers)))
}

fn among(servers: &[Backend]) -> String {
    let urls: Vec<String> = servers.iter().map(Backend::url).collect();
    format!("upstreams.app.affinity = true\nupstreams.app.servers = {urls:?}")
}

fn asked(browser: &Browser, path: &str) -> String {
    browser.ask(Ask::get(path), Answer::ok()).passed(200).text()
}

/// Who answers so many requests; must be one and the same.
#[track_caller]
fn keeper(browser: &Browser) -> String {
    let mut answers: Vec<String> = (0..7).map(|_| asked(browser, "/")).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

every_store! {
    fn a_session_stays_on_the_server_that_created_it(w) {
        let (servers, mut keepers) = (servers(), Vec::new());
        let proxy = over(w, &servers, "");
        for _ in 0..6 {
            let browser = w.browser(&proxy);
            let creator = asked(&browser, "/write");
            assert_eq!(keeper(&browser), creator);
            assert_eq!(asked(&browser, "/write"), creator);
            assert_eq!(keeper(&browser), creator);
            keepers.push(creator);
        }
        keepers.sort();
        assert_eq!(keepers, ["a", "a", "b", "b", "c", "c"], "visitors without a session are spread as ever");
    }
}

#[test]
fn neither_a_restart_nor_another_proxy_changes_who_keeps_a_session() {
    world(Store::Redis, |w| {
        let servers = servers();
        // The other one has served others before, and has its servers in another order.
        let [a, b, c] = &servers;
        let (one, other) = (
            over(w, &servers, ""),
            w.proxy_with(&format!(
                "upstreams.app.affinity = true\nupstreams.app.servers = {:?}",
                [c.url(), a.url(), b.url()]
            )),
        );
        for _ in 0..5 {
            let browser = w.browser(&one);
            asked(&w.browser(&other), "/");
            let creator = asked(&browser, "/write");
            assert_eq!(keeper(&browser.through(&other)), creator);
            one.restart();
            assert_eq!(keeper(&browser.through(&one)), creator);
        }
    });
}

#[test]
fn where_its_server_is_lost_another_one_takes_a_session_over_and_keeps_it_once_it_has_written() {
    world(Store::Redis, |w| {
        let servers = servers();
        let (one, other) = (over(w, &servers, ""), over(w, &servers, ""));
        let browser = w.browser(&one);
        let first = asked(&browser, "/write");
        let lost = &servers[usize::from(first.as_bytes()[0] - b'a')];
        lost.stop();
        let second = keeper(&browser);
        assert_ne!(second, first);
        assert_eq!(keeper(&browser.through(&other)), second, "each proxy finds the same one");
        assert_eq!(asked(&browser, "/write"), second);
        lost.come_back();
        let stranger = w.browser(&one);
        until("the server that came back to be asked again", || (asked(&stranger, "/") == first).then_some(()));
        assert_eq!(keeper(&browser), second, "who took it over has it");
    });
}

#[test]
fn a_server_that_fails_its_health_checks_loses_its_sessions_to_another() {
    world(Store::Memory, |w| {
        let well = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let state = well.clone();
        let ill = Backend::start(move |heard| match (heard.path(), state.load(Ordering::SeqCst)) {
            ("/health", false) => heard.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            ("/write", _) => {
                heard.send("HTTP/1.1 200 OK\r\nX-Session-Update: {\"n\":1}\r\nContent-Length: 3\r\n\r\nill")
            }
            _ => heard.ok("ill"),
        });
        let servers = [server("b"), ill];
        let health = "upstreams.app.health = { path = \"/health\", interval = \"100ms\", unhealthy_after = 3, healthy_after = 1 }";
        let proxy = over(w, &servers, health);
        let kept = || {
            let browser = w.browser(&proxy);
            (asked(&browser, "/write") == "ill").then_some(browser)
        };
        let browser = until("a session on that server", kept);
        assert_eq!(keeper(&browser), "ill");
        well.store(false, Ordering::SeqCst);
        until("the check to fail", || (asked(&browser, "/") == "b").then_some(()));
        assert_eq!(keeper(&browser), "b");
        well.store(true, Ordering::SeqCst);
        until("the server to be well again", || (asked(&browser, "/") == "ill").then_some(()));
        assert_eq!(keeper(&browser), "ill", "nothing was written meanwhile: it still has the session");
    });
}

#[test]
fn a_reload_that_removes_a_server_moves_its_sessions_and_no_others() {
    world(Store::Memory, |w| {
        let servers = servers();
        let proxy = over(w, &servers, "");
        let browsers: Vec<(Browser, String)> = (0..6)
            .map(|_| {
                let browser = w.browser(&proxy);
                let creator = asked(&browser, "/write");
                (browser, creator)
            })
            .collect();
        proxy.reconfigure(&among(&servers[..2]));
        for (browser, creator) in &browsers {
            let now = keeper(browser);
            assert!(if creator == "c" { now != "c" } else { now == *creator }, "{creator} {now}");
        }
        proxy.reconfigure(&among(&servers));
        for (browser, creator) in &browsers {
            assert_eq!(keeper(browser), *creator, "nothing was written meanwhile");
        }
    });
}

#[test]
fn no_application_sees_who_keeps_a_session_and_without_affinity_nobody_does() {
    world(Store::Redis, |w| {
        let servers = servers();
        let browser = w.browser(&over(w, &servers, ""));
        asked(&browser, "/write");
        let plain = browser.through(&w.proxy());
        let reply = plain.get("/", Answer::ok()).passed(200);
        let claims = format!("{:?} {:?}", reply.token().claims, plain.data());
        assert!(
            claims.contains("ver: Some(1)") && !servers.iter().any(|server| claims.contains(&server.url())),
            "{claims}"
        );
        let key = w.redis().sessions().remove(0);
        let stored: Vec<u8> = w.redis().command(&["GET", &key]);
        let stored = String::from_utf8_lossy(&stored);
        assert!(servers.iter().any(|server| stored.contains(&server.url())), "{stored}");
        let without = browser.through(&w.proxy_with(&among(&servers).replace("true", "false")));
        let mut answers: Vec<String> = (0..3).map(|_| asked(&without, "/")).collect();
        answers.sort();
        assert_eq!(answers, ["a", "b", "c"]);
    });
}
