//! Contract 7 and 9: Unix sockets for every listener, and PROXY headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use rustls::pki_types::ServerName;

use crate::support::{Answer, SCRIPT, Store, World, cloakroom, tls_client, until, world};

/// What is answered to a request without keep-alive, and what the upstream saw of it.
fn exchange(w: &World, stream: &mut (impl Read + Write), before: &[u8], fields: &str) -> (String, String) {
    let key = w.expect(Answer::ok());
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{SCRIPT}: {key}\r\n{fields}\r\n");
    stream.write_all(&[before, head.as_bytes()].concat()).expect("a request");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let seen = w.upstream.seen(&key).map(|request| String::from_utf8_lossy(&request.raw_head).into_owned());
    (answer, seen.unwrap_or_default())
}

#[test]
fn every_listener_can_be_a_unix_socket() {
    world(Store::Memory, |w| {
        let [public, application, admin] = ["public", "application", "admin"].map(|name| w.file(name));
        let config = format!(
            "listen.address = [\"unix:{}\"]\napplication.address = \"unix:{}\"\nadmin.address = \"unix:{}\"",
            public.display(),
            application.display(),
            admin.display()
        );
        let proxy = w.proxy_with(&config);
        for (path, mode) in [(&public, 0o666), (&application, 0o666), (&admin, 0o600)] {
            assert_eq!(std::fs::metadata(path).expect("a socket").permissions().mode() & 0o777, mode);
        }
        let connect = |path| UnixStream::connect(path).expect("connecting");
        let (answer, seen) = exchange(w, &mut connect(&public), b"", "X-Forwarded-For: 192.0.2.9\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(seen.contains("forwarded: for=unknown;host=localhost;proto=http\r\n"), "{seen}");
        assert!(!seen.contains("x-forwarded-for") && !seen.contains("192.0.2.9"), "{seen}");
        for (path, target, expected) in [(&admin, "/readyz", "ready"), (&application, "/.well-known/jwks.json", "keys")]
        {
            let mut stream = connect(path);
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(expected), "{answer}");
        }
        proxy.reconfigure("listen.trusted_proxies = [\"unix:\"]");
        let (_, seen) = exchange(w, &mut connect(&public), b"", "X-Forwarded-For: 192.0.2.9\r\n");
        assert!(seen.contains("x-forwarded-for: 192.0.2.9\r\n"), "{seen}");
        assert!(seen.contains("for=192.0.2.9") && seen.contains(", for=unknown;"), "{seen}");
        proxy.terminate();
        assert!([&public, &application, &admin].iter().all(|path| !path.exists()), "a socket is left behind");
    });
}

#[test]
fn a_socket_of_a_dead_process_is_replaced_and_one_of_a_live_one_is_not() {
    world(Store::Memory, |w| {
        let admin = w.file("admin");
        let config = format!("admin.address = \"unix:{}\"", admin.display());
        let proxy = w.proxy_with(&config);
        proxy.kill();
        assert!(admin.exists());
        proxy.restart();
        UnixStream::connect(&admin).expect("the socket of the second process");
        let upstream = w.upstream.url();
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nservers = [\"{upstream}\"]\n[admin]\naddress = \"unix:{}\"\n",
            admin.display()
        );
        std::fs::write(w.file("other.toml"), text).expect("a configuration");
        let said = cloakroom(w.file("").as_path(), &["run", "--config", "other.toml"]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains("in use by another process"), "{}", said.err);
        UnixStream::connect(&admin).expect("the socket is still there");
    });
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x01\0\0\x50";

#[test]
fn the_peer_is_whom_the_proxy_header_names() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("listen = { proxy_protocol = true, trusted_proxies = [\"192.0.2.0/24\"] }");
        let claim = "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n";
        for (header, expected) in [
            (&b"PROXY TCP4 198.51.100.7 10.0.0.1 256 80\r\n"[..], "x-forwarded-for: 198.51.100.7\r\n"),
            (b"PROXY TCP6 2001:db8::7 ::1 256 80\r\n", "x-forwarded-for: 2001:db8::7\r\n"),
            (V2, "x-forwarded-for: 203.0.113.5, 192.0.2.7\r\n"),
            (b"PROXY UNKNOWN\r\n", "x-forwarded-for: 127.0.0.1\r\n"),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "x-forwarded-for: 127.0.0.1\r\n"),
        ] {
            let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
            let (answer, seen) = exchange(w, &mut stream, header, claim);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{header:?}: {answer}");
            assert!(seen.contains(expected), "{header:?}: {seen}");
        }
    });
}

#[test]
fn a_connection_without_a_sound_proxy_header_is_closed() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("listen.proxy_protocol = true");
        for header in [&b""[..], b"PROXY TCP4 999.1.1.1 10.0.0.1 1 2\r\n", b"PROXY NONSENSE\r\n", &[b'P'; 5000]] {
            let mut stream = TcpStream::connect(proxy.address()).expect("connecting");
            let (answer, seen) = exchange(w, &mut stream, header, "");
            assert_eq!((answer.as_str(), seen.as_str()), ("", ""), "{header:?}");
        }
        until("the reason in the log", || proxy.log().contains("(listen.proxy_protocol)").then_some(()));
    });
}

#[test]
fn with_tls_the_proxy_header_comes_before_the_handshake() {
    world(Store::Memory, |w| {
        let (tls, certificate) = w.certificate("one");
        let proxy = w.proxy_with(&format!("{tls}\nlisten.proxy_protocol = true"));
        let mut socket = TcpStream::connect(proxy.address()).expect("connecting");
        socket.write_all(V2).expect("a header");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = rustls::ClientConnection::new(tls_client(&certificate, &[]), name).expect("a client");
        let (answer, seen) = exchange(w, &mut rustls::Stream::new(&mut client, &mut socket), b"", "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            seen.contains("x-forwarded-for: 192.0.2.7\r\n") && seen.contains("x-forwarded-proto: https\r\n"),
            "{seen}"
        );
    });
}
