//! `/v1/traffic`: what happened in the last minutes, so that whoever opens the page when something is wrong sees how it began.
//!
//! Nothing is counted here: the counters that `/metrics` tells are looked at every few seconds, and the last looks are kept.
//! Their number is bounded, and so is what one of them holds: labels are few and known.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Response;
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{Admin, Refusal, Sources, answer, query::Query};
use crate::telemetry::Page;

/// From one look to the next, and how many are kept: ten minutes.
const EVERY: Duration = Duration::from_secs(5);
const KEPT: usize = 121;

/// The last looks at the counters.
#[derive(Default)]
pub struct Traffic(Mutex<VecDeque<Sample>>);

/// What the counters said at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Sample {
    /// Seconds since the epoch.
    at: u64,
    /// Requests that are over.
    requests: u64,
    /// How long they took together.
    seconds: f64,
    /// By the class of their status, `2xx`.
    statuses: BTreeMap<String, u64>,
    /// By what became of the session.
    outcomes: BTreeMap<String, u64>,
}

impl Traffic {
    /// Looks at what these tell, for as long as it is waited for.
    pub async fn watch(self: Arc<Self>, sources: Sources) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.keep(Sample::of(&sources, at.as_secs()));
        }
    }

    fn keep(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(sample);
        if samples.len() > KEPT {
            samples.pop_front();
        }
    }

    fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Sample {
    fn of(sources: &Sources, at: u64) -> Self {
        let mut page = Page::default();
        sources.iter().for_each(|source| source.tell(&mut page));
        let mut statuses = BTreeMap::new();
        for (status, requests) in page.totals("cloakroom_requests_total", "status") {
            let class = status.chars().next().map_or_else(String::new, |class| format!("{class}xx"));
            *statuses.entry(class).or_default() += requests;
        }
        Self {
            at,
            requests: statuses.values().sum(),
            seconds: page.observed("cloakroom_request_duration_seconds"),
            statuses,
            outcomes: page.totals("cloakroom_requests_total", "outcome"),
        }
    }
}

impl Admin {
    pub(super) fn traffic(&self, query: Option<&str>) -> Result<Response<String>, Refusal> {
        Query::read(query, &[])?;
        Ok(answer::json(&json!({ "interval": EVERY.as_secs(), "samples": self.traffic.samples() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Source;

    struct Told;

    impl Source for Told {
        fn tell(&self, page: &mut Page) {
            let mut family = page.counter("cloakroom_requests_total", "Requests.");
            family.add(&[("route", "/a"), ("status", "200"), ("outcome", "live")], 3);
            family.add(&[("route", "/b"), ("status", "204"), ("outcome", "created")], 2);
            family.add(&[("route", "/b"), ("status", "503"), ("outcome", "rejected")], 1);
            page.counter("cloakroom_other_total", "Others.").add(&[("status", "200")], 100);
        }
    }

    #[test]
    fn a_look_sums_what_the_metrics_tell() {
        let sample = Sample::of(&vec![Arc::new(Told) as _], 7);
        let of = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(sample.statuses, of(&[("2xx", 5), ("5xx", 1)]));
        assert_eq!(sample.outcomes, of(&[("live", 3), ("created", 2), ("rejected", 1)]));
        assert_eq!((sample.at, sample.requests, sample.seconds), (7, 6, 0.0));
    }

    #[test]
    fn the_last_ten_minutes_are_kept_and_no_more() {
        let traffic = Traffic::default();
        (0..1_000).for_each(|at| traffic.keep(Sample::of(&Vec::new(), at)));
        let samples = traffic.samples();
        assert_eq!((samples.len(), samples[0].at, samples[120].at), (KEPT, 879, 999));
    }
}
