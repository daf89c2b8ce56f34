//! `/metrics`: what every room has counted, and whether all is well. It waits for the store no longer than one round trip
//! may take, and answers also while the store is away.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderValue, Response, header};

use super::{Admin, answer::text};
use crate::{
    telemetry::{Page, Source},
    upstream::{Fitness, Fleet},
};

/// What the rooms have counted.
pub type Sources = Vec<Arc<dyn Source>>;

impl Admin {
    pub(super) async fn metrics(&self) -> Response<String> {
        let mut page = Page::default();
        for source in &self.sources {
            source.tell(&mut page);
        }
        tell_servers(&mut page, &self.fleets);
        let store = self.store.ping().await;
        page.gauge("cloakroom_store_up", "Whether the store answers.").add(&[], store.is_ok().into());
        let ready = self.troubles(store).is_empty();
        page.gauge("cloakroom_ready", "Whether /readyz says yes.").add(&[], ready.into());
        let mut response = text(http::StatusCode::OK, &page.text());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(Page::CONTENT_TYPE));
        response
    }
}

fn tell_servers(page: &mut Page, fleets: &[Arc<Fleet>]) {
    let help = "Whether a server passes its checks and has answered since a request last failed at it.";
    let mut family = page.gauge("cloakroom_upstream_server_healthy", help);
    for fleet in fleets {
        let mut servers: BTreeMap<String, bool> = BTreeMap::new();
        for (server, fitness) in fleet.servers() {
            // One that is listed twice is one series.
            *servers.entry(server).or_default() |= fitness == Fitness::Up;
        }
        for (server, healthy) in servers {
            family.add(&[("upstream", &fleet.settings().name), ("server", &server)], healthy.into());
        }
    }
}
