//! What the public door counts, and how it is told (`/metrics`).

use std::sync::Arc;

use super::place::Places;
use crate::telemetry::{Page, Source, meter::Counter};

/// Connections from browsers, at the door.
pub(super) struct Tally {
    places: Arc<Places>,
    pub(super) accepted: Counter,
    pub(super) turned_away: Counter,
}

impl Tally {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self { places, accepted: Counter::default(), turned_away: Counter::default() }
    }
}

impl Source for Tally {
    fn tell(&self, page: &mut Page) {
        let (taken, most) = self.places.counts();
        page.gauge("cloakroom_connections_open", "Connections from browsers that are open.").add(&[], taken as u64);
        let help = "How many may be open (limits.connections).";
        page.gauge("cloakroom_connections_max", help).add(&[], most as u64);
        let help = "Connections from browsers that were let in.";
        page.counter("cloakroom_connections_accepted_total", help).add(&[], self.accepted.total());
        let help = "Connections from browsers for which there was no place (limits.connections).";
        page.counter("cloakroom_connections_refused_total", help).add(&[], self.turned_away.total());
    }
}
