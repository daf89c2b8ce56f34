//! The shop's server and its routes: a form changes the session and redirects, a page counts the visit and shows all.
//!
//! Every request is answered by a function of the request and the time alone (`Shop::handle`). Nothing is kept between
//! two requests: what a route wants remembered is in its `Answer`. A request without a good token came past the proxy
//! and gets nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::{Answer, Receipt};
use super::goods;
use super::page::{self, Page};
use super::token::{Refusal, Token, TokenKey};

/// No form of ours is longer.
const FORM_BYTES: usize = 8 * 1024;
/// The contract's limit for a subject.
const NAME_BYTES: usize = 256;
/// Nothing from elsewhere, no scripts at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

type Reply = Response<Full<Bytes>>;

/// The application: a key to verify tokens with, and nothing else.
#[derive(Debug)]
pub(super) struct Shop {
    key: TokenKey,
}

/// Serves the shop on `listener` until `shutdown` is ready, then drops its connections: the proxy before it has
/// finished its requests by then.
pub async fn serve(listener: TcpListener, token_key: TokenKey, shutdown: impl Future<Output = ()>) {
    let shop = Arc::new(Shop::new(token_key));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&shop)))),
                Err(error) => {
                    tracing::warn!(%error, "the shop cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, shop: Arc<Shop>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shop = Arc::clone(&shop);
        async move { Ok::<_, std::convert::Infallible>(shop.receive(request).await) }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the shop broke off");
    }
}

impl Shop {
    pub(super) fn new(key: TokenKey) -> Self {
        Self { key }
    }

    async fn receive(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, FORM_BYTES).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "This form is too long.");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.handle(&Request::from_parts(head, body.to_bytes()), now.as_secs())
    }

    /// Answers one request at `now`, in seconds since the epoch.
    pub(super) fn handle(&self, request: &Request<Bytes>, now: u64) -> Reply {
        let token = match self.token(request, now) {
            Ok(token) => token,
            Err(refusal) => return refused(&refusal),
        };
        let path = request.uri().path();
        match (request.method().as_str(), path) {
            ("GET" | "HEAD", "/style.css") => asset("text/css; charset=utf-8", page::STYLE),
            ("GET" | "HEAD", "/favicon.svg") => asset("image/svg+xml", page::ICON),
            ("GET" | "HEAD", "/") => front(request, &token, now),
            ("GET" | "HEAD", "/goodbye") => goodbye(request, &token, now),
            ("POST", _) if is_foreign(request) => plain(StatusCode::FORBIDDEN, "This form is not from this shop."),
            ("POST", "/sign-in") => sign_in(request, &token, now),
            ("POST", "/sign-out") => redirect("/goodbye", path, &token, Answer::sign_out()),
            ("POST", "/cart/empty") => redirect("/", path, &token, Answer::empty_cart()),
            ("POST", "/cart/add") => put(request, &token, |count| count + 1),
            ("POST", "/cart/remove") => put(request, &token, |count| count.saturating_sub(1)),
            (_, "/style.css" | "/favicon.svg" | "/" | "/goodbye") => not_allowed("GET, HEAD"),
            (_, "/sign-in" | "/sign-out" | "/cart/empty" | "/cart/add" | "/cart/remove") => not_allowed("POST"),
            _ => plain(StatusCode::NOT_FOUND, "There is nothing on this shelf."),
        }
    }

    /// The proxy sends exactly one token; anything else did not come through it.
    fn token(&self, request: &Request<Bytes>, now: u64) -> Result<Token, Refusal> {
        let mut values = request.headers().get_all("x-session").iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::Malformed) };
        self.key.verify(value.to_str().map_err(|_| Refusal::Malformed)?, now)
    }
}

/// The front page. To look at it is a visit, and a visit is remembered.
fn front(request: &Request<Bytes>, token: &Token, now: u64) -> Reply {
    let visits = goods::visits(token.data()).saturating_add(1);
    let answer = if request.method() == Method::GET { Answer::visit(visits) } else { Answer::default() };
    let page = Page { answer: &answer, receipt: receipt(request, token), visits, ..Page::of(token, now) };
    html(StatusCode::OK, page.front(), &answer)
}

/// Where one lands after signing out: a page that stores nothing, so that there is no session and no cookie.
fn goodbye(request: &Request<Bytes>, token: &Token, now: u64) -> Reply {
    let page = Page { path: "/goodbye", receipt: receipt(request, token), ..Page::of(token, now) };
    html(StatusCode::OK, page.goodbye(), &Answer::default())
}

fn sign_in(request: &Request<Bytes>, token: &Token, now: u64) -> Reply {
    let name = field(request.body(), "name").unwrap_or_default();
    let problem = match name.trim() {
        "" => "Please write a name.",
        name if name.len() > NAME_BYTES => "That name is too long: 256 bytes at most.",
        name if name.contains(char::is_control) => "That name has characters that cannot be printed.",
        name => return redirect("/", "/sign-in", token, Answer::sign_in(name)),
    };
    let page = Page { method: "POST", path: "/sign-in", status: 422, problem: Some(problem), ..Page::of(token, now) };
    html(StatusCode::UNPROCESSABLE_ENTITY, page.front(), &Answer::default())
}

/// Sets the number of one product in the cart to what `change` makes of it.
fn put(request: &Request<Bytes>, token: &Token, change: impl Fn(u64) -> u64) -> Reply {
    let Some(product) = field(request.body(), "item").and_then(|id| goods::product(&id)) else {
        return plain(StatusCode::UNPROCESSABLE_ENTITY, "The shop does not sell this.");
    };
    let count = change(goods::count(token.data(), product));
    redirect("/", request.uri().path(), token, Answer::put(product, count))
}

/// Browsers say where a form comes from. (They also keep a `SameSite=Lax` cookie back from foreign forms.)
fn is_foreign(request: &Request<Bytes>) -> bool {
    request.headers().get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

fn receipt(request: &Request<Bytes>, token: &Token) -> Option<Receipt> {
    Receipt::find(request.uri().query()).filter(|receipt| receipt.is_fresh(token.version()))
}

/// One field of an `application/x-www-form-urlencoded` body.
fn field(form: &[u8], name: &str) -> Option<String> {
    let form = String::from_utf8_lossy(form).replace('+', " ");
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The answer to a form: the change, and the way to the page that shows it.
fn redirect(to: &str, path: &str, token: &Token, answer: Answer) -> Reply {
    let receipt = Receipt { path: path.to_owned(), version: token.version(), answer };
    let mut reply = plain(StatusCode::SEE_OTHER, "See there.");
    if let Ok(location) = HeaderValue::from_str(&format!("{to}?receipt={}", receipt.encode())) {
        reply.headers_mut().insert(LOCATION, location);
    }
    receipt.answer.write(reply.headers_mut());
    reply
}

fn html(status: StatusCode, page: String, answer: &Answer) -> Reply {
    let mut reply = respond(status, "text/html; charset=utf-8", page.into());
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.write(reply.headers_mut());
    reply
}

fn asset(content_type: &'static str, text: &'static str) -> Reply {
    respond(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()))
}

fn refused(refusal: &Refusal) -> Reply {
    tracing::debug!(?refusal, "the shop got a request without a good token");
    plain(
        StatusCode::UNAUTHORIZED,
        "This shop serves only requests that Cloakroom has signed. Use Cloakroom's address.",
    )
}

fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "Not this way.");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
