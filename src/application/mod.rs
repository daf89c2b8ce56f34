//! What applications may ask, on a listener of their own: the public keys, and the data that a token refers to
//! (contract section 4). A token is all the right that it takes, and it opens the one session that it names.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, WWW_AUTHENTICATE},
};
use hyper::body::Incoming;
use serde_json::json;
use tracing::warn;

use crate::{
    envelope::Verified,
    proxy::{Line, unix_now},
    session::{
        Handle,
        record::{Record, Stored},
    },
    store::{Store, StoreError},
};

/// What the application listener works with.
pub struct Application {
    line: Arc<Line>,
    store: Store,
}

/// Why there is no answer.
enum Refusal {
    /// No token, or not one of ours, or expired.
    Unauthorized,
    /// The session that it names has ended.
    Gone,
    /// The store could not be asked.
    Store(StoreError),
}

impl Application {
    /// Verifies tokens with the line's keys and reads sessions from this store.
    pub fn new(line: Arc<Line>, store: Store) -> Self {
        Self { line, store }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<String> {
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        match request.uri().path() {
            "/.well-known/jwks.json" if reads => jwks(),
            "/v1/session" if reads => self.session(request.headers()).await.unwrap_or_else(Refusal::response),
            "/.well-known/jwks.json" | "/v1/session" => not_allowed(),
            _ => problem(StatusCode::NOT_FOUND, "no-route", "There are /.well-known/jwks.json and /v1/session"),
        }
    }

    async fn session(&self, headers: &HeaderMap) -> Result<Response<String>, Refusal> {
        let token = self.verify(headers)?;
        let view = self.line.view_for(&token.audience).ok_or(Refusal::Unauthorized)?;
        let Some(sid) = &token.sid else { return Ok(data("{}".to_owned(), 0)) };
        let handle = Handle::parse(sid).ok_or(Refusal::Unauthorized)?;
        let record = self.live(&handle).await?;
        Ok(data(view(&record.data), record.version))
    }

    fn verify(&self, headers: &HeaderMap) -> Result<Verified, Refusal> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = given.and_then(|given| given.split_once(' ')).ok_or(Refusal::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Unauthorized);
        }
        self.line.verify(token.trim(), unix_now()).map_err(|_| Refusal::Unauthorized)
    }

    async fn live(&self, handle: &Handle) -> Result<Record, Refusal> {
        let loaded = self.store.load(std::slice::from_ref(handle)).await.map_err(Refusal::Store)?;
        match loaded.into_iter().flatten().next().and_then(|entry| entry.decode(handle)) {
            Some(Stored::Live(record)) if record.deadline > self.store.now() => Ok(record),
            Some(Stored::Live(_) | Stored::Tombstone(_)) | None => Err(Refusal::Gone),
        }
    }
}

impl Refusal {
    fn response(self) -> Response<String> {
        match self {
            Self::Unauthorized => {
                let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed");
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            Self::Gone => problem(StatusCode::GONE, "session-ended", "The session has ended"),
            Self::Store(error) => {
                warn!(target: "cloakroom::application", %error, "a session could not be read");
                problem(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "Sessions are unavailable at the moment")
            }
        }
    }
}

/// HS256 keys are secret: there is nothing to publish.
fn jwks() -> Response<String> {
    let mut response = Response::new(json!({"keys": []}).to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    response
}

fn data(text: String, version: u64) -> Response<String> {
    let mut response = Response::new(text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
        .insert(ETAG, HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("")));
    response
}

fn not_allowed() -> Response<String> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Only GET and HEAD");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn problem(status: StatusCode, label: &str, title: &str) -> Response<String> {
    let body = json!({"type": format!("urn:cloakroom:error:{label}"), "title": title, "status": status.as_u16()});
    let mut response = Response::new(body.to_string());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
