//! `vault`: the application's own cookies stay in the session, never in the browser. The application here is the kind
//! that starts a session of its own: it sets `PHPSESSID` and finds its user by it.

use std::{net::TcpListener, sync::mpsc, thread};

use crate::support::{
    Answer, Ask, Browser, Exact, Gate, OurCookie, Reply, Store, TICKET, Wire, every_store, latin1, parse_head, world,
};

const CONFIG: &str = r#"
    routes = [
        { path = "/", upstream = "app", vault = { cookies = ["PHPSESSID", "legacy_*"], volatile = ["legacy_csrf"] }, end_on = ["/logout"] },
        { path = "/api", upstream = "app" },
        { path = "/static/", upstream = "app", session = false },
    ]
"#;

/// The cookies that the application got.
fn got(reply: &Reply) -> String {
    let seen = reply.seen.as_ref().expect("a request at the upstream");
    let lines = seen.headers.all("cookie");
    assert!(lines.len() <= 1, "{lines:?}");
    lines.concat()
}

fn sets(lines: &[&str]) -> Answer {
    lines.iter().fold(Answer::ok(), |answer, line| answer.header("Set-Cookie", line))
}

/// Asserts that no cookie but ours is told to the browser.
#[track_caller]
fn silent(reply: Reply) -> Reply {
    assert!(reply.set_cookies().iter().all(|line| line.starts_with(TICKET)), "{:?}", reply.set_cookies());
    reply
}

fn visit(browser: &Browser, target: &str) -> String {
    got(&silent(browser.get(target, Answer::ok()).passed(200).without_cookie()))
}

every_store! {
    fn the_application_keeps_its_own_session_and_the_browser_never_sees_it(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        assert_eq!(got(&browser.get("/", Answer::ok()).passed(200)), "");
        let reply = silent(browser.get("/", sets(&["PHPSESSID=p1; path=/; HttpOnly", "theme=dark; Path=/"][..1])).passed(200));
        OurCookie::of(&reply);
        assert_eq!(visit(&browser, "/page"), "PHPSESSID=p1");
        let token = browser.visit();
        assert_eq!((token.data(), token.claims.ver), (Exact::parse("{}"), Some(1)), "no part of the data");
        let other = w.browser(&w.proxy_with(CONFIG));
        assert_eq!(visit(&other, "/"), "");
    }

    fn other_cookies_pass_in_both_directions(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        let reply = browser.get("/", sets(&["a=1", "PHPSESSID=p1", "b=2; Path=/", "legacy_x=3", "PHPSESSID2=4"])).passed(200);
        let theirs: Vec<_> = reply.set_cookies().into_iter().filter(|line| !line.starts_with(TICKET)).collect();
        assert_eq!(theirs, ["a=1", "b=2; Path=/", "PHPSESSID2=4"]);
        let ours = format!("{TICKET}={}", browser.ticket().expect("a ticket"));
        let sent = format!("x=\"1, 2\"; {ours}; y=\u{e9}; z");
        let reply = browser.ask(Ask::get("/").cookie(&sent), Answer::ok()).passed(200);
        assert_eq!(got(&reply), latin1("PHPSESSID=p1; legacy_x=3; x=\"1, 2\"; y=\u{e9}; z".as_bytes()));
    }

    fn a_forged_vaulted_cookie_never_arrives(w) {
        w.without_session("/static/");
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["PHPSESSID=p1; path=/"])).passed(200);
        let ours = format!("{TICKET}={}", browser.ticket().expect("a ticket"));
        for forged in [
            "PHPSESSID=evil", "phpsessid=evil", " PHPSESSID = evil", "PHPSESSID", "PHPSESSID=evil; PHPSESSID=evil2", "PHPSESS%49D=evil",
            "+PHPSESSID=evil", "PHPSESSID[]=evil", "legacy_user=evil", "legacy.user=evil", "a=1,PHPSESSID=evil", "legacy_csrf=evil",
            "a=\"x; PHPSESSID=evil; y\"",
        ] {
            for (target, own) in [("/", "PHPSESSID=p1"), ("/api", ""), ("/static/a", "")] {
                let reply = browser.ask(Ask::get(target).cookie(format!("{forged}; {ours}")), Answer::ok()).passed(200);
                let got = got(&reply);
                assert!(!got.contains("evil") && got.matches("PHPSESSID").count() == own.len().min(1), "{forged} to {target}: {got}");
                let nobody = browser.ask(Ask::get(target).cookie(forged), Answer::ok()).passed(200);
                assert!(!self::got(&nobody).contains("PHPSESSID"), "{forged} to {target}: {}", self::got(&nobody));
            }
        }
    }

    fn paths_and_deletions_are_a_browsers(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/shop/cart/add", sets(&["legacy_cart=1", "legacy_all=2; Path=/", "legacy_far=3; Path=/far/"])).passed(200);
        assert_eq!(visit(&browser, "/shop/cart"), "legacy_cart=1; legacy_all=2");
        assert_eq!(visit(&browser, "/shop/cart/list?x=/far/"), "legacy_cart=1; legacy_all=2");
        assert_eq!(visit(&browser, "/shop/carts"), "legacy_all=2");
        assert_eq!(visit(&browser, "/far/x"), "legacy_far=3; legacy_all=2");
        browser.get("/", sets(&["legacy_all=deleted; Path=/; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "legacy_cart=; Max-Age=0"])).passed(200);
        assert_eq!(visit(&browser, "/shop/cart"), "legacy_cart=1", "of another path");
        browser.get("/", sets(&["legacy_cart=; Max-Age=0; Path=/shop/cart"])).passed(200);
        assert_eq!(visit(&browser, "/shop/cart"), "");
        assert!(browser.visit().is_live(), "an empty vault ends no session");
    }

    fn whoever_planted_the_ticket_does_not_follow_into_the_log_in(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["PHPSESSID=anonymous; path=/"])).passed(200);
        let planted = browser.ticket().expect("a ticket");
        browser.get("/", sets(&["PHPSESSID=anonymous; path=/"])).passed(200).without_cookie();
        silent(browser.ask(Ask::post("/login", "user=ada"), sets(&["PHPSESSID=ada; path=/"])).passed(200));
        assert_ne!(browser.ticket().as_deref(), Some(&*planted));
        assert_eq!(visit(&browser, "/"), "PHPSESSID=ada");
        let reply = browser.ask(Ask::get("/").ticket(&planted), Answer::ok()).passed(200).without_cookie();
        assert_eq!(got(&reply), "", "a planted ticket is nobody's");
    }

    fn a_first_vaulted_cookie_in_a_session_that_was_there_rotates_too(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"cart":1}"#);
        let planted = browser.ticket().expect("a ticket");
        browser.get("/login", sets(&["legacy_auth=ada; path=/"])).passed(200);
        assert_eq!(got(&browser.ask(Ask::get("/").ticket(&planted), Answer::ok())), "");
        assert_eq!((visit(&browser, "/"), browser.data()), ("legacy_auth=ada".to_owned(), Exact::parse(r#"{"cart":1}"#)));
    }

    fn volatile_cookies_change_without_a_new_ticket(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        for n in 0..3 {
            let reply = browser.get("/", sets(&[&format!("legacy_csrf={n}; path=/")])).passed(200);
            assert_eq!(reply.set_cookies().len(), usize::from(n == 0));
            assert_eq!(visit(&browser, "/"), format!("legacy_csrf={n}"));
        }
    }

    fn what_ends_the_session_ends_the_log_in_of_the_application(w) {
        let proxy = w.proxy_with(CONFIG);
        let (browser, admin) = (w.browser(&proxy), w.browser(&w.proxy_with("upstreams.app.may = [\"subject\", \"revoke\"]")));
        if w.has_redis() {
            browser.get("/", sets(&["PHPSESSID=ada; path=/"]).control("subject=ada")).passed(200);
            admin.control("revoke-subject=ada");
            assert_eq!(got(&browser.get("/", Answer::ok()).passed(200)), "");
        }
        browser.get("/", sets(&["PHPSESSID=ada; path=/"])).passed(200);
        let stolen = browser.ticket().expect("a ticket");
        browser.get("/logout", sets(&["PHPSESSID=deleted; path=/; Max-Age=0"])).passed(200);
        assert_eq!(browser.ticket(), None);
        assert_eq!(got(&browser.ask(Ask::get("/").ticket(&stolen), Answer::ok()).passed(200)), "");
    }

    fn two_at_once_lose_neither(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.update(r#"{"n":0}"#);
        let gate = Gate::for_all(8);
        let all: Vec<_> = (0..8)
            .map(|n| {
                let answer = match n % 2 {
                    0 => sets(&[&format!("legacy_csrf={n}; path=/{n}")]),
                    _ => Answer::updating(&format!(r#"{{"k{n}":{n}}}"#)),
                };
                browser.start(Ask::get("/"), answer.after(&gate))
            })
            .collect();
        gate.arrived();
        gate.release();
        all.into_iter().for_each(|one| drop(silent(one.reply().passed(200))));
        for n in [0, 2, 4, 6] {
            assert_eq!(visit(&browser, &format!("/{n}/x")), format!("legacy_csrf={n}"));
        }
        assert_eq!(browser.data().keys().len(), 5);
    }

    fn a_cookie_that_outlives_the_browser_makes_the_session_do_so(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        let reply = browser.get("/", sets(&["legacy_remember=ada; path=/; Max-Age=2592000"])).passed(200);
        let age: u64 = OurCookie::of(&reply).attribute("max-age").expect("a Max-Age").parse().expect("seconds");
        assert!((2_591_990..=2_592_000).contains(&age), "{age}");
        browser.close();
        assert_eq!(visit(&browser, "/"), "legacy_remember=ada");
        let claims = browser.visit().claims;
        assert!(claims.expires.expect("a deadline") - claims.created.expect("a beginning") >= 2_591_999);
    }

    /// phpMyAdmin remembers the user's name for a month, and the log-in as long as the browser is open.
    fn a_cookie_that_ends_with_the_session_keeps_nobody_signed_in(w) {
        let config = r#"
            routes = [{ path = "/", upstream = "app", vault = { cookies = ["pma*"], session_only = ["pmaUser-*"] } }]
        "#;
        let browser = w.browser(&w.proxy_with(config));
        let month = "pmaUser-1=ada; path=/; Max-Age=2592000";
        let reply = browser.get("/", sets(&["pmaAuth-1=secret; path=/", month])).passed(200);
        assert_eq!((OurCookie::of(&reply).attribute("max-age"), OurCookie::of(&reply).attribute("expires")), (None, None));
        assert_eq!(visit(&browser, "/"), "pmaAuth-1=secret; pmaUser-1=ada");
        let claims = browser.visit().claims;
        assert_eq!(claims.expires.expect("a deadline") - claims.created.expect("a beginning"), 12 * 3600);
        browser.get("/", sets(&["pmaUser-1=; path=/; Max-Age=0"])).passed(200);
        assert_eq!(visit(&browser, "/"), "pmaAuth-1=secret", "deletions work");
        browser.close();
        assert_eq!(visit(&browser, "/"), "");
    }

    fn with_an_update_it_is_one_change(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["PHPSESSID=p1; path=/"]).update(r#"{"n":1}"#)).passed(200);
        assert_eq!((visit(&browser, "/"), browser.data()), ("PHPSESSID=p1".to_owned(), Exact::parse(r#"{"n":1}"#)));
        let answer = sets(&["PHPSESSID=p2; path=/"]).update(r#"[{"op":"remove","path":"/nothing"}]"#);
        browser.get("/", answer).refused(409, "version-conflict").without_cookie();
        assert_eq!(visit(&browser, "/"), "PHPSESSID=p1");
    }
}

#[test]
fn every_status_but_5xx_and_every_method_counts() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(CONFIG);
        for status in [200, 204, 302, 304, 401, 404, 500, 503] {
            for method in ["GET", "HEAD", "POST"] {
                let browser = w.browser(&proxy);
                let answer = Answer::status(status).header("set-COOKIE", "PHPSESSID=p1; path=/");
                silent(browser.ask(Ask::of(method, "/"), answer).passed(status));
                assert_eq!(!visit(&browser, "/").is_empty(), status < 500, "{method} {status}");
            }
        }
        assert!(proxy.log().contains("a session change on a 5xx answer is dropped"));
    });
}

#[test]
fn a_response_that_came_with_a_cookie_is_kept_out_of_shared_caches() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["legacy_csrf=1; path=/"])).passed(200);
        let answer = sets(&["legacy_csrf=2; path=/"]).header("Cache-Control", "public, max-age=60");
        let reply = browser.get("/", answer).passed(200).without_cookie();
        assert_eq!(reply.header("cache-control"), Some("private, max-age=60"));
    });
}

#[test]
fn values_are_bytes_and_come_back_as_they_were() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        let long = format!("PHPSESSID={}; path=/", "x".repeat(10 * 1024));
        for value in ["PHPSESSID=\"a b\"; path=/", "PHPSESSID=%0d%0aX-Admin: 1; path=/", "PHPSESSID=; path=/", &long] {
            browser.get("/", sets(&[value])).passed(200);
            assert_eq!(visit(&browser, "/"), value.split(';').next().expect("a pair"));
        }
        browser.get("/", Answer::ok().raw_header("Set-Cookie", b"PHPSESSID=J\xfcrgen\xff; path=/")).passed(200);
        assert_eq!(visit(&browser, "/"), latin1(b"PHPSESSID=J\xfcrgen\xff"));
    });
}

#[test]
fn no_value_of_a_cookie_breaks_splits_or_forges_a_header() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with(CONFIG);
        for value in [&b"a\0b"[..], b"a\x01b", b"a\x7fb", b"a\rX-Admin: 1"] {
            let browser = w.browser(&proxy);
            let line = [b"PHPSESSID=", value, b"; path=/"].concat();
            let reply = browser.get("/", Answer::ok().raw_header("Set-Cookie", &line));
            assert_eq!((reply.status, reply.header("x-admin")), (502, None), "{value:?}");
            assert_eq!(visit(&browser, "/"), "", "{value:?}");
        }
        for name in ["legacy_\u{43a}", "legacy_ a", "legacy_[x]", "legacy_%0d%0aX-Admin:1"] {
            let browser = w.browser(&proxy);
            browser.get("/", sets(&[&format!("{name}=\u{43b}\u{1f5dd},\t1; path=/")])).passed(200);
            let reply = silent(browser.get("/", Answer::ok()).passed(200));
            assert_eq!(got(&reply), latin1(format!("{name}=\u{43b}\u{1f5dd},\t1").as_bytes()));
            assert!(reply.seen.as_ref().expect("a request").headers.all("x-admin").is_empty());
        }
    });
}

#[test]
fn a_vault_can_be_switched_off_and_on_again() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["PHPSESSID=p1; path=/"])).passed(200);
        let ticket = browser.ticket().expect("a ticket");
        let plain = w.browser(&w.proxy());
        let ask = |cookie: &str| Ask::get("/").cookie(format!("{cookie}; {TICKET}={ticket}"));
        let reply = plain.ask(ask("PHPSESSID=own"), sets(&["PHPSESSID=p2; path=/"])).passed(200);
        assert_eq!((got(&reply), reply.set_cookies()), ("PHPSESSID=own".to_owned(), vec!["PHPSESSID=p2; path=/"]));
        assert_eq!(got(&browser.ask(ask("PHPSESSID=own"), Answer::ok()).passed(200)), "PHPSESSID=p1");
    });
}

/// What a session weighs is what is written down, so that no store is asked to read more than it expects.
#[test]
fn the_largest_vault_is_read_again_however_its_bytes_are_written() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with(CONFIG));
        for (byte, fits) in [(b'x', 65_000), (b'"', 32_500), (b'\\', 32_500), (0xff, 32_500)] {
            for (count, status) in [(fits, 200), (fits + 600, 502)] {
                let line = [b"legacy_csrf=", vec![byte; count].as_slice(), b"; path=/"].concat();
                assert_eq!(
                    browser.get("/", Answer::ok().raw_header("Set-Cookie", &line)).status,
                    status,
                    "{byte} {count}"
                );
                assert_eq!(visit(&browser, "/").chars().count(), "legacy_csrf=".len() + fits, "{byte}");
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_and_never_silent() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy_with(&format!("session.max_bytes = \"1KiB\"\n{CONFIG}")));
        browser.get("/", sets(&["PHPSESSID=p1; path=/"])).passed(200);
        let long = format!("PHPSESSID={}; path=/", "x".repeat(1024));
        browser.get("/", sets(&[&long])).refused(502, "session-too-large").without_cookie();
        assert_eq!(visit(&browser, "/"), "PHPSESSID=p1");
        let late = browser.ticket().expect("a ticket");
        browser.control("rotate");
        browser
            .ask(Ask::get("/").ticket(&late), sets(&["PHPSESSID=p2; path=/"]))
            .refused(409, "session-ended")
            .without_cookie();
    });
}

/// Another application, which sets this cookie with every answer; what it was asked with.
fn another(cookie: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let told = told.clone();
            thread::spawn(move || {
                let mut wire = Wire::new(stream);
                while let Ok(head) = wire.head() {
                    let cookies = parse_head(&head).1.all("cookie").concat();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: {cookie}\r\n\r\n");
                    if told.send(cookies).is_err() || wire.send(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, heard)
}

every_store! {
    fn two_applications_with_the_same_cookie_do_not_mix(w) {
        let (url, heard) = another("PHPSESSID=two; path=/");
        let config = format!(
            r#"
            upstreams.other.servers = ["{url}"]
            routes = [
                {{ path = "/", upstream = "app", vault = {{ cookies = ["PHPSESSID"] }} }},
                {{ path = "/two", upstream = "other", vault = {{ cookies = ["PHPSESSID"] }} }},
            ]
            "#,
        );
        let browser = w.browser(&w.proxy_with(&config));
        browser.get("/", sets(&["PHPSESSID=one; path=/"])).passed(200);
        silent(browser.get("/two", Answer::ok()).passed(200));
        assert_eq!(heard.recv().expect("a request"), "");
        silent(browser.get("/two", Answer::ok()).passed(200)).without_cookie();
        assert_eq!(heard.recv().expect("a request"), "PHPSESSID=two");
        assert_eq!(visit(&browser, "/"), "PHPSESSID=one");
        browser.get("/", sets(&["PHPSESSID=; path=/; Max-Age=0"])).passed(200);
        assert_eq!(visit(&browser, "/"), "");
        browser.get("/two", Answer::ok()).passed(200);
        assert_eq!(heard.recv().expect("a request"), "PHPSESSID=two");
    }

    /// The log-in and a late page of the visitor before: one of them rotates first, and the other changes nothing.
    fn of_two_that_change_a_value_at_once_one_is_refused(w) {
        let browser = w.browser(&w.proxy_with(CONFIG));
        browser.get("/", sets(&["PHPSESSID=p0; path=/"])).passed(200);
        let gate = Gate::for_all(2);
        let one = |value: &str| browser.start(Ask::get("/"), sets(&[&format!("PHPSESSID={value}; path=/")]).after(&gate));
        let both = [one("p1"), one("p2")];
        gate.arrived();
        gate.release();
        let mut statuses = both.map(|one| one.reply().status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        assert!(["PHPSESSID=p1", "PHPSESSID=p2"].contains(&&*visit(&browser, "/")));
    }
}

#[test]
fn our_own_cookie_is_never_vaulted() {
    world(Store::Memory, |w| {
        let browser =
            w.browser(&w.proxy_with(r#"routes = [{ path = "/", upstream = "app", vault = { cookies = ["*"] } }]"#));
        let reply = browser
            .get("/", sets(&["a=1; path=/", &format!("{TICKET}=evil; Path=/; Secure"), "b=2; path=/"]))
            .passed(200);
        assert_ne!(OurCookie::of(&silent(reply)).value, "evil");
        assert_eq!(visit(&browser, "/"), "a=1; b=2");
    });
}

#[test]
fn the_values_of_vaulted_cookies_are_in_no_log() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(CONFIG);
        let browser = w.browser(&proxy);
        browser.get("/", sets(&["PHPSESSID=canary-one; path=/"])).passed(200);
        browser.get("/", sets(&["PHPSESSID=canary-two; path=/"])).passed(200);
        browser.get("/", sets(&["PHPSESSID=canary-three; path=/"]).update("{")).refused(502, "invalid-update");
        browser.get("/", Answer::status(500).header("Set-Cookie", "PHPSESSID=canary-four")).passed(500);
        browser.ask(Ask::get("/").cookie("PHPSESSID=canary-five"), Answer::ok()).passed(200);
        proxy.terminate();
        assert!(!proxy.log().contains("canary"), "{}", proxy.log());
    });
}
