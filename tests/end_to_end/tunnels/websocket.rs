//! W-01: one list of WebSocket cases, run against a server directly and through the proxy: the outcomes are equal.
//!
//! Both ends are a real library. The server does what the client's path says and reports how the socket ended for it.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use crate::support::{Store, until, world};

/// What the client sends. The server echoes texts and binaries; a ping it answers by itself; `close:CODE` closes.
enum Send {
    Text(&'static str),
    Binary(usize),
    Ping(&'static [u8]),
    Close(u16),
    /// Ends the connection without a closing frame.
    Vanish,
}

const CASES: &[(&str, &[Send])] = &[
    ("an empty text", &[Send::Text(""), Send::Close(1000)]),
    ("a text", &[Send::Text("hello"), Send::Close(1000)]),
    ("a text of all planes", &[Send::Text("a\u{e9}\u{20ac}\u{1f980}\u{10ffff}\0"), Send::Close(1000)]),
    (
        "binaries at the borders of the length forms",
        &[
            Send::Binary(0),
            Send::Binary(1),
            Send::Binary(125),
            Send::Binary(126),
            Send::Binary(127),
            Send::Binary(65_535),
            Send::Binary(65_536),
            Send::Binary(1 << 20),
            Send::Close(1000),
        ],
    ),
    (
        "pings of every size between texts",
        &[Send::Ping(b""), Send::Text("a"), Send::Ping(&[7; 125]), Send::Text("b"), Send::Close(1000)],
    ),
    ("going away", &[Send::Text("bye"), Send::Close(1001)]),
    ("a code of the application's own", &[Send::Close(4321)]),
    ("the server closes", &[Send::Text("close:1011"), Send::Text("late")]),
    ("the server vanishes", &[Send::Text("vanish")]),
    ("the client vanishes", &[Send::Text("x"), Send::Vanish]),
    ("a message that is too large for the server", &[Send::Binary((4 << 20) + 1)]),
];

/// What each side saw, in order.
type Log = Vec<String>;

fn limits() -> WebSocketConfig {
    let mut limits = WebSocketConfig::default();
    (limits.max_message_size, limits.max_frame_size) = (Some(4 << 20), Some(4 << 20));
    limits
}

fn shown(message: Result<Message, Error>) -> String {
    match message {
        Ok(Message::Text(text)) => format!("text {}", text.as_str().escape_debug()),
        Ok(Message::Binary(bytes)) => {
            format!("binary {} {}", bytes.len(), bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>())
        }
        Ok(Message::Close(frame)) => format!("close {:?}", frame.map(|frame| u16::from(frame.code))),
        Ok(other) => format!("{other:?}"),
        // How a connection breaks is the network's affair; that it broke is not.
        Err(Error::Io(_) | Error::Protocol(_)) => "broken".to_owned(),
        Err(Error::ConnectionClosed) => "closed".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: "done".into() }))
}

async fn serve(stream: TcpStream) -> Log {
    let mut log = Log::new();
    let Ok(mut socket) = accept_async_with_config(stream, Some(limits())).await else { return vec!["none".into()] };
    while let Some(message) = socket.next().await {
        let reply = match &message {
            Ok(Message::Text(text)) if text.as_str() == "vanish" => return log,
            Ok(Message::Text(text)) => match text.as_str().strip_prefix("close:").and_then(|code| code.parse().ok()) {
                Some(code) => Some(close(code)),
                None => Some(Message::Text(text.clone())),
            },
            Ok(Message::Binary(bytes)) => Some(Message::Binary(bytes.clone())),
            _ => None,
        };
        let is_over = message.is_err();
        log.push(shown(message));
        if is_over {
            return log;
        }
        if let Some(reply) = reply
            && socket.send(reply).await.is_err()
        {
            return log;
        }
    }
    log.push("end".to_owned());
    log
}

async fn ask(address: SocketAddr, sends: &[Send]) -> Log {
    let stream = TcpStream::connect(address).await.expect("connecting");
    let (mut socket, answer) =
        client_async_with_config("ws://localhost/ws", stream, Some(limits())).await.expect("a handshake");
    let mut log = vec![answer.status().to_string()];
    for send in sends {
        let echoes = matches!(send, Send::Text(_) | Send::Binary(_) | Send::Ping(_));
        let sent = match send {
            Send::Text(text) => socket.send(Message::text(*text)).await,
            Send::Binary(size) => socket.send(Message::binary(vec![0xa5; *size])).await,
            Send::Ping(payload) => socket.send(Message::Ping((*payload).into())).await,
            Send::Close(code) => socket.send(close(*code)).await,
            Send::Vanish => return log,
        };
        // What cannot be sent any more is seen by reading.
        if sent.is_ok() && echoes && !read(&mut socket, &mut log).await {
            return log;
        }
    }
    while read(&mut socket, &mut log).await {}
    log
}

/// Reads one message; whether there may be more.
async fn read(socket: &mut WebSocketStream<TcpStream>, log: &mut Log) -> bool {
    let message = socket.next().await;
    let more = matches!(message, Some(Ok(_)));
    log.push(message.map_or_else(|| "end".to_owned(), shown));
    more
}

/// A server, and what it saw of each socket.
fn start() -> (SocketAddr, Arc<Mutex<Vec<Log>>>) {
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket for tokio");
    let (address, logs) = (listener.local_addr().expect("an address"), Arc::<Mutex<Vec<Log>>>::default());
    let kept = logs.clone();
    thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let log = serve(stream).await;
                    kept.lock().expect("logs").push(log);
                });
            }
        });
    });
    (address, logs)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Both logs of one case.
fn outcome(address: SocketAddr, logs: &Mutex<Vec<Log>>, sends: &[Send]) -> (Log, Log) {
    logs.lock().expect("logs").clear();
    let client = runtime().block_on(ask(address, sends));
    (client, until("the server's side to end", || logs.lock().expect("logs").pop()))
}

#[test]
fn a_websocket_through_the_proxy_is_the_same_as_without() {
    world(Store::Memory, |w| {
        let (server, logs) = start();
        let proxy = w.proxy_with(&format!("upstreams.app.servers = [\"http://{server}\"]"));
        for (name, sends) in CASES {
            let (direct, through) = (outcome(server, &logs, sends), outcome(proxy.address(), &logs, sends));
            assert!(direct.0[0].starts_with("101"), "{name}: {direct:?}");
            assert_eq!(through, direct, "{name}");
        }
    });
}
