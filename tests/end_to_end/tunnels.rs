//! Contract 7: WebSockets and other upgrades. A tunnel passes bytes, and lives no longer than its session.
//! Threats W-01, W-08, W-10.

mod websocket;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Ask, Backend, Browser, Connection, OurCookie, Proxy, Store, TICKET, World, every_store, let_pass, until,
    world,
};

/// What the contract gives a tunnel after its session has ended, and a busy machine besides.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// An application that echoes on `/ws` what comes after its `101`.
struct Echo {
    backend: Backend,
    /// Tunnels that are open.
    open: Arc<AtomicUsize>,
}

impl Echo {
    /// `fields` are added to each `101`.
    fn start(fields: &'static str) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        let backend = Backend::start(move |heard| {
            if heard.headers.first("upgrade").is_none() {
                return heard.ok("plain");
            }
            heard.send(&format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n{fields}\r\n"
            ))?;
            counted.fetch_add(1, Ordering::SeqCst);
            let (mut stream, mut piece) = (heard.wire.stream(), [0; 16 * 1024]);
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                if stream.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            counted.fetch_sub(1, Ordering::SeqCst);
            Ok(false)
        });
        Self { backend, open }
    }

    fn proxy(&self, w: &World, more: &str) -> Arc<Proxy> {
        w.proxy_with(&format!(
            "routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/ws\", upstream = \"echo\" }}]\n\
             upstreams.echo.servers = [{:?}]\n{more}",
            self.backend.url()
        ))
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn all_closed(&self) {
        until("the application's side of every tunnel to close", || (self.open() == 0).then_some(()));
    }
}

/// The browser's side of a tunnel.
struct Tunnel(Connection);

impl Tunnel {
    fn dig(proxy: &Proxy, ticket: Option<&str>) -> Self {
        let cookie = ticket.map(|ticket| format!("Cookie: {TICKET}={ticket}\r\n")).unwrap_or_default();
        let mut connection = proxy.connect();
        let head =
            format!("GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n{cookie}\r\n");
        connection.send(head.as_bytes()).expect("sending");
        let reply = connection.head().expect("an answer");
        assert_eq!((reply.status, reply.header("upgrade")), (101, Some("echo")));
        Self(connection)
    }

    fn of(browser: &Browser, proxy: &Proxy) -> Self {
        Self::dig(proxy, Some(&browser.ticket().expect("a session")))
    }

    fn echoes(&self, text: &[u8]) -> bool {
        let mut stream = self.0.stream();
        let mut back = vec![0; text.len()];
        stream.write_all(text).is_ok() && stream.read_exact(&mut back).is_ok() && back == text
    }

    /// Waits for the end of the tunnel; how long it took.
    fn end(&self) -> Duration {
        let begun = Instant::now();
        let mut left = Vec::new();
        let _ = self.0.stream().read_to_end(&mut left);
        assert_eq!(left, b"");
        begun.elapsed()
    }
}

#[test]
fn bytes_pass_both_ways_as_they_are() {
    world(Store::Memory, |w| {
        let echo = Echo::start("");
        let tunnel = Tunnel::dig(&echo.proxy(w, ""), None);
        let all: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let mut reader = tunnel.0.stream().try_clone().expect("a second handle");
        let expected = all.clone();
        let reading = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).expect("the echo");
            assert!(back == expected, "{} of {} bytes came back, or others", back.len(), expected.len());
        });
        let mut writer = tunnel.0.stream();
        all.chunks(7_777).for_each(|piece| writer.write_all(piece).expect("sending"));
        writer.shutdown(Shutdown::Write).expect("shutting an open connection");
        reading.join().expect("the echo");
        echo.all_closed();
    });
}

every_store! {
    fn a_tunnel_is_closed_when_its_session_is_destroyed(w) {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "");
        let (browser, other) = (w.browser(&proxy), w.browser(&proxy));
        browser.update(r#"{"user":"ada"}"#);
        other.update(r#"{"user":"bob"}"#);
        let (tunnel, others, nobodys) =
            (Tunnel::of(&browser, &proxy), Tunnel::of(&other, &proxy), Tunnel::dig(&proxy, None));
        assert!(tunnel.echoes(b"here"));
        browser.control("destroy");
        assert!(tunnel.end() < CLOSED_WITHIN);
        until("the application's side to close", || (echo.open() == 2).then_some(()));
        assert!(others.echoes(b"still here") && nobodys.echoes(b"still here"));
    }

    fn a_tunnel_is_closed_when_its_session_is_revoked(w) {
        let echo = Echo::start("");
        let rights = "upstreams.app.may = [\"rotate\", \"destroy\", \"clear\", \"subject\", \"lifetime\", \"revoke\"]";
        let proxy = echo.proxy(w, rights);
        let browser = w.browser(&proxy);
        browser.get("/", Answer::updating(r#"{"user":"ada"}"#).control("subject=ada")).passed(200);
        let tunnel = Tunnel::of(&browser, &proxy);
        w.browser(&proxy).control("revoke-subject=ada");
        assert!(tunnel.end() < CLOSED_WITHIN);
        echo.all_closed();
    }

    fn a_rotation_closes_no_tunnel_and_a_later_end_still_does(w) {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let tunnel = Tunnel::of(&browser, &proxy);
        browser.control("rotate");
        let_pass(CLOSED_WITHIN);
        assert!(tunnel.echoes(b"still here"));
        browser.control("destroy");
        assert!(tunnel.end() < CLOSED_WITHIN);
    }

    fn a_tunnel_is_closed_at_its_sessions_deadline_whatever_flows(w) {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "");
        let browser = w.browser(&proxy);
        browser.get("/", Answer::updating(r#"{"user":"ada"}"#).control("lifetime=3")).passed(200);
        let (tunnel, begun) = (Tunnel::of(&browser, &proxy), Instant::now());
        while tunnel.echoes(b"ping") {
            let_pass(Duration::from_millis(100));
            assert!(begun.elapsed() < Duration::from_secs(3) + CLOSED_WITHIN);
        }
        assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
        echo.all_closed();
    }

    fn bytes_keep_a_session_from_idling_out_and_silence_does_not(w) {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "session.idle_timeout = \"4s\"\nsession.touch_interval = \"1s\"");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let (tunnel, begun) = (Tunnel::of(&browser, &proxy), Instant::now());
        while begun.elapsed() < Duration::from_secs(10) {
            assert!(tunnel.echoes(b"ping"), "after {:?}", begun.elapsed());
            let_pass(Duration::from_millis(200));
        }
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        let silent = tunnel.end();
        assert!((Duration::from_secs(2)..Duration::from_secs(5) + CLOSED_WITHIN).contains(&silent), "{silent:?}");
        assert!(!browser.visit().is_live());
    }

    fn a_session_that_the_101_makes_counts(w) {
        let echo = Echo::start("X-Session-Update: {\"user\":\"ada\"}\r\n");
        let proxy = echo.proxy(w, "");
        let mut connection = proxy.connect();
        let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        connection.send(head.as_bytes()).expect("sending");
        let reply = connection.head().expect("an answer");
        let ticket = OurCookie::of(&reply).value.clone();
        let tunnel = Tunnel(connection);
        assert!(tunnel.echoes(b"here"));
        let browser = w.browser(&proxy);
        assert_eq!(browser.visit_with(&ticket).data(), r#"{"user":"ada"}"#);
        browser.ask(Ask::get("/").ticket(&ticket), Answer::controlling("destroy")).passed(200);
        assert!(tunnel.end() < CLOSED_WITHIN);
        echo.all_closed();
    }
}

/// The proxy that has the tunnel hears of the end from the store alone.
#[test]
fn a_tunnel_is_closed_when_its_session_ends_through_another_proxy() {
    world(Store::Redis, |w| {
        let echo = Echo::start("");
        let (here, there) = (echo.proxy(w, ""), echo.proxy(w, ""));
        let browser = w.browser(&here);
        let log_in = || browser.get("/", Answer::updating(r#"{"user":"ada"}"#).control("subject=ada")).passed(200);
        log_in();
        let tunnel = Tunnel::of(&browser, &here);
        browser.through(&there).control("destroy");
        assert!(tunnel.end() < CLOSED_WITHIN);
        log_in();
        let tunnel = Tunnel::of(&browser, &here);
        let other = w.browser(&there);
        other.get("/", Answer::updating(r#"{"user":"ada"}"#).control("subject=ada, revoke-others")).passed(200);
        assert!(tunnel.end() < CLOSED_WITHIN);
        echo.all_closed();
        assert!(other.visit().is_live());
    });
}

#[test]
fn a_store_that_is_away_closes_no_tunnel() {
    world(Store::DurableRedis, |w| {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "store.timeout = \"250ms\"\nstore.save_timeout = \"500ms\"");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let tunnel = Tunnel::of(&browser, &proxy);
        w.redis().kill();
        let_pass(CLOSED_WITHIN);
        assert!(tunnel.echoes(b"still here"));
        w.redis().restart();
        until("the store to be back", || {
            (browser.ask(Ask::get("/"), Answer::controlling("destroy")).status == 200).then_some(())
        });
        assert!(tunnel.end() < CLOSED_WITHIN);
    });
}

#[test]
fn a_tunnel_is_a_connection_to_its_server_until_it_ends() {
    world(Store::Memory, |w| {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "upstreams.echo.max_connections = 1\nupstreams.echo.connect_timeout = \"300ms\"");
        let tunnel = Tunnel::dig(&proxy, None);
        let browser = w.browser(&proxy);
        browser.get("/ws", Answer::ok()).refused(503, "unavailable");
        assert!(tunnel.echoes(b"still here"));
        drop(tunnel);
        until("the place to be free", || (browser.get("/ws", Answer::ok()).status == 200).then_some(()));
    });
}

#[test]
fn no_tunnel_outlives_its_peers() {
    world(Store::Memory, |w| {
        let echo = Echo::start("");
        let proxy = echo.proxy(w, "");
        let browsers: Vec<Tunnel> = (0..200).map(|_| Tunnel::dig(&proxy, None)).collect();
        assert!(browsers.iter().all(|tunnel| tunnel.echoes(b"here")));
        for (index, tunnel) in browsers.into_iter().enumerate() {
            if index % 2 == 0 {
                tunnel.0.reset();
            }
        }
        echo.all_closed();
        let tunnels: Vec<Tunnel> = (0..50).map(|_| Tunnel::dig(&proxy, None)).collect();
        echo.backend.break_all();
        assert!(tunnels.iter().all(|tunnel| tunnel.end() < CLOSED_WITHIN));
        drop(tunnels);
        // A tunnel that was left behind would keep the process from ending before `drain.timeout`.
        proxy.terminate();
        assert!(!proxy.log().contains("drain.timeout has passed"));
    });
}
