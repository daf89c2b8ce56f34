//! What applications may ask, on a listener of their own: the public keys, and the data that a token refers to
//! (contract section 4). A token is all the right that it takes, and it opens the one session that it names.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

mod refusal;

use crate::{
    envelope::Verified,
    proxy::{Application as Known, Common, Line, Tally, unix_now},
    session::{
        Handle,
        change::Change,
        control::Control,
        patch::Patch,
        policy::Create,
        record::{Record, Stored},
        settle::{Reach, Step},
    },
    store::{
        Store, StoreError,
        commit::{Request as Commit, commit_held},
        lane::Lanes,
    },
};
use refusal::Refusal;

/// What the application listener works with.
pub struct Application {
    line: Arc<Line>,
    lanes: Arc<Lanes>,
    store: Store,
    tally: Arc<Tally>,
}

/// Whom a token stands for.
struct Holder<'a> {
    known: &'a Known,
    session: Option<Handle>,
}

impl Application {
    /// Verifies tokens with the line's keys, reads sessions from this store and writes them in turn with the proxy.
    pub fn new(common: &Common, store: Store, tally: Arc<Tally>) -> Self {
        Self { line: Arc::clone(&common.line), lanes: Arc::clone(&common.lanes), store, tally }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<String> {
        let answered = match (request.uri().path(), request.method()) {
            ("/.well-known/jwks.json", &Method::GET | &Method::HEAD) => Ok(self.jwks()),
            ("/.well-known/jwks.json", _) => Err(Refusal::Method("GET, HEAD")),
            ("/v1/session", &Method::GET | &Method::HEAD) => self.read(request.headers()).await,
            ("/v1/session", &Method::PATCH) => self.patch(request).await.inspect_err(|refusal| self.count(refusal)),
            ("/v1/session", _) => Err(Refusal::Method("GET, HEAD, PATCH")),
            _ => Err(Refusal::NoRoute),
        };
        answered.unwrap_or_else(|refusal| refusal.response())
    }

    /// Counts a change that a refusal has cost.
    fn count(&self, refusal: &Refusal) {
        if let Some(unsaved) = refusal.unsaved() {
            self.tally.not_saved(unsaved);
        }
    }

    fn jwks(&self) -> Response<String> {
        let mut response = Response::new(self.line.jwks());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        response
    }

    async fn read(&self, headers: &HeaderMap) -> Result<Response<String>, Refusal> {
        let holder = self.verify(headers)?;
        let Some(handle) = holder.session else { return Ok(data("{}".to_owned(), 0)) };
        let record = self.live(&handle).await?;
        Ok(data(holder.known.view(&record.data), record.version))
    }

    /// Changes the data with the rights and guarantees of the update header, for handlers whose head is gone.
    async fn patch(&self, request: Request<Incoming>) -> Result<Response<String>, Refusal> {
        let holder = self.verify(request.headers())?;
        let handle = holder.session.ok_or(Refusal::Gone)?;
        let kind = Kind::of(request.headers())?;
        let if_version = expected_version(request.headers())?;
        let limit = self.line.policy().max_bytes.saturating_mul(2);
        let body = Limited::new(request.into_body(), limit).collect().await.map_err(|_| Refusal::TooLarge)?;
        let patch = kind.parse(&body.to_bytes())?;
        let allowed = holder.known.rights().allow(vec![patch], &Control::default());
        let patches = allowed.map_err(|_| Refusal::Forbidden)?;
        let control = Control { if_version, ..Control::default() };
        let change = Change { update: Some(patches), control, ..Change::default() };
        let version = self.save(&handle, &change).await?;
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ETAG, etag(version));
        Ok(response)
    }

    async fn save(&self, handle: &Handle, change: &Change) -> Result<u64, Refusal> {
        let policy = self.line.policy();
        let commit = Commit { change, policy, create: Create::OnWrite, reach: Reach::Nowhere };
        let saved = commit_held(&self.store, &self.lanes, handle, &commit);
        let saved = tokio::time::timeout(self.line.save_timeout(), saved).await;
        let saved = saved.map_err(|_| Refusal::Store(StoreError::Timeout))??;
        self.tally.carried_out(&saved.plan);
        match saved.plan.store {
            Step::Change(write) => Ok(write.stored.version()),
            Step::Keep | Step::Create(..) | Step::Recreate(..) => Ok(self.live(handle).await?.version),
        }
    }

    fn verify(&self, headers: &HeaderMap) -> Result<Holder<'_>, Refusal> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = given.and_then(|given| given.split_once(' ')).ok_or(Refusal::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Unauthorized);
        }
        let Verified { audience, sid, .. } =
            self.line.verify(token.trim(), unix_now()).map_err(|_| Refusal::Unauthorized)?;
        let known = self.line.application(&audience).ok_or(Refusal::Unauthorized)?;
        let session = sid.map(|sid| Handle::parse(&sid).ok_or(Refusal::Unauthorized)).transpose()?;
        Ok(Holder { known, session })
    }

    async fn live(&self, handle: &Handle) -> Result<Arc<Record>, Refusal> {
        let loaded = self.store.load(std::slice::from_ref(handle)).await.map_err(Refusal::Store)?;
        match loaded.into_iter().flatten().next().and_then(|entry| entry.decode(handle)) {
            Some(Stored::Live(record)) if record.deadline > self.store.now() => Ok(record),
            Some(Stored::Live(_) | Stored::Tombstone(_)) | None => Err(Refusal::Gone),
        }
    }
}

/// The two media types of a patch.
enum Kind {
    /// RFC 7396
    Merge,
    /// RFC 6902
    Operations,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/json-patch+json" => Ok(Self::Operations),
            _ => Err(Refusal::MediaType),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<Patch, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::Invalid)?;
        let patch = match self {
            Self::Merge => Patch::merge_from(text),
            Self::Operations => Patch::operations_from(text),
        };
        patch.map_err(|_| Refusal::Invalid)
    }
}

/// `If-Match: "7"`; `*` is every version. Anything else matches none (RFC 9110 section 13.1.1).
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::Precondition)?.trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or(Refusal::Precondition)
}

fn data(text: String, version: u64) -> Response<String> {
    let mut response = Response::new(text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ETAG, etag(version));
    response
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}
