//! THE LINE: one request, top to bottom. Read `Shard::run` first; every step of it is one verb below.
//!
//! This room decides nothing about sessions (`session::settle` does), stores nothing (`store::commit` does) and knows no
//! sockets. Invariants: our names are removed before anything is injected; the response head leaves only after the
//! store has acknowledged; a rejection replaces the whole response.

mod access;
mod body;
mod detach;
mod line;
mod rejection;
mod settings;
mod steps;
mod tokens;

use std::{sync::Arc, time::Instant};

use http::{HeaderValue, Request, Response, Version, request::Parts};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use access::{Entry, Outcome};
pub use body::Download;
pub use line::{Application, Line};
pub use rejection::{Form, Rejection};
pub use settings::{OnStoreFailure, RouteSettings, SessionUse, Settings, UpstreamSettings};
use steps::Visitor;
pub use steps::unix_now;

use crate::{
    headers::Peer,
    session::settle::Outcome as Settled,
    store::{Store, lane::Lanes},
    upstream::{self, Pool, Progress, Slots, tunnel},
};

/// What the shards of one process share.
#[derive(Clone)]
pub struct Common {
    /// The prepared settings.
    pub line: Arc<Line>,
    /// Writers of one session, lined up.
    pub lanes: Arc<Lanes>,
    /// Connections that may be open to each upstream, in the order of [`Settings::upstreams`].
    slots: Arc<[(upstream::Settings, Slots)]>,
    /// Requests that go on without their browser, and tunnels.
    pub tasks: TaskTracker,
}

impl Common {
    /// Prepares the settings for work.
    ///
    /// # Errors
    /// What the configuration should have found.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let (lanes, tasks) = (Arc::default(), TaskTracker::new());
        Ok(Self { line: Arc::new(Line::new(settings)?), lanes, slots: slots(settings, &[]), tasks })
    }

    /// Prepares other settings for the same process. The lanes stay, for requests that began before write to the same
    /// sessions, and so do the slots of upstreams that are the same.
    ///
    /// # Errors
    /// What the configuration should have found.
    pub fn renewed(&self, settings: &Settings) -> Result<Self, String> {
        let slots = slots(settings, &self.slots);
        Ok(Self { line: Arc::new(Line::new(settings)?), slots, ..self.clone() })
    }
}

fn slots(settings: &Settings, before: &[(upstream::Settings, Slots)]) -> Arc<[(upstream::Settings, Slots)]> {
    let same = |wanted: &upstream::Settings| before.iter().find(|(settings, _)| settings == wanted).cloned();
    let all = settings.upstreams.iter().map(|upstream| &upstream.connections);
    all.map(|wanted| same(wanted).unwrap_or_else(|| (wanted.clone(), Slots::new(wanted)))).collect()
}

/// One core's share of the work: its own pools and its own way to the store.
pub struct Shard {
    line: Arc<Line>,
    lanes: Arc<Lanes>,
    store: Store,
    pools: Vec<Arc<Pool<body::Upload>>>,
    tokens: tokens::Tokens,
    tasks: TaskTracker,
}

/// What a browser is answered.
pub type Answer = Response<Download>;

impl Shard {
    /// A shard that works with this store. It takes over the connections of the one before it to upstreams that are the
    /// same.
    pub fn new(settings: &Settings, common: &Common, store: Store, before: Option<&Self>) -> Self {
        let pools = common.slots.iter().map(|(wanted, slots)| {
            let same = before.and_then(|before| before.pools.iter().find(|pool| pool.settings() == wanted));
            same.cloned().unwrap_or_else(|| Arc::new(Pool::new(wanted.clone(), slots.clone())))
        });
        Self {
            line: Arc::clone(&common.line),
            lanes: Arc::clone(&common.lanes),
            store,
            pools: pools.collect(),
            tokens: tokens::Tokens::new(settings.upstreams.len()),
            tasks: common.tasks.clone(),
        }
    }

    /// Closes upstream connections that nobody needs; call it now and then.
    pub fn prune(&self) {
        self.pools.iter().for_each(|pool| pool.prune());
    }

    /// Answers one request. If the returned future is dropped after the first poll, the request goes on in the
    /// background: what was sent to the application is waited for, and its change saved. `held` comes back with the
    /// answer, and is kept for as long as the request goes on.
    pub fn serve<H: Send + 'static>(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        held: H,
    ) -> impl Future<Output = (Answer, H)> + Send + use<H> {
        let shard = Arc::clone(self);
        let tasks = self.tasks.clone();
        detach::Detachable::new(async move { (shard.answer(request, peer).await, held) }, tasks)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer {
        let mut entry = Entry::begin(request.method().clone(), request.uri().path());
        let form = Form::wanted(request.headers());
        let mut vary = false;
        let mut response = match self.run(request, &peer, &mut entry, &mut vary).await {
            Ok(response) => response,
            Err(rejection) => self.reject(&rejection, form, &mut entry),
        };
        if vary {
            crate::headers::vary_on_cookie(response.headers_mut());
        }
        crate::headers::set_request_id(response.headers_mut(), entry.id.clone());
        entry.status = response.status();
        response.map(|body| body.with_entry(entry))
    }

    /// admit → find route → take ticket → load → seal token → send upstream → open update → settle → save → put ticket
    /// → release response.
    async fn run(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        entry: &mut Entry,
        vary: &mut bool,
    ) -> Result<Answer, Rejection> {
        let (mut head, body) = request.into_parts();
        let admitted = self.admit(&mut head, peer, entry)?;
        let route = self.find_route(&head, &admitted)?;
        entry.route.clone_from(&route.name);
        let application = &self.line.applications[route.upstream];
        let visitor = match route.session {
            SessionUse::Off => None,
            SessionUse::On(on_failure) => {
                *vary = true;
                let tickets = self.take_tickets(&head.headers, route);
                let presented = self.timed_load(tickets, on_failure, entry).await?;
                let visitor =
                    Visitor::new(presented, self.line.reach(route, admitted.host(), admitted.scheme), &head.method);
                entry.outcome = Outcome::Settled(visitor.outcome());
                entry.session = visitor.handle();
                let token = self.seal_token(route.upstream, application, &visitor)?;
                head.headers.insert(&self.line.envelope.header, token);
                Some(visitor)
            }
        };
        if self.line.cookie.strip() {
            crate::cookie::strip(&mut head.headers, self.line.cookie.name());
        }
        let upgrade = admitted.address(&mut head, application);
        let mut response = self.send(head, body, route.upstream, entry).await?;
        let switching = steps::take_upgrade(&mut response, upgrade)?;
        let plan = match visitor {
            None => None,
            Some(visitor) => {
                let change = self.open(&response, application)?;
                let begun = Instant::now();
                let plan = self.save(&visitor, change, response.status()).await;
                entry.store += begun.elapsed();
                Some(plan?)
            }
        };
        self.clean(&mut response, route);
        if let Some(plan) = plan {
            entry.outcome = Outcome::Settled(plan.outcome);
            entry.session = steps::handle_of(&plan).or(entry.session);
            self.put_ticket(response.headers_mut(), &plan, route);
        }
        Ok(self.release(response, switching))
    }

    fn reject(&self, rejection: &Rejection, form: Form, entry: &mut Entry) -> Answer {
        let (status, label, id) =
            (rejection.status().as_u16(), rejection.label(), entry.id.to_str().unwrap_or_default());
        match rejection.status().is_server_error() {
            true => error!(target: "cloakroom::proxy", status, label, request_id = id, reason = %rejection, "rejected"),
            false => warn!(target: "cloakroom::proxy", status, label, request_id = id, reason = %rejection, "rejected"),
        }
        entry.outcome = match (rejection, entry.outcome) {
            (Rejection::NoRoute, Outcome::Settled(Settled::None)) => entry.outcome,
            _ => Outcome::Rejected,
        };
        rejection.response(&entry.id, form).map(|text| Download::text(text, Arc::clone(&self.line)))
    }

    async fn send(
        &self,
        mut head: Parts,
        body: Incoming,
        upstream: usize,
        entry: &mut Entry,
    ) -> Result<Response<upstream::ResponseBody<body::Upload>>, Rejection> {
        if !body.is_end_stream() {
            crate::headers::frame_unknown_length(&mut head.headers);
        }
        let progress = Progress::default();
        let upload = body::Upload::new(body, Arc::clone(&self.line), progress.clone());
        let begun = Instant::now();
        let sent = self.pools[upstream].send(Request::from_parts(head, upload), Some(&progress)).await;
        entry.upstream = begun.elapsed();
        Ok(sent?)
    }

    fn release(
        &self,
        mut response: Response<upstream::ResponseBody<body::Upload>>,
        switching: Option<(OnUpgrade, OnUpgrade, HeaderValue)>,
    ) -> Answer {
        let line = Arc::clone(&self.line);
        *response.version_mut() = Version::HTTP_11;
        let Some((browser, application, protocol)) = switching else {
            return response.map(|body| Download::from_application(body, line));
        };
        self.tasks.spawn(tunnel(browser, application));
        let mut response = response.map(|_| Download::nothing(line));
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(http::header::UPGRADE, protocol);
        response
    }
}
