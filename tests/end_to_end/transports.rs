//! Contract 7: how an application is reached: Unix sockets, TLS, HTTP/2; and trailers on every way.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::support::{Answer, Ask, Backend, Browser, Store, World, world};

/// A request as an HTTP/2 or TLS application saw it.
#[derive(Clone)]
struct Seen {
    uri: String,
    host: Option<String>,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

/// An application on hyper, with or without TLS.
struct Application {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http1,
    H2,
}

impl Application {
    fn start(speaks: Speaks, tls: Option<ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket for tokio");
        let address = listener.local_addr().expect("an address");
        let (seen, connections) = (Arc::default(), Arc::<Mutex<usize>>::default());
        let (noted, counted) = (Arc::clone(&seen), Arc::clone(&connections));
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    *counted.lock().expect("application") += 1;
                    let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                    tokio::spawn(async move {
                        match acceptor {
                            None => speak(stream, speaks, noted).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    speak(stream, speaks, noted).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Self { address, seen, connections }
    }

    fn last(&self) -> Seen {
        self.seen.lock().expect("application").last().expect("a request").clone()
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, speaks: Speaks, seen: Arc<Mutex<Vec<Seen>>>) {
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&seen)));
    let io = TokioIo::new(stream);
    let _ = match speaks {
        Speaks::Http1 => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
        Speaks::H2 => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        }
    };
}

/// Answers with a body in two parts and trailers, one of which is ours.
async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<Seen>>>) -> Result<Response<Parts>, Infallible> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await;
    let (body, trailers) = match collected {
        Ok(collected) => {
            let trailers = collected.trailers().cloned().unwrap_or_default();
            (collected.to_bytes(), trailers)
        }
        Err(_) => return Ok(Response::new(Parts(Vec::new().into_iter()))),
    };
    let host = head.headers.get("host").map(|host| host.to_str().unwrap_or_default().to_owned());
    seen.lock().expect("application").push(Seen {
        uri: head.uri.to_string(),
        host,
        headers: head.headers,
        body,
        trailers,
    });
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-session-update", HeaderValue::from_static("{\"in\":\"trailers\"}"));
    let frames = vec![Frame::data(Bytes::from("one ")), Frame::data(Bytes::from("two")), Frame::trailers(trailers)];
    let mut response = Response::new(Parts(frames.into_iter()));
    let announced = HeaderValue::from_static("grpc-status, X-Session-Update");
    response.headers_mut().insert("trailer", announced);
    response.headers_mut().insert("x-session-update", HeaderValue::from_static("{\"seen\":true}"));
    Ok(response)
}

/// A body of ready frames.
struct Parts(std::vec::IntoIter<Frame<Bytes>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// A certificate and its key, in PEM files of the test's folder.
fn certified(w: &World, file: &str, name: &str) -> ServerConfig {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(w.file(&format!("{file}.pem")), &certificate).expect("writing a certificate");
    std::fs::write(w.file(&format!("{file}.key")), &key).expect("writing a key");
    server(&certificate, &key, None)
}

fn server(certificate: &str, key: &str, clients: Option<&CertificateDer<'_>>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("TLS versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.clone().into_owned()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    builder.with_single_cert(chain, key).expect("a certificate that fits its key")
}

fn encrypted(w: &World, port: u16, host: &str, more: &str) -> Browser {
    let ca = w.file("server.pem");
    w.browser(&w.proxy_with(&format!(
        "[upstreams.app]\nservers = [\"https://{host}:{port}\"]\n{more}\n[upstreams.app.tls]\nca = {ca:?}"
    )))
}

#[test]
fn an_application_on_a_unix_socket_is_served() {
    world(Store::Memory, |w| {
        let path = w.file("app.sock");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = heads.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                noted.lock().expect("heads").push(String::from_utf8_lossy(&head).to_lowercase());
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsocket");
            }
        });
        for preserve in [true, false] {
            let config =
                format!("[upstreams.app]\nservers = [\"unix:{}\"]\npreserve_host = {preserve}", path.display());
            let browser = w.browser_at(&w.proxy_with(&config), "http", "shop.localhost");
            assert_eq!(browser.get("/", Answer::ok()).passed(200).text(), "socket");
        }
        let heads = heads.lock().expect("heads").clone();
        assert!(heads[0].contains("\r\nhost: shop.localhost\r\n") && heads[1].contains("\r\nhost: localhost\r\n"));
    });
}

#[test]
fn an_application_behind_tls_is_served_if_its_certificate_is_good() {
    world(Store::Memory, |w| {
        let app = Application::start(Speaks::Http1, Some(certified(w, "server", "localhost")));
        let port = app.address.port();
        let good = encrypted(w, port, "localhost", "");
        assert_eq!(good.ask(Ask::post("/path?x=1", "a body"), Answer::ok()).passed(200).text(), "one two");
        assert_eq!((app.last().uri.as_str(), &app.last().body[..]), ("/path?x=1", &b"a body"[..]));
        // Another name, another authority, none of our own.
        encrypted(w, port, "127.0.0.1", "").get("/", Answer::ok()).refused(502, "upstream-unavailable");
        let stranger = Application::start(Speaks::Http1, Some(certified(w, "stranger", "localhost")));
        encrypted(w, stranger.address.port(), "localhost", "")
            .get("/", Answer::ok())
            .refused(502, "upstream-unavailable");
        let system = format!("[upstreams.app]\nservers = [\"https://localhost:{port}\"]");
        w.browser(&w.proxy_with(&system)).get("/", Answer::ok()).refused(502, "upstream-unavailable");
        // Nothing is ever sent in the clear instead.
        let plain = Backend::named("plain");
        encrypted(w, plain.address().port(), "127.0.0.1", "")
            .get("/", Answer::ok())
            .refused(502, "upstream-unavailable");
        assert!(plain.heard().iter().all(|first| !first.contains("HTTP/1.1")), "{:?}", plain.heard());
        assert_eq!(stranger.seen.lock().expect("application").len(), 0);
    });
}

#[test]
fn an_application_that_asks_for_a_certificate_is_shown_ours() {
    world(Store::Memory, |w| {
        certified(w, "server", "localhost");
        certified(w, "client", "client");
        let read = |name: &str| std::fs::read_to_string(w.file(name)).expect("a PEM file");
        let client = CertificateDer::from_pem_slice(read("client.pem").as_bytes()).expect("a certificate");
        let tls = server(&read("server.pem"), &read("server.key"), Some(&client));
        let app = Application::start(Speaks::Http1, Some(tls));
        let port = app.address.port();
        let without = encrypted(w, port, "localhost", "").get("/", Answer::ok());
        assert_eq!(without.status, 502, "{}", without.text());
        let shown = format!(
            "[upstreams.app]\nservers = [\"https://localhost:{port}\"]\n[upstreams.app.tls]\nca = {:?}\n\
             certificate = {:?}\nkey = {:?}",
            w.file("server.pem"),
            w.file("client.pem"),
            w.file("client.key")
        );
        assert_eq!(w.browser(&w.proxy_with(&shown)).get("/", Answer::ok()).passed(200).text(), "one two");
    });
}

#[test]
fn http2_is_spoken_with_prior_knowledge_and_on_one_connection() {
    world(Store::Memory, |w| {
        let app = Application::start(Speaks::H2, None);
        for preserve in [true, false] {
            let config = format!(
                "[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"h2\"\npreserve_host = {preserve}",
                app.address
            );
            let browser = w.browser_at(&w.proxy_with(&config), "http", "shop.localhost");
            let reply =
                browser.ask(Ask::post("/path?x=1", "a body").header("TE", "trailers"), Answer::ok()).passed(200);
            assert_eq!(reply.text(), "one two");
            assert_eq!(reply.trailers.all("grpc-status"), ["0"]);
            assert_eq!(reply.headers.all("trailer"), ["grpc-status"]);
            let seen = app.last();
            let host = if preserve { "shop.localhost".to_owned() } else { app.address.to_string() };
            assert_eq!((seen.uri, seen.host), (format!("http://{host}/path?x=1"), None));
            assert_eq!((&seen.body[..], seen.headers["te"].as_bytes()), (&b"a body"[..], &b"trailers"[..]));
            assert!(!seen.headers.contains_key("connection") && seen.headers.contains_key("x-session"));
            let before = *app.connections.lock().expect("application");
            let all: Vec<_> = (0..50).map(|_| browser.start(Ask::get("/"), Answer::ok())).collect();
            all.into_iter().for_each(|one| drop(one.reply().passed(200)));
            let opened = *app.connections.lock().expect("application") - before;
            assert!(opened < thread::available_parallelism().map_or(2, usize::from) + 1, "{opened} connections");
        }
    });
}

#[test]
fn http2_within_tls_has_to_be_agreed_upon() {
    world(Store::Memory, |w| {
        let mut agreed = certified(w, "server", "localhost");
        let silent = agreed.clone();
        agreed.alpn_protocols = vec![b"h2".to_vec()];
        let app = Application::start(Speaks::H2, Some(agreed));
        let browser = encrypted(w, app.address.port(), "localhost", "protocol = \"h2\"");
        assert_eq!(browser.get("/", Answer::ok()).passed(200).text(), "one two");
        let old = Application::start(Speaks::Http1, Some(silent));
        let browser = encrypted(w, old.address.port(), "localhost", "protocol = \"h2\"");
        browser.get("/", Answer::ok()).refused(502, "upstream-unavailable");
    });
}

#[test]
fn the_application_is_told_the_same_of_its_client_however_a_request_goes_to_it() {
    world(Store::Memory, |w| {
        for (speaks, protocol) in [(Speaks::Http1, "http1"), (Speaks::H2, "h2")] {
            let app = Application::start(speaks, None);
            let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"{protocol}\"", app.address);
            let proxy = w.proxy_with(&config);
            // The hosts take turns on one connection.
            let browsers =
                ["a.localhost", "b.localhost", "a.localhost"].map(|host| (host, w.browser_at(&proxy, "http", host)));
            let upgrade = Ask::get("/").header("Connection", "upgrade").header("Upgrade", "websocket");
            let passed = Ask::get("/").header("Via", "1.0 edge").header("X-Forwarded-For", "192.0.2.1");
            for (host, browser) in &browsers {
                for (ask, via) in [
                    (Ask::get("/"), "1.1 cloakroom"),
                    (Ask::post("/", "a body"), "1.1 cloakroom"),
                    (upgrade.clone(), "1.1 cloakroom"),
                    (passed.clone(), "1.0 edge, 1.1 cloakroom"),
                    (passed.clone().header("Forwarded", "for=evil"), "1.0 edge, 1.1 cloakroom"),
                    (Ask::get("/"), "1.1 cloakroom"),
                ] {
                    browser.ask(ask, Answer::ok()).passed(200);
                    let seen = app.last().headers;
                    for (name, wanted) in [
                        ("via", via),
                        ("x-forwarded-for", "127.0.0.1"),
                        ("x-forwarded-proto", "http"),
                        ("x-forwarded-host", host),
                        ("forwarded", &format!("for=127.0.0.1;host={host};proto=http")),
                    ] {
                        assert_eq!(seen.get_all(name).into_iter().collect::<Vec<_>>(), [wanted], "{protocol} {name}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_server_that_does_not_speak_http2_is_a_502() {
    world(Store::Memory, |w| {
        let app = Application::start(Speaks::Http1, None);
        let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"h2\"", app.address);
        let browser = w.browser(&w.proxy_with(&config));
        browser.get("/", Answer::ok()).refused(502, "upstream-failed");
        browser.ask(Ask::post("/", "x"), Answer::ok()).refused(502, "upstream-failed");
    });
}

#[test]
fn a_wish_to_upgrade_is_not_sent_over_http2() {
    world(Store::Memory, |w| {
        let app = Application::start(Speaks::H2, None);
        let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"h2\"", app.address);
        let browser = w.browser(&w.proxy_with(&config));
        let ask = Ask::get("/").header("Connection", "upgrade").header("Upgrade", "websocket");
        assert_eq!(browser.ask(ask, Answer::ok()).passed(200).text(), "one two");
        assert!(!app.last().headers.contains_key("upgrade"));
    });
}

#[test]
fn trailers_pass_both_ways_but_ours_do_not() {
    world(Store::Memory, |w| {
        for speaks in [Speaks::Http1, Speaks::H2] {
            let app = Application::start(speaks, None);
            let protocol = if speaks == Speaks::H2 { "h2" } else { "http1" };
            let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"{protocol}\"", app.address);
            let browser = w.browser(&w.proxy_with(&config));
            let ask = Ask::of("POST", "/").header("Transfer-Encoding", "chunked").header("TE", "trailers");
            let ask = ask.header("Trailer", "X-Sum, X-Session, X_Session_Update");
            let mut exchange = browser.open(ask, Answer::ok());
            let body = "5\r\nfirst\r\n0\r\nX-Sum: 5\r\nX-Session: forged\r\nX_Session_Update: {}\r\nHost: evil\r\n\r\n";
            exchange.send(body.as_bytes()).expect("sending a body");
            let reply = exchange.reply().passed(200);
            assert_eq!(
                (reply.text().as_str(), reply.trailers.iter().collect::<Vec<_>>()),
                ("one two", vec![("grpc-status", "0")])
            );
            assert_eq!(reply.headers.all("trailer"), ["grpc-status"]);
            let seen = app.last();
            assert_eq!(seen.trailers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-sum"]);
            assert_eq!(seen.headers["trailer"], "X-Sum");
            // Who takes none is sent none, and the update in the head counted.
            let plain = browser.get("/", Answer::ok()).passed(200);
            assert_eq!((plain.text().as_str(), plain.trailers.iter().count()), ("one two", 0));
        }
    });
}
