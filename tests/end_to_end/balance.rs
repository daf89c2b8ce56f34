//! Contract 7: several servers, their health, the pool, and that nothing is carried out twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Ask, Backend, Browser, Gate, Proxy, Reply, Store, World, free_port, let_pass, until, world,
};

fn over(w: &World, servers: &[&str], more: &str) -> Arc<Proxy> {
    w.proxy_with(&format!("upstreams.app.servers = {servers:?}\n{more}"))
}

fn get(browser: &Browser) -> Reply {
    browser.get("/", Answer::ok())
}

fn asked(browser: &Browser) -> String {
    get(browser).passed(200).text()
}

/// A server that answers its name, at `/slow` not before the gate is open.
fn slow_at(gate: &Gate, name: &'static str) -> Backend {
    let gate = gate.clone();
    Backend::start(move |heard| {
        if heard.path() == "/slow" {
            gate.pass();
        }
        heard.ok(name)
    })
}

/// Says which statuses came, each once, in order.
fn counts(mut all: Vec<String>) -> Vec<(String, usize)> {
    all.sort();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for one in all {
        match counted.last_mut() {
            Some((last, count)) if *last == one => *count += 1,
            _ => counted.push((one, 1)),
        }
    }
    counted
}

#[test]
fn requests_go_to_each_server_in_turn() {
    world(Store::Memory, |w| {
        let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
        let browser = w.browser(&over(w, &[&a.url(), &b.url(), &c.url()], ""));
        let answers: Vec<String> = (0..9).map(|_| asked(&browser)).collect();
        assert_eq!(answers, ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
    });
}

#[test]
fn least_connections_spares_the_server_that_is_busy() {
    world(Store::Memory, |w| {
        let gate = Gate::new();
        let slow = slow_at(&gate, "slow");
        let quick = Backend::named("quick");
        let browser =
            w.browser(&over(w, &[&slow.url(), &quick.url()], "upstreams.app.balance = \"least-connections\""));
        let mut pending = Vec::new();
        while slow.heard().is_empty() {
            pending.push(browser.start(Ask::get("/slow"), Answer::ok()));
            let expected = pending.len();
            until("the request to arrive", || (slow.heard().len() + quick.heard().len() == expected).then_some(()));
        }
        gate.arrived();
        for _ in 0..6 {
            assert_eq!(asked(&browser), "quick");
        }
        gate.release();
        pending.into_iter().for_each(|one| drop(one.reply().passed(200)));
        until("the busy server to get its share again", || (asked(&browser) == "slow").then_some(()));
    });
}

#[test]
fn a_server_that_is_gone_costs_no_request_and_comes_back() {
    world(Store::Memory, |w| {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let proxy = over(w, &[&a.url(), &b.url()], "");
        let browser = w.browser(&proxy);
        assert_eq!(counts((0..4).map(|_| asked(&browser)).collect()), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
        b.stop();
        for _ in 0..10 {
            assert_eq!(asked(&browser), "a");
            // What was not sent can be sent elsewhere, whatever the method.
            assert_eq!(browser.ask(Ask::post("/", "a body"), Answer::ok()).passed(200).text(), "a");
        }
        until("the log to name the server", || proxy.log().contains(&b.url()).then_some(()));
        b.come_back();
        until("the server to be asked again", || (asked(&browser) == "b").then_some(()));
    });
}

#[test]
fn with_every_server_gone_the_answer_is_502_and_the_first_that_returns_is_asked_at_once() {
    world(Store::Memory, |w| {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let browser = w.browser(&over(w, &[&a.url(), &b.url()], ""));
        a.stop();
        b.stop();
        for _ in 0..6 {
            get(&browser).refused(502, "upstream-unavailable");
        }
        a.come_back();
        for _ in 0..4 {
            assert_eq!(asked(&browser), "a");
        }
    });
}

#[test]
fn a_5xx_is_an_answer_and_no_failure_of_its_server() {
    world(Store::Memory, |w| {
        let bad = Backend::start(|heard| heard.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
        let good = Backend::named("good");
        let browser = w.browser(&over(w, &[&bad.url(), &good.url()], ""));
        let statuses: Vec<u16> = (0..6).map(|_| get(&browser).status).collect();
        assert_eq!(statuses, [503, 200, 503, 200, 503, 200]);
    });
}

#[test]
fn a_server_that_fails_its_checks_is_left_alone_until_they_go_well() {
    world(Store::Memory, |w| {
        let health = "upstreams.app.health = { path = \"/up?x=1\", interval = \"50ms\", timeout = \"50ms\" }";
        let well = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let judged = well.clone();
        let sick =
            Backend::start(move |heard| match (heard.path(), judged.load(std::sync::atomic::Ordering::SeqCst)) {
                ("/up?x=1", false) => heard.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
                _ => heard.ok("sick"),
            });
        let (proxy, set) =
            (over(w, &[&sick.url()], health), |value| well.store(value, std::sync::atomic::Ordering::SeqCst));
        let browser = w.browser(&proxy);
        assert_eq!(asked(&browser), "sick");
        assert_eq!(proxy.readiness(), (200, "ready\n".to_owned()));
        set(false);
        until("the server to be left alone", || (get(&browser).status == 502).then_some(()));
        let before = sick.heard().iter().filter(|first| first.starts_with("GET / ")).count();
        get(&browser).refused(502, "upstream-unavailable");
        assert_eq!(sick.heard().iter().filter(|first| first.starts_with("GET / ")).count(), before);
        assert_eq!(proxy.readiness(), (503, "upstreams: no server of app is healthy\n".to_owned()));
        set(true);
        until("the server to be asked again", || (get(&browser).status == 200).then_some(()));
        assert_eq!(proxy.readiness().0, 200);
    });
}

#[test]
fn what_is_one_upstream_of_several_does_not_make_the_process_unready() {
    world(Store::Memory, |w| {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let health = "health = { path = \"/\", interval = \"50ms\", timeout = \"50ms\" }";
        let config = format!(
            "[upstreams.app]\nservers = [{:?}]\n{health}\n[upstreams.other]\nservers = [{:?}]\n{health}\n\
             [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/b\"\nupstream = \"other\"",
            a.url(),
            b.url()
        );
        let proxy = w.proxy_with(&config);
        a.stop();
        until("the log to say so", || proxy.log().contains("a server is not healthy").then_some(()));
        assert_eq!(proxy.readiness().0, 200);
        b.stop();
        let trouble = "upstreams: no server of app is healthy, no server of other is healthy\n";
        until("both to be away", || (proxy.readiness() == (503, trouble.to_owned())).then_some(()));
    });
}

/// R-16, and the idle connection that a server closes just as the next request leaves.
#[test]
fn a_request_on_a_connection_that_closes_is_repeated_only_if_that_is_harmless() {
    world(Store::Memory, |w| {
        // Every connection answers once; the second request on it is read and then not answered.
        let fickle = Backend::start(|heard| {
            heard.body()?;
            if heard.nth == 0 { heard.ok("yes") } else { Ok(false) }
        });
        let browser = w.browser(&over(w, &[&fickle.url()], ""));
        let mut executed = 0;
        for round in 0..10 {
            assert_eq!(asked(&browser), "yes");
            let body = if round % 2 == 0 { "once" } else { "" };
            let post = browser.ask(Ask::post(&format!("/post/{round}"), body), Answer::ok());
            executed += usize::from(post.status == 200);
            assert!(post.status == 200 || post.status == 502, "{}", post.status);
        }
        let heard = fickle.heard();
        for round in 0..10 {
            let posts = heard.iter().filter(|first| first.starts_with(&format!("POST /post/{round} "))).count();
            assert_eq!(posts, 1, "{heard:?}");
        }
        assert!(executed < 10, "no POST met a connection that closed: the test shows nothing");
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_fails_no_post() {
    world(Store::Memory, |w| {
        let backend = Backend::named("yes");
        let browser = w.browser(&over(w, &[&backend.url()], ""));
        for round in 0..10 {
            assert_eq!(asked(&browser), "yes");
            backend.break_all();
            // In the instant before the end of a connection is seen, a POST may still go out on it.
            let_pass(Duration::from_millis(100));
            browser.ask(Ask::post("/", "x"), Answer::ok()).passed(200);
            assert!(backend.connections() > round);
        }
    });
}

#[test]
fn an_idempotent_request_is_repeated_a_bounded_number_of_times_and_on_another_server_first() {
    world(Store::Memory, |w| {
        let closing = Backend::start(|_| Ok(false));
        let browser = w.browser(&over(w, &[&closing.url()], ""));
        get(&browser).refused(502, "upstream-failed");
        assert_eq!(closing.heard().len(), 1, "a fresh connection was closed: this server will not answer");
        let good = Backend::named("good");
        let browser = w.browser(&over(w, &[&closing.url(), &good.url()], ""));
        for _ in 0..4 {
            assert_eq!(asked(&browser), "good");
        }
        let more: Vec<Backend> = (0..6).map(|_| Backend::start(|_| Ok(false))).collect();
        let urls: Vec<String> = more.iter().map(Backend::url).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let browser = w.browser(&over(w, &urls, ""));
        get(&browser).refused(502, "upstream-failed");
        let heard: usize = more.iter().map(|one| one.heard().len()).sum();
        assert!(heard <= 3, "asked {heard} times");
        let post = Ask::post("/", "x");
        browser.ask(post, Answer::ok()).refused(502, "upstream-failed");
        let posts = more.iter().flat_map(Backend::heard).filter(|first| first.starts_with("POST")).count();
        assert_eq!(posts, 1);
    });
}

#[test]
fn connections_beyond_the_limit_wait_and_are_refused_after_a_while() {
    world(Store::Memory, |w| {
        let gate = Gate::new();
        let slow = slow_at(&gate, "done");
        let limits = "upstreams.app.max_connections = 1\nupstreams.app.connect_timeout = \"1s\"";
        let browser = w.browser(&over(w, &[&slow.url()], limits));
        let first = browser.start(Ask::get("/slow"), Answer::ok());
        gate.arrived();
        let refused = get(&browser).refused(503, "unavailable");
        assert!(refused.header("retry-after").is_some());
        let waiting = browser.start(Ask::get("/"), Answer::ok());
        gate.release();
        assert_eq!((first.reply().passed(200).text(), waiting.reply().passed(200).text()).1, "done");
        assert_eq!(slow.heard().len(), 2);
    });
}

/// The idle connection of one shard must not starve the others.
#[test]
fn the_limit_of_connections_is_shared_by_the_shards() {
    world(Store::Memory, |w| {
        let backend = Backend::named("yes");
        let limits = "upstreams.app.max_connections = 1\nupstreams.app.connect_timeout = \"20s\"";
        let browser = w.browser(&over(w, &[&backend.url()], limits));
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(asked(&browser), "yes");
        }
        let all: Vec<_> = (0..20).map(|_| browser.start(Ask::get("/"), Answer::ok())).collect();
        all.into_iter().for_each(|one| drop(one.reply().passed(200)));
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_not_used() {
    world(Store::Memory, |w| {
        let backend = Backend::named("yes");
        let browser = w.browser(&over(w, &[&backend.url()], "upstreams.app.idle_timeout = \"100ms\""));
        for wanted in 1..4 {
            asked(&browser);
            assert_eq!(backend.connections(), wanted);
            let_pass(Duration::from_millis(150));
        }
    });
}

#[test]
fn a_late_answer_is_504_and_not_asked_for_again() {
    world(Store::Memory, |w| {
        let gate = Gate::new();
        let held = gate.clone();
        let late = Backend::start(move |heard| {
            held.pass();
            heard.ok("late")
        });
        let other = Backend::named("other");
        let servers = [late.url(), other.url()];
        let browser = w.browser(&over(w, &[&servers[0], &servers[1]], "upstreams.app.response_timeout = \"300ms\""));
        get(&browser).refused(504, "upstream-timeout");
        assert_eq!(other.heard().len(), 0);
        gate.release();
    });
}

#[test]
fn the_host_is_the_browsers_or_that_of_the_server_that_is_asked() {
    world(Store::Memory, |w| {
        let told = || {
            Backend::start(|heard| {
                let host = heard.headers.all("host").join("|");
                heard.ok(&host)
            })
        };
        let (a, b) = (told(), told());
        let own = over(w, &[&a.url(), &b.url()], "upstreams.app.preserve_host = false");
        let browser = w.browser_at(&own, "http", "shop.localhost");
        assert_eq!([asked(&browser), asked(&browser)], [a.address().to_string(), b.address().to_string()]);
        let browser = w.browser_at(&over(w, &[&a.url(), &b.url()], ""), "http", "shop.localhost");
        assert_eq!([asked(&browser), asked(&browser)], ["shop.localhost", "shop.localhost"]);
        // When the first server is gone, the second is told its own name.
        let gone = format!("http://127.0.0.1:{}", free_port());
        let browser = w.browser(&over(w, &[&gone, &b.url()], "upstreams.app.preserve_host = false"));
        assert_eq!([asked(&browser), asked(&browser)], [b.address().to_string(), b.address().to_string()]);
    });
}
