//! A client's raw HTTP/1.1 connection to the proxy and what came back on it.
//!
//! Every head and trailer section that is read here is shown to the ledger, which holds it against the global
//! invariants: no test can read a response without that check.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use super::ledger::Ledger;
use super::token::Token;
use super::upstream::Request;
use super::wire::{Framing, Headers, Wire, latin1, parse_head};

/// A response as the client saw it.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// Statuses of the informational responses before it.
    pub(crate) interim: Vec<u16>,
    /// False if the connection broke inside the body.
    pub(crate) complete: bool,
    /// The request as the upstream got it, if it did.
    pub(crate) seen: Option<Arc<Request>>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.all("set-cookie")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The verified token that the upstream was given with this request.
    pub(crate) fn token(&self) -> Token {
        let answer = || format!("the upstream was not contacted: {} {}", self.status, self.text());
        self.seen.as_ref().unwrap_or_else(|| panic!("{}", answer())).token()
    }

    /// Asserts the status of a passed-on answer.
    #[track_caller]
    pub(crate) fn passed(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(!self.is_own_error(), "{}", self.text());
        self
    }

    /// Asserts an error of the proxy's own: status, suffix of `type`, form of the document, nothing to cache.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, kind: &str) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        let media_type = self.header("content-type").unwrap_or_default();
        assert!(media_type.starts_with("application/problem+json"), "{media_type}: {}", self.text());
        let problem: serde_json::Value = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!(problem["type"], format!("urn:cloakroom:error:{kind}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["instance"].as_str().is_some_and(|id| !id.is_empty()), "{problem}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        self
    }

    /// Asserts that the browser's cookie is left alone.
    #[track_caller]
    pub(crate) fn without_cookie(self) -> Self {
        assert_eq!(self.set_cookies(), Vec::<&str>::new());
        self
    }

    pub(super) fn is_own_error(&self) -> bool {
        self.text().contains("urn:cloakroom:error:")
    }
}

/// A raw client connection. Dropping it closes it in order (FIN).
pub(crate) struct Connection {
    wire: Wire,
    ledger: Arc<Ledger>,
    /// Everything of responses that was not a body, for the ledger.
    heads: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, ledger: Arc<Ledger>) -> io::Result<Self> {
        Ok(Self { wire: Wire::new(TcpStream::connect(address)?), ledger, heads: Vec::new() })
    }

    /// A connection to another listener of a proxy.
    pub(crate) fn at(address: SocketAddr, ledger: &Arc<Ledger>) -> Self {
        Self::open(address, ledger.clone()).expect("connecting to a listener")
    }

    /// The socket, once what passes on it is HTTP no longer.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.stream()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    /// The next final head (informational ones are noted), with an empty body.
    pub(crate) fn head(&mut self) -> io::Result<Reply> {
        let mut interim = Vec::new();
        loop {
            let raw = self.wire.head()?;
            self.ledger.shown_to_client(&raw);
            let (first, headers) = parse_head(&raw);
            self.heads.extend(raw);
            assert!(first.starts_with("HTTP/1.1 "), "the proxy's own version, whatever the upstream's is: {first}");
            let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 = status.ok_or_else(|| io::Error::other(format!("no status line: {first}")))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let trailers = Headers::default();
            return Ok(Reply { status, headers, body: Vec::new(), trailers, interim, complete: true, seen: None });
        }
    }

    /// The status of an informational response, which comes next.
    pub(crate) fn interim(&mut self) -> io::Result<u16> {
        let raw = self.wire.head()?;
        self.ledger.shown_to_client(&raw);
        let (first, _) = parse_head(&raw);
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.filter(|status| (100..200).contains(status)).ok_or_else(|| io::Error::other(first))
    }

    /// Bytes of another protocol, up to these.
    pub(crate) fn bytes(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        self.wire.until(end)
    }

    /// A whole response to a request of this method. What breaks off in the body is not an error but `!complete`.
    pub(crate) fn reply(&mut self, method: &str) -> io::Result<Reply> {
        let mut reply = self.head()?;
        let mut framing = Framing::of_reply(&reply.headers, reply.status, method);
        let chunked = matches!(framing, Framing::Chunked(_));
        reply.complete = loop {
            match self.wire.piece(&mut framing) {
                Ok(Some(piece)) => reply.body.extend(piece),
                Ok(None) => break !chunked || self.trailers(&mut reply).is_ok(),
                Err(_) => break false,
            }
        };
        Ok(reply)
    }

    /// Whether anything comes before the end of the connection.
    pub(crate) fn has_more(&mut self) -> io::Result<bool> {
        self.wire.has_more()
    }

    /// The next piece of a body whose head was read with `head`; `None` at its end.
    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        self.wire.piece(framing)
    }

    fn trailers(&mut self, reply: &mut Reply) -> io::Result<()> {
        let (raw, trailers) = self.wire.trailers()?;
        self.ledger.shown_to_client(&raw);
        self.heads.extend(raw);
        reply.trailers = trailers;
        Ok(())
    }

    /// The heads and trailers received so far, as text.
    pub(super) fn heads(&self) -> String {
        latin1(&self.heads)
    }

    /// Says that nothing more will be sent, and goes on listening.
    pub(crate) fn finish_sending(&self) {
        self.wire.stream().shutdown(Shutdown::Write).expect("shutting an open connection");
    }

    /// Ends the connection as a browser that is killed: with a reset.
    pub(crate) fn reset(self) {
        self.wire.reset_on_drop();
    }
}
