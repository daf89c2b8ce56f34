//! What the line is told.

use super::Legacy;
use crate::{cookie, envelope, headers, route, session, store, upstream};

/// What happens on a session route while the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// 503, the upstream is not contacted.
    Reject,
    /// The request goes on without a session, `degraded`.
    Anonymous,
}

/// Whether a route takes part in sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionUse {
    /// It does.
    On(OnStoreFailure),
    /// `session = false`.
    Off,
}

/// One `[[routes]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// Host pattern, if any.
    pub host: Option<route::HostPattern>,
    /// Path prefix.
    pub path: route::PathPrefix,
    /// Index into [`Settings::upstreams`].
    pub upstream: usize,
    /// Whether it has sessions.
    pub session: SessionUse,
    /// What it does for an application that stays unmodified.
    pub legacy: Legacy,
}

/// An application: where it is and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Connections.
    pub connections: upstream::Settings,
    /// Rights.
    pub rights: session::rights::Rights,
}

/// Everything that shapes the line.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cookie.
    pub cookie: cookie::Settings,
    /// Life of sessions.
    pub policy: session::Policy,
    /// The token.
    pub envelope: envelope::Settings,
    /// Secrets that authenticate tickets; the first signs. Never empty, each at least 32 bytes.
    pub roots: Vec<Vec<u8>>,
    /// Whose forwarding headers are believed.
    pub trust: headers::Trust,
    /// Whether TLS ends before us unannounced (`listen.scheme`).
    pub scheme: headers::SchemePolicy,
    /// Applications.
    pub upstreams: Vec<UpstreamSettings>,
    /// Routes.
    pub routes: Vec<RouteSettings>,
    /// The store.
    pub store: store::Settings,
    /// What a request's body may cost.
    pub uploads: super::UploadLimits,
}
