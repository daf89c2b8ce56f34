//! What a route does for an application that stays unmodified (contract section 6): its settings, and the steps of the
//! line that carry them out. What the values are is decided in `envelope`; here the request's head is dressed.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::SET_COOKIE};
use tracing::{debug, warn};

use super::{
    Rejection, Shard,
    line::{Application, Route},
    sightings,
    visit::Visitor,
};
use crate::{
    cookie::{self, Life, SetCookie},
    envelope::{self, Captured, Injection, Unfit},
    headers::{Mark, Seen, forbid_shared_caching, is_navigation},
    route::{PathPrefix, Redirect},
    session::{
        change::Change,
        document::{Document, Json, Pointer},
        time::Timestamp,
        vault::{Names, Offer, Renewal, default_path},
    },
    store::StoreError,
};

/// What one route does beside token, update and control. Means nothing on a route without sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// A good answer to one of these paths ends the session.
    pub end_on: Vec<PathPrefix>,
    /// Request headers made of session data.
    pub inject: Vec<Injection>,
    /// Response headers that are kept in the session.
    pub capture: Vec<Captured>,
    /// Whether the browser sees what was captured.
    pub captured: Shown,
    /// Who may come in.
    pub require: Option<Gate>,
    /// The application's own cookies that stay in the session.
    pub vault: Option<Names>,
}

/// What becomes of a captured header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// It is removed from the response.
    #[default]
    Never,
    /// It stays (`keep_captured = true`).
    Still,
}

/// `[routes.require]`: only sessions with something at this place pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Must be there, and be neither `null` nor `false`. Never the whole data.
    pub pointer: Pointer,
    /// Where navigations go instead.
    pub redirect: Option<Redirect>,
    /// What everybody else gets.
    pub status: StatusCode,
}

impl Legacy {
    /// Whether any of it looks at the session's data before the application is asked.
    fn reads_data(&self) -> bool {
        !self.inject.is_empty() || self.require.is_some()
    }

    /// Response headers that no browser sees.
    pub(super) fn concealed(&self) -> impl Iterator<Item = &HeaderName> {
        self.capture.iter().map(|captured| &captured.name).filter(|_| self.captured == Shown::Never)
    }

    /// Keeps of a request what its answer is judged by.
    pub(super) fn note<B>(&self, request: &Request<B>) -> Asked {
        let path = request.uri().path();
        // `OPTIONS` asks what is possible and does nothing.
        let ends = request.method() != Method::OPTIONS && self.end_on.iter().any(|end| end.is(path));
        Asked { ends, folder: self.vault.as_ref().map(|_| default_path(path).into()) }
    }

    /// Whether an answer with these marks may say anything that only this route listens to.
    pub(super) fn may_hear(&self, seen: Seen) -> bool {
        !self.capture.is_empty() || (self.vault.is_some() && seen.has(Mark::SetCookie))
    }

    /// Whether an answer says anything that only this route listens to.
    pub(super) fn hears(&self, lines: &HeaderMap, own: &str) -> bool {
        self.capture.iter().any(|captured| lines.contains_key(&captured.name))
            || lines.get_all(SET_COOKIE).iter().any(|line| self.vaulted(line, own).is_some())
    }

    /// The cookie of a line, if it is vaulted; `own`: the name of our cookie, which never is.
    fn vaulted<'a>(&self, line: &'a HeaderValue, own: &str) -> Option<SetCookie<'a>> {
        self.vault.as_ref()?;
        SetCookie::parse(line.as_bytes()).filter(|cookie| self.keeps(cookie.name, own))
    }

    /// Whether a cookie of this name is vaulted.
    fn keeps(&self, name: &[u8], own: &str) -> bool {
        name != own.as_bytes() && self.vault.as_ref().is_some_and(|names| names.covers(name))
    }

    fn offer(&self, cookie: SetCookie<'_>, upstream: &str, folder: &str, now: Timestamp) -> Offer {
        let expires = match cookie.life {
            Life::Session => None,
            Life::Over => Some(now),
            Life::Span(span) => Some(now.after(span)),
            Life::Until(at) => Some(Timestamp(at)),
        };
        let over = expires.is_some_and(|expires| expires <= now);
        let is = |named: fn(&Names, &[u8]) -> bool| self.vault.as_ref().is_some_and(|names| named(names, cookie.name));
        Offer {
            upstream: upstream.into(),
            name: cookie.name.into(),
            path: cookie.path.unwrap_or(folder.as_bytes()).into(),
            value: (!over).then(|| cookie.value.into()),
            expires: expires.filter(|_| !is(Names::is_session_only)),
            renewal: if is(Names::is_volatile) { Renewal::Ignored } else { Renewal::Rotates },
        }
    }
}

/// What is kept of a request until its answer comes.
pub(super) struct Asked {
    /// Whether a good answer ends the session.
    pub(super) ends: bool,
    /// The path of cookies that have none of their own, where some are kept.
    folder: Option<Box<str>>,
}

impl Gate {
    /// Lets a request in whose session has what is required.
    fn check<B>(&self, request: &Request<B>, data: Option<&Document>) -> Result<(), Rejection> {
        match data.and_then(|data| data.get(&self.pointer)) {
            Some(Json::Null | Json::Bool(false)) | None => Err(self.refusal(request)),
            Some(_) => Ok(()),
        }
    }

    fn refusal<B>(&self, request: &Request<B>) -> Rejection {
        let redirect = self.redirect.as_ref().filter(|_| is_navigation(request.method(), request.headers()));
        let asked = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match redirect.and_then(|redirect| HeaderValue::try_from(redirect.target(asked)).ok()) {
            Some(target) => Rejection::SignIn(target),
            None => Rejection::SessionRequired(self.status),
        }
    }
}

impl Shard {
    /// The session's data, where the route makes something of it. A visitor without a session has none.
    pub(super) fn read_data(&self, route: &Route, visitor: &Visitor) -> Option<Document> {
        // Of most visitors the record is never looked at.
        let visitor = Some(visitor).filter(|_| route.legacy.reads_data())?;
        Document::parse(&visitor.record()?.data).ok()
    }

    /// Ends the line for visitors whose session lacks what the route requires. While the store is away nobody knows: the
    /// gate stays closed, and to send anybody to the log-in would be a lie.
    pub(super) fn check_gate<B>(
        &self,
        request: &Request<B>,
        route: &Route,
        visitor: &Visitor,
        data: Option<&Document>,
    ) -> Result<(), Rejection> {
        match &route.legacy.require {
            None => Ok(()),
            Some(_) if visitor.is_unknown() => Err(Rejection::StoreUnavailable(StoreError::Disconnected)),
            Some(gate) => gate.check(request, data),
        }
    }

    /// Puts in the headers that the route makes of the data. Every client's own copies are gone by now, on every route.
    pub(super) fn inject(&self, headers: &mut HeaderMap, route: &Route, data: Option<&Document>) {
        let Some(data) = data else { return };
        for Injection { name, template } in &route.legacy.inject {
            match template.fill(data) {
                Ok(value) => drop(headers.insert(name, value)),
                Err(Unfit::Missing) => debug!(target: "cloakroom::proxy", route = &*route.name, %name, "not injected"),
                Err(unfit) => {
                    warn!(target: "cloakroom::proxy", route = &*route.name, %name, %unfit, "a header is not injected");
                }
            }
        }
    }

    /// Takes from the browser what looks like a vaulted cookie, on every route of the application, and adds those of the
    /// session where the route has a vault.
    pub(super) fn exchange_cookies<B>(
        &self,
        request: &mut Request<B>,
        route: &Route,
        application: &Application,
        visitor: Option<&Visitor>,
    ) {
        let own = self.line.cookie.name().as_bytes();
        let vaulted = |name: &[u8]| name != own && application.vaulted.iter().any(|names| names.covers(name));
        sightings::sent(request.headers(), route, self.line.cookie.name(), vaulted);
        if !application.vaulted.is_empty() {
            cookie::take_back(request.headers_mut(), vaulted);
        }
        let Some(names) = &route.legacy.vault else { return };
        if let Some(record) = visitor.and_then(Visitor::record).filter(|record| !record.vault.is_empty()) {
            let path = request.uri().path().as_bytes();
            let cookies = record.vault.cookies(application.audience.name(), path, names, self.store.now());
            cookie::hand_out(request.headers_mut(), &cookies);
        }
    }

    /// Adds to a change what the application says without knowing that it does.
    pub(super) fn overhear(
        &self,
        change: Change,
        (lines, seen): (&HeaderMap, Seen),
        (route, application): (&Route, &Application),
        asked: &Asked,
    ) -> Result<Change, envelope::OpenError> {
        if !route.legacy.may_hear(seen) {
            return Ok(change);
        }
        let captures = envelope::captured(lines, &route.legacy.capture)?;
        let (now, own, upstream) = (self.store.now(), self.line.cookie.name(), application.audience.name());
        let folder = asked.folder.as_deref().unwrap_or_default();
        let vaulted = lines.get_all(SET_COOKIE).iter().filter_map(|line| route.legacy.vaulted(line, own));
        let cookies = vaulted.map(|cookie| route.legacy.offer(cookie, upstream, folder, now)).collect();
        Ok(Change { captures, cookies, ..change })
    }

    /// Removes from a response the cookies that the session keeps. What came with one is for nobody else, though nobody else can
    /// see that any more.
    pub(super) fn conceal(&self, lines: &mut HeaderMap, route: &Route) {
        let own = self.line.cookie.name();
        sightings::set(lines, route, own, |name| route.legacy.keeps(name, own), || self.store.now());
        if cookie::keep_back(lines, |line| route.legacy.vaulted(line, own).is_some()) {
            forbid_shared_caching(lines);
        }
    }
}
