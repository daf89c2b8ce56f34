//! A table while it is being read: every key that is asked for becomes a known one, and the rest is reported.
//!
//! What comes out is [`Typed`]: a value with its place, so that contradictions between two keys can be reported where
//! they were typed, and with its origin, so that a key that is wrong already causes no second fault.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use super::{
    faults::{Place, Report},
    file::{Node, Table, Value},
    later,
    units::{self, LONGEST, SHORTEST},
};

static EMPTY: Table = Table::new();

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Typed, and sound.
    Given,
    /// Not typed.
    Default,
    /// Typed, wrong and reported; the value is a stand-in.
    Faulty,
}

/// A value, where it was typed or would have been, and whether it was.
pub(super) struct Typed<T> {
    pub(super) value: T,
    pub(super) place: Place,
    pub(super) origin: Origin,
}

impl<T> Typed<T> {
    /// Whether the value may be compared with others.
    pub(super) fn is_sound(&self) -> bool {
        self.origin != Origin::Faulty
    }

    pub(super) fn is_given(&self) -> bool {
        self.origin == Origin::Given
    }
}

/// What was found at a key.
enum Found<'a> {
    Nothing,
    Faulty(Place),
    Node(&'a Node),
}

/// A table that is being read.
pub(super) struct Section<'a> {
    /// `None`: something else than a table was typed, and reported.
    table: Option<&'a Table>,
    pub(super) place: Place,
    /// The path with `*` for names and indices, as in [`later`].
    pattern: &'static str,
    known: RefCell<BTreeSet<&'static str>>,
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// Begins to read a table.
    pub(super) fn open(node: &'a Node, pattern: &'static str, report: &'a Report) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            Value::Faulty => None,
            _ => units::wrong_type(node, report, "a table", "write key = value pairs, in braces or below a [header]"),
        };
        Self { table, place: node.place.clone(), pattern, known: RefCell::default(), report }
    }

    /// Begins to read a table of this table; `None` if it was not typed.
    pub(super) fn table(&self, key: &'static str, pattern: &'static str) -> Option<Section<'a>> {
        self.node(key).map(|node| Section::open(node, pattern, self.report))
    }

    /// Begins to read a table of this table; one that was not typed is empty.
    pub(super) fn required(&self, key: &'static str) -> Section<'a> {
        self.table(key, key).unwrap_or_else(|| Section {
            table: Some(&EMPTY),
            place: self.place.missing(key),
            pattern: key,
            known: RefCell::default(),
            report: self.report,
        })
    }

    /// What was typed at a key.
    pub(super) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().insert(key);
        self.table.and_then(|table| table.get(key))
    }

    /// Where a key was typed, or would have been.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.table.and_then(|table| table.get(key)).map_or_else(|| self.place.missing(key), |node| node.place.clone())
    }

    /// All keys of a table of which Cloakroom does not know the names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        self.table.into_iter().flatten()
    }

    /// Whether what was typed was no table.
    pub(super) fn is_broken(&self) -> bool {
        self.table.is_none()
    }

    fn find(&self, key: &'static str) -> Found<'a> {
        match self.node(key) {
            None if self.is_broken() => Found::Faulty(self.place.missing(key)),
            None => Found::Nothing,
            Some(node) if later::refuses(self.pattern, key, node, self.report) => Found::Faulty(node.place.clone()),
            Some(node) => Found::Node(node),
        }
    }

    /// Reads one key. `read` reports what is wrong.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'a Node, &Report) -> Option<T>,
    ) -> Typed<T> {
        match self.find(key) {
            Found::Nothing => Typed { value: default, place: self.place.missing(key), origin: Origin::Default },
            Found::Faulty(place) => Typed { value: default, place, origin: Origin::Faulty },
            Found::Node(node) => {
                let place = node.place.clone();
                match read(node, self.report) {
                    Some(value) => Typed { value, place, origin: Origin::Given },
                    None => Typed { value: default, place, origin: Origin::Faulty },
                }
            }
        }
    }

    /// Reads one key that has no default.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'a Node, &Report) -> Option<T>,
    ) -> Typed<Option<T>> {
        self.read(key, None, |node, report| read(node, report).map(Some))
    }

    /// A duration that is not zero.
    pub(super) fn duration(&self, key: &'static str, default: Duration) -> Typed<Duration> {
        self.read(key, default, |node, report| units::duration(node, report, SHORTEST..=LONGEST))
    }

    /// A duration that may be zero.
    pub(super) fn duration_or_zero(&self, key: &'static str, default: Duration) -> Typed<Duration> {
        self.read(key, default, |node, report| units::duration(node, report, Duration::ZERO..=LONGEST))
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &'static str, default: usize, least: usize) -> Typed<usize> {
        self.read(key, default, |node, report| units::size(node, report, least))
    }

    /// A whole number from 1.
    pub(super) fn count(&self, key: &'static str, default: usize, most: usize) -> Typed<usize> {
        self.read(key, default, |node, report| units::count(node, report, most))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> Typed<bool> {
        self.read(key, default, units::flag)
    }

    /// One of several words, of which the first is the default.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Typed<T> {
        self.read(key, words[0].1, |node, report| units::choice(node, report, words))
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str, default: &str) -> Typed<String> {
        self.read(key, default.to_owned(), |node, report| units::text(node, report).map(|text| text.meant.clone()))
    }

    /// Ends reading: what nobody asked for is unknown, or not in this version.
    pub(super) fn close(self) {
        let offered = self.known.borrow().clone();
        for key in later::keys(self.pattern).filter(|key| !offered.contains(key)) {
            self.find(key);
        }
        let known = self.known.into_inner();
        for (key, node) in self.table.into_iter().flatten().filter(|(key, _)| !known.contains(key.as_str())) {
            self.report.fault(&node.place, "unknown key", unknown_cure(key, &known, &offered));
        }
    }
}

fn unknown_cure(key: &str, known: &BTreeSet<&str>, offered: &BTreeSet<&str>) -> String {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(key, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 2.max(name.len() / 4) && distance < name.len() => {
            format!("did you mean {name}?")
        }
        _ => {
            let names = offered.iter().copied().collect::<Vec<_>>().join(", ");
            format!("remove it; the keys here are {names}")
        }
    }
}

/// Reports that two keys cannot both hold, at the one that was typed, unless one of them is wrong already.
pub(super) fn contradiction<A, B>(
    report: &Report,
    (blamed, other): (&Typed<A>, &Typed<B>),
    holds: bool,
    problem: &str,
    cure: &str,
) {
    if holds || !blamed.is_sound() || !other.is_sound() {
        return;
    }
    let place = if blamed.is_given() || !other.is_given() { &blamed.place } else { &other.place };
    report.fault(place, problem, cure);
}
