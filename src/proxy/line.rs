//! The settings, prepared for work: keys derived, tables built, names folded. Shared by the shards, never changed.

use std::time::Duration;

use super::settings::{RouteSettings, SessionUse, Settings};
use crate::{
    cookie, envelope,
    headers::{Guarded, Scheme, SchemePolicy, Trust, is_loopback_host},
    route::{Table, realm},
    session::{Policy, rights::Rights, settle::Reach, ticket::Keyring},
};

/// A route, prepared.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) upstream: usize,
    pub(super) session: SessionUse,
    pub(super) realm: String,
    pub(super) domain_applies: bool,
}

/// An application, prepared.
pub struct Application {
    pub(super) audience: envelope::Audience,
    pub(super) rights: Rights,
    pub(super) host: String,
    pub(super) preserve_host: bool,
}

/// Everything that shapes the line.
pub struct Line {
    pub(super) cookie: cookie::Settings,
    pub(super) policy: Policy,
    pub(super) envelope: envelope::Settings,
    pub(super) sealer: envelope::Sealer,
    pub(super) keyring: Keyring,
    pub(super) guarded: Guarded,
    pub(super) trust: Trust,
    pub(super) scheme: SchemePolicy,
    pub(super) routes: Table<Route>,
    pub(super) applications: Vec<Application>,
    pub(super) save_timeout: Duration,
}

impl Line {
    /// Prepares the settings.
    ///
    /// # Errors
    /// What the configuration should have found: no key, or two routes with the same host and path.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let envelope = &settings.envelope;
        let names = [&envelope.header, &envelope.update_header, &envelope.control_header];
        let (root, older) = settings.roots.split_first().ok_or("there is no root key")?;
        let older: Vec<&[u8]> = older.iter().map(Vec::as_slice).collect();
        let sealer = envelope::Sealer::new(envelope).map_err(|error| format!("a token key {error}"))?;
        let routes = settings.routes.iter().map(|route| {
            let prepared = Route::new(route, settings.cookie.scope().domain());
            (route.host.clone(), route.path.clone(), prepared)
        });
        let routes = Table::new(routes.collect())
            .map_err(|twice| twice.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        Ok(Self {
            cookie: settings.cookie.clone(),
            policy: settings.policy.clone(),
            envelope: envelope.clone(),
            sealer: sealer.ok_or("there is no token key")?,
            keyring: Keyring::new(root, &older),
            guarded: Guarded::new(names.into_iter().cloned()),
            trust: Trust { proxies: settings.trusted_proxies.clone() },
            scheme: settings.scheme,
            routes,
            applications: settings.upstreams.iter().map(|upstream| Application::new(upstream, envelope)).collect(),
            save_timeout: settings.store.save_timeout,
        })
    }

    /// What a token says, if it is valid at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// It is not one of ours, or expired.
    pub fn verify(&self, token: &str, now: u64) -> Result<envelope::Verified, envelope::TokenError> {
        self.sealer.verify(token, now)
    }

    /// The public keys, as a JWK set.
    pub fn jwks(&self) -> String {
        self.sealer.jwks()
    }

    /// The application of this name, if there is one.
    pub fn application(&self, name: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.audience.name() == name)
    }

    /// The rules of a session's life.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Bounds a whole save.
    pub fn save_timeout(&self) -> Duration {
        self.save_timeout
    }

    /// Whether a cookie set on this route would be kept by a browser that asked for `host` over `scheme`.
    pub(super) fn reach(&self, route: &Route, host: &str, scheme: Scheme) -> Reach {
        let secure = scheme == Scheme::Https || is_loopback_host(host) || !self.cookie.scope().is_secure();
        let domain = self.cookie.scope().domain().filter(|_| route.domain_applies);
        let covered = domain.is_none_or(|domain| {
            host.strip_suffix(domain).is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
        });
        if secure && covered { Reach::Browser } else { Reach::Nowhere }
    }
}

impl Route {
    fn new(settings: &RouteSettings, domain: Option<&str>) -> Self {
        let (realm, domain_applies) = realm(domain, settings.host.as_ref());
        let host = settings.host.as_ref().map(ToString::to_string).unwrap_or_default();
        Self {
            name: format!("{host}{}", settings.path.as_str()),
            upstream: settings.upstream,
            session: settings.session,
            realm,
            domain_applies,
        }
    }
}

impl Application {
    /// A session's data as it may see it.
    pub fn view(&self, data: &str) -> String {
        self.audience.view(data)
    }

    /// What it may change.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    fn new(settings: &super::settings::UpstreamSettings, envelope: &envelope::Settings) -> Self {
        let connections = &settings.connections;
        Self {
            audience: envelope::Audience::new(envelope, &connections.name, settings.rights.forward.clone()),
            rights: settings.rights.clone(),
            host: connections.server.to_string(),
            preserve_host: connections.preserve_host,
        }
    }
}
