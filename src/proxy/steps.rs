//! The steps of the line, each of which asks one room one thing.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, HOST, SET_COOKIE, UPGRADE},
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;
use tracing::warn;

use super::{
    OnSwitch, Rejection, Shard,
    access::Entry,
    caller::{Caller, Named},
    line::{Application, Route},
    upload::Upload,
    visit::{Presented, Visitor},
};
use crate::{
    cookie,
    envelope::Claims,
    headers::{self, Inbound, Mark, RequestId, Scheme, Seen},
    session::{
        hexadecimal,
        policy::Create,
        settle::{CookieStep, Reach},
    },
    upstream::Postscript,
};

/// A request that came through us this often goes round in circles.
const LOOP: usize = 8;

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) named: Arc<Named>,
    pub(super) scheme: Scheme,
    pub(super) upgrade: Option<Box<HeaderValue>>,
    pub(super) introduction: Introduction,
}

/// Where the header lines are that introduce a request to the application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Introduction {
    /// With the host that it names.
    Beside,
    /// In its head.
    #[default]
    Inside,
}

impl Shard {
    /// Refuses what cannot be understood, removes what the client must not say, and notes where it came from. `seen`: of
    /// these headers.
    pub(super) fn admit(
        &self,
        request: &mut Request<Upload>,
        seen: Seen,
        caller: &mut Caller,
        entry: &mut Entry,
    ) -> Result<Admitted, Rejection> {
        let line = &self.line;
        let trusted = line.trust.covers(caller.peer());
        let id =
            if trusted && seen.has(Mark::RequestId) { headers::accepted_request_id(request.headers()) } else { None };
        if let Some(id) = id {
            entry.id = id;
        }
        if seen.has(Mark::Ours) {
            line.guarded.strip(request.headers_mut());
        }
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Rejection::MethodNotAllowed);
        }
        if request.uri().path() == "*" && request.method() != Method::OPTIONS {
            return Err(Rejection::BadRequest("only OPTIONS may ask for *".to_owned()));
        }
        let own_scheme = (!trusted).then(|| headers::unclaimed_scheme(caller.peer(), line.scheme));
        let named =
            caller.named(line, request, own_scheme).map_err(|fault| Rejection::BadRequest(fault.to_string()))?;
        let version = request.version();
        if version == Version::HTTP_2 {
            cookie::join_crumbs(request.headers_mut());
        }
        if seen.has(Mark::Via) && headers::passes_through_us(request.headers()) >= LOOP {
            return Err(Rejection::Loop);
        }
        let upgrade = if seen.has(Mark::Upgrade) {
            headers::upgrade_of(request.method(), &version, request.headers()).map(Box::new)
        } else {
            None
        };
        let lines = request.headers_mut();
        headers::strip_request_hop_by_hop(lines, &line.guarded, seen);
        if seen.has(Mark::Trailer) {
            headers::strip_announcements(lines, &line.guarded);
        }
        if seen.has(Mark::RequestId) {
            headers::strip_request_id(lines);
        }
        let (scheme, introduction) = self.introduce(lines, version, seen, caller, &named);
        Ok(Admitted { named, scheme, upgrade, introduction })
    }

    /// Tells the application where the request came from: in lines that go out with it, or in its head.
    fn introduce(
        &self,
        headers: &mut HeaderMap,
        version: Version,
        seen: Seen,
        caller: &Caller,
        named: &Named,
    ) -> (Scheme, Introduction) {
        let (line, own) = (&self.line, named.introduction());
        if own.is_some() && seen.has(Mark::Claim) {
            headers::strip_claims(headers);
        }
        if let Some((scheme, _)) = own.filter(|_| !seen.has(Mark::Via)) {
            return (scheme, Introduction::Beside);
        }
        let inbound =
            Inbound { peer: caller.peer(), trust: &line.trust, policy: line.scheme, host: named.authority.header() };
        let scheme = headers::rewrite_forwarding(headers, inbound);
        headers::append_via(headers, version);
        (scheme, Introduction::Inside)
    }

    pub(super) fn find_route(&self, named: &Named, request: &Request<Upload>) -> Result<&Route, Rejection> {
        match self.line.routes.find(named.authority.host(), request.uri().path()) {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err(Rejection::NoRoute),
            Err(ambiguous) => Err(Rejection::BadRequest(ambiguous.to_string())),
        }
    }

    /// Whether a cookie set on this route would be kept by the browser.
    pub(super) fn reach(&self, route: &Route, named: &Named, scheme: Scheme) -> Reach {
        self.line.reach(route, named.authority.host(), named.is_loopback || scheme == Scheme::Https)
    }

    pub(super) fn seal_token(
        &self,
        upstream: usize,
        application: &Application,
        visitor: &Visitor,
    ) -> Result<Postscript, Rejection> {
        let seal = |opening: &mut _, claims: Claims<'_>, now| {
            self.line.sealer.seal(opening, &application.audience, claims, now).map(Postscript::new)
        };
        let sealed = match &visitor.presented {
            Presented::Loaded(guest) => self.tokens.of_session(upstream, guest, seal),
            Presented::Unavailable => self.tokens.once(upstream, Claims::Degraded, seal),
            Presented::Nobody if visitor.opens && self.line.policy.create == Create::Always => {
                self.tokens.once(upstream, Claims::New, seal)
            }
            Presented::Nobody | Presented::Retired(_) | Presented::Destroyed(_) | Presented::Several => {
                self.tokens.of_nobody(upstream, seal)
            }
        };
        let token = sealed.map_err(|_| Rejection::Unavailable)?;
        self.tally.token_bytes.observe_bytes(token.value_len());
        Ok(token)
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

    pub(super) fn put_ticket(&self, lines: &mut HeaderMap, step: &CookieStep, route: &Route) {
        let line = match step {
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

/// Addresses the request to the application: origin form, the browser's `Host` (the upstream may put its own there),
/// and the upgrade that it asks for, if its connection can switch.
pub(super) fn address(
    request: &mut Request<Upload>,
    upgrade: Option<Box<HeaderValue>>,
    switch: Option<OnSwitch>,
) -> Option<OnSwitch> {
    if let Some(host) = request.body().host()
        && (request.uri().authority().is_some() || host.is_empty())
    {
        let host = host.clone();
        request.headers_mut().insert(HOST, host);
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
    let (protocol, browser) = upgrade.zip(switch)?;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, *protocol);
    request.body_mut().asks_to_switch();
    Some(browser)
}

/// Browser and application, and the protocol that they go on with.
pub(super) type Switching = (OnSwitch, OnUpgrade, HeaderValue);

/// On a `101`: both sides and the protocol.
///
/// # Errors
/// The application switches to what nobody asked for.
pub(super) fn take_upgrade<B>(
    response: &mut Response<B>,
    browser: Option<OnSwitch>,
) -> Result<Option<Box<Switching>>, Rejection> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let application = response.extensions_mut().remove::<OnUpgrade>();
    match (browser, application, response.headers().get(UPGRADE)) {
        (Some(browser), Some(application), Some(protocol)) => {
            Ok(Some(Box::new((browser, application, protocol.clone()))))
        }
        _ => Err(Rejection::UpstreamFailed("the application switches protocols unasked".to_owned())),
    }
}

pub(super) fn fresh_request_id() -> RequestId {
    let (mut text, bits) = ([0; 32], rand::random::<u128>());
    for (at, digits) in text.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *digits = hexadecimal((bits >> (32 * at)) as u32);
    }
    RequestId::fresh(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_digits_and_never_the_same() {
        let (one, other) = (fresh_request_id(), fresh_request_id());
        assert!(one != other && one.as_str().len() == 32 && one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
