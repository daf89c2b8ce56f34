//! A client that speaks HTTP/2 as browsers do, over TLS or in the clear, on a runtime of its own. What it receives is shown
//! to the ledger like everything else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::connection::Reply;
use super::proxy::Proxy;
use super::shared::until;
use super::wire::parse_head;

/// Longer than any wait of a test.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection that speaks HTTP/2.
pub(crate) struct Http2 {
    /// A thread of its own drives the connection on it while the test does not wait. It outlives the connection: answers
    /// that have come can be read after its end.
    runtime: Arc<Runtime>,
    sender: SendRequest<Bytes>,
    ended: JoinHandle<Result<(), h2::Error>>,
    proxy: Arc<Proxy>,
}

/// A request under way.
pub(crate) struct Stream {
    pub(crate) body: SendStream<Bytes>,
    pub(crate) answer: ResponseFuture,
}

/// What a client needs to believe this certificate and to offer these protocols.
pub(crate) fn tls_client(certificate: &CertificateDer<'static>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate to believe");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions of TLS").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

impl Http2 {
    /// In the clear, with prior knowledge.
    pub(crate) fn plain(proxy: &Arc<Proxy>) -> Self {
        Self::over(proxy, async |address| TcpStream::connect(address).await.expect("connecting to the proxy"))
    }

    /// Over TLS; the proxy must choose `h2`.
    pub(crate) fn tls(proxy: &Arc<Proxy>, certificate: &CertificateDer<'static>) -> Self {
        let connector = TlsConnector::from(tls_client(certificate, &["h2", "http/1.1"]));
        Self::over(proxy, async |address| {
            let stream = TcpStream::connect(address).await.expect("connecting to the proxy");
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = connector.connect(name, stream).await.expect("a TLS handshake");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            stream
        })
    }

    fn over<S>(proxy: &Arc<Proxy>, connect: impl AsyncFnOnce(SocketAddr) -> S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (sender, connection) = runtime.block_on(async {
            let stream = connect(proxy.address()).await;
            h2::client::handshake(stream).await.expect("an HTTP/2 handshake")
        });
        let (runtime, proxy) = (Arc::new(runtime), proxy.clone());
        let driver = runtime.clone();
        let ended = thread::spawn(move || driver.block_on(connection));
        Self { runtime, sender, ended, proxy }
    }

    /// Begins a request; `whole` says that it has no body.
    pub(crate) fn send(&mut self, request: Request<()>, whole: bool) -> Result<Stream, h2::Error> {
        self.runtime.block_on(async {
            let mut ready = tokio::time::timeout(LIMIT, self.sender.clone().ready()).await.expect("a free stream")?;
            let (answer, body) = ready.send_request(request, whole)?;
            Ok(Stream { body, answer })
        })
    }

    /// Waits for the whole answer.
    pub(crate) fn reply(&self, answer: ResponseFuture) -> Result<Reply, h2::Error> {
        self.within(async {
            let (head, mut body) = answer.await?.into_parts();
            self.show(&head.headers);
            let mut reply = Response::from_parts(head, ());
            let (received, trailers) = receive(&mut body).await?;
            self.show(&trailers);
            Ok(reply_of(&mut reply, received, &trailers))
        })
    }

    /// Sends a request without a body and waits for its answer.
    pub(crate) fn ask(&mut self, request: Request<()>) -> Result<Reply, h2::Error> {
        let stream = self.send(request, true)?;
        self.reply(stream.answer)
    }

    /// Waits for the end of the connection.
    pub(crate) fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        until("the end of the connection", || self.ended.is_finished().then_some(()));
        self.ended.join().expect("the connection's thread")
    }

    pub(crate) fn within<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.expect("something to happen") })
    }

    fn show(&self, headers: &HeaderMap) {
        self.proxy.ledger().shown_to_client(&lines(headers));
    }
}

async fn receive(body: &mut RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut received = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
    }
    Ok((received, body.trailers().await?.unwrap_or_default()))
}

fn lines(headers: &HeaderMap) -> Vec<u8> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    headers.iter().flat_map(line).collect()
}

fn reply_of(head: &mut Response<()>, body: Vec<u8>, trailers: &HeaderMap) -> Reply {
    let parsed = |headers: &HeaderMap| parse_head(&[b"\r\n", &lines(headers)[..]].concat()).1;
    Reply {
        status: head.status().as_u16(),
        headers: parsed(head.headers()),
        body,
        trailers: parsed(trailers),
        interim: Vec::new(),
        complete: true,
        seen: None,
    }
}
