//! JSON text → [`Json`], in one pass.
//!
//! The parser is serde_json's; this drives it. serde asks *before* a value what kind it is to be, and to ask
//! serde_json would turn numbers into floats; so the reader keeps its own place in the text, looks at a value's first
//! byte, and takes numbers as raw text. A wrong place can only lead to an error, never to other data: serde_json
//! checks every byte. Nothing here recurses deeper than [`MAX_DEPTH`].

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Json;
use super::number::Number;
use super::object::Object;
use super::{DocumentError, MAX_DEPTH};

pub(super) fn read(text: &str) -> Result<Json, DocumentError> {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit(); // ours is checked for every container, and counts to exactly MAX_DEPTH
    let mut reader = Reader { text, place: 0, depth: 0, fault: None };
    let read = Value(&mut reader).deserialize(&mut parser).and_then(|json| parser.end().map(|()| json));
    read.map_err(|error| reader.fault.unwrap_or(DocumentError::Syntax(error)))
}

/// What is known beside the parser: how far it has read, and how deep it is.
struct Reader<'de> {
    text: &'de str,
    place: usize,
    depth: usize,
    fault: Option<DocumentError>,
}

impl<'de> Reader<'de> {
    /// The first byte of the token that comes next; moves there.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.place..)?;
        let skipped = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':'))?;
        self.place += skipped;
        Some(rest[skipped])
    }

    /// Moves past the token that comes next.
    fn pass(&mut self, length: usize) {
        self.peek();
        self.place += length;
    }

    /// Moves past the string that comes next, in which there are escapes.
    fn pass_escaped(&mut self) {
        self.peek();
        let rest = self.text.as_bytes().get(self.place + 1..).unwrap_or_default();
        let (mut length, mut escaped) = (0, false);
        for byte in rest {
            length += 1;
            match byte {
                b'"' if !escaped => break,
                byte => escaped = *byte == b'\\' && !escaped,
            }
        }
        self.place += 1 + length;
    }

    fn fail<E: serde::de::Error>(&mut self, fault: DocumentError) -> E {
        let error = E::custom(&fault);
        self.fault = Some(fault);
        error
    }

    fn container<T, E>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E>
    where
        E: serde::de::Error,
    {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(DocumentError::TooDeep));
        }
        self.depth += 1;
        self.pass(1);
        let content = read(self)?;
        self.pass(1);
        self.depth -= 1;
        Ok(content)
    }
}

/// Reads one value.
struct Value<'r, 'de>(&'r mut Reader<'de>);

impl<'de> DeserializeSeed<'de> for Value<'_, 'de> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Json, D::Error> {
        let reader = self.0;
        match reader.peek() {
            Some(b'{') => reader.container(|inner| parser.deserialize_map(Members(inner))).map(Json::Object),
            Some(b'[') => reader.container(|inner| parser.deserialize_seq(Elements(inner))).map(Json::Array),
            Some(b'"') => Text(reader).deserialize(parser).map(Json::String),
            first => {
                let raw = <&RawValue>::deserialize(parser)?.get();
                reader.pass(raw.len());
                Ok(match first {
                    Some(b't') => Json::Bool(true),
                    Some(b'f') => Json::Bool(false),
                    Some(b'n') => Json::Null,
                    _ => Json::Number(Number::from_source(raw)),
                })
            }
        }
    }
}

/// Reads the inside of an object.
struct Members<'r, 'de>(&'r mut Reader<'de>);

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = Object;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(Text(self.0))? {
            members.push((key, map.next_value_seed(Value(self.0))?));
        }
        Object::from_members(members).ok_or_else(|| self.0.fail(DocumentError::DuplicateKey))
    }
}

/// Reads the inside of an array.
struct Elements<'r, 'de>(&'r mut Reader<'de>);

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = Vec<Json>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Json>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(Value(self.0))? {
            elements.push(element);
        }
        Ok(elements)
    }
}

/// Reads the content of a string.
struct Text<'r, 'de>(&'r mut Reader<'de>);

impl<'de> DeserializeSeed<'de> for Text<'_, 'de> {
    type Value = Box<str>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Box<str>, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text<'_, 'de> {
    type Value = Box<str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    /// It stands in the text as it is.
    fn visit_borrowed_str<E>(self, content: &'de str) -> Result<Box<str>, E> {
        self.0.pass(content.len() + 2);
        Ok(content.into())
    }

    fn visit_str<E>(self, content: &str) -> Result<Box<str>, E> {
        self.0.pass_escaped();
        Ok(content.into())
    }
}
