//! What the contract describes and this version does not have yet: one list, one row each.
//!
//! Such a key is a fault that says so, never a silent no-op; what equals today's behaviour (`near_cache = false`) may
//! be written. Whoever builds the thing removes its row and reads the key.

use super::{
    faults::Report,
    file::{Node, Value},
};

/// What of a key is missing.
enum Later {
    /// The key as a whole.
    Key,
    /// The flag switched on.
    On,
    /// Texts, alone or in a list, that begin with one of these.
    Begins(&'static [&'static str]),
}

/// `*` is the name of an upstream, or a route.
const LATER: &[(&str, Later)] = &[
    ("store.url", Later::Begins(&["redis+sentinel:", "redis+cluster:"])),
    ("store.near_cache", Later::On),
    ("store.wait_replicas", Later::Key),
];

/// The keys of a section that have a row.
pub(super) fn keys(section: &str) -> impl Iterator<Item = &'static str> {
    LATER.iter().filter_map(move |(path, _)| path.rsplit_once('.').filter(|(of, _)| *of == section).map(|(_, key)| key))
}

/// Whether what was typed at this key is not in this version, or no value of that key at all. If so it is reported.
pub(super) fn refuses(section: &str, key: &str, node: &Node, report: &Report) -> bool {
    let rows = LATER.iter().filter(|(path, _)| path.rsplit_once('.') == Some((section, key)));
    let refusals = rows.filter(|(_, later)| !matches!(node.value, Value::Faulty) && later.refuses(key, node, report));
    refusals.count() > 0
}

impl Later {
    fn refuses(&self, key: &str, node: &Node, report: &Report) -> bool {
        match (self, &node.value) {
            (Later::Key, _) => absent(node, report, key, "remove it"),
            (Later::On, Value::Boolean(on)) => *on && absent(node, report, &format!("{key} = true"), "remove it"),
            (Later::On, _) => wrong(node, report, "must be true or false", "remove it"),
            (Later::Begins(starts), Value::List(list)) => {
                list.iter().filter(|element| begins(starts, element, report)).count() > 0
            }
            (Later::Begins(starts), _) => begins(starts, node, report),
        }
    }
}

fn begins(starts: &[&str], node: &Node, report: &Report) -> bool {
    let Value::Text(text) = &node.value else { return false };
    let start = starts.iter().find(|start| text.meant.to_ascii_lowercase().starts_with(**start));
    start.is_some_and(|start| absent(node, report, &format!("an address that begins with {start}"), "remove it"))
}

fn absent(node: &Node, report: &Report, what: &str, cure: &str) -> bool {
    wrong(node, report, &format!("{what} is not in this version of Cloakroom"), cure)
}

fn wrong(node: &Node, report: &Report, problem: &str, cure: &str) -> bool {
    report.fault(&node.place, problem, cure);
    true
}
