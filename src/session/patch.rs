//! What an application wants changed in the session's data: one field line of `X-Session-Update`, or one `PATCH` body.
//!
//! A patch is read and checked once and can be applied to any number of documents: a save that meets another one is
//! repeated on what is then stored. This room says what a patch touches, but not who may touch it. Applying is all or
//! nothing only for callers that throw the document away on an error. No input, however hostile, makes it take more
//! than about its own length plus the budget, in memory or nesting.

mod merge;
mod operation;
mod splice;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::str::Utf8Error;

use base64::DecodeError;
use base64::engine::Engine as _;
use base64::engine::general_purpose::URL_SAFE_PAD_INDIFFERENT;

use self::operation::{Misfit, Operation};
use super::document::{Document, DocumentError, Json, Outline, Pointer, Text};

/// A change to a document: a merge patch (RFC 7396) or a JSON Patch (RFC 6902).
#[derive(Clone, PartialEq, Eq)]
pub struct Patch {
    kind: Kind,
    /// Places that a merge may write through but not over: whatever stands there must be an object, or nothing.
    ways: Vec<Pointer>,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// A merge patch whose compact text has an [`Outline`]: nothing else is needed to merge it into text.
    Plain(Text),
    /// Any other.
    Merge(Json),
    Operations(Vec<Operation>),
}

/// Why bytes are not a patch. Its message names a kind of fault and a place, never data.
#[derive(Debug)]
pub enum PatchError {
    /// Begins with neither `{` nor `[`, and is not base64url.
    Encoding(DecodeError),
    /// Is base64url of something that begins with neither `{` nor `[`.
    NeitherKind,
    /// Not UTF-8.
    Unicode(Utf8Error),
    /// Not JSON, or JSON that a document cannot hold.
    Json(DocumentError),
    /// A JSON Patch that is not an array.
    NotAList,
    /// An operation that RFC 6902 does not know, by its index in the list.
    Operation {
        /// Counted from 0.
        index: usize,
        /// What is wrong with it, e.g. "`path` is missing".
        fault: &'static str,
    },
}

/// Why a patch cannot be applied to this document. The index is that of the operation, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoesNotFit {
    /// A place that the operation needs is not there, or a value would be moved into itself.
    Place(usize),
    /// A `test` found another value.
    Test(usize),
    /// `copy` operations would have doubled more than the budget allows.
    TooLarge(usize),
    /// A value would come to lie deeper than a document may be.
    TooDeep(usize),
}

impl Patch {
    /// Reads the value of one field line: `{...}` is a merge patch, `[...]` a JSON Patch; anything else is base64url
    /// of one of them, with or without padding. Spaces and tabs around it are ignored.
    ///
    /// # Errors
    /// [`PatchError`], for every field line that the contract calls an invalid update.
    pub fn parse(value: &[u8]) -> Result<Patch, PatchError> {
        let value = trim(value, b" \t");
        match Patch::of_text(value) {
            Some(patch) => patch,
            None => {
                let decoded = decode(value).map_err(PatchError::Encoding)?;
                Patch::of_text(trim(&decoded, b" \t\r\n")).unwrap_or(Err(PatchError::NeitherKind))
            }
        }
    }

    fn of_text(text: &[u8]) -> Option<Result<Patch, PatchError>> {
        let read = match text.first()? {
            b'{' => Patch::merge_from,
            b'[' => Patch::operations_from,
            _ => return None,
        };
        Some(std::str::from_utf8(text).map_err(PatchError::Unicode).and_then(read))
    }

    /// Reads a merge patch (`application/merge-patch+json`, RFC 7396). One that is not an object is valid and replaces
    /// the whole document, which is then not an object.
    ///
    /// # Errors
    /// [`PatchError::Json`]
    pub fn merge_from(text: &str) -> Result<Patch, PatchError> {
        let kind = match Outline::of(text) {
            Some(outline) => Kind::Plain(outline.to_text()),
            None => Kind::of(Json::parse(text).map_err(PatchError::Json)?),
        };
        Ok(Patch { kind, ways: Vec::new() })
    }

    /// Reads a JSON Patch (`application/json-patch+json`, RFC 6902): an array of operations. Members that an operation
    /// does not define are ignored.
    ///
    /// # Errors
    /// [`PatchError::Json`], [`PatchError::NotAList`], [`PatchError::Operation`]
    pub fn operations_from(text: &str) -> Result<Patch, PatchError> {
        let Json::Array(list) = Json::parse(text).map_err(PatchError::Json)? else {
            return Err(PatchError::NotAList);
        };
        let read = |(index, json)| Operation::read(json).map_err(|fault| PatchError::Operation { index, fault });
        let operations = list.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Patch { kind: Kind::Operations(operations), ways: Vec::new() })
    }

    /// Confines a patch whose [`writes`](Self::writes) are within `places`: a merge patch replaces a scalar or an array
    /// on its way by an object, which would be a change outside of them. It does not fit then.
    #[must_use]
    pub fn confined_to(mut self, places: &[Pointer]) -> Patch {
        if let Kind::Plain(_) | Kind::Merge(_) = self.kind {
            self.ways =
                places.iter().flat_map(|place| std::iter::successors(place.parent(), Pointer::parent)).collect();
        }
        self
    }

    /// Whether there is nothing in it: `{}` or `[]`.
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Plain(text) => text.as_bytes() == b"{}",
            Kind::Merge(Json::Object(members)) => members.is_empty(),
            Kind::Merge(_) => false,
            Kind::Operations(operations) => operations.is_empty(),
        }
    }

    /// Carries the change out. The root may be something else than an object afterwards; ask [`Document::is_object`]
    /// after the last patch. `budget` is how many bytes of JSON text the `copy` operations of this patch may double
    /// altogether, counted without credit for what is removed again: the document grows by at most that and the
    /// length of the patch.
    ///
    /// # Errors
    /// [`DoesNotFit`]; the document is then half changed and must be thrown away. A merge patch fits, unless it was
    /// [confined](Self::confined_to).
    pub fn apply(&self, document: &mut Document, budget: usize) -> Result<(), DoesNotFit> {
        let root = document.root_mut();
        match &self.kind {
            Kind::Plain(text) => self.merge(root, Json::parse(text).map_err(|_| DoesNotFit::Place(0))?)?,
            Kind::Merge(change) => self.merge(root, change.clone())?,
            Kind::Operations(operations) => {
                let mut left = budget;
                for (index, operation) in operations.iter().enumerate() {
                    operation.apply(root, &mut left).map_err(|misfit| DoesNotFit::at(index, misfit))?;
                }
            }
        }
        Ok(())
    }

    fn merge(&self, root: &mut Json, change: Json) -> Result<(), DoesNotFit> {
        let blocked = |json: &Json, way: &Pointer| {
            json.descend(way.tokens()).is_some_and(|there| !matches!(there, Json::Object(_)))
        };
        if self.ways.iter().any(|way| blocked(root, way) && change.descend(way.tokens()).is_some()) {
            return Err(DoesNotFit::Place(0));
        }
        merge::merge(root, change);
        Ok(())
    }

    /// The text of the document that [`apply`](Self::apply) makes of the one with this text, if that is found without
    /// reading the document: it is for most patches, and most data.
    pub fn splice(&self, text: &Text) -> Option<Text> {
        match &self.kind {
            Kind::Plain(change) if self.ways.is_empty() => splice::spliced(text, change),
            Kind::Plain(_) | Kind::Merge(_) | Kind::Operations(_) => None,
        }
    }

    /// The places that it may change, none within another, sorted. An `add`, `remove`, `move` or `copy` of what may be
    /// an array's element counts as a write to the array, since it shifts the elements behind.
    pub fn writes(&self) -> Vec<Pointer> {
        let mut places = Vec::new();
        match &self.kind {
            Kind::Plain(text) => match Json::parse(text) {
                Ok(change) => merge::writes(&change, &Pointer::root(), &mut places),
                // It was read already, so this is never so; if it were, it might be anywhere.
                Err(_) => places.push(Pointer::root()),
            },
            Kind::Merge(change) => merge::writes(change, &Pointer::root(), &mut places),
            Kind::Operations(operations) => operations.iter().for_each(|operation| operation.writes(&mut places)),
        }
        outermost(places)
    }

    /// The places whose value it looks at (`test`) or takes elsewhere (`copy`, `move`), none within another, sorted.
    pub fn reads(&self) -> Vec<Pointer> {
        match &self.kind {
            Kind::Plain(_) | Kind::Merge(_) => Vec::new(),
            Kind::Operations(operations) => {
                outermost(operations.iter().filter_map(Operation::reads).cloned().collect())
            }
        }
    }
}

impl Kind {
    fn of(change: Json) -> Kind {
        let text = change.to_text();
        Outline::of(&text).map_or(Kind::Merge(change), |outline| Kind::Plain(outline.to_text()))
    }
}

impl DoesNotFit {
    fn at(index: usize, misfit: Misfit) -> DoesNotFit {
        match misfit {
            Misfit::Place => DoesNotFit::Place(index),
            Misfit::Test => DoesNotFit::Test(index),
            Misfit::TooLarge => DoesNotFit::TooLarge(index),
            Misfit::TooDeep => DoesNotFit::TooDeep(index),
        }
    }
}

/// Pointers sort so that what lies within one comes right behind it.
fn outermost(mut places: Vec<Pointer>) -> Vec<Pointer> {
    places.sort_unstable();
    places.dedup_by(|place, kept| place.starts_with(kept));
    places
}

fn decode(value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    URL_SAFE_PAD_INDIFFERENT.decode(value)
}

fn trim<'a>(text: &'a [u8], spaces: &[u8]) -> &'a [u8] {
    let is_text = |byte: &u8| !spaces.contains(byte);
    match (text.iter().position(is_text), text.iter().rposition(is_text)) {
        (Some(first), Some(last)) => &text[first..=last],
        _ => &[],
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Plain(text) => write!(out, "Patch(merge, {} bytes)", text.len()),
            Kind::Merge(change) => write!(out, "Patch(merge, {change:?})"),
            Kind::Operations(operations) => write!(out, "Patch({} operations)", operations.len()),
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatchError::Encoding(_) => out.write_str("neither JSON that begins with `{` or `[`, nor base64url of it"),
            PatchError::NeitherKind => out.write_str("base64url of something that begins with neither `{` nor `[`"),
            PatchError::Unicode(_) => out.write_str("not UTF-8"),
            PatchError::Json(error) => error.fmt(out),
            PatchError::NotAList => out.write_str("a JSON Patch is an array of operations"),
            PatchError::Operation { index, fault } => write!(out, "operation {index}: {fault}"),
        }
    }
}

impl Error for PatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PatchError::Encoding(error) => Some(error),
            PatchError::Unicode(error) => Some(error),
            PatchError::Json(error) => Some(error),
            PatchError::NeitherKind | PatchError::NotAList | PatchError::Operation { .. } => None,
        }
    }
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DoesNotFit::Place(index) => write!(out, "operation {index}: the document has no such place"),
            DoesNotFit::Test(index) => write!(out, "operation {index}: the document has another value there"),
            DoesNotFit::TooLarge(index) => write!(out, "operation {index}: copies too much"),
            DoesNotFit::TooDeep(index) => write!(out, "operation {index}: nests too deep"),
        }
    }
}

impl Error for DoesNotFit {}
