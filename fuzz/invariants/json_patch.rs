//! JSON Patches (RFC 6902): what they touch they say before, copies stay within the budget, and what comes out can be
//! read again.

use cloakroom::session::{
    document::{Document, Pointer},
    patch::Patch,
};

use super::merge_patch::BASE;

const BUDGET: usize = 1024;

/// The input is a JSON Patch.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(patch) = Patch::operations_from(text) else { return };
    let mut document = Document::parse(BASE).expect("the base");
    if patch.apply(&mut document, BUDGET).is_err() {
        return;
    }
    let after = document.to_text();
    assert!(after.len() <= BASE.len() + text.len() + BUDGET, "{} bytes from {}", after.len(), text.len());
    if document.is_object() {
        assert_eq!(Document::parse(&after).expect("what was stored").to_text(), after, "not what was stored");
    }
    // Outside the places that it names, nothing changed.
    let mut base = Document::parse(BASE).expect("the base");
    let writes: Vec<Pointer> = patch.writes().into_iter().map(whole).collect();
    if writes.iter().any(Pointer::is_root) {
        return;
    }
    // Backwards, so that no index means another element than before.
    for place in writes.iter().rev() {
        base.remove(place);
        document.remove(place);
    }
    assert_eq!(document.to_text(), base.to_text(), "it changed a place that it did not name");
}

/// What comes behind the last element of an array changes the array.
fn whole(place: Pointer) -> Pointer {
    let appends = place.tokens().last().is_some_and(|last| &**last == "-");
    place.parent().filter(|_| appends).unwrap_or(place)
}
