//! What a route does for an application that stays unmodified (contract section 6): its settings, and the steps of the
//! line that carry them out. What the values are is decided in `envelope`; here the request's head is dressed.

use http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts};
use tracing::{debug, warn};

use super::{Rejection, Shard, line::Route, steps::Visitor};
use crate::{
    envelope::{self, Captured, Injection, Unfit},
    headers::is_navigation,
    route::{PathPrefix, Redirect},
    session::{
        change::Change,
        document::{Document, Json, Pointer},
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

    /// Whether a good answer to this request ends the session. `OPTIONS` asks what is possible and does nothing.
    pub(super) fn ends(&self, head: &Parts) -> bool {
        head.method != Method::OPTIONS && self.end_on.iter().any(|path| path.is(head.uri.path()))
    }
}

impl Gate {
    /// Lets a request in whose session has what is required.
    fn check(&self, head: &Parts, data: Option<&Document>) -> Result<(), Rejection> {
        match data.and_then(|data| data.get(&self.pointer)) {
            Some(Json::Null | Json::Bool(false)) | None => Err(self.refusal(head)),
            Some(_) => Ok(()),
        }
    }

    fn refusal(&self, head: &Parts) -> Rejection {
        let redirect = self.redirect.as_ref().filter(|_| is_navigation(&head.method, &head.headers));
        let asked = head.uri.path_and_query().map_or("/", |path| path.as_str());
        match redirect.and_then(|redirect| HeaderValue::try_from(redirect.target(asked)).ok()) {
            Some(target) => Rejection::SignIn(target),
            None => Rejection::SessionRequired(self.status),
        }
    }
}

impl Shard {
    /// The session's data, where the route makes something of it. A visitor without a session has none.
    pub(super) fn read_data(&self, route: &Route, visitor: &Visitor) -> Option<Document> {
        let record = visitor.record().filter(|_| route.legacy.reads_data())?;
        Document::parse(&record.data).ok()
    }

    /// Ends the line for visitors whose session lacks what the route requires. While the store is away nobody knows: the
    /// gate stays closed, and to send anybody to the log-in would be a lie.
    pub(super) fn check_gate(
        &self,
        head: &Parts,
        route: &Route,
        visitor: &Visitor,
        data: Option<&Document>,
    ) -> Result<(), Rejection> {
        match &route.legacy.require {
            None => Ok(()),
            Some(_) if visitor.is_unknown() => Err(Rejection::StoreUnavailable(StoreError::Disconnected)),
            Some(gate) => gate.check(head, data),
        }
    }

    /// Puts in the headers that the route makes of the data. Every client's own copies are gone by now, on every route.
    pub(super) fn inject(&self, headers: &mut HeaderMap, route: &Route, data: Option<&Document>) {
        let Some(data) = data else { return };
        for Injection { name, template } in &route.legacy.inject {
            match template.fill(data) {
                Ok(value) => drop(headers.insert(name, value)),
                Err(Unfit::Missing) => debug!(target: "cloakroom::proxy", route = route.name, %name, "not injected"),
                Err(unfit) => {
                    warn!(target: "cloakroom::proxy", route = route.name, %name, %unfit, "a header is not injected");
                }
            }
        }
    }

    /// Adds to a change what the application says without knowing that it does.
    pub(super) fn overhear(
        &self,
        change: Change,
        lines: &HeaderMap,
        route: &Route,
    ) -> Result<Change, envelope::OpenError> {
        let captures = envelope::captured(lines, &route.legacy.capture)?;
        Ok(Change { captures, ..change })
    }

    /// Removes from a response what was captured.
    pub(super) fn conceal(&self, lines: &mut HeaderMap, route: &Route) {
        if route.legacy.captured == Shown::Never {
            route.legacy.capture.iter().for_each(|captured| drop(lines.remove(&captured.name)));
        }
    }
}
