//! `/v1/status`: how the process, its store and its upstreams are, for the page.

use std::sync::atomic::Ordering;

use http::Response;
use serde_json::json;

use super::{Admin, Refusal, answer, query::Query};

impl Admin {
    pub(super) async fn status(&self, query: Option<&str>) -> Result<Response<String>, Refusal> {
        Query::read(query, &[])?;
        let trouble = self.store.ping().await.err().map(|error| error.to_string());
        let upstreams = self.fleets.iter().map(|fleet| {
            let servers =
                fleet.servers().map(|(server, fitness)| json!({ "server": server, "standing": fitness.name() }));
            let servers: Vec<_> = servers.collect();
            json!({ "name": &*fleet.settings().name, "trouble": fleet.trouble(), "servers": servers })
        });
        Ok(answer::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "draining": self.draining.load(Ordering::Relaxed),
            "store": { "kind": self.store_kind, "trouble": trouble },
            "upstreams": upstreams.collect::<Vec<_>>(),
        })))
    }
}
