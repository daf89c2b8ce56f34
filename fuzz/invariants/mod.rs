//! What must hold for any input at all. `fuzz/run` looks for inputs that break it; `tests/fuzzed.rs` replays those that
//! once did, and the seeds, with the other tests.

mod configuration;
mod connection;
mod control;
mod cookies;
mod head;
mod json_patch;
mod merge_patch;
mod record;

/// Looks at one input; panics if an invariant is broken.
pub(crate) type Check = fn(&[u8]);

/// Every target by its name.
pub(crate) const ALL: [(&str, Check); 8] = [
    ("configuration", configuration::check),
    ("connection", connection::check),
    ("control", control::check),
    ("cookies", cookies::check),
    ("head", head::check),
    ("json_patch", json_patch::check),
    ("merge_patch", merge_patch::check),
    ("record", record::check),
];

/// Holds an input against the invariants of the target of this name.
pub(crate) fn check(target: &str, input: &[u8]) {
    let (_, check) = ALL.iter().find(|(name, _)| *name == target).expect("a target of that name");
    check(input);
}
