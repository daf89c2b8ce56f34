//! Asking the admin listener of a proxy: one connection for each question, over TCP or the Unix socket.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::{
    admin::Token,
    cli::{Failure, environment},
    config::{self, Overrides},
    socket::{Address, Socket},
};

/// Where it is if nobody says otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// The variable with the token.
const TOKEN: &str = "CLOAKROOM_ADMIN_TOKEN";
/// How long the listener may take to be reached, and to answer: counting a million sessions takes a while.
const REACH: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(300);

/// The admin listener of a proxy, and what to show there.
pub(super) struct Listener {
    address: Address,
    token: Option<Token>,
}

/// What the listener says when it says no.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: String,
}

impl Listener {
    /// What was typed goes before what the configuration says.
    pub(super) fn find(config: Option<&Path>, admin: Option<&str>, token: Option<&Path>) -> Result<Self, Failure> {
        let configured = match config {
            None => None,
            Some(_) => config::load(config, &Overrides::default(), &environment)?.server.admin,
        };
        let address = match (admin, &configured, config) {
            (Some(typed), ..) => parse(typed)?,
            (None, Some(admin), _) => admin.address.clone(),
            (None, None, None) => Address::Tcp(DEFAULT),
            (None, None, Some(config)) => {
                let problem = "has no [admin]: add it and start the proxy anew, or name its listener with --admin";
                return Err(Failure::Argument(format!("{} {problem}", config.display())));
            }
        };
        let token = match (token, environment(TOKEN)) {
            (Some(path), _) => Some(from_file(path)?),
            (None, Some(text)) => Some(usable(text, TOKEN)?),
            (None, None) => configured.and_then(|admin| admin.token),
        };
        Ok(Self { address: reachable(address), token })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        read(&self.ask(Method::GET, target).await?)
    }

    pub(super) async fn delete(&self, target: &str) -> Result<String, Failure> {
        self.ask(Method::DELETE, target).await
    }

    /// The body of a success.
    async fn ask(&self, method: Method, target: &str) -> Result<String, Failure> {
        let unanswered = |error: &dyn std::fmt::Display| {
            Failure::Unavailable(format!("the admin listener at {} did not answer: {error}", self.address))
        };
        let socket = self.connect().await?;
        let asked = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
            tokio::spawn(connection);
            let (head, body) = sender.send_request(self.request(method, target)).await?.into_parts();
            Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
        };
        let answered = timeout(PATIENCE, asked).await.map_err(|_| unanswered(&"it took too long"))?;
        let (status, body) = answered.map_err(|error| unanswered(&error))?;
        let body = String::from_utf8(body.into()).map_err(|error| unanswered(&error))?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    fn request(&self, method: Method, target: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap_or_default();
        request.headers_mut().insert(HOST, http::HeaderValue::from_static("localhost"));
        let shown = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        if let Some(mut value) = shown.and_then(|shown| http::HeaderValue::try_from(shown).ok()) {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request
    }

    async fn connect(&self) -> Result<Socket, Failure> {
        let connecting = async {
            match &self.address {
                Address::Tcp(address) => TcpStream::connect(address).await.map(Socket::Tcp),
                Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
            }
        };
        let connected = timeout(REACH, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|error| {
            let problem = format!("the admin listener at {} cannot be reached: {error}", self.address);
            match error.kind() {
                io::ErrorKind::PermissionDenied => Failure::NoPermission(problem),
                _ => Failure::Unavailable(format!("{problem}; does the proxy run, and has it an [admin]?")),
            }
        })
    }

    fn refused(&self, status: StatusCode, body: &str) -> Failure {
        let said = match serde_json::from_str::<Problem>(body) {
            Ok(Problem { title, detail }) => format!("{title}: {detail}"),
            Err(_) => format!("{} answers {status}, which no admin listener does", self.address),
        };
        match status {
            StatusCode::UNAUTHORIZED => {
                Failure::NoPermission(format!("{said} (here: --token-file, {TOKEN}, or --config)"))
            }
            StatusCode::FORBIDDEN => Failure::NoPermission(said),
            StatusCode::SERVICE_UNAVAILABLE => Failure::Unavailable(said),
            _ => Failure::Run(said),
        }
    }
}

/// What an answer says.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Failure> {
    let problem = |error| Failure::Run(format!("the admin listener's answer cannot be understood: {error}"));
    serde_json::from_str(body).map_err(problem)
}

fn parse(typed: &str) -> Result<Address, Failure> {
    let unix = typed.strip_prefix("unix:").filter(|path| path.starts_with('/'));
    let address = unix.map(|path| Address::Unix(PathBuf::from(path)));
    address.or_else(|| typed.parse().ok().map(Address::Tcp)).ok_or_else(|| {
        Failure::Argument(format!("--admin {typed:?}: write an IP address and a port, or unix: and a whole path"))
    })
}

/// A listener on all addresses is also on this machine's own.
fn reachable(address: Address) -> Address {
    match address {
        Address::Tcp(address) if address.ip().is_unspecified() => Address::Tcp(match address {
            SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        }),
        other => other,
    }
}

fn from_file(path: &Path) -> Result<Token, Failure> {
    let unreadable = |error| Failure::Argument(format!("--token-file {}: {error}", path.display()));
    usable(fs::read_to_string(path).map_err(unreadable)?, "--token-file")
}

fn usable(text: String, source: &str) -> Result<Token, Failure> {
    let token = Token::new(text.trim_end_matches(['\r', '\n']).to_owned());
    token.ok_or_else(|| Failure::Argument(format!("{source} holds no token: visible ASCII characters, on one line")))
}
