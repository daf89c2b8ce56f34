//! The session's data: a JSON object in which data is data.
//!
//! Every digit of a number, the order of keys and all of Unicode survive reading and writing (guarantee 6); no key has
//! a meaning here. Only white space and superfluous escapes are lost, so equal data has one text. It refuses what has
//! no single meaning: a key twice in one object, a lone surrogate. Nesting is limited, so that walking, comparing and
//! dropping may recurse. This room does not know what may be changed by whom: that is `patch` and `settle`.

mod json;
mod number;
mod object;
mod outline;
mod pointer;
mod reader;
#[cfg(test)]
mod tests;
mod text;

use std::error::Error;
use std::fmt;

pub use json::Json;
pub use number::Number;
pub use object::Object;
pub(crate) use outline::{Member, Outline, Place};
pub(crate) use pointer::array_index;
pub use pointer::{Pointer, PointerError};
pub(crate) use text::Members;
pub use text::Text;

/// How many containers may lie within each other.
pub const MAX_DEPTH: usize = 128;

/// The data of a session.
///
/// Its root is an object when it was parsed, but a patch may put anything there: ask [`Document::is_object`] after
/// the last one.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    root: Json,
}

/// Why a text is not a document. Its message names a kind of fault and a place, never data.
#[derive(Debug)]
pub enum DocumentError {
    /// Not one JSON value (RFC 8259), or a string that is not Unicode (a lone surrogate).
    Syntax(serde_json::Error),
    /// A key occurs twice in one object.
    DuplicateKey,
    /// More than [`MAX_DEPTH`] containers within each other.
    TooDeep,
    /// A JSON value, but not an object.
    NotAnObject,
}

/// A value would have come to lie more than [`MAX_DEPTH`] containers deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

impl Document {
    /// `{}`
    pub fn empty() -> Document {
        Document { root: Json::Object(Object::default()) }
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`DocumentError`] if the text is anything else, repeats a key or nests too deep.
    pub fn parse(text: &str) -> Result<Document, DocumentError> {
        match Json::parse(text)? {
            root @ Json::Object(_) => Ok(Document { root }),
            _ => Err(DocumentError::NotAnObject),
        }
    }

    /// The compact text, which [`Document::parse`] reads as the same document.
    pub fn to_text(&self) -> String {
        self.root.to_text()
    }

    /// Appends the compact text.
    pub fn write_to(&self, out: &mut String) {
        self.root.write_to(out);
    }

    /// Whether it is `{}`.
    pub fn is_empty(&self) -> bool {
        matches!(&self.root, Json::Object(object) if object.is_empty())
    }

    /// Whether its root is an object, as it must be to be kept.
    pub fn is_object(&self) -> bool {
        matches!(self.root, Json::Object(_))
    }

    /// The whole value.
    pub fn root(&self) -> &Json {
        &self.root
    }

    /// The whole value, to be changed. Whoever does keeps to [`MAX_DEPTH`].
    pub(crate) fn root_mut(&mut self) -> &mut Json {
        &mut self.root
    }

    /// The value at a place (RFC 6901 section 4).
    pub fn get(&self, place: &Pointer) -> Option<&Json> {
        self.root.descend(place.tokens())
    }

    /// Puts a value at a place, whatever it takes: a missing parent becomes an object, and so does one that cannot hold
    /// the next token (a scalar, or an array and neither an index within it, nor its length, nor `-`, which append).
    ///
    /// # Errors
    /// [`TooDeep`]; the document is then as it was.
    pub fn set(&mut self, place: &Pointer, value: Json) -> Result<(), TooDeep> {
        if place.tokens().len() + value.depth() > MAX_DEPTH {
            return Err(TooDeep);
        }
        *place.tokens().iter().fold(&mut self.root, |parent, token| make_room(parent, token)) = value;
        Ok(())
    }

    /// Takes out the value at a place, if there is one. Without its root the document is `{}`.
    pub fn remove(&mut self, place: &Pointer) -> Option<Json> {
        let Some((last, parents)) = place.tokens().split_last() else {
            return Some(std::mem::replace(self, Document::empty()).root);
        };
        match self.root.descend_mut(parents)? {
            Json::Object(object) => object.remove(last),
            Json::Array(elements) => {
                let index = array_index(last).filter(|index| *index < elements.len())?;
                Some(elements.remove(index))
            }
            _ => None,
        }
    }

    /// What can be seen through these places: every one of them finds in the result what it finds here, and nothing
    /// else is there. Keys keep their order; array elements that cannot be seen are `null`, or absent at the end.
    #[must_use]
    pub fn project(&self, places: &[Pointer]) -> Document {
        let paths: Vec<_> = places.iter().map(Pointer::tokens).collect();
        keep(&self.root, &paths).map_or_else(Document::empty, |root| Document { root })
    }
}

/// The slot that a token names, made if it is missing.
fn make_room<'a>(parent: &'a mut Json, token: &str) -> &'a mut Json {
    let fits = match parent {
        Json::Object(_) => true,
        Json::Array(elements) => token == "-" || array_index(token).is_some_and(|index| index <= elements.len()),
        _ => false,
    };
    if !fits {
        *parent = Json::Object(Object::default());
    }
    match parent {
        Json::Array(elements) => {
            let index = array_index(token).unwrap_or(elements.len());
            if index == elements.len() {
                elements.push(Json::Null);
            }
            &mut elements[index]
        }
        Json::Object(object) => object.slot(token),
        scalar => scalar,
    }
}

fn keep(json: &Json, paths: &[&[Box<str>]]) -> Option<Json> {
    if paths.is_empty() {
        return None;
    }
    if paths.iter().any(|path| path.is_empty()) {
        return Some(json.clone());
    }
    match json {
        Json::Object(object) => {
            let seen = object.filter_map(|key, value| keep(value, &further(paths, |token| token == key)));
            (!seen.is_empty()).then_some(Json::Object(seen))
        }
        Json::Array(elements) => {
            let seen = elements
                .iter()
                .enumerate()
                .map(|(index, element)| keep(element, &further(paths, |token| array_index(token) == Some(index))));
            let mut seen: Vec<_> = seen.collect();
            seen.truncate(seen.iter().rposition(Option::is_some)? + 1);
            Some(Json::Array(seen.into_iter().map(|element| element.unwrap_or(Json::Null)).collect()))
        }
        _ => None,
    }
}

/// What is left of the paths whose first token is the one that is meant.
fn further<'a>(paths: &[&'a [Box<str>]], is_meant: impl Fn(&str) -> bool) -> Vec<&'a [Box<str>]> {
    paths
        .iter()
        .filter_map(|path| path.split_first())
        .filter(|(token, _)| is_meant(token))
        .map(|(_, rest)| rest)
        .collect()
}

impl fmt::Debug for Document {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Document({:?})", self.root)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Syntax(error) => write!(out, "not valid JSON: {error}"),
            DocumentError::DuplicateKey => out.write_str("a key occurs twice in one object"),
            DocumentError::TooDeep => write!(out, "nested deeper than {MAX_DEPTH}"),
            DocumentError::NotAnObject => out.write_str("not a JSON object"),
        }
    }
}

impl Error for DocumentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            DocumentError::Syntax(error) => Some(error),
            DocumentError::DuplicateKey | DocumentError::TooDeep | DocumentError::NotAnObject => None,
        }
    }
}

impl fmt::Display for TooDeep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        DocumentError::TooDeep.fmt(out)
    }
}

impl Error for TooDeep {}
