//! A browser on one site: a cookie jar, and requests each on a connection of their own with an answer of their own.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::answer::Answer;
use super::connection::{Connection, Reply};
use super::exact::Exact;
use super::jar::{Cookie, Jar, Site};
use super::proxy::Proxy;
use super::token::Token;
use super::upstream::{SCRIPT, Upstream};
use super::wire::Framing;

/// The default name of the session cookie.
pub(crate) const TICKET: &str = "__Host-session";

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    cookies: Cookies,
}

#[derive(Clone)]
enum Cookies {
    Jar,
    None,
    Given(Vec<u8>),
}

impl Ask {
    pub(crate) fn of(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new(), cookies: Cookies::Jar }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::of("GET", target)
    }

    pub(crate) fn post(target: &str, body: &str) -> Self {
        Self { body: body.as_bytes().to_vec(), ..Self::of("POST", target) }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sends this `Cookie` header instead of the jar's.
    pub(crate) fn cookie(mut self, value: impl AsRef<[u8]>) -> Self {
        self.cookies = Cookies::Given(value.as_ref().to_vec());
        self
    }

    /// Sends this ticket instead of the jar's cookies.
    pub(crate) fn ticket(self, ticket: &str) -> Self {
        self.cookie(format!("{TICKET}={ticket}"))
    }

    pub(crate) fn without_cookies(mut self) -> Self {
        self.cookies = Cookies::None;
        self
    }

    fn encode(&self, host: &str, cookies: Option<Vec<u8>>, key: &str) -> Vec<u8> {
        let mut fields = vec![("Host".to_owned(), host.as_bytes().to_vec())];
        fields.extend(cookies.map(|value| ("Cookie".to_owned(), value)));
        fields.push((SCRIPT.to_owned(), key.as_bytes().to_vec()));
        fields.extend(self.headers.iter().cloned());
        if !self.body.is_empty() {
            fields.push(("Content-Length".to_owned(), self.body.len().to_string().into_bytes()));
        }
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in fields {
            bytes.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// A browser. Clones share the jar; `twin` copies it.
#[derive(Clone)]
pub(crate) struct Browser {
    proxy: Arc<Proxy>,
    upstream: Upstream,
    scheme: &'static str,
    host: String,
    jar: Arc<Mutex<Jar>>,
}

impl Browser {
    pub(super) fn new(proxy: &Arc<Proxy>, upstream: &Upstream, scheme: &'static str, host: &str) -> Self {
        Self { proxy: proxy.clone(), upstream: upstream.clone(), scheme, host: host.to_owned(), jar: Arc::default() }
    }

    /// The same browser, reaching the site through another proxy.
    pub(crate) fn through(&self, proxy: &Arc<Proxy>) -> Self {
        Self { proxy: proxy.clone(), ..self.clone() }
    }

    /// The same browser at another host of the proxy's.
    pub(crate) fn at(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// Another browser that holds the same cookies now.
    pub(crate) fn twin(&self) -> Self {
        let jar = self.jar.lock().expect("jar").clone();
        Self { jar: Arc::new(Mutex::new(jar)), ..self.clone() }
    }

    /// Sends a request and reads its whole response.
    #[track_caller]
    pub(crate) fn ask(&self, ask: Ask, answer: Answer) -> Reply {
        self.open(ask, answer).reply()
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str, answer: Answer) -> Reply {
        self.ask(Ask::get(target), answer)
    }

    /// A request under way in a thread. Its cookies are those of this moment.
    pub(crate) fn start(&self, ask: Ask, answer: Answer) -> Pending {
        let exchange = self.open(ask, answer);
        Pending(thread::spawn(move || exchange.reply()))
    }

    /// Sends the request and leaves the rest to the test.
    #[track_caller]
    pub(crate) fn open(&self, ask: Ask, answer: Answer) -> Exchange {
        let key = self.proxy.ledger().name(&answer);
        self.upstream.script(&key, answer);
        let cookies = match &ask.cookies {
            Cookies::Jar => self.jar.lock().expect("jar").header(self.site(&ask.target)).map(String::into_bytes),
            Cookies::None => None,
            Cookies::Given(value) => Some(value.clone()),
        };
        let mut connection = self.proxy.connect();
        connection.send(&ask.encode(&self.host, cookies, &key)).expect("sending to the proxy");
        Exchange { browser: self.clone(), method: ask.method, target: ask.target, key, connection }
    }

    /// Saves an update; the answer must come through.
    #[track_caller]
    pub(crate) fn update(&self, update: &str) -> Reply {
        self.get("/", Answer::updating(update)).passed(200)
    }

    /// Has a control carried out; the answer must come through.
    #[track_caller]
    pub(crate) fn control(&self, control: &str) -> Reply {
        self.get("/", Answer::controlling(control)).passed(200)
    }

    /// What the application is told about this browser now. Reading sets no cookie.
    #[track_caller]
    pub(crate) fn visit(&self) -> Token {
        self.get("/", Answer::ok()).passed(200).without_cookie().token()
    }

    #[track_caller]
    pub(crate) fn data(&self) -> Exact {
        self.visit().data()
    }

    /// What the application is told about whoever presents this ticket. The visit sets no cookie.
    #[track_caller]
    pub(crate) fn visit_with(&self, ticket: &str) -> Token {
        self.ask(Ask::get("/").ticket(ticket), Answer::ok()).passed(200).without_cookie().token()
    }

    /// The value of the session cookie in the jar.
    pub(crate) fn ticket(&self) -> Option<String> {
        self.jar.lock().expect("jar").find(TICKET).map(|cookie| cookie.value.clone())
    }

    /// Puts a cookie into the jar, as a sister site or an attacker at the keyboard can.
    pub(crate) fn plant(&self, ticket: &str) {
        self.keep(&format!("{TICKET}={ticket}; Path=/; Secure"), "/");
    }

    /// Ends the browser session.
    pub(crate) fn close(&self) {
        self.jar.lock().expect("jar").close();
    }

    fn keep(&self, line: &str, target: &str) {
        let stored = self.jar.lock().expect("jar").store(line, self.site(target));
        assert_eq!(stored, Ok(()), "a browser would refuse {line}");
    }

    fn site<'a>(&'a self, target: &'a str) -> Site<'a> {
        Site { scheme: self.scheme, host: &self.host, path: target.split('?').next().unwrap_or("/") }
    }
}

/// A request that was sent, its connection in the test's hands.
pub(crate) struct Exchange {
    browser: Browser,
    method: &'static str,
    target: String,
    key: String,
    connection: Connection,
}

impl Exchange {
    /// Reads the whole response, keeps its cookies.
    #[track_caller]
    pub(crate) fn reply(mut self) -> Reply {
        let reply = self.connection.reply(self.method);
        let mut reply = reply.unwrap_or_else(|error| panic!("no response to {} {}: {error}", self.method, self.target));
        self.take_in(&mut reply);
        reply
    }

    /// Reads the head only, keeps its cookies; the body is read with `piece`.
    #[track_caller]
    pub(crate) fn head(&mut self) -> (Reply, Framing) {
        let mut reply = self.connection.head().expect("a response head");
        self.take_in(&mut reply);
        let framing = Framing::of_reply(&reply.headers, reply.status, self.method);
        (reply, framing)
    }

    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        self.connection.piece(framing)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send(bytes)
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Gives the connection away, for endings that are not a response.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    fn take_in(&self, reply: &mut Reply) {
        for line in reply.set_cookies() {
            self.browser.keep(line, &self.target);
        }
        self.browser.proxy.ledger().answered(&self.key, reply, &self.connection.heads());
        reply.seen = self.browser.upstream.seen(&self.key);
    }
}

/// A request under way.
pub(crate) struct Pending(JoinHandle<Reply>);

impl Pending {
    pub(crate) fn reply(self) -> Reply {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The one session cookie that a response sets or deletes.
pub(crate) struct OurCookie(Cookie);

impl OurCookie {
    #[track_caller]
    pub(crate) fn of(reply: &Reply) -> Self {
        let all = reply.set_cookies().into_iter().map(Cookie::parse).filter(|cookie| cookie.name == TICKET);
        let all: Vec<Cookie> = all.collect();
        assert_eq!(all.len(), 1, "expected one session cookie, found {:?}", reply.set_cookies());
        Self(all.into_iter().next().expect("one cookie"))
    }

    /// Whether it deletes the cookie, in both of the ways that browsers know.
    pub(crate) fn is_deletion(&self) -> bool {
        let expires = self.attribute("expires").and_then(|at| httpdate::parse_http_date(at).ok());
        let over = expires.is_some_and(|at| at < std::time::SystemTime::now());
        self.value.is_empty() && self.attribute("max-age") == Some("0") && over
    }
}

impl Deref for OurCookie {
    type Target = Cookie;

    fn deref(&self) -> &Cookie {
        &self.0
    }
}
