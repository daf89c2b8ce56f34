//! The steps of the line, each of which asks one room one thing.

use std::{
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
    caller::{Caller, Named},
    known::{Guest, Read},
    legacy::Asked,
    line::{Application, Line, Route},
    tally::{Event, Unfit, Unsaved},
};
use crate::{
    cookie,
    envelope::{self, Claims},
    headers::{self, Inbound, Mark, Scheme, Seen},
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
    upstream::{Preface, ServedBy, Ties},
};

/// Of several cookies with our name, so many authentic ones are looked up.
const TICKETS: usize = 4;
/// A request that came through us this often goes round in circles.
const LOOP: usize = 8;

/// A request that was let in.
pub(super) struct Admitted {
    named: Arc<Named>,
    scheme: Scheme,
    upgrade: Option<Box<HeaderValue>>,
    /// Header lines that introduce it, if they are not in its head.
    pub(super) preface: Option<Arc<Preface>>,
}

/// The tickets that come with a request. Nearly always there is one at most.
#[derive(Default)]
pub(super) struct Guests {
    first: Option<Arc<Guest>>,
    more: Vec<Arc<Guest>>,
}

/// Who the request belongs to, and what its response may do.
pub(super) struct Visitor {
    presented: Presented,
    reach: Reach,
    opens: bool,
}

impl Shard {
    /// Refuses what cannot be understood, removes what the client must not say, and notes where it came from. `seen`: of
    /// these headers.
    pub(super) fn admit(
        &self,
        head: &mut Parts,
        seen: Seen,
        caller: &Caller,
        entry: &mut Entry,
    ) -> Result<Admitted, Rejection> {
        let line = &self.line;
        let trusted = line.trust.covers(caller.peer());
        let id = if trusted && seen.has(Mark::RequestId) { headers::accepted_request_id(&head.headers) } else { None };
        entry.id = id.cloned().unwrap_or_else(fresh_request_id);
        if seen.has(Mark::Ours) {
            line.guarded.strip(&mut head.headers);
        }
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Rejection::MethodNotAllowed);
        }
        if head.uri.path() == "*" && head.method != Method::OPTIONS {
            return Err(Rejection::BadRequest("only OPTIONS may ask for *".to_owned()));
        }
        let own_scheme = (!trusted).then(|| headers::unclaimed_scheme(caller.peer(), line.scheme));
        let named = caller.named(head, own_scheme).map_err(|fault| Rejection::BadRequest(fault.to_string()))?;
        if head.version == Version::HTTP_2 {
            cookie::join_crumbs(&mut head.headers);
        }
        if seen.has(Mark::Via) && headers::passes_through_us(&head.headers) >= LOOP {
            return Err(Rejection::Loop);
        }
        let upgrade = if seen.has(Mark::Upgrade) {
            headers::upgrade_of(&head.method, &head.version, &head.headers).map(Box::new)
        } else {
            None
        };
        headers::strip_request_hop_by_hop(&mut head.headers, &line.guarded, seen);
        if seen.has(Mark::Trailer) {
            headers::strip_announcements(&mut head.headers, &line.guarded);
        }
        if seen.has(Mark::RequestId) {
            headers::strip_request_id(&mut head.headers);
        }
        headers::set_request_id(&mut head.headers, entry.id.clone());
        let (scheme, preface) = self.introduce(head, seen, caller, &named);
        Ok(Admitted { named, scheme, upgrade, preface })
    }

    /// Tells the application where the request came from: in lines that go out with it, or in its head.
    fn introduce(
        &self,
        head: &mut Parts,
        seen: Seen,
        caller: &Caller,
        named: &Named,
    ) -> (Scheme, Option<Arc<Preface>>) {
        let (line, headers) = (&self.line, &mut head.headers);
        let introduction = named.introduction();
        if introduction.is_some() && seen.has(Mark::Claim) {
            headers::strip_claims(headers);
        }
        if let Some((scheme, preface)) = introduction.filter(|_| !seen.has(Mark::Via)) {
            return (scheme, Some(Arc::clone(preface)));
        }
        let inbound =
            Inbound { peer: caller.peer(), trust: &line.trust, policy: line.scheme, host: named.authority.header() };
        let scheme = headers::rewrite_forwarding(headers, inbound);
        headers::append_via(headers, head.version);
        (scheme, None)
    }

    pub(super) fn find_route(&self, target: &Uri, admitted: &Admitted) -> Result<&Route, Rejection> {
        match self.line.routes.find(admitted.host(), target.path()) {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err(Rejection::NoRoute),
            Err(ambiguous) => Err(Rejection::BadRequest(ambiguous.to_string())),
        }
    }

    /// The authentic tickets of this realm, in order, each once. Needs no store.
    pub(super) fn take_tickets(&self, headers: &HeaderMap, seen: Seen, route: &Route) -> Guests {
        let mut guests = Guests::default();
        if !seen.has(Mark::Cookie) {
            return guests;
        }
        for value in cookie::tickets(headers, self.line.cookie.name()) {
            match self.known.guest(value, &route.realm, &self.line.keyring) {
                Ok(guest) => guests.welcome(guest),
                Err(fault) => self.tally.tickets.count(fault.into()),
            }
            if guests.are_many() {
                break;
            }
        }
        guests
    }

    pub(super) async fn timed_load(
        &self,
        guests: Guests,
        on_failure: OnStoreFailure,
        entry: &mut Entry,
    ) -> Result<Presented, Rejection> {
        let Some(first) = guests.first else { return Ok(Presented::Nobody) };
        let begun = Instant::now();
        let loaded = match guests.more.is_empty() {
            true => self.load(&first).await,
            false => Box::pin(self.load_all(&first, &guests.more)).await,
        };
        entry.waited_for_store(begun);
        match (loaded, on_failure) {
            (Ok(presented), _) => {
                if let Presented::Loaded(_) = presented {
                    self.tally.sessions.count(Event::Returned);
                }
                Ok(presented)
            }
            (Err(error), OnStoreFailure::Reject) => Err(Rejection::StoreUnavailable(error)),
            (Err(error), OnStoreFailure::Anonymous) => {
                self.tally.degraded.count();
                warn!(target: "cloakroom::proxy", %error, "a request goes on without its session");
                Ok(Presented::Unavailable)
            }
        }
    }

    /// Looks up the only ticket.
    async fn load(&self, guest: &Guest) -> Result<Presented, StoreError> {
        let (found, now) = self.store.load_one(&guest.handle).await?;
        Ok(self.weigh(guest, found, now, Presented::Nobody))
    }

    /// Looks several tickets up. Precedence: store error, several live, one live, retired, none.
    async fn load_all(&self, first: &Guest, more: &[Arc<Guest>]) -> Result<Presented, StoreError> {
        let guests = || std::iter::once(first).chain(more.iter().map(|guest| &**guest));
        let handles: Vec<Handle> = guests().map(|guest| guest.handle).collect();
        let entries = self.store.load(&handles).await?;
        let now = self.store.now();
        let found = guests().zip(entries);
        Ok(found.fold(Presented::Nobody, |presented, (guest, found)| self.weigh(guest, found, now, presented)))
    }

    /// Who is presented, with this guest and what was found for it beside those before.
    fn weigh(&self, guest: &Guest, found: Option<Found>, now: Timestamp, presented: Presented) -> Presented {
        let unfit = &self.tally.tickets;
        let Some(found) = found else {
            unfit.count(Unfit::Unknown);
            return presented;
        };
        let Some(read) = guest.read(&found) else {
            unfit.count(Unfit::Unreadable);
            return presented;
        };
        let standing = read.standing(guest, now);
        match standing {
            Standing::Live => {}
            Standing::Retired(_) => unfit.count(Unfit::Retired),
            Standing::Destroyed(_) => unfit.count(Unfit::Destroyed),
            Standing::Unknown => unfit.count(Unfit::Unknown),
        }
        match (standing, read, presented) {
            (Standing::Live, Read::Live(_), Presented::Loaded(_) | Presented::Several) => {
                unfit.count(Unfit::Several);
                Presented::Several
            }
            (Standing::Live, Read::Live(record), _) => {
                let session = Session { ticket: Arc::clone(&guest.ticket), handle: guest.handle, record };
                self.touch(&session, &found, now);
                Presented::Loaded(Box::new(session))
            }
            (Standing::Retired(left), _, Presented::Nobody) => Presented::Retired(left),
            (Standing::Destroyed(left), _, Presented::Nobody) => Presented::Destroyed(left),
            (_, _, presented) => presented,
        }
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

    /// What the response asks for. Of a `5xx` only endings count, and what cannot be read there is logged. `seen`: of its
    /// head, with what the route hides.
    pub(super) fn open<B>(
        &self,
        response: &Response<B>,
        seen: Seen,
        application: &Application,
        route: &Route,
        asked: &Asked,
    ) -> Result<Change, Rejection> {
        let (lines, settings, rights) = (response.headers(), &self.line.envelope, &application.rights);
        let status = response.status();
        if !status.is_server_error() || self.line.policy.on_5xx == On5xx::Save {
            // Update and control are hidden on every route.
            let change =
                if seen.has(Mark::Ours) { envelope::open(lines, settings, rights)? } else { Change::default() };
            let change = self.overhear(change, (lines, seen), (route, application), asked)?;
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

    /// Whether nothing that this answer says, or does not say, changes a session: nearly always. `seen` as for
    /// [`Shard::open`], which would find nothing.
    pub(super) fn stays<B>(
        &self,
        visitor: &Visitor,
        response: &Response<B>,
        seen: Seen,
        route: &Route,
        asked: &Asked,
    ) -> bool {
        !seen.has(Mark::Ours)
            && !asked.ends
            && !route.legacy.may_hear(seen)
            && response.extensions().get::<ServedBy>().is_none()
            && self.create(visitor, response.status()) == Create::OnWrite
    }

    /// Whether an answer with this status creates a session by itself.
    fn create(&self, visitor: &Visitor, status: StatusCode) -> Create {
        if visitor.opens && !status.is_server_error() { self.line.policy.create } else { Create::OnWrite }
    }

    /// Settles and saves; returns once the store has acknowledged.
    pub(super) async fn save(
        &self,
        visitor: &Visitor,
        change: Change,
        status: StatusCode,
        entry: &mut Entry,
    ) -> Result<Plan, Rejection> {
        let create = self.create(visitor, status);
        let is_idle = (change.intent(), create) == (Intent::Nothing, Create::OnWrite);
        if is_idle && change.control.revoke_subject.is_none() {
            return Ok(Plan::unchanged(visitor.outcome()));
        }
        let begun = Instant::now();
        let plan = self.carry_out(visitor, change, create).await;
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
        let saved = commit(&self.store, &self.lanes, &visitor.presented, &request);
        let Ok(saved) = tokio::time::timeout(self.line.save_timeout, saved).await else {
            return Err(Rejection::StoreUnavailable(StoreError::Timeout));
        };
        let Saved { plan, owner } = saved?;
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

    /// Removes from a response what is ours to say or concerns one connection only. `seen`: of these headers, with what the route
    /// hides.
    pub(super) fn clean<B>(&self, response: &mut Response<B>, seen: Seen, route: &Route) {
        let name = self.line.cookie.name();
        let lines = response.headers_mut();
        if seen.has(Mark::Ours) {
            route.hidden.strip(lines);
        }
        headers::strip_response_hop_by_hop(lines, &self.line.ours, seen);
        if seen.has(Mark::Trailer) {
            headers::strip_announcements(lines, &route.hidden);
        }
        if seen.has(Mark::RequestId) {
            headers::strip_request_id(lines);
        }
        if !seen.has(Mark::SetCookie) {
            return;
        }
        self.conceal(lines, route);
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

impl Guests {
    /// Takes one more in, unless it is here already.
    fn welcome(&mut self, guest: Arc<Guest>) {
        match &self.first {
            None => self.first = Some(guest),
            Some(first) => {
                if first.ticket != guest.ticket && self.more.iter().all(|other| other.ticket != guest.ticket) {
                    self.more.push(guest);
                }
            }
        }
    }

    fn are_many(&self) -> bool {
        self.more.len() + 1 >= TICKETS
    }
}

impl Admitted {
    pub(super) fn host(&self) -> &str {
        self.named.authority.host()
    }

    /// Whether a cookie set on this route would be kept by the browser.
    pub(super) fn reach(&self, line: &Line, route: &Route) -> Reach {
        line.reach(route, self.host(), self.named.is_loopback || self.scheme == Scheme::Https)
    }

    /// Addresses the request to the application: origin form, the browser's `Host` (the upstream may put its own there),
    /// and the upgrade that it asks for, if its connection can switch.
    pub(super) fn address<B>(self, request: &mut http::Request<B>, switch: Option<OnSwitch>) -> Option<OnSwitch> {
        let host = self.named.authority.header();
        if request.uri().authority().is_some() || host.is_empty() {
            request.headers_mut().insert(HOST, host.clone());
        }
        if request.uri().scheme().is_some() || request.uri().authority().is_some() {
            let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(path);
        }
        if request.uri().path().is_empty() {
            // Of `http://host#fragment` there was a path, and nothing in it.
            *request.uri_mut() = Uri::from_static("/");
        }
        *request.version_mut() = Version::HTTP_11;
        let (protocol, browser) = self.upgrade.zip(switch)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, *protocol);
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
                Some(Ties { session: session.handle.as_bytes(), home: session.record.homes.at(upstream) })
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
    let (mut text, bits) = ([0; 32], rand::random::<u128>());
    for (at, digits) in text.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *digits = hexadecimal((bits >> (32 * at)) as u32);
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// Eight digits at once: every request has an id. Each byte of a word takes one of them.
fn hexadecimal(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((digits + 6 * EACH) >> 4) & EACH;
    (digits + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Seconds since the epoch by our own clock: what applications hold tokens against.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_eight_digits() {
        let numbers = [0, 1, 9, 10, 15, 16, 0x1234_5678, 0x9abc_def0, 0x0f0f_a9a9, u32::MAX];
        for number in numbers.into_iter().chain((0..32).map(|bit| 1 << bit)) {
            assert_eq!(hexadecimal(number), *format!("{number:08x}").as_bytes(), "{number:x}");
        }
    }

    #[test]
    fn ids_are_32_digits_and_never_the_same() {
        let (one, other) = (fresh_request_id(), fresh_request_id());
        assert!(one != other && one.len() == 32 && one.as_bytes().iter().all(u8::is_ascii_hexdigit));
    }
}
