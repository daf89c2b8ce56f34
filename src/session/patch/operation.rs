//! One operation of a JSON Patch, RFC 6902: reading it, applying it, saying what it touches.
//!
//! An array index has no leading zeros, and `-` is a place to add to and nothing else. Replacing keeps a member's
//! place, removing keeps the order of the others. Whatever an operation puts somewhere is checked for depth, and what
//! it doubles is taken off a budget before it is doubled: a patch is short, but `copy` upon `copy` is not.

use crate::session::document::{Json, MAX_DEPTH, Object, Pointer, array_index};

/// An operation and where it happens.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Operation {
    path: Pointer,
    action: Action,
}

#[derive(Clone, PartialEq, Eq)]
enum Action {
    Add(Json),
    Remove,
    Replace(Json),
    Move(Pointer),
    Copy(Pointer),
    Test(Json),
}

/// Why an operation cannot be applied; see [`super::DoesNotFit`].
pub(super) enum Misfit {
    Place,
    Test,
    TooLarge,
    TooDeep,
}

impl Operation {
    /// Reads one element of the list, RFC 6902 section 4. The error is fit for a log.
    pub(super) fn read(json: Json) -> Result<Operation, &'static str> {
        let Json::Object(mut members) = json else {
            return Err("not an object");
        };
        let path = pointer(&members, "path", ["`path` is missing", "`path` is not a JSON Pointer"])?;
        let from = |members: &Object| pointer(members, "from", ["`from` is missing", "`from` is not a JSON Pointer"]);
        let value = |members: &mut Object| members.remove("value").ok_or("`value` is missing");
        let action = match members.member("op").ok_or("`op` is missing")?.as_str() {
            Some("add") => Action::Add(value(&mut members)?),
            Some("remove") => Action::Remove,
            Some("replace") => Action::Replace(value(&mut members)?),
            Some("move") => Action::Move(from(&members)?),
            Some("copy") => Action::Copy(from(&members)?),
            Some("test") => Action::Test(value(&mut members)?),
            _ => return Err("`op` is not one of add, remove, replace, move, copy, test"),
        };
        Ok(Operation { path, action })
    }

    /// Carries it out. `budget` is what may still be doubled, in bytes of JSON text.
    pub(super) fn apply(&self, root: &mut Json, budget: &mut usize) -> Result<(), Misfit> {
        let path = &self.path;
        match &self.action {
            Action::Add(value) => add(root, path, value.clone()),
            Action::Remove => remove(root, path).map(drop),
            Action::Replace(value) => {
                fits_in_depth(path, value)?;
                *root.descend_mut(path.tokens()).ok_or(Misfit::Place)? = value.clone();
                Ok(())
            }
            Action::Move(from) if from == path => root.descend(from.tokens()).map(|_| ()).ok_or(Misfit::Place),
            Action::Move(from) if path.starts_with(from) => Err(Misfit::Place),
            Action::Move(from) => {
                let value = remove(root, from)?;
                add(root, path, value)
            }
            Action::Copy(from) => {
                let source = root.descend(from.tokens()).ok_or(Misfit::Place)?;
                *budget = budget.checked_sub(source.weight()).ok_or(Misfit::TooLarge)?;
                let value = source.clone();
                add(root, path, value)
            }
            Action::Test(value) => match root.descend(path.tokens()) {
                Some(found) if found.equals(value) => Ok(()),
                Some(_) => Err(Misfit::Test),
                None => Err(Misfit::Place),
            },
        }
    }

    /// Adds the places that it may change.
    pub(super) fn writes(&self, places: &mut Vec<Pointer>) {
        match &self.action {
            Action::Test(_) => {}
            Action::Replace(_) => places.push(self.path.clone()),
            Action::Add(_) | Action::Remove | Action::Copy(_) => places.push(shifted(&self.path)),
            Action::Move(from) => places.extend([shifted(&self.path), shifted(from)]),
        }
    }

    /// The place whose value it looks at or takes elsewhere.
    pub(super) fn reads(&self) -> Option<&Pointer> {
        match &self.action {
            Action::Test(_) => Some(&self.path),
            Action::Move(from) | Action::Copy(from) => Some(from),
            Action::Add(_) | Action::Remove | Action::Replace(_) => None,
        }
    }
}

/// What changes when a member or element comes or goes: the whole array if this may be one. A root that was not
/// replaced by the same patch is an object.
fn shifted(path: &Pointer) -> Pointer {
    match path.parent() {
        Some(parent) if !parent.is_root() && path.tokens().last().is_some_and(|last| array_index(last).is_some()) => {
            parent
        }
        _ => path.clone(),
    }
}

fn pointer(members: &Object, name: &str, [missing, invalid]: [&'static str; 2]) -> Result<Pointer, &'static str> {
    let text = members.member(name).ok_or(missing)?.as_str().ok_or(invalid)?;
    Pointer::parse(text).map_err(|_| invalid)
}

fn fits_in_depth(path: &Pointer, value: &Json) -> Result<(), Misfit> {
    let depth = path.tokens().len() + value.depth();
    if depth > MAX_DEPTH { Err(Misfit::TooDeep) } else { Ok(()) }
}

/// RFC 6902 section 4.1: sets a member, or puts an element before the one that is there.
fn add(root: &mut Json, path: &Pointer, value: Json) -> Result<(), Misfit> {
    fits_in_depth(path, &value)?;
    let Some((last, parents)) = path.tokens().split_last() else {
        *root = value;
        return Ok(());
    };
    match root.descend_mut(parents) {
        Some(Json::Object(object)) => object.insert(last, value),
        Some(Json::Array(elements)) if &**last == "-" => elements.push(value),
        Some(Json::Array(elements)) => {
            let index = array_index(last).filter(|index| *index <= elements.len()).ok_or(Misfit::Place)?;
            elements.insert(index, value);
        }
        _ => return Err(Misfit::Place),
    }
    Ok(())
}

/// RFC 6902 section 4.2. There is no document without a root.
fn remove(root: &mut Json, path: &Pointer) -> Result<Json, Misfit> {
    let (last, parents) = path.tokens().split_last().ok_or(Misfit::Place)?;
    match root.descend_mut(parents) {
        Some(Json::Object(object)) => object.remove(last).ok_or(Misfit::Place),
        Some(Json::Array(elements)) => {
            let index = array_index(last).filter(|index| *index < elements.len()).ok_or(Misfit::Place)?;
            Ok(elements.remove(index))
        }
        _ => Err(Misfit::Place),
    }
}
