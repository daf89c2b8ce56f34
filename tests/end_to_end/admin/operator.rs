//! An operator: somebody who asks the admin listener, with the token or with what else a test says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::description::Description;
use crate::support::{Connection, Proxy, Reply, World};

/// Somebody who knows the token of a proxy, and holds every answer against the description.
pub(super) struct Operator {
    pub(super) proxy: Arc<Proxy>,
    token: String,
    description: Description,
}

/// A proxy whose admin listener has a token, and somebody who knows it.
pub(super) fn operator(w: &World, config: &str) -> Operator {
    let file = w.file("admin-token");
    if !file.exists() {
        w.secret_file("admin-token");
    }
    let token = std::fs::read_to_string(&file).expect("the token").trim_end().to_owned();
    let proxy = w.proxy_with(&format!("admin.token = {{ file = {file:?} }}\n{config}"));
    Operator { proxy, token, description: Description::read() }
}

impl Operator {
    /// Asks with the token. What is answered must be as it is described.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, target: &str) -> Reply {
        self.ask_with(method, target, &[("Host", "localhost"), ("Authorization", &format!("Bearer {}", self.token))])
    }

    /// Asks with these headers and no others.
    #[track_caller]
    pub(super) fn ask_with(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut connection = Connection::at(self.proxy.admin(), self.proxy.ledger());
        connection.send(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n").as_bytes()).expect("asking");
        let reply = connection.reply(method).expect("an answer of the admin listener");
        self.description.check(method, target, &reply);
        reply
    }

    /// The JSON of a success.
    #[track_caller]
    pub(super) fn json(&self, method: &str, target: &str) -> Value {
        let reply = self.ask(method, target);
        assert_eq!(reply.status, 200, "{method} {target}: {}", reply.text());
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// The handles of all pages of a list.
    #[track_caller]
    pub(super) fn listed(&self, query: &str) -> Vec<String> {
        let (mut handles, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.json("GET", &format!("/v1/sessions?{query}{cursor}"));
            let sessions = page["sessions"].as_array().expect("sessions").iter();
            handles.extend(sessions.map(|session| session["handle"].as_str().expect("a handle").to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        handles.sort_unstable();
        handles
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }
}

/// Status and body of what is answered on a Unix socket to a request without a token.
pub(super) fn ask_socket(socket: &Path, method: &str, target: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).expect("the socket");
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asking");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}
