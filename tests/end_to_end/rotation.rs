//! Issue 8, "must hold" 2: whoever follows docs/operations.md rotates every key under load, and no request fails. The
//! blocks of the guide are what is done here: its configurations are put into the file, its commands typed.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::documentation::blocks::{Block, blocks};
use crate::support::{Answer, Proxy, SCRIPT, Store, TICKET, World, until, world};

const GUIDE: &str = include_str!("../../docs/operations.md");

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// One visitor over TLS, whose session counts the requests.
struct Visitor<'a> {
    world: &'a World,
    address: SocketAddr,
    believes: Arc<ClientConfig>,
    ticket: Option<String>,
    kept: Option<Tls>,
    seen: u64,
}

impl<'a> Visitor<'a> {
    fn new(world: &'a World, proxy: &Proxy, believes: &Arc<ClientConfig>) -> Self {
        let (address, believes) = (proxy.address(), Arc::clone(believes));
        Self { world, address, believes, ticket: None, kept: None, seen: 0 }
    }

    fn connect(&self) -> Result<Tls, String> {
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(&self.believes), name).expect("a client");
        let socket = TcpStream::connect(self.address).map_err(|error| format!("connecting: {error}"))?;
        Ok(StreamOwned::new(client, socket))
    }

    /// A request, on the connection of the last one or on a fresh one, and its answer's head.
    fn ask(&mut self, answer: Answer, fresh: bool) -> Result<(String, String), String> {
        let key = self.world.expect(answer);
        let cookie = self.ticket.as_ref().map(|ticket| format!("Cookie: {TICKET}={ticket}\r\n")).unwrap_or_default();
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{SCRIPT}: {key}\r\n{cookie}\r\n");
        let mut stream = match self.kept.take().filter(|_| !fresh) {
            Some(kept) => kept,
            None => self.connect()?,
        };
        stream.write_all(request.as_bytes()).map_err(|error| format!("sending: {error}"))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\nok") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|error| format!("reading: {error} after {head:?}"))?;
            head.push(byte[0]);
        }
        self.kept = Some(stream);
        Ok((key, String::from_utf8_lossy(&head).into_owned()))
    }

    /// Counts one more request in the session; each fifth has the session rotated.
    fn visit(&mut self) -> Result<(), String> {
        let (turn, next) = (self.seen, self.seen + 1);
        let rotates = turn % 5 == 4;
        let answer = Answer::updating(&format!(r#"{{"requests-so-far":{next}}}"#));
        let answer = if rotates { answer.control("rotate") } else { answer };
        let (key, head) = self.ask(answer, turn % 2 == 0)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head);
        }
        let token = self.world.upstream.seen(&key).expect("the request").token();
        let wanted = if turn == 0 { "{}".to_owned() } else { format!(r#"{{"requests-so-far":{turn}}}"#) };
        if token.data() != wanted.as_str() {
            return Err(format!("the application was given {} instead of {wanted}", token.text()));
        }
        let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(['=', ';']).nth(1));
        self.ticket = set.map(str::to_owned).or(self.ticket.take());
        self.seen = next;
        Ok(())
    }

    /// Whether the ticket still opens its session. Changes nothing.
    fn is_known(&mut self) -> bool {
        let (key, _) = self.ask(Answer::ok(), true).expect("an answer");
        self.world.upstream.seen(&key).expect("the request").token().is_live()
    }
}

/// A client that takes either certificate.
fn believing(certificates: [CertificateDer<'static>; 2]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().for_each(|certificate| roots.add(certificate).expect("a certificate"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("versions of TLS").with_root_certificates(roots).with_no_client_auth())
}

/// What the guide has its reader do in this section.
fn steps(section: &str) -> Vec<Block<'static>> {
    let (_, text) = GUIDE.split_once(&format!("\n### {section}\n")).expect("the section");
    let end = text.find("\n## ").into_iter().chain(text.find("\n### ")).min().unwrap_or(text.len());
    let steps: Vec<_> = blocks(&text[..end]).collect();
    assert!(steps.iter().any(|step| step.text.contains("kill -HUP")), "{section} has nothing to do");
    steps
}

/// Types the commands of a block in the proxy's folder.
fn run(proxy: &Proxy, commands: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_cloakroom")).parent().expect("the binary's folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-ec", commands]).current_dir(proxy.folder()).env("PATH", path).env("PID", proxy.pid().to_string());
    let output = bash.stdin(Stdio::null()).output().expect("bash");
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Does a step; says whether the configuration was read again.
fn follow(w: &World, proxy: &Proxy, step: &Block<'_>) -> bool {
    match step.kind {
        "toml" => proxy.configure(step.text),
        "sh" if step.text.contains("kill -HUP $PID") => {
            let log = proxy.reloaded_by(|| run(proxy, step.text));
            assert!(log.contains("the new configuration is at work"), "{log}");
            return true;
        }
        "sh" => run(proxy, step.text),
        other => panic!("what is a {other:?} block?"),
    }
    // "With HS256 give it to the applications now."
    if let Ok(key) = fs::read(proxy.folder().join("keys/token-2")) {
        w.trust("k2", key.strip_suffix(b"\n").unwrap_or(&key).to_vec());
    }
    false
}

/// A proxy whose files are where the guide says, and a client that takes its certificate and the next one.
fn prepared(w: &World) -> (Arc<Proxy>, Arc<ClientConfig>) {
    let (tls, first) = w.certificate("one");
    let (_, second) = w.certificate("two");
    let proxy = w.proxy_with(&tls);
    let folder = proxy.folder();
    for (from, to) in [
        ("root", "keys/root"),
        ("token", "keys/token"),
        ("one-chain.pem", "tls/chain.pem"),
        ("one-key.pem", "tls/key.pem"),
        ("two-chain.pem", "new/chain.pem"),
        ("two-key.pem", "new/key.pem"),
    ] {
        let to = folder.join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(w.file(from), to).expect("a copy");
    }
    proxy.reconfigure(
        "keys.root = [{ file = \"keys/root\" }]\ntoken.keys = [{ id = \"k1\", file = \"keys/token\" }]\n\
         listen.tls = { certificate = \"tls/chain.pem\", key = \"tls/key.pem\" }",
    );
    (proxy, believing([first, second]))
}

/// So many visitors come again and again, each on a kept connection and on fresh ones in turn.
const VISITORS: usize = 4;
/// So often each comes between two steps.
const VISITS: usize = 11;

#[test]
fn whoever_follows_the_guide_rotates_every_key_and_no_request_fails() {
    world(Store::Redis, |w| {
        let (proxy, believes) = prepared(w);
        let mut witness = Visitor::new(w, &proxy, &believes);
        witness.visit().expect("a session");
        let (done, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let visits: Vec<AtomicUsize> = (0..VISITORS).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|threads| {
            let over = Over(&done);
            for count in &visits {
                let mut visitor = Visitor::new(w, &proxy, &believes);
                let (done, failures) = (&done, &failures);
                threads.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        if let Err(failure) = visitor.visit() {
                            failures.lock().expect("failures").push(failure);
                            return;
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let all_came = || {
                let before: Vec<_> = visits.iter().map(|count| count.load(Ordering::Relaxed)).collect();
                until("every visitor to come again", || {
                    assert!(failures.lock().expect("failures").is_empty(), "{failures:?}");
                    let now = visits.iter().map(|count| count.load(Ordering::Relaxed));
                    now.zip(&before).all(|(now, before)| now >= before + VISITS).then_some(())
                });
            };
            all_came();
            let mut known = Vec::new();
            for section in ["The root of the cookies", "The key of the tokens", "The TLS certificate"] {
                for step in steps(section) {
                    if follow(w, &proxy, &step) {
                        all_came();
                        known.push(witness.is_known());
                    }
                }
            }
            // The old root is accepted until it is taken out, the third time that the configuration is read.
            assert_eq!(known, [true, true, false, false, false, false, false]);
            drop(over);
        });
        assert!(failures.lock().expect("failures").is_empty(), "{failures:?}");
        assert_eq!(proxy.settled().sum("cloakroom_requests_rejected_total"), 0.0);
        assert_at_the_end(w, &proxy);
    });
}

/// What the last steps lead to: only the new keys are listed, and the new certificate is shown.
fn assert_at_the_end(w: &World, proxy: &Arc<Proxy>) {
    let text = proxy.text();
    assert!(text.contains("keys/root-2") && text.contains("keys/token-2"), "{text}");
    assert!(!text.contains("\"keys/root\"") && !text.contains("\"keys/token\""), "{text}");
    let shown = fs::read(proxy.folder().join("tls/chain.pem")).expect("the certificate");
    assert_eq!(shown, fs::read(w.file("two-chain.pem")).expect("the new certificate"));
}

/// Ends the load also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
