//! Contract 4 and 5: what the upstream may believe and what the browser must not see. Issue 2, "must hold" 3.

use crate::support::{Answer, Ask, OurCookie, Piece, Store, TICKET, World, every_store, folded, until, world};

const SPELLINGS: [&str; 8] =
    ["X-Session", "x-session", "X-SESSION", "x_session", "X_Session", "X.SESSION", "x!session", "X-Session-Update"];

const NOMINATIONS: [&str; 4] = ["", "X-Session", "keep-alive, x_session, X.SESSION", "X-Session, Host"];

/// Two routes: one with sessions, `/static/` without.
fn with_static_files(w: &World) -> &'static str {
    w.without_session("/static/");
    r#"
    routes = [
        { path = "/", upstream = "app" },
        { path = "/static/", upstream = "app", session = false },
    ]
    "#
}

/// The header lines at the upstream's socket whose name anybody could read as `X-Session`.
fn genuine_lines(raw_head: &[u8]) -> usize {
    let lines = raw_head.split(|&byte| byte == b'\n').skip(1);
    let names = lines.filter_map(|line| line.split(|&byte| byte == b':').next());
    names.filter(|name| folded(&String::from_utf8_lossy(name)) == "x-session").count()
}

#[test]
fn the_upstream_sees_one_genuine_token_whatever_the_client_sends() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        for spelling in SPELLINGS {
            for nomination in NOMINATIONS {
                let mut ask = Ask::get("/").header(spelling, "forged").header(spelling, "forged, forged");
                if !nomination.is_empty() {
                    ask = ask.header("Connection", nomination);
                }
                for (ask, data) in [(ask.clone(), r#"{"user":"ada"}"#), (ask.without_cookies(), "{}")] {
                    let reply = browser.ask(ask, Answer::ok()).passed(200).without_cookie();
                    let seen = reply.seen.as_ref().expect("a request at the upstream");
                    assert_eq!(genuine_lines(&seen.raw_head), 1, "{spelling}, Connection: {nomination}");
                    assert!(!seen.raw_head.windows(6).any(|window| window == b"forged"), "{spelling}");
                    assert_eq!(reply.token().data(), data, "{spelling}, Connection: {nomination}");
                }
            }
        }
    });
}

#[test]
fn eight_bit_bytes_in_connection_do_no_harm() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let ask = Ask::get("/").header("Connection", b"\xff\xfe, x-session").header("X-Session", "forged");
        let reply = browser.ask(ask, Answer::ok());
        assert!([200, 400].contains(&reply.status), "{}", reply.status);
        browser.visit();
    });
}

#[test]
fn a_token_in_request_trailers_is_removed() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let ask = Ask::of("POST", "/").header("Transfer-Encoding", "chunked").header("Trailer", "X-Session, x_session");
        let mut exchange = browser.open(ask, Answer::ok());
        let body = b"3\r\nabc\r\n0\r\nX-Session: forged\r\nx_session: forged\r\n\r\n";
        exchange.send(body).expect("sending the body");
        let reply = exchange.reply().passed(200);
        let seen = reply.seen.as_ref().expect("a request at the upstream");
        assert_eq!(seen.body, b"abc");
        assert!(seen.trailers.like("x-session").is_empty());
    });
}

#[test]
fn a_route_without_session_gives_the_upstream_no_token_at_all() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy_with(with_static_files(w)));
        browser.update(r#"{"user":"ada"}"#);
        let watch = w.redis().watch();
        let ask = Ask::get("/static/a.css").header("X-Session", "forged").header("x_session", "forged");
        let reply = browser.ask(ask, Answer::updating(r#"{"user":"eve"}"#).control("destroy")).passed(200);
        assert_eq!(reply.without_cookie().seen.expect("a request").headers.first("cookie"), None);
        assert_eq!(watch.commands(), Vec::<String>::new());
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn update_and_control_never_reach_the_browser() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(with_static_files(w));
        for status in [200, 204, 302, 304, 404, 422, 500, 503] {
            for (method, target) in [("GET", "/"), ("HEAD", "/"), ("GET", "/static/a"), ("HEAD", "/static/a")] {
                let answer = Answer::status(status)
                    .update(r#"{"canary":"of the update"}"#)
                    .header("x-SESSION-update", r#"{"second":"line of it"}"#)
                    .control("rotate")
                    .header("X_Session_Control", "clear")
                    .header("X-Session", "an echo")
                    .header("X-Keep", "kept");
                // The ledger looks at every head for the three names and at the whole text for the values.
                let reply = w.browser(&proxy).ask(Ask::of(method, target), answer).passed(status);
                assert_eq!(reply.header("x-keep"), Some("kept"), "{status} to {method} {target}");
            }
        }
    });
}

every_store! {
    fn update_and_control_count_on_every_final_status_below_500(w) {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"last":0}"#);
        for status in [200, 204, 302, 304, 404, 422] {
            for method in ["GET", "HEAD"] {
                let update = format!(r#"{{"last":"{method} {status}"}}"#);
                browser.ask(Ask::of(method, "/"), Answer::status(status).update(&update)).passed(status);
                assert_eq!(browser.data(), update.as_str());
            }
        }
        browser.get("/", Answer::status(500).update(r#"{"last":"lost"}"#).control("rotate")).passed(500).without_cookie();
        assert_eq!(browser.data(), r#"{"last":"HEAD 422"}"#);
        let out = browser.get("/", Answer::status(503).update(r#"{"last":"lost"}"#).control("destroy")).passed(503);
        assert!(OurCookie::of(&out).is_deletion());
        assert!(!browser.visit().is_live());
    }
}

#[test]
fn update_and_control_in_interim_responses_and_trailers_vanish_without_effect() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        let hint =
            [("Link", "</a.css>"), ("X-Session-Update", r#"{"early":"hint"}"#), ("X-Session-Control", "rotate, clear")];
        let reply = browser.get("/", Answer::ok().interim(103, &hint)).passed(200).without_cookie();
        assert!(reply.interim.iter().all(|&status| status == 103));
        let late = Answer::ok()
            .pieces([Piece::Data("abc")])
            .trailer("X-Session-Update", r#"{"late":"trailer"}"#)
            .trailer("x_session_control", "rotate, clear");
        let reply = browser.ask(Ask::get("/").header("TE", "trailers"), late).passed(200).without_cookie();
        assert!(reply.complete && reply.body == b"abc" && reply.trailers.like("x-session-update").is_empty());
        assert_eq!(w.redis().sessions(), Vec::<String>::new());
    });
}

#[test]
fn the_upstream_sees_every_cookie_but_ours_byte_for_byte() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let ours = format!("{TICKET}={}", browser.ticket().expect("a ticket"));
        let others: [&[u8]; 6] =
            [b"a=1", b"b=\"x y,z\"", b"c=\xe9\xff", b"__Host-session2=z", b"x__Host-session=z", b"__host-session=z"];
        for place in 0..=others.len() {
            let mut pairs = others.to_vec();
            pairs.insert(place, ours.as_bytes());
            let reply = browser.ask(Ask::get("/").cookie(pairs.join(&b"; "[..])), Answer::ok()).passed(200);
            assert_eq!(reply.token().data(), r#"{"user":"ada"}"#);
            let raw_head = &reply.seen.as_ref().expect("a request at the upstream").raw_head;
            let line =
                raw_head.split(|&byte| byte == b'\n').find(|line| line.to_ascii_lowercase().starts_with(b"cookie:"));
            let value = line.expect("a Cookie header")[b"cookie:".len()..].trim_ascii();
            let seen: Vec<_> = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).collect();
            assert_eq!(seen, others, "ours at place {place}");
        }
        let alone = browser.ask(Ask::get("/").cookie(&ours), Answer::ok()).passed(200);
        assert_eq!(alone.seen.expect("a request").headers.first("cookie"), None);
    });
}

#[test]
fn the_cookies_of_the_application_pass_beside_ours() {
    world(Store::Memory, |w| {
        let browser = w.browser(&w.proxy());
        let answer = Answer::updating(r#"{"user":"ada"}"#)
            .header("Set-Cookie", "one=1; Path=/")
            .header("Set-Cookie", "__Host-session=stolen; Path=/; Secure")
            .header("Set-Cookie", "two=2; Path=/; HttpOnly");
        let reply = browser.get("/", answer).passed(200);
        let lines = reply.set_cookies();
        assert_eq!(
            lines.iter().filter(|line| !line.starts_with(TICKET)).collect::<Vec<_>>(),
            [&"one=1; Path=/", &"two=2; Path=/; HttpOnly"]
        );
        let ticket = OurCookie::of(&reply);
        assert_ne!(ticket.value, "stolen");
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn a_ticket_that_we_did_not_make_costs_the_store_nothing() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        browser.update(r#"{"user":"ada"}"#);
        let ticket = browser.ticket().expect("a ticket");
        assert!(
            ticket.len() <= 128 && ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        let flipped = if ticket.ends_with('A') { "Q" } else { "A" };
        let forged = [
            format!("{}{flipped}", &ticket[..ticket.len() - 1]),
            format!("{ticket}A"),
            ticket[..ticket.len() - 1].to_owned(),
            format!("\"{ticket}\""),
            "x".to_owned(),
            "A".repeat(8_000),
            "../../*{tag}".to_owned(),
        ];
        let watch = w.redis().watch();
        for forged in &forged {
            assert!(!browser.visit_with(forged).is_live(), "{forged}");
        }
        assert_eq!(watch.commands(), Vec::<String>::new());
        until("the genuine one to work", || browser.visit_with(&ticket).is_live().then_some(()));
    });
}
