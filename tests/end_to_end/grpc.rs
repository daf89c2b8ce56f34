//! gRPC: HTTP/2 end to end. Messages pass both ways while both sides still talk, and the status comes in trailers, or alone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::{Http2, Proxy, Store, world};

/// A server of two methods: `/echo` gives each message back at once, `/missing` is not there. Ends with the test's process.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Server {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket for tokio");
        let (address, seen) = (listener.local_addr().expect("an address"), Arc::<Mutex<Vec<HeaderMap>>>::default());
        let noted = seen.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    let noted = noted.clone();
                    tokio::spawn(async move {
                        let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            noted.lock().expect("the list").push(request.headers().clone());
                            tokio::spawn(answer(request, respond));
                        }
                    });
                }
            });
        });
        Self { address, seen }
    }
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static(code))])
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    if request.uri().path() == "/missing" {
        head.headers_mut().extend(status("12"));
        return respond.send_response(head, true).map(drop);
    }
    let mut out = respond.send_response(head, false)?;
    let mut messages = request.into_body();
    while let Some(message) = messages.data().await {
        let message = message?;
        messages.flow_control().release_capacity(message.len())?;
        out.send_data(message, false)?;
    }
    out.send_trailers(status("0"))
}

fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("http://localhost{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).expect("a request")
}

#[test]
fn calls_pass_in_both_directions_at_once_and_end_with_their_status() {
    world(Store::Memory, |w| {
        let server = Server::start();
        let config = format!("[upstreams.app]\nservers = [\"http://{}\"]\nprotocol = \"h2\"", server.address);
        let (tls, certificate) = w.certificate("one");
        let plain = w.proxy_with(&config);
        let secure: Arc<Proxy> = w.proxy_with(&format!("{tls}\n{config}"));
        for mut client in [Http2::plain(&plain), Http2::tls(&secure, &certificate)] {
            let mut stream = client.send(call("/echo"), false).expect("a stream");
            stream.body.send_data(Bytes::from_static(b"one"), false).expect("a message");
            let answer = client.within(stream.answer).expect("a head before the last message");
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["content-type"].as_bytes()),
                (200, &b"application/grpc"[..])
            );
            let mut messages = answer.into_body();
            assert_eq!(client.within(messages.data()).expect("a message").expect("of it"), "one");
            stream.body.send_data(Bytes::from_static(b"two"), true).expect("a message");
            assert_eq!(client.within(messages.data()).expect("a message").expect("of it"), "two");
            assert!(client.within(messages.data()).is_none());
            let trailers = client.within(messages.trailers()).expect("the end").expect("trailers");
            assert_eq!(trailers, status("0"));

            let stream = client.send(call("/missing"), true).expect("a stream");
            let mut answer = client.within(stream.answer).expect("a head");
            assert_eq!(answer.headers().get("grpc-status").map(HeaderValue::as_bytes), Some(&b"12"[..]));
            assert!(client.within(answer.body_mut().data()).is_none());
        }
        let seen = server.seen.lock().expect("the list");
        assert_eq!(seen.len(), 4);
        for head in seen.iter() {
            assert!(head.contains_key("x-session") && head["te"] == "trailers", "{head:?}");
        }
    });
}
