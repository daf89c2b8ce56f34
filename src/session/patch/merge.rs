//! Merge patches, RFC 7396: an object says which members change, `null` which ones go.
//!
//! Members that are there keep their place, new ones come last in the order of the patch. It always fits, and the
//! result is never nested deeper than the deeper of the two.

use crate::session::document::{Json, Object, Pointer};

/// `MergePatch(Target, Patch)` of RFC 7396 section 2.
pub(super) fn merge(target: &mut Json, change: Json) {
    let Json::Object(change) = change else {
        *target = change;
        return;
    };
    if !matches!(target, Json::Object(_)) {
        *target = Json::Object(Object::default());
    }
    if let Json::Object(target) = target {
        target.absorb(change, |member, change| match change {
            Json::Null => *member = None,
            change => merge(member.get_or_insert(Json::Null), change),
        });
    }
}

/// The leaves of the patch. An empty object is one, since it makes an object of what is there.
pub(super) fn writes(change: &Json, place: &Pointer, places: &mut Vec<Pointer>) {
    match change {
        Json::Object(members) if members.is_empty() && place.is_root() => {}
        Json::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(key, change)| writes(change, &place.child(key), places));
        }
        _ => places.push(place.clone()),
    }
}
