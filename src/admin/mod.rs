//! What an operator may ask: health and metrics, for machines; sessions, status and a page, for whoever shows the token or
//! comes over the Unix socket. Never reachable through the public listener. The small server that it runs on also serves
//! the application listener.
//!
//! [`ROUTES`] is all that is served; `docs/openapi.json` describes it, and a test holds the two against each other.

mod answer;
mod guard;
mod metrics;
mod page;
mod query;
mod refusal;
mod serve;
mod sessions;
mod settings;
mod status;
mod traffic;
mod view;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use answer::text;
use guard::Access;
pub use guard::Guard;
pub use metrics::Sources;
use refusal::Refusal;
pub use serve::serve;
pub use settings::{Settings, Token};
pub use traffic::Traffic;

use crate::{
    session::Policy,
    store::{Store, StoreError},
    upstream::Fleet,
};

/// What the admin listener knows of one configuration at work.
pub struct Admin {
    /// Who is an operator.
    pub guard: Guard,
    /// Where the sessions are.
    pub store: Store,
    /// Which store that is.
    pub store_kind: &'static str,
    /// The rules of the sessions.
    pub policy: Policy,
    /// The servers of every upstream.
    pub fleets: Arc<Vec<Arc<Fleet>>>,
    /// Whether the process is about to end.
    pub draining: Arc<AtomicBool>,
    /// What the rooms have counted.
    pub sources: Sources,
    /// What it was in the last minutes.
    pub traffic: Arc<Traffic>,
}

/// One path of the admin listener.
#[derive(Debug)]
pub struct Route {
    /// With `{handle}` for any single segment.
    pub path: &'static str,
    /// As `Allow` says it.
    pub methods: &'static str,
    access: Access,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Page,
    Alive,
    Ready,
    Metrics,
    Status,
    Traffic,
    Sessions,
    Count,
    Session,
}

const fn route(path: &'static str, methods: &'static str, access: Access, what: What) -> Route {
    Route { path, methods, access, what }
}

/// Everything that is served. Of several that fit the first counts.
pub const ROUTES: &[Route] = &[
    route("/", "GET, HEAD", Access::Page, What::Page),
    route("/healthz", "GET, HEAD", Access::Everybody, What::Alive),
    route("/readyz", "GET, HEAD", Access::Everybody, What::Ready),
    route("/metrics", "GET, HEAD", Access::Everybody, What::Metrics),
    route("/v1/status", "GET, HEAD", Access::Operators, What::Status),
    route("/v1/traffic", "GET, HEAD", Access::Operators, What::Traffic),
    route("/v1/sessions", "GET, HEAD, DELETE", Access::Operators, What::Sessions),
    route("/v1/sessions/count", "GET, HEAD", Access::Operators, What::Count),
    route("/v1/sessions/{handle}", "GET, HEAD, DELETE", Access::Operators, What::Session),
];

impl Route {
    fn of(path: &str) -> Option<&'static Self> {
        let fits = |route: &&Self| match route.path.strip_suffix("{handle}") {
            Some(before) => path.strip_prefix(before).is_some_and(|handle| !handle.is_empty() && !handle.contains('/')),
            None => route.path == path,
        };
        ROUTES.iter().find(fits)
    }

    fn allows(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|allowed| allowed == method.as_str())
    }
}

impl Admin {
    /// The same under another configuration.
    pub fn renewed(&self, guard: Guard, policy: Policy, fleets: Arc<Vec<Arc<Fleet>>>) -> Self {
        Self {
            guard,
            policy,
            fleets,
            store: self.store.clone(),
            store_kind: self.store_kind,
            draining: Arc::clone(&self.draining),
            sources: self.sources.clone(),
            traffic: Arc::clone(&self.traffic),
        }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<String> {
        let (head, _) = request.into_parts();
        self.respond(&head).await.unwrap_or_else(|refusal| refusal.response())
    }

    async fn respond(&self, head: &Parts) -> Result<Response<String>, Refusal> {
        let (path, query, method) = (head.uri.path(), head.uri.query(), &head.method);
        let route = Route::of(path).ok_or(Refusal::NoRoute)?;
        self.guard.admit(route.access, head)?;
        if !route.allows(method) {
            return Err(Refusal::Method(route.methods));
        }
        match route.what {
            What::Page => Ok(page::page()),
            What::Alive => Ok(text(StatusCode::OK, "alive\n")),
            What::Ready => Ok(self.ready().await),
            What::Metrics => Ok(self.metrics().await),
            What::Status => self.status(query).await,
            What::Traffic => self.traffic(query),
            What::Sessions => self.sessions(method, query).await,
            What::Count => self.count(query).await,
            What::Session => self.session(path.rsplit('/').next().unwrap_or_default(), method, query).await,
        }
    }

    async fn ready(&self) -> Response<String> {
        let troubles = self.troubles(self.store.ping().await);
        match troubles.is_empty() {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, &troubles.concat()),
        }
    }

    /// Everything because of which no requests should come here, a line each; `store`: what it has answered.
    fn troubles(&self, store: Result<(), StoreError>) -> Vec<String> {
        let draining = self.draining.load(Ordering::Relaxed);
        let draining = draining.then(|| "draining: the process is about to end\n".to_owned());
        let store = store.err().map(|error| format!("store: {error}\n"));
        let upstreams = self.no_upstream().map(|troubles| format!("upstreams: {troubles}\n"));
        [draining, store, upstreams].into_iter().flatten().collect()
    }

    /// Why no upstream would answer; `None` while one is healthy.
    fn no_upstream(&self) -> Option<String> {
        let troubles: Option<Vec<String>> = self.fleets.iter().map(|fleet| fleet.trouble()).collect();
        troubles.filter(|troubles| !troubles.is_empty()).map(|troubles| troubles.join(", "))
    }
}
