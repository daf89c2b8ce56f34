//! THE LINE: one request, top to bottom. Read `Shard::receive` and `Shard::run` first; every step of them is one verb
//! below.
//!
//! This room decides nothing about sessions (`session::settle` does), stores nothing (`store::commit` does) and knows no
//! sockets. Invariants: our names are removed before anything is injected; the response head leaves only after the
//! store has acknowledged; a rejection replaces the whole response.

mod access;
mod body;
mod caller;
mod detach;
mod inflow;
mod known;
mod legacy;
mod line;
mod rejection;
mod saving;
mod settings;
mod sightings;
mod status;
mod steps;
mod tally;
mod tokens;
mod upload;
mod visit;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, UPGRADE, VARY},
};
use tokio_util::{sync::DropGuard, task::TaskTracker};
use tracing::{debug, error, warn};

use access::{Book, Entry};
pub use body::{Beside, Download};
pub use caller::Caller;
pub use inflow::{Incoming, Inflow, OnSwitch, Switch, Wire, switch};
use known::Known;
pub use legacy::{Gate, Legacy, Shown};
use line::Route;
pub use line::{Application, Line};
pub use rejection::{Form, Rejection};
pub use settings::{OnStoreFailure, RouteSettings, SessionUse, Settings, UpstreamSettings};
use steps::{Admitted, Switching};
use tally::Outcome;
pub use tally::{Tallies, Tally, Unsaved};
pub use tokens::{Tokens, unix_now};
use upload::Laying;
pub use upload::{Upload, UploadLimits};
use visit::{Comers, Presented, Visitor};

use crate::{
    clock::{self, alarm::Alarms},
    headers::{self, Mark, Seen},
    session::{
        Handle,
        change::Change,
        settle::{CookieStep, Reach},
    },
    store::{Store, lane::Lanes},
    upstream::{Fleet, Flow, Pool, tunnel},
};

/// What the shards of one process share.
#[derive(Clone)]
pub struct Common {
    /// The prepared settings.
    pub line: Arc<Line>,
    /// Writers of one session, lined up.
    pub lanes: Arc<Lanes>,
    /// The servers of each upstream, in the order of [`Settings::upstreams`].
    pub fleets: Arc<Vec<Arc<Fleet>>>,
    /// Requests that go on without their browser, and tunnels.
    pub tasks: TaskTracker,
    /// What all of them count.
    pub tallies: Arc<Tallies>,
}

impl Common {
    /// Prepares the settings for work. Call it within a runtime: upstreams are checked there.
    ///
    /// # Errors
    /// What the configuration should have found.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            line: Arc::new(Line::new(settings)?),
            lanes: Arc::default(),
            fleets: fleets(settings, &[])?,
            tasks: TaskTracker::new(),
            tallies: Arc::default(),
        })
    }

    /// Prepares other settings for the same process. The lanes stay, for requests that began before write to the same
    /// sessions, and so do the servers of upstreams that are the same.
    ///
    /// # Errors
    /// What the configuration should have found.
    pub fn renewed(&self, settings: &Settings) -> Result<Self, String> {
        let fleets = fleets(settings, &self.fleets)?;
        Ok(Self { line: Arc::new(Line::new(settings)?), fleets, ..self.clone() })
    }
}

/// The servers of each upstream: those that are there already where nothing about them has changed.
fn fleets(settings: &Settings, before: &[Arc<Fleet>]) -> Result<Arc<Vec<Arc<Fleet>>>, String> {
    let fleet = |wanted| match before.iter().find(|fleet| fleet.settings() == wanted) {
        Some(same) => Ok(Arc::clone(same)),
        None => Fleet::new(wanted),
    };
    let fleets = settings.upstreams.iter().map(|upstream| fleet(&upstream.connections));
    fleets.collect::<Result<_, _>>().map(Arc::new)
}

/// One core's share of the work: its own pools and its own way to the store.
pub struct Shard {
    line: Arc<Line>,
    lanes: Arc<Lanes>,
    /// Of those who wait for the store.
    alarms: Alarms,
    store: Store,
    pools: Vec<Arc<Pool<Upload>>>,
    known: Known,
    tokens: Tokens,
    tasks: TaskTracker,
    tally: Arc<Tally>,
    book: Arc<Book>,
}

/// A request that was let in, and what is known of it before anybody is asked.
struct Call {
    /// Boxed, for it is handed on many times.
    request: Box<Request<Upload>>,
    comers: Comers,
    route: usize,
    reach: Reach,
    upgrade: Option<Box<HeaderValue>>,
}

/// What a request comes to that was let in.
enum Admission {
    /// It is to be answered by the application.
    Further(Call),
    /// It ends here.
    Here(Answer),
}

/// An answer of the application that is not released yet.
struct Received {
    response: Answer,
    /// What its head had when it came.
    said: Seen,
    switching: Option<Box<Switching>>,
    unread: Option<DropGuard>,
}

/// What a browser is answered; boxed, for it is handed on many times.
pub type Answer = Box<Response<Download>>;

impl Shard {
    /// A shard that works with this store. It takes over the counts of the one before it, and its connections to
    /// upstreams that are the same.
    pub fn new(settings: &Settings, common: &Common, store: Store, before: Option<&Self>) -> Self {
        let pools = common.fleets.iter().map(|fleet| {
            let same = before.and_then(|before| before.pools.iter().find(|pool| pool.is_of(fleet)));
            same.cloned().unwrap_or_else(|| Arc::new(Pool::new(fleet)))
        });
        let tally = before.map_or_else(|| common.tallies.open(), |before| Arc::clone(&before.tally));
        Self {
            line: Arc::clone(&common.line),
            lanes: Arc::clone(&common.lanes),
            alarms: Alarms::default(),
            store,
            pools: pools.collect(),
            known: Known::new(),
            tokens: Tokens::new(settings.upstreams.len(), Arc::clone(&tally)),
            tasks: common.tasks.clone(),
            book: Arc::new(Book::new(&common.line, &tally)),
            tally,
        }
    }

    /// Closes upstream connections that nobody needs; call it now and then.
    pub fn prune(&self) {
        self.pools.iter().for_each(|pool| pool.prune());
    }

    /// Answers one request. If the returned future is dropped after the first poll, the request goes on in the
    /// background: what was sent to the application is waited for, and its change saved. `cookie`: its only `Cookie` line,
    /// if that is not among its headers. `held` comes back with the answer, and is kept for as long as the request goes on.
    pub fn serve<H: Send + 'static>(
        self: &Arc<Self>,
        request: Box<Request<Upload>>,
        cookie: Option<Bytes>,
        caller: &mut Caller,
        held: H,
    ) -> impl Future<Output = (Answer, H)> + Send + Unpin + use<H> {
        let mut entry = self.begin(request.method(), request.uri().path());
        let mut seen = Seen::of(request.headers(), &self.line.guarded);
        if cookie.is_some() {
            seen.note(Mark::Cookie);
        }
        let form = if seen.has(Mark::Accept) { Form::wanted(request.headers()) } else { Form::Problem };
        // What needs no waiting is done before there is a future that would have to carry it.
        let mut vary = false;
        let admission = self.receive(request, (seen, cookie), caller, &mut entry, &mut vary);
        let (shard, tasks) = (Arc::clone(self), self.tasks.clone());
        let answer = async move {
            let result = match admission {
                Ok(Admission::Further(call)) => shard.run(call, &mut entry).await,
                Ok(Admission::Here(answer)) => Ok(answer),
                Err(rejection) => Err(rejection),
            };
            let response = result.unwrap_or_else(|rejection| shard.reject(&rejection, form, &mut entry));
            (shard.enter(response, entry, vary), held)
        };
        detach::Detachable::new(answer, tasks, |(mut answer, _)| answer.body_mut().forsake())
    }

    /// Answers a request that does not come to the line; of one whose head is not sound nothing is known.
    pub fn refuse(&self, why: impl Into<Rejection>, request: Option<&Request<Upload>>) -> Answer {
        let mut entry = match request {
            Some(request) => self.begin(request.method(), request.uri().path()),
            None => self.begin_for_nobody(),
        };
        let response = self.reject(&why.into(), Form::Problem, &mut entry);
        self.enter(response, entry, false)
    }

    fn begin(&self, method: &Method, path: &str) -> Box<Entry> {
        self.tally.begun.count();
        Entry::begin(steps::fresh_request_id(), method, path, Arc::clone(&self.book))
    }

    /// For a request of which nothing can be told.
    fn begin_for_nobody(&self) -> Box<Entry> {
        self.begin(&Method::from_bytes(b"-").unwrap_or_default(), "-")
    }

    /// Gives the answer its entry to keep until it is over, and with it the request's id; and says what it depends on.
    fn enter(&self, mut response: Answer, mut entry: Box<Entry>, vary: bool) -> Answer {
        let says = vary && response.headers().contains_key(VARY);
        if says {
            headers::vary_on_cookie(response.headers_mut());
        }
        entry.status = response.status();
        response.body_mut().keep(entry, vary && !says);
        response
    }

    /// admit → find route → take ticket → (…)
    fn receive(
        &self,
        mut request: Box<Request<Upload>>,
        (seen, cookie): (Seen, Option<Bytes>),
        caller: &mut Caller,
        entry: &mut Entry,
        vary: &mut bool,
    ) -> Result<Admission, Rejection> {
        // Of HTTP/2 somebody else writes the heads, and from their maps alone.
        let laying = if request.version() == Version::HTTP_2 { Laying::Nothing } else { Laying::Aside };
        let Admitted { named, scheme, upgrade, introduction } = self.admit(&mut request, seen, caller, entry)?;
        upload::accept(&mut request, seen, &self.line.uploads)?;
        let route = self.find_route(&named, &request)?;
        entry.goes_to(route.index);
        *vary = route.session != SessionUse::Off;
        let is_options = *request.method() == Method::OPTIONS;
        if is_options && headers::count_forward(request.headers_mut()) == headers::Reach::Here {
            return Ok(Admission::Here(self.answer_options()));
        }
        let comers = self.take_tickets(request.headers_mut(), (seen, cookie), route);
        let reach = self.reach(route, &named, scheme);
        request.body_mut().introduce(named, entry.id.clone(), (introduction, laying));
        Ok(Admission::Further(Call { request, comers, route: route.index, reach, upgrade }))
    }

    /// (… → take ticket →) load → seal token → send upstream → open update → settle → save → put ticket → release response.
    async fn run(&self, call: Call, entry: &mut Entry) -> Result<Answer, Rejection> {
        let Call { mut request, comers, route, reach, upgrade } = call;
        let route = self.line.routes.at(route).ok_or(Rejection::NoRoute)?;
        let application = &self.line.applications[route.upstream];
        let visitor = match route.session {
            SessionUse::Off => None,
            SessionUse::On(on_failure) => {
                let presented = self.timed_load(comers, on_failure, entry).await?;
                Some(self.meet(&mut request, presented, (route, reach), application, entry)?)
            }
        };
        self.exchange_cookies(&mut request, route, application, visitor.as_ref());
        let noted = route.legacy.note(&request);
        let switch = request.body_mut().take_switch();
        let upgrade = steps::address(&mut request, upgrade, switch);
        let ties = visitor.as_ref().and_then(|visitor| visitor.ties(application));
        let begun = clock::now();
        let fate = request.body().fate();
        let starter = request.body_mut().take_starter();
        if let Some(starter) = &starter {
            starter.hold(&mut request);
        }
        let sent = self.pools[route.upstream].send::<Download>(request, ties).await;
        entry.waited_for_upstream(begun);
        let keeping = {
            let mut response = sent.map_err(|error| upload::blamed(error, &fate))?;
            let unread = starter.map(|starter| starter.answered());
            let switching = steps::take_upgrade(&mut response, upgrade)?;
            let mut said = Seen::of(response.headers(), &route.hidden);
            if response.body().tells_us() {
                said.note(Mark::Ours);
            }
            let received = Received { response, said, switching, unread };
            match visitor {
                Some(visitor) if !self.stays(&visitor, &received.response, said, route, &noted) => {
                    let change = self.open(&received.response, said, application, route, &noted);
                    let change = change.inspect_err(|rejection| self.note_loss(rejection))?;
                    // Boxed, so that answers which change nothing do not carry the room for a change.
                    Box::pin(self.keep(change, visitor, received, route, entry))
                }
                visitor => {
                    let session = || visitor.as_ref().and_then(Visitor::handle);
                    return Ok(self.release(received, None, route, session));
                }
            }
        };
        keeping.await
    }

    /// (… seal token …)
    fn meet(
        &self,
        request: &mut Request<Upload>,
        presented: Presented,
        (route, reach): (&Route, Reach),
        application: &Application,
        entry: &mut Entry,
    ) -> Result<Visitor, Rejection> {
        let visitor = Visitor::new(presented, reach, request.method());
        entry.outcome = visitor.outcome().into();
        entry.is_of(|| visitor.handle());
        let data = self.read_data(route, &visitor);
        self.check_gate(request, route, &visitor, data.as_ref())?;
        let token = self.seal_token(route.upstream, application, &visitor)?;
        request.body_mut().signed_with(token);
        self.inject(request.headers_mut(), route, data.as_ref());
        Ok(visitor)
    }

    /// (… settle → save → put ticket → release response.)
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    fn keep<'a>(
        &'a self,
        change: Change,
        visitor: Visitor,
        received: Received,
        route: &'a Route,
        entry: &'a mut Entry,
    ) -> impl Future<Output = Result<Answer, Rejection>> + use<'a> {
        async move {
            let saved = self.save(&visitor, &change, received.response.status(), entry).await;
            let settled = saved.inspect_err(|rejection| self.note_loss(rejection))?;
            entry.outcome = settled.outcome.into();
            entry.is_of(|| settled.made);
            let session = || settled.made.or_else(|| visitor.handle());
            Ok(self.release(received, Some(&settled.cookie), route, session))
        }
    }

    /// `session`: what a tunnel ends with.
    fn release(
        &self,
        received: Received,
        cookie: Option<&CookieStep>,
        route: &Route,
        session: impl FnOnce() -> Option<Handle>,
    ) -> Answer {
        let Received { mut response, said, switching, unread } = received;
        self.clean(&mut response, said, route);
        if let Some(cookie) = cookie {
            self.put_ticket(response.headers_mut(), cookie, route);
        }
        if let Some(switching) = switching {
            return self.join(response, *switching, session());
        }
        *response.version_mut() = Version::HTTP_11;
        if let Some(unread) = unread {
            response.body_mut().gives_up(unread);
        }
        response
    }

    /// Answers an `OPTIONS` that may go no further.
    fn answer_options(&self) -> Answer {
        let mut response = Response::new(Download::nothing());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(rejection::METHODS));
        Box::new(response)
    }

    fn reject(&self, rejection: &Rejection, form: Form, entry: &mut Entry) -> Answer {
        self.note(rejection, entry);
        Box::new(rejection.response(entry.id.as_str(), form).map(Download::text))
    }

    /// Logs and counts a rejection.
    fn note(&self, rejection: &Rejection, entry: &mut Entry) {
        self.tally.rejected.count(rejection.kind());
        let (status, label, id) = (rejection.status().as_u16(), rejection.label(), entry.id.as_str());
        match rejection {
            // What a gate is for is nothing to be warned of.
            Rejection::SignIn(_) | Rejection::SessionRequired(_) => {
                debug!(target: "cloakroom::proxy", status, label, request_id = id, reason = %rejection, "rejected");
            }
            _ if rejection.status().is_server_error() => {
                error!(target: "cloakroom::proxy", status, label, request_id = id, reason = %rejection, "rejected");
            }
            _ => warn!(target: "cloakroom::proxy", status, label, request_id = id, reason = %rejection, "rejected"),
        }
        entry.outcome = match (rejection, entry.outcome) {
            (Rejection::NoRoute, Outcome::None) => Outcome::None,
            _ => Outcome::Rejected,
        };
    }

    /// Counts a change that a rejection has cost.
    fn note_loss(&self, rejection: &Rejection) {
        if let Some(lost) = Unsaved::by(rejection.kind()) {
            self.tally.not_saved(lost);
        }
    }

    /// Releases a `101`, and the bytes behind it.
    fn join(&self, response: Answer, (browser, application, protocol): Switching, session: Option<Handle>) -> Answer {
        let (mut head, body) = response.into_parts();
        let flow = Flow::default();
        let end = self.end_of(session, flow.clone());
        self.tasks.spawn(tunnel(browser, application, flow, end, body));
        head.version = Version::HTTP_11;
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
        Box::new(Response::from_parts(head, Download::nothing()))
    }
}
