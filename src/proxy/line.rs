//! The settings, prepared for work: keys derived, tables built, names folded. Shared by the shards, never changed.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    Legacy, UploadLimits,
    settings::{RouteSettings, SessionUse, Settings},
};
use crate::{
    cookie, envelope,
    headers::{Guarded, Passive, SchemePolicy, ToUs, Trust},
    route::{Table, realm},
    session::{Policy, rights::Rights, settle::Reach, ticket::Keyring, vault::Names},
};

/// A route, prepared.
pub(super) struct Route {
    /// Which of the routes it is, counted from 0.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) upstream: usize,
    pub(super) session: SessionUse,
    pub(super) realm: Arc<str>,
    pub(super) domain_applies: bool,
    pub(super) legacy: Legacy,
    /// What no browser on it may see: our names, and those of captured headers.
    pub(super) hidden: Arc<Guarded>,
}

/// An application, prepared.
pub struct Application {
    pub(super) audience: envelope::Audience,
    pub(super) rights: Rights,
    /// Whether its sessions stay on the server that answered them.
    pub(super) affinity: bool,
    /// Cookies that any of its routes keeps in a vault: browsers have none of them.
    pub(super) vaulted: Vec<Names>,
}

/// Everything that shapes the line.
pub struct Line {
    pub(super) cookie: cookie::Settings,
    pub(super) policy: Policy,
    pub(super) envelope: envelope::Settings,
    pub(super) sealer: envelope::Sealer,
    pub(super) keyring: Keyring,
    /// What no application may send to a browser.
    pub(super) ours: Arc<Guarded>,
    /// What no client may send to an application: our names, and those that any route injects.
    pub(super) guarded: Guarded,
    /// Lines of answers that mean nothing to us: neither our names nor what any route captures.
    pub(super) passive: Passive,
    /// Lines of answers that are for us: update and control.
    pub(super) to_us: ToUs,
    pub(super) trust: Trust,
    pub(super) scheme: SchemePolicy,
    pub(super) routes: Table<Route>,
    pub(super) applications: Vec<Application>,
    pub(super) save_timeout: Duration,
    pub(super) uploads: UploadLimits,
}

impl Line {
    /// Prepares the settings.
    ///
    /// # Errors
    /// What the configuration should have found: no key, or two routes with the same host and path.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let envelope = &settings.envelope;
        let ours = [&envelope.header, &envelope.update_header, &envelope.control_header];
        let injected = settings.routes.iter().flat_map(|route| &route.legacy.inject).map(|injection| &injection.name);
        let captured = settings.routes.iter().flat_map(|route| &route.legacy.capture).map(|captured| &captured.name);
        let (root, older) = settings.roots.split_first().ok_or("there is no root key")?;
        let older: Vec<&[u8]> = older.iter().map(Vec::as_slice).collect();
        let sealer = envelope::Sealer::new(envelope).map_err(|error| format!("a token key {error}"))?;
        let routes = settings.routes.iter().enumerate().map(|(index, route)| {
            let prepared = Route::new(index, route, settings.cookie.scope().domain(), ours);
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
            ours: Arc::new(Guarded::new(ours.into_iter().cloned())),
            guarded: Guarded::new(ours.into_iter().chain(injected).cloned()),
            passive: Passive::but_for(&Guarded::new(ours.into_iter().chain(captured).cloned())),
            to_us: ToUs::new([&envelope.update_header, &envelope.control_header]),
            trust: settings.trust.clone(),
            scheme: settings.scheme,
            routes,
            applications: applications(settings),
            save_timeout: settings.store.save_timeout,
            uploads: settings.uploads,
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

    /// Whether a cookie set on this route would be kept by a browser that asked for `host`. `takes_secure`: it takes
    /// `Secure` cookies there, over HTTPS or from its own machine.
    pub(super) fn reach(&self, route: &Route, host: &str, takes_secure: bool) -> Reach {
        let secure = takes_secure || !self.cookie.scope().is_secure();
        let domain = self.cookie.scope().domain().filter(|_| route.domain_applies);
        let covered = domain.is_none_or(|domain| {
            host.strip_suffix(domain).is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
        });
        if secure && covered { Reach::Browser } else { Reach::Nowhere }
    }
}

impl Route {
    fn new(index: usize, settings: &RouteSettings, domain: Option<&str>, ours: [&HeaderName; 3]) -> Self {
        let (realm, domain_applies) = realm(domain, settings.host.as_ref());
        let host = settings.host.as_ref().map(ToString::to_string).unwrap_or_default();
        let hidden = Guarded::new(ours.into_iter().chain(settings.legacy.concealed()).cloned());
        Self {
            index,
            name: format!("{host}{}", settings.path.as_str()),
            upstream: settings.upstream,
            session: settings.session,
            realm: realm.into(),
            domain_applies,
            legacy: settings.legacy.clone(),
            hidden: Arc::new(hidden),
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

    fn new(settings: &super::settings::UpstreamSettings, vaulted: Vec<Names>) -> Self {
        Self {
            audience: envelope::Audience::new(&settings.connections.name, settings.rights.forward.clone()),
            rights: settings.rights.clone(),
            affinity: settings.connections.affinity,
            vaulted,
        }
    }
}

fn applications(settings: &Settings) -> Vec<Application> {
    let upstreams = settings.upstreams.iter().enumerate();
    let prepared = upstreams.map(|(index, upstream)| {
        let routes = settings.routes.iter().filter(|route| route.upstream == index);
        let vaulted = routes.filter_map(|route| route.legacy.vault.clone()).collect();
        Application::new(upstream, vaulted)
    });
    prepared.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        headers::{Scheme, is_loopback_host},
        proxy::{OnStoreFailure, SessionUse},
        route::{HostPattern, PathPrefix},
        store,
    };

    /// A line with one route, for this host pattern, and this `[cookie]`.
    pub(in crate::proxy) fn line(cookie: cookie::Parts, pattern: Option<&str>) -> Line {
        let envelope = envelope::Settings {
            header: "x-session".parse().unwrap(),
            update_header: "x-session-update".parse().unwrap(),
            control_header: "x-session-control".parse().unwrap(),
            issuer: "cloakroom".to_owned(),
            lifetime: Duration::from_secs(60),
            max_bytes: 4096,
            algorithm: envelope::Algorithm::Hs256,
            keys: vec![envelope::SigningKey { id: None, secret: vec![1; 32] }],
        };
        let route = RouteSettings {
            host: pattern.map(|pattern| HostPattern::parse(pattern).unwrap()),
            path: PathPrefix::parse("/").unwrap(),
            upstream: 0,
            session: SessionUse::On(OnStoreFailure::Reject),
            legacy: Legacy::default(),
        };
        Line::new(&Settings {
            cookie: cookie::Settings::new(cookie).unwrap(),
            policy: Policy::default(),
            envelope,
            roots: vec![vec![1; 32]],
            trust: Trust::default(),
            scheme: SchemePolicy::Auto,
            upstreams: vec![],
            routes: vec![route],
            store: store::Settings::default(),
            uploads: UploadLimits { bytes: None, idle_timeout: Duration::from_secs(30) },
        })
        .unwrap()
    }

    fn arrives(line: &Line, host: &str, scheme: Scheme) -> bool {
        let route = line.routes.iter().next().unwrap();
        line.reach(route, host, scheme == Scheme::Https || is_loopback_host(host)) == Reach::Browser
    }

    fn named(name: &str, domain: Option<&str>, secure: bool) -> cookie::Parts {
        let (name, domain) = (name.to_owned(), domain.map(str::to_owned));
        cookie::Parts { name, domain, secure, ..cookie::Parts::default() }
    }

    #[test]
    fn a_secure_cookie_arrives_over_https_and_on_this_very_machine() {
        let line = line(cookie::Parts::default(), None);
        for host in ["example.com", "10.0.0.1", "localhost.example.com", "notlocalhost", "[2001:db8::1]"] {
            assert!(arrives(&line, host, Scheme::Https), "{host}");
            assert!(!arrives(&line, host, Scheme::Http), "{host}");
        }
        for host in ["localhost", "shop.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(arrives(&line, host, Scheme::Http), "{host}");
        }
    }

    #[test]
    fn a_cookie_that_is_not_secure_arrives_anyhow() {
        let line = line(named("session", None, false), None);
        assert!(arrives(&line, "example.com", Scheme::Http) && arrives(&line, "example.com", Scheme::Https));
    }

    #[test]
    fn a_cookie_for_a_domain_arrives_on_its_hosts_only() {
        let line = line(named("session", Some("Example.com"), false), None);
        for (host, wanted) in [
            ("example.com", true),
            ("shop.example.com", true),
            ("a.b.example.com", true),
            ("badexample.com", false),
            ("example.com.evil.test", false),
            ("com", false),
            ("", false),
            ("localhost", false),
        ] {
            assert_eq!(arrives(&line, host, Scheme::Http), wanted, "{host}");
        }
    }

    #[test]
    fn a_cookie_for_a_domain_still_has_to_be_secure() {
        let line = line(named("session", Some("example.com"), true), None);
        assert!(arrives(&line, "shop.example.com", Scheme::Https));
        assert!(!arrives(&line, "shop.example.com", Scheme::Http));
    }

    #[test]
    fn on_a_route_that_the_domain_does_not_cover_the_cookie_is_for_the_host() {
        let line = line(named("session", Some("example.com"), true), Some("other.test"));
        assert!(arrives(&line, "other.test", Scheme::Https));
        let route = line.routes.iter().next().unwrap();
        assert!(!route.domain_applies && &*route.realm == "other.test");
    }
}
