//! The steps of the line, each of which asks one room one thing.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{CONNECTION, HOST, SET_COOKIE, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;
use tracing::{info, warn};

use super::{
    OnStoreFailure, OnSwitch, Rejection, Shard,
    access::Entry,
    known::{Guest, Read},
    legacy::Asked,
    line::{Application, Route},
    tally::{Event, Unfit, Unsaved},
};
use crate::{
    cookie,
    envelope::{self, Claims},
    headers::{self, Authority, Inbound, Peer, Scheme},
    session::{
        Handle, Timestamp,
        change::{Change, Intent},
        control::Control,
        homes::Served,
        policy::{Create, On5xx},
        record::{Record, Standing},
        settle::{CookieStep, Outcome, Plan, Reach, Step},
    },
    store::{
        Entry as Found, StoreError,
        commit::{Presented, Request, Saved, Session, commit},
        index::revoke,
    },
    upstream::{ServedBy, Ties},
};

/// Of several cookies with our name, so many authentic ones are looked up.
const TICKETS: usize = 4;
/// A request that came through us this often goes round in circles.
const LOOP: usize = 8;

/// A request that was let in.
pub(super) struct Admitted {
    authority: Authority,
    pub(super) scheme: Scheme,
    upgrade: Option<HeaderValue>,
}

/// Who the request belongs to, and what its response may do.
pub(super) struct Visitor {
    presented: Presented,
    reach: Reach,
    opens: bool,
}

impl Shard {
    /// Refuses what cannot be understood, removes what the client must not say, and notes where it came from.
    pub(super) fn admit(&self, head: &mut Parts, peer: &Peer, entry: &mut Entry) -> Result<Admitted, Rejection> {
        let line = &self.line;
        let trusted = line.trust.covers(peer);
        entry.id = match headers::accepted_request_id(&head.headers) {
            Some(id) if trusted => id.clone(),
            Some(_) | None => fresh_request_id(),
        };
        line.guarded.strip(&mut head.headers);
        if [Method::CONNECT, Method::TRACE].contains(&head.method) {
            return Err(Rejection::MethodNotAllowed);
        }
        if head.uri.path() == "*" && head.method != Method::OPTIONS {
            return Err(Rejection::BadRequest("only OPTIONS may ask for *".to_owned()));
        }
        let authority = headers::authority_of(&head.uri, head.version, &head.headers)
            .map_err(|fault| Rejection::BadRequest(fault.to_string()))?;
        if head.version == Version::HTTP_2 {
            cookie::join_crumbs(&mut head.headers);
        }
        if headers::passes_through_us(&head.headers) >= LOOP {
            return Err(Rejection::Loop);
        }
        let upgrade = headers::upgrade_of(&head.method, &head.version, &head.headers);
        headers::strip_request_hop_by_hop(&mut head.headers, &line.guarded);
        headers::strip_announcements(&mut head.headers, &line.guarded);
        headers::set_request_id(&mut head.headers, entry.id.clone());
        let inbound = Inbound { peer, trust: &line.trust, policy: line.scheme, host: authority.header() };
        let scheme = headers::rewrite_forwarding(&mut head.headers, inbound);
        headers::append_via(&mut head.headers, head.version);
        Ok(Admitted { authority, scheme, upgrade })
    }

    pub(super) fn find_route(&self, head: &Parts, admitted: &Admitted) -> Result<&Route, Rejection> {
        match self.line.routes.find(admitted.host(), head.uri.path()) {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err(Rejection::NoRoute),
            Err(ambiguous) => Err(Rejection::BadRequest(ambiguous.to_string())),
        }
    }

    /// The authentic tickets of this realm, in order, each once. Needs no store.
    pub(super) fn take_tickets(&self, headers: &HeaderMap, route: &Route) -> Vec<Arc<Guest>> {
        let mut guests: Vec<Arc<Guest>> = Vec::new();
        for value in cookie::tickets(headers, self.line.cookie.name()) {
            match self.known.guest(value, &route.realm, &self.line.keyring) {
                Ok(guest) if guests.iter().all(|other| other.ticket != guest.ticket) => guests.push(guest),
                Ok(_) => {}
                Err(fault) => self.tally.tickets.count(fault.into()),
            }
            if guests.len() == TICKETS {
                break;
            }
        }
        guests
    }

    pub(super) async fn timed_load(
        &self,
        guests: Vec<Arc<Guest>>,
        on_failure: OnStoreFailure,
        entry: &mut Entry,
    ) -> Result<Presented, Rejection> {
        if guests.is_empty() {
            return Ok(Presented::Nobody);
        }
        let begun = Instant::now();
        let loaded = self.load(guests).await;
        entry.waited_for_store(begun);
        match (loaded, on_failure) {
            (Ok(presented), _) => Ok(presented),
            (Err(error), OnStoreFailure::Reject) => Err(Rejection::StoreUnavailable(error)),
            (Err(error), OnStoreFailure::Anonymous) => {
                self.tally.degraded.count();
                warn!(target: "cloakroom::proxy", %error, "a request goes on without its session");
                Ok(Presented::Unavailable)
            }
        }
    }

    /// Looks the tickets up. Precedence: store error, several live, one live, retired, none.
    async fn load(&self, guests: Vec<Arc<Guest>>) -> Result<Presented, StoreError> {
        let handles: Vec<Handle> = guests.iter().map(|guest| guest.handle).collect();
        let entries = self.store.load(&handles).await?;
        let now = self.store.now();
        let unfit = &self.tally.tickets;
        let mut presented = Presented::Nobody;
        for (guest, entry) in guests.into_iter().zip(entries) {
            let Some(found) = entry else {
                unfit.count(Unfit::Unknown);
                continue;
            };
            let Some(read) = self.known.read(&guest.handle, &found) else {
                unfit.count(Unfit::Unreadable);
                continue;
            };
            let standing = read.standing(&guest, now);
            match standing {
                Standing::Live => {}
                Standing::Retired(_) => unfit.count(Unfit::Retired),
                Standing::Destroyed(_) => unfit.count(Unfit::Destroyed),
                Standing::Unknown => unfit.count(Unfit::Unknown),
            }
            presented = match (standing, read, presented) {
                (Standing::Live, Read::Live(_), Presented::Loaded(_) | Presented::Several) => {
                    unfit.count(Unfit::Several);
                    Presented::Several
                }
                (Standing::Live, Read::Live(record), _) => {
                    let session = Session { ticket: guest.ticket.clone(), handle: guest.handle, record };
                    self.touch(&session, &found, now);
                    Presented::Loaded(Box::new(session))
                }
                (Standing::Retired(left), _, Presented::Nobody) => Presented::Retired(left),
                (Standing::Destroyed(left), _, Presented::Nobody) => Presented::Destroyed(left),
                (_, _, presented) => presented,
            };
        }
        if let Presented::Loaded(_) = presented {
            self.tally.sessions.count(Event::Returned);
        }
        Ok(presented)
    }

    /// Pushes the expiry out if it is time, beside the request and not before it; a write that comes first has the say.
    fn touch(&self, session: &Session, found: &Found, now: Timestamp) {
        let Some(ttl) = session.record.touch(found.left, now, &self.line.policy) else { return };
        let (store, handle, stamp) = (self.store.clone(), session.handle, session.record.stamp());
        self.tasks.spawn(async move {
            if let Err(error) = store.touch(&handle, &stamp, ttl).await {
                warn!(target: "cloakroom::proxy", session = %handle, %error, "a session's expiry was not pushed out");
            }
        });
    }

    pub(super) fn seal_token(
        &self,
        upstream: usize,
        application: &Application,
        visitor: &Visitor,
    ) -> Result<HeaderValue, Rejection> {
        let now = unix_now();
        let seal = |claims: Claims<'_>| self.line.sealer.seal(&application.audience, claims, now);
        let sealed = match &visitor.presented {
            Presented::Loaded(session) => self.tokens.of_session(upstream, session, now, seal),
            Presented::Unavailable => seal(Claims::Degraded),
            Presented::Nobody if visitor.opens && self.line.policy.create == Create::Always => seal(Claims::New),
            Presented::Nobody | Presented::Retired(_) | Presented::Destroyed(_) | Presented::Several => {
                self.tokens.of_nobody(upstream, now, seal)
            }
        };
        let token = sealed.map_err(|_| Rejection::Unavailable)?;
        self.tally.token_bytes.observe_bytes(token.len());
        Ok(token)
    }

    /// What the response asks for. Of a `5xx` only endings count, and what cannot be read there is logged.
    pub(super) fn open<B>(
        &self,
        response: &Response<B>,
        application: &Application,
        route: &Route,
        asked: &Asked,
    ) -> Result<Change, Rejection> {
        let (lines, settings, rights) = (response.headers(), &self.line.envelope, &application.rights);
        let status = response.status();
        if !status.is_server_error() || self.line.policy.on_5xx == On5xx::Save {
            let change = self.overhear(envelope::open(lines, settings, rights)?, lines, (route, application), asked)?;
            let ends = asked.ends && (status.is_success() || status.is_redirection());
            let change = change.served_by(served(response, application));
            return Ok(if ends { change.ending() } else { change });
        }
        let endings = envelope::open_endings(lines, settings, rights).unwrap_or_else(|error| {
            warn!(target: "cloakroom::proxy", %error, "the session change on a 5xx answer cannot be read");
            Change::default()
        });
        let no_endings = lines.contains_key(&settings.control_header) && endings.control == Control::default();
        let heard = route.legacy.hears(lines, self.line.cookie.name());
        if no_endings || heard || lines.contains_key(&settings.update_header) {
            self.tally.not_saved(Unsaved::ServerError);
            warn!(target: "cloakroom::proxy", "a session change on a 5xx answer is dropped (session.save_on_5xx)");
        }
        Ok(endings)
    }

    /// Settles and saves; returns once the store has acknowledged. Most answers change nothing; what it takes to carry a
    /// change out is boxed, so that they do not carry the room for it.
    pub(super) async fn save(
        &self,
        visitor: &Visitor,
        change: Change,
        status: StatusCode,
        entry: &mut Entry,
    ) -> Result<Plan, Rejection> {
        let opens = visitor.opens && !status.is_server_error();
        let create = if opens { self.line.policy.create } else { Create::OnWrite };
        let is_idle = (change.intent(), create) == (Intent::Nothing, Create::OnWrite);
        if is_idle && change.control.revoke_subject.is_none() {
            return Ok(Plan::unchanged(visitor.outcome()));
        }
        let begun = Instant::now();
        let plan = Box::pin(self.carry_out(visitor, change, create)).await;
        entry.waited_for_store(begun);
        plan
    }

    async fn carry_out(&self, visitor: &Visitor, change: Change, create: Create) -> Result<Plan, Rejection> {
        if let Some(subject) = &change.control.revoke_subject {
            self.revoke(subject, None).await?;
        }
        if (change.intent(), create) == (Intent::Nothing, Create::OnWrite) {
            return Ok(Plan::unchanged(visitor.outcome()));
        }
        // A log-out everywhere ends the others first: once the own session is gone, a second try no longer knows whose.
        let everywhere = change.control.revoke_others && change.intent() == Intent::End;
        if let (true, Presented::Loaded(session)) = (everywhere, &visitor.presented)
            && let Some(subject) = &session.record.subject
        {
            self.revoke(subject, Some(&session.handle)).await?;
        }
        let request = Request { change: &change, policy: &self.line.policy, create, reach: visitor.reach };
        let saved = pin!(commit(&self.store, &self.lanes, &visitor.presented, &request));
        let Ok(saved) = tokio::time::timeout(self.line.save_timeout, saved).await else {
            return Err(Rejection::StoreUnavailable(StoreError::Timeout));
        };
        let Saved { plan, owner, text } = saved?;
        if let (Presented::Loaded(session), Step::Change(write), Some(text)) = (&visitor.presented, &plan.store, text) {
            self.known.wrote(&session.handle, text, &write.stored);
        }
        self.tally.carried_out(&plan);
        if let (true, Some((handle, subject))) = (change.control.revoke_others && !everywhere, owner) {
            self.revoke(&subject, Some(&handle)).await?;
        }
        Ok(plan)
    }

    async fn revoke(&self, subject: &str, except: Option<&Handle>) -> Result<(), Rejection> {
        let ended = revoke(&self.store, subject, except).await.map_err(Rejection::StoreUnavailable)?;
        info!(target: "cloakroom::proxy", ended, "sessions of a subject were revoked");
        Ok(())
    }

    /// Removes from a response what is ours or concerns one connection only.
    pub(super) fn clean<B>(&self, response: &mut Response<B>, route: &Route) {
        let name = self.line.cookie.name();
        let lines = response.headers_mut();
        route.hidden.strip(lines);
        self.conceal(lines, route);
        headers::strip_response_hop_by_hop(lines, &self.line.ours);
        headers::strip_announcements(lines, &route.hidden);
        if cookie::keep_back(lines, |line| cookie::covers_set_cookie(line, name)) {
            warn!(target: "cloakroom::proxy", route = &*route.name, "the application set a cookie of our name; it is removed");
        }
    }

    pub(super) fn put_ticket(&self, lines: &mut HeaderMap, plan: &Plan, route: &Route) {
        let line = match &plan.cookie {
            CookieStep::Keep => return,
            CookieStep::Issue(ticket, max_age) => {
                let text = self.line.keyring.seal(ticket, &route.realm);
                cookie::issue(&self.line.cookie, route.domain_applies, &text, *max_age)
            }
            CookieStep::Delete => cookie::delete(&self.line.cookie, route.domain_applies),
        };
        lines.append(SET_COOKIE, line);
        headers::forbid_shared_caching(lines);
    }
}

impl Admitted {
    pub(super) fn host(&self) -> &str {
        self.authority.host()
    }

    /// Addresses the request to the application: origin form, the browser's `Host` (the upstream may put its own there),
    /// and the upgrade that it asks for, if its connection can switch.
    pub(super) fn address(self, head: &mut Parts, switch: Option<OnSwitch>) -> Option<OnSwitch> {
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from(path);
        if head.uri.path().is_empty() {
            // Of `http://host#fragment` there was a path, and nothing in it.
            head.uri = Uri::from_static("/");
        }
        head.version = Version::HTTP_11;
        head.headers.insert(HOST, self.authority.header().clone());
        let (protocol, browser) = self.upgrade.zip(switch)?;
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
        Some(browser)
    }
}

impl Visitor {
    pub(super) fn new(presented: Presented, reach: Reach, method: &Method) -> Self {
        let opens = matches!(presented, Presented::Nobody) && reach == Reach::Browser && method != Method::OPTIONS;
        Self { presented, reach, opens }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.presented {
            Presented::Loaded(_) => Outcome::Live,
            _ => Outcome::None,
        }
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        match &self.presented {
            Presented::Loaded(session) => Some(session.handle),
            _ => None,
        }
    }

    /// What ties the request to a server of this upstream.
    pub(super) fn ties(&self, upstream: &str) -> Option<Ties<'_>> {
        match &self.presented {
            Presented::Loaded(session) => {
                Some(Ties { session: session.handle.as_str().as_bytes(), home: session.record.homes.at(upstream) })
            }
            _ => None,
        }
    }

    /// Whether the store could not say who it is.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.presented, Presented::Unavailable)
    }

    /// The session as the application is given it.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.presented {
            Presented::Loaded(session) => Some(&session.record),
            _ => None,
        }
    }
}

/// Who answered, if the session is to stay there.
fn served<B>(response: &Response<B>, application: &Application) -> Option<Served> {
    let ServedBy(server) = response.extensions().get()?;
    Some(Served { upstream: application.audience.name().into(), server: Arc::clone(server) })
}

/// On a `101`: both sides and the protocol.
///
/// # Errors
/// The application switches to what nobody asked for.
pub(super) fn take_upgrade<B>(
    response: &mut Response<B>,
    browser: Option<OnSwitch>,
) -> Result<Option<(OnSwitch, OnUpgrade, HeaderValue)>, Rejection> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let application = response.extensions_mut().remove::<OnUpgrade>();
    match (browser, application, response.headers().get(UPGRADE)) {
        (Some(browser), Some(application), Some(protocol)) => Ok(Some((browser, application, protocol.clone()))),
        _ => Err(Rejection::UpstreamFailed("the application switches protocols unasked".to_owned())),
    }
}

pub(super) fn handle_of(plan: &Plan) -> Option<Handle> {
    match &plan.store {
        Step::Create(ticket, _) | Step::Recreate(_, ticket, _) => Some(ticket.locator.handle()),
        Step::Keep | Step::Change(_) => None,
    }
}

pub(super) fn fresh_request_id() -> HeaderValue {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(rand::random::<[u8; 16]>()) {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// Seconds since the epoch by our own clock: what applications hold tokens against.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
