//! A JSON value whose numbers are source text and whose objects keep the order of their keys.
//!
//! It is not `serde_json::Value`: that one rewrites numbers, and takes some keys for its own. Depth is limited where
//! values are read and put, so everything here may recurse. Debug output names kinds and sizes only, since session
//! data never appears in a log.

use std::fmt;

use super::DocumentError;
use super::number::Number;
use super::object::Object;
use super::pointer::array_index;
use super::reader;

/// A JSON value, RFC 8259. Two are `==` if their compact texts are the same; see [`Json::equals`] for the meaning.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it was written.
    Number(Number),
    /// A string's content, unescaped.
    String(Box<str>),
    /// `[...]`
    Array(Vec<Json>),
    /// `{...}`
    Object(Object),
}

impl Json {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// [`DocumentError`] for anything that is not exactly one value by RFC 8259, for a key that occurs twice in one
    /// object, and for more than [`super::MAX_DEPTH`] containers within each other.
    pub fn parse(text: &str) -> Result<Json, DocumentError> {
        reader::read(text)
    }

    /// A string with this content.
    pub fn string(content: &str) -> Json {
        Json::String(content.into())
    }

    /// A string's content; `None` for everything else.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(content) => Some(content),
            _ => None,
        }
    }

    /// The compact text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text);
        text
    }

    /// Appends the compact text.
    pub fn write_to(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(number) => out.push_str(number.as_str()),
            Json::String(content) => Json::write_string(content, out),
            Json::Array(elements) => write_list(b"[]", elements, out, |element, out| element.write_to(out)),
            Json::Object(object) => write_list(b"{}", object.members(), out, |(key, value), out| {
                Json::write_string(key, out);
                out.push(':');
                value.write_to(out);
            }),
        }
    }

    /// Appends the text of a string with this content.
    pub(crate) fn write_string(content: &str, out: &mut String) {
        if !is_plain(content) || content.contains('"') {
            out.push_str(&serde_json::Value::from(content).to_string());
            return;
        }
        out.push('"');
        out.push_str(content);
        out.push('"');
    }

    /// Whether both mean the same, as the `test` of a JSON Patch asks (RFC 6902 section 4.6): numbers by value,
    /// strings by content, arrays in order, objects in any order.
    pub fn equals(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(one), Json::Bool(two)) => one == two,
            (Json::Number(one), Json::Number(two)) => one.equals(two),
            (Json::String(one), Json::String(two)) => one == two,
            (Json::Array(one), Json::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.equals(two))
            }
            (Json::Object(one), Json::Object(two)) => one.equals(two),
            _ => false,
        }
    }

    /// How many containers lie within each other: 0 for a scalar, 2 for `[{}]`.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Json::Array(elements) => 1 + elements.iter().map(Json::depth).max().unwrap_or(0),
            Json::Object(object) => 1 + object.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// About how many bytes the compact text has: exact but for escapes and separators.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Json::Null | Json::Bool(_) => 4,
            Json::Number(number) => number.as_str().len(),
            Json::String(content) => content.len() + 2,
            Json::Array(elements) => 2 + elements.iter().map(|element| element.weight() + 1).sum::<usize>(),
            Json::Object(object) => 2 + object.iter().map(|(key, value)| key.len() + value.weight() + 4).sum::<usize>(),
        }
    }

    /// The value one step down: a member, or the element at an index.
    pub(crate) fn child(&self, token: &str) -> Option<&Json> {
        match self {
            Json::Object(object) => object.member(token),
            Json::Array(elements) => elements.get(array_index(token)?),
            _ => None,
        }
    }

    /// The value one step down, to be changed.
    pub(crate) fn child_mut(&mut self, token: &str) -> Option<&mut Json> {
        match self {
            Json::Object(object) => object.member_mut(token),
            Json::Array(elements) => elements.get_mut(array_index(token)?),
            _ => None,
        }
    }

    /// The value at the end of a path of tokens.
    pub(crate) fn descend(&self, tokens: &[Box<str>]) -> Option<&Json> {
        tokens.iter().try_fold(self, |json, token| json.child(token))
    }

    /// The value at the end of a path of tokens, to be changed.
    pub(crate) fn descend_mut(&mut self, tokens: &[Box<str>]) -> Option<&mut Json> {
        tokens.iter().try_fold(self, |json, token| json.child_mut(token))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => out.write_str("Null"),
            Json::Bool(_) => out.write_str("Bool"),
            Json::Number(_) => out.write_str("Number"),
            Json::String(content) => write!(out, "String({} bytes)", content.len()),
            Json::Array(elements) => write!(out, "Array({} elements)", elements.len()),
            Json::Object(object) => write!(out, "{object:?}"),
        }
    }
}

/// Whether there are neither control characters nor backslashes. Eight bytes at a time; a bit may be set wrongly, but only
/// above one that is set rightly.
fn is_plain(text: &str) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let found = |word: u64| {
        let (control, backslash) = (word.wrapping_sub(EACH * 0x20), (word ^ (EACH * 0x5c)).wrapping_sub(EACH));
        ((control & !word) | (backslash & !(word ^ (EACH * 0x5c)))) & HIGH
    };
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(byte, rest)| *byte = *rest);
    let last = found(u64::from_le_bytes(last));
    words.iter().fold(last, |all, word| all | found(u64::from_le_bytes(*word))) == 0
}

fn write_list<T>(brackets: &[u8; 2], items: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push(brackets[0].into());
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(brackets[1].into());
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn every_control_character_and_backslash_is_found_wherever_it_stands() {
        for length in 0..20 {
            for around in ['a', ' ', '!', '[', ']', '\u{7f}', '\u{a0}', '\u{fffd}'] {
                let text = around.to_string().repeat(length);
                assert!(is_plain(&text), "{text:?}");
                for at in 0..=length {
                    for found in (0..0x20).map(char::from).chain(['\\']) {
                        let (front, back) = (around.to_string().repeat(at), around.to_string().repeat(length - at));
                        assert!(!is_plain(&format!("{front}{found}{back}")), "{found:?} behind {front:?}");
                    }
                }
            }
        }
    }
}
