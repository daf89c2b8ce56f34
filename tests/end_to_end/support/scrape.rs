//! One answer of `/metrics`, read strictly: every line is a comment with a kind, or a series of a kind that was said
//! before, and no series is said twice.

use std::collections::BTreeMap;

/// Series, as they are written, and their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    kinds: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    #[track_caller]
    pub(super) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(about) = line.strip_prefix("# TYPE ") {
                let (name, kind) = about.split_once(' ').expect("a kind");
                let before = scrape.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "two families {name}");
            } else if !line.starts_with("# HELP ") {
                let (series, number) = line.rsplit_once(' ').expect("a number");
                assert!(scrape.kind(series).is_some(), "a series without a family: {line}");
                let before = scrape.series.insert(series.to_owned(), number.parse().expect("a number"));
                assert_eq!(before, None, "told twice: {series}");
            }
        }
        scrape
    }

    /// The kind of a series.
    fn kind(&self, series: &str) -> Option<&str> {
        let name = series.split('{').next()?;
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let part = part.and_then(|name| self.kinds.get(name)).filter(|kind| *kind == "histogram");
        self.kinds.get(name).or(part).map(String::as_str)
    }

    /// The families.
    pub(crate) fn families(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// What a query can name: counters, gauges, and the parts of histograms.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.series.keys().filter_map(|series| series.split('{').next()).map(str::to_owned)
    }

    /// All series and their numbers.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        self.series.iter().map(|(series, number)| (series.as_str(), *number))
    }

    /// The number of a series; it must be told.
    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }

    /// What all series of a name make together.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.series().filter(|(series, _)| series.split('{').next() == Some(name)).map(|(_, number)| number).sum()
    }

    /// Our own counters that have grown since `before`, and by how much. Gone back has none.
    #[track_caller]
    pub(crate) fn growth(&self, before: &Self) -> BTreeMap<String, f64> {
        let ours = self.series().filter(|(series, _)| series.starts_with("cloakroom_"));
        let counters = ours.filter(|(series, _)| self.kind(series) == Some("counter"));
        let grown = counters.map(|(series, now)| {
            let then = before.series.get(series).copied().unwrap_or_default();
            assert!(now >= then, "{series} went back from {then} to {now}");
            (series.to_owned(), now - then)
        });
        grown.filter(|(_, more)| *more > 0.0).collect()
    }
}
