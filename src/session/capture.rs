//! What an unmodified application says in a header of its own, kept in the data (contract section 6).
//!
//! It is an update like any other, but one that always fits: like a merge patch it makes an object of what stands in
//! its way. Where it goes is the operator's word, so that no right of the upstream is asked.

use super::document::{Document, Json, Pointer, TooDeep};

/// One header that was found in a response, and where it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Capture {
    /// Never the whole data.
    pub place: Pointer,
    /// What the header says; empty: nothing is to stand there any more.
    pub text: Box<str>,
}

impl Capture {
    /// Puts it into the data.
    ///
    /// # Errors
    /// [`TooDeep`], which the configuration rules out.
    pub fn apply(&self, data: &mut Document) -> Result<(), TooDeep> {
        if self.text.is_empty() {
            data.remove(&self.place);
            return Ok(());
        }
        data.set(&self.place, Json::string(&self.text))
    }
}

/// Data is in no log.
impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Capture({}, {} bytes)", self.place, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sets_or_removes_whatever_stands_there() {
        for (data, place, text, after) in [
            ("{}", "/user/name", "ada", r#"{"user":{"name":"ada"}}"#),
            (r#"{"user":{"name":"bob","n":1}}"#, "/user/name", "ada", r#"{"user":{"name":"ada","n":1}}"#),
            (r#"{"user":"bob"}"#, "/user/name", "ada", r#"{"user":{"name":"ada"}}"#),
            (r#"{"user":{"x":1}}"#, "/user", "ada", r#"{"user":"ada"}"#),
            (r#"{"list":["a"]}"#, "/list/0", "b", r#"{"list":["b"]}"#),
            (r#"{"user":{"name":"ada","n":1}}"#, "/user/name", "", r#"{"user":{"n":1}}"#),
            (r#"{"a":1}"#, "/user/name", "", r#"{"a":1}"#),
            (r#"{"user":"bob"}"#, "/user/name", "", r#"{"user":"bob"}"#),
        ] {
            let mut document = Document::parse(data).unwrap();
            Capture { place: Pointer::parse(place).unwrap(), text: text.into() }.apply(&mut document).unwrap();
            assert_eq!(document.to_text(), after, "{data} {place} {text:?}");
        }
    }
}
