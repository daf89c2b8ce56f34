//! What is told when somebody asks for the metrics: families in the order in which the rooms tell them, as Prometheus'
//! text format.
//!
//! Names are `cloakroom_*` but for those of every process; units are seconds and bytes. Every family is told from the
//! first moment on, so that dashboards and alerts find what they name and the first event is seen as a growth from 0.

use std::collections::BTreeMap;

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::meter::{Counters, Label, Sum};

/// Tells what it has counted.
pub trait Source: Send + Sync {
    /// Writes it onto the page.
    fn tell(&self, page: &mut Page);
}

/// The answer to one scrape.
#[derive(Default)]
pub struct Page(Vec<MetricFamily>);

/// Label names and values of one number.
type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// The content type of [`Page::text`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A family of numbers that only grow.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(name, help, MetricType::COUNTER)
    }

    /// A family of numbers that go up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(name, help, MetricType::GAUGE)
    }

    /// A family of histograms.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(name, help, MetricType::HISTOGRAM)
    }

    /// One counter for each value of a label, of all shards together.
    pub fn counters<'a, L: Label>(
        &mut self,
        (name, help, label): (&'static str, &'static str, &'static str),
        shards: impl Iterator<Item = &'a Counters<L>> + Clone,
    ) {
        let mut family = self.counter(name, help);
        for value in L::ALL {
            let total = shards.clone().map(|counters| counters.of(*value).total()).sum();
            family.add(&[(label, value.text())], total);
        }
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: MetricType) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        let at = self.0.len();
        self.0.push(family);
        Family(&mut self.0[at])
    }

    /// What a family of counters tells, summed up by the values of one label.
    pub fn totals(&self, family: &str, label: &str) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        for metric in self.metrics(family) {
            let value = metric.get_label().iter().find(|pair| pair.name() == label).map(|pair| pair.value().to_owned());
            *totals.entry(value.unwrap_or_default()).or_default() += metric.get_counter().get_value() as u64;
        }
        totals
    }

    /// The sum of all that a family of histograms observed.
    pub fn observed(&self, family: &str) -> f64 {
        self.metrics(family).map(|metric| metric.get_histogram().get_sample_sum()).fold(0.0, |sum, one| sum + one)
    }

    fn metrics(&self, family: &str) -> impl Iterator<Item = &Metric> {
        self.0.iter().filter(move |known| known.name() == family).flat_map(MetricFamily::get_metric)
    }

    /// The page as it is sent.
    pub fn text(self) -> String {
        let encoded = TextEncoder::new().encode_to_string(&self.0);
        encoded.unwrap_or_else(|error| {
            tracing::error!(target: "cloakroom::telemetry", %error, "the metrics cannot be told");
            String::new()
        })
    }
}

/// The numbers of one name; there is at least one in each.
pub struct Family<'a>(&'a mut MetricFamily);

impl Family<'_> {
    /// The number of a counter or a gauge.
    pub fn add(&mut self, labels: Labels<'_>, number: u64) {
        self.add_real(labels, number as f64);
    }

    /// The same, for what is no whole number.
    pub fn add_real(&mut self, labels: Labels<'_>, number: f64) {
        let mut metric = Metric::from_label(pairs(labels));
        match self.0.get_field_type() {
            MetricType::COUNTER => {
                let mut counter = Counter::default();
                counter.set_value(number);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(number);
                metric.set_gauge(gauge);
            }
        }
        self.0.mut_metric().push(metric);
    }

    /// A histogram.
    pub fn add_sum(&mut self, labels: Labels<'_>, sum: &Sum) {
        let buckets = sum.buckets.iter().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(*count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(sum.count);
        histogram.set_sample_sum(sum.sum);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.0.mut_metric().push(metric);
    }
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::meter::Histogram as Meter;

    #[test]
    fn a_page_is_prometheus_text() {
        let mut page = Page::default();
        page.counter("c_total", "Things.").add(&[("route", "a\"\n\\b")], 3);
        page.gauge("g_seconds", "Time.").add_real(&[], 1.5);
        let meter = Meter::of_seconds();
        meter.observe(Duration::from_millis(700));
        let sum = Sum::of([&meter]).unwrap();
        page.histogram("h_seconds", "Times.").add_sum(&[("route", "/")], &sum);
        let text = page.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["# HELP c_total Things.", "# TYPE c_total counter", r#"c_total{route="a\"\n\\b"} 3"#]);
        assert!(lines.contains(&"g_seconds 1.5"), "{text}");
        for line in [
            r#"h_seconds_bucket{route="/",le="0.5"} 0"#,
            r#"h_seconds_bucket{route="/",le="1"} 1"#,
            r#"h_seconds_bucket{route="/",le="+Inf"} 1"#,
            r#"h_seconds_sum{route="/"} 0.7"#,
            r#"h_seconds_count{route="/"} 1"#,
        ] {
            assert!(lines.contains(&line), "{line}\n{text}");
        }
    }
}
