//! A configuration at work: what a reload makes anew, as one shard has it. A request keeps the one that it began with.

use std::sync::Arc;

use rustls::ServerConfig;

use super::{Limits, Preamble, Settings};
use crate::{
    proxy::Shard,
    tls::{self, Identity, TlsError},
};

/// One shard's share of a configuration.
pub(super) struct Generation {
    pub(super) shard: Arc<Shard>,
    pub(super) terms: Arc<Terms>,
}

/// What public connections are received and served on. The shards share it.
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) preamble: Preamble,
    pub(super) tls: Option<Arc<ServerConfig>>,
    identity: Option<Identity>,
}

impl Terms {
    /// Makes them; what `before` has of TLS sessions is kept if the certificate is the same.
    pub(super) fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, TlsError> {
        let same = before.filter(|before| before.identity == settings.identity);
        let tls = match (same, &settings.identity) {
            (Some(before), _) => before.tls.clone(),
            (None, Some(identity)) => Some(tls::server(identity, &[b"h2", b"http/1.1"])?),
            (None, None) => None,
        };
        Ok(Self {
            limits: settings.limits.clone(),
            preamble: settings.preamble,
            tls,
            identity: settings.identity.clone(),
        })
    }
}
