//! Contract 7, downstream: TLS, HTTP/2 by ALPN or prior knowledge, and what becomes of an HTTP/2 request on its way to an
//! HTTP/1.1 application (threats, sections 1 and 8).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::support::{
    Answer, Frame, Frames, Gate, Http2, OurCookie, Piece, Proxy, Reply, SCRIPT, Store, TICKET, World, every_store,
    tls_client, until, world,
};

/// A request of a browser at `https://shop.example` or wherever `uri` says.
fn get(uri: &str, key: &str) -> Request<()> {
    Request::get(uri).header(SCRIPT, key).body(()).expect("a request")
}

/// An answer and the request as the upstream saw it.
fn seen(w: &World, key: &str, reply: Reply) -> Reply {
    Reply { seen: w.upstream.seen(key), ..reply }
}

every_store! {
    fn a_browser_that_speaks_http_2_over_tls_has_a_session(w) {
        let (tls, certificate) = w.certificate("one");
        let proxy = w.proxy_with(&tls);
        let mut browser = Http2::tls(&proxy, &certificate);
        let key = w.expect(Answer::updating(r#"{"user":"ada"}"#));
        let reply = browser.ask(get("https://shop.example/a?b=c", &key)).expect("an answer").passed(200);
        let cookie = OurCookie::of(&reply);
        let reply = seen(w, &key, reply);
        let request = reply.seen.as_ref().expect("the request");
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a?b=c"));
        assert_eq!(request.headers.all("host"), ["shop.example"]);
        assert_eq!(request.headers.all("x-forwarded-proto"), ["https"]);
        assert_eq!(request.headers.all("via"), ["2.0 cloakroom"]);

        // Browsers split the cookie into crumbs.
        let key = w.expect(Answer::ok());
        let mut request = get("https://shop.example/", &key);
        for crumb in ["a=1".to_owned(), format!("{TICKET}={}", cookie.value), "b=2".to_owned()] {
            request.headers_mut().append("cookie", HeaderValue::try_from(crumb).expect("a crumb"));
        }
        let reply = seen(w, &key, browser.ask(request).expect("an answer").passed(200).without_cookie());
        assert_eq!(reply.token().data(), r#"{"user":"ada"}"#);
        assert_eq!(reply.seen.expect("the request").headers.all("cookie"), ["a=1; b=2"]);
    }
}

#[test]
fn http_2_in_the_clear_is_known_by_its_preface_however_it_is_cut() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let key = w.expect(Answer::ok());
        Http2::plain(&proxy).ask(get("http://localhost/", &key)).expect("an answer").passed(200);
        let mut frames = Frames::silent(proxy.address());
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
            frames.raw(&[*byte]).expect("a byte");
        }
        let key = w.expect(Answer::ok());
        frames.request(1, &plain_request(&key)).expect("a request");
        assert_eq!(frames.next_of(&[Frame::HEADERS]).expect("an answer").status(), 200);
        let mut nearly = proxy.connect();
        nearly.send(b"PRI / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").expect("most of a head");
        let key = w.expect(Answer::ok());
        nearly.send(format!("{SCRIPT}: {key}\r\n\r\n").as_bytes()).expect("the rest");
        nearly.reply("PRI").expect("an answer").passed(200);
    });
}

fn plain_request(key: &str) -> [(&str, &[u8]); 5] {
    [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"localhost"),
        (":path", b"/"),
        ("x-script", key.as_bytes()),
    ]
}

#[test]
fn over_tls_http_1_1_is_spoken_with_whoever_does_not_ask_for_more() {
    world(Store::Memory, |w| {
        let (tls, certificate) = w.certificate("one");
        let proxy = w.proxy_with(&tls);
        for protocols in [&[][..], &["http/1.1"]] {
            let client = tls_client(&certificate, protocols);
            let mut connection = ClientConnection::new(client, ServerName::try_from("localhost").expect("a name"))
                .expect("a TLS connection");
            let mut socket = TcpStream::connect(proxy.address()).expect("connecting");
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            let key = w.expect(Answer::ok().body("over TLS"));
            let head = format!("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{SCRIPT}: {key}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("a request");
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("over TLS"), "{protocols:?}: {answer}");
            assert_eq!(w.upstream.seen(&key).expect("the request").headers.all("x-forwarded-proto"), ["https"]);
        }
    });
}

#[test]
fn whoever_speaks_in_the_clear_to_a_tls_listener_gets_nothing_from_the_upstream() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with(&w.certificate("one").0);
        let mut connection = proxy.connect();
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
        assert!(connection.head().is_err());
        assert!(w.upstream.requests().is_empty());
    });
}

#[test]
fn the_host_of_an_http_2_request_is_its_authority_and_nothing_else() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let mut client = Http2::plain(&proxy);
        let with_host = |host: &str, key: &str| {
            let mut request = get("http://a.localhost:81/", key);
            request.headers_mut().insert("host", HeaderValue::from_str(host).expect("a host"));
            request
        };
        let key = w.expect(Answer::ok());
        let reply = client.ask(with_host("a.localhost:81", &key)).expect("an answer").passed(200);
        assert_eq!(seen(w, &key, reply).seen.expect("the request").headers.all("host"), ["a.localhost:81"]);
        for other in ["b.localhost:81", "a.localhost", "a.localhost:82"] {
            let key = w.expect(Answer::ok());
            client.ask(with_host(other, &key)).expect("an answer").refused(400, "bad-request");
            assert!(w.upstream.seen(&key).is_none());
        }
    });
}

#[test]
fn connect_and_trace_are_refused_on_http_2_too() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let mut client = Http2::plain(&proxy);
        let connect = Request::builder().method(Method::CONNECT).uri("127.0.0.1:6379").body(()).expect("a request");
        client.ask(connect).expect("an answer").refused(405, "method-not-allowed");
        let trace = Request::builder().method(Method::TRACE).uri("http://localhost/").body(()).expect("a request");
        client.ask(trace).expect("an answer").refused(405, "method-not-allowed");
        assert!(w.upstream.requests().is_empty());
    });
}

#[test]
fn bodies_and_trailers_pass_between_http_2_and_the_application() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let mut client = Http2::plain(&proxy);
        let pieces = [Piece::Data("one"), Piece::Data("two")];
        let key = w.expect(Answer::ok().pieces(pieces).trailer("X-Sum", "6").trailer("X-Session-Update", "{\"no\":1}"));
        let mut request = get("http://localhost/", &key);
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("trailer", HeaderValue::from_static("x-check, x-session"));
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let mut stream = client.send(request, false).expect("a stream");
        stream.body.send_data(Bytes::from_static(b"a body"), false).expect("a body");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-check", HeaderValue::from_static("abc"));
        trailers.insert("x-session", HeaderValue::from_static("forged"));
        stream.body.send_trailers(trailers).expect("trailers");
        let reply = seen(w, &key, client.reply(stream.answer).expect("an answer").passed(200));
        assert_eq!((reply.text().as_str(), reply.trailers.first("x-sum")), ("onetwo", Some("6")));
        let request = reply.seen.expect("the request");
        assert_eq!((request.body.as_slice(), request.trailers.all("x-check")), (&b"a body"[..], vec!["abc"]));
        assert!(request.trailers.like("x-session").is_empty());
    });
}

/// Guarantee 5 on HTTP/2: to take a request back is to hang up.
#[test]
fn a_request_that_an_http_2_browser_takes_back_loses_nothing() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let mut client = Http2::plain(&proxy);
        let gate = Gate::new();
        let key = w.expect(Answer::updating(r#"{"saved":true}"#).after(&gate));
        let mut request = get("http://localhost/", &key);
        let ticket = format!("{TICKET}={}", browser.ticket().expect("a ticket"));
        request.headers_mut().insert("cookie", HeaderValue::try_from(ticket).expect("a cookie"));
        let mut stream = client.send(request, true).expect("a stream");
        gate.arrived();
        stream.body.send_reset(h2::Reason::CANCEL);
        let key = w.expect(Answer::ok());
        client.ask(get("http://localhost/", &key)).expect("an answer after the reset").passed(200);
        gate.release();
        until("the change of the request that was taken back", || {
            (browser.data() == r#"{"user":"ada","saved":true}"#).then_some(())
        });
    });
}

#[test]
fn an_http_2_connection_has_so_many_requests_at_once_and_no_more() {
    world(Store::Memory, |w| {
        let proxy: Arc<Proxy> = w.proxy_with("limits.streams = 2");
        let mut frames = Frames::open(proxy.address());
        let gate = Gate::for_all(2);
        for stream in [1, 3, 5] {
            let key = w.expect(Answer::ok().after(&gate));
            frames.request(stream, &plain_request(&key)).expect("a request");
        }
        gate.arrived();
        let refused = frames.next_of(&[Frame::RESET, Frame::HEADERS]).expect("a refusal");
        assert_eq!((refused.kind, refused.stream, refused.code()), (Frame::RESET, 5, 7), "REFUSED_STREAM");
        gate.release();
        let mut answered = [0; 2].map(|_| frames.next_of(&[Frame::HEADERS]).expect("an answer").stream);
        answered.sort_unstable();
        assert_eq!(answered, [1, 3]);
    });
}

#[test]
fn too_many_or_too_large_header_lines_are_refused_on_http_2() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with("limits = { headers = 20, header_bytes = \"8KiB\" }");
        let mut client = Http2::plain(&proxy);
        let key = w.expect(Answer::ok());
        let mut many = get("http://localhost/", &key);
        for number in 0..20 {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
            many.headers_mut().insert(name, HeaderValue::from_static("1"));
        }
        client.ask(many).expect("an answer").refused(431, "head-too-large");
        let line = until("the line in the log", || proxy.access_lines().into_iter().next());
        assert_eq!(line["status"], 431);
        let mut frames = Frames::open(proxy.address());
        let long = vec![b'a'; 9 * 1024];
        let mut fields = plain_request(&key).to_vec();
        fields.push(("x-long", &long));
        frames.request(1, &fields).expect("a request");
        assert_eq!(frames.next_of(&[Frame::HEADERS]).expect("an answer").status(), 431);
        assert!(w.upstream.requests().is_empty());
        let key = w.expect(Answer::ok());
        frames.request(3, &plain_request(&key)).expect("a request");
        assert_eq!(frames.next_of(&[Frame::HEADERS]).expect("an answer").status(), 200);
    });
}
