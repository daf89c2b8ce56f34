//! A quick application for tests with many requests: no script, it does what the request says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// An application that answers with the data that its token holds, and saves what `X-Write` and `X-Order` say.
pub(crate) fn mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the mirror");
    let url = format!("http://{}", listener.local_addr().expect("the mirror's address"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || reflect(stream));
        }
    });
    url
}

fn reflect(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut heard = Vec::new();
    let mut piece = [0; 8 * 1024];
    loop {
        let end = loop {
            if let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            heard.extend_from_slice(&piece[..count]);
        };
        let head = String::from_utf8_lossy(&heard[..end]).into_owned();
        heard.drain(..end + 4);
        let field = |name: &str| {
            let found = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
            head.lines().find(found).and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
        };
        let payload = field("x-session")?.split('.').nth(1).map(str::to_owned)?;
        let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let claims: serde_json::Value = serde_json::from_str(&payload).ok()?;
        let body = claims["data"].to_string();
        let line =
            |name: &str, asked: &str| field(asked).map(|value| format!("{name}: {value}\r\n")).unwrap_or_default();
        let change = line("X-Session-Update", "x-write") + &line("X-Session-Control", "x-order");
        let answer = format!("HTTP/1.1 200 OK\r\n{change}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
    }
}
