//! Merge patches (RFC 7396): applying one twice is applying it once, and to the text what it is to the document; what comes
//! out can be read again, and a patch that is confined leaves all other places alone.

use cloakroom::session::{
    document::{Document, Pointer},
    patch::Patch,
};

pub(crate) const BASE: &str =
    r#"{"a":1,"b":{"c":[1,2.50,"x"],"d":null},"e":"\u00e9","$serde_json::private::Number":"1","":{"":0}}"#;

/// The input is one `X-Session-Update` line.
pub(crate) fn check(input: &[u8]) {
    let Ok(patch) = Patch::parse(input) else { return };
    if !std::str::from_utf8(input).is_ok_and(|text| text.trim_matches([' ', '\t']).starts_with('{')) {
        return;
    }
    let mut once = Document::parse(BASE).expect("the base");
    patch.apply(&mut once, 0).expect("a merge patch fits");
    assert!(once.is_object(), "an object was merged into an object");
    let text = once.to_text();
    let base = Document::parse(BASE).expect("the base").to_text();
    assert!(patch.splice(&base.into()).is_none_or(|spliced| *spliced == *text), "merged otherwise as text");
    assert_eq!(Document::parse(&text).expect("what was stored").to_text(), text, "not what was stored");
    patch.apply(&mut once, 0).expect("a merge patch fits");
    assert_eq!(once.to_text(), text, "the second time changed more");

    // As `Rights::allow` does it: what it names must be allowed, and then it is confined.
    let place = Pointer::parse("/b").expect("a pointer");
    let mut confined = Document::parse(BASE).expect("the base");
    let allowed = patch.writes().iter().all(|named| named.tokens().starts_with(place.tokens()));
    if allowed && patch.confined_to(std::slice::from_ref(&place)).apply(&mut confined, 0).is_ok() {
        let mut base = Document::parse(BASE).expect("the base");
        base.remove(&place);
        confined.remove(&place);
        assert_eq!(confined.to_text(), base.to_text(), "it changed a place that it may not");
    }
}
