//! JSON that forgets nothing: numbers keep their text, objects their order and every key, also those that JSON
//! libraries use for themselves.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value; equal when the text is, apart from white space and the way in which strings are escaped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exact {
    Object(Vec<(String, Exact)>),
    Array(Vec<Exact>),
    String(String),
    /// A number, `true`, `false` or `null`, as written.
    Word(String),
}

/// The members of an object in order, values unread.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl Exact {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let parsed = match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str(text).map(|Members(members)| {
                Self::Object(members.into_iter().map(|(key, value)| (key, Self::parse(value.get()))).collect())
            }),
            Some(b'[') => serde_json::from_str(text).map(|items: Vec<Box<RawValue>>| {
                Self::Array(items.iter().map(|item| Self::parse(item.get())).collect())
            }),
            Some(b'"') => serde_json::from_str(text).map(Self::String),
            _ => Ok(Self::Word(text.to_owned())),
        };
        parsed.unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
    }

    /// The keys of an object, in order.
    pub(crate) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Object(members) => members.iter().map(|(key, _)| key.as_str()).collect(),
            other => panic!("not an object: {other:?}"),
        }
    }
}

impl PartialEq<str> for Exact {
    fn eq(&self, text: &str) -> bool {
        *self == Self::parse(text)
    }
}

impl PartialEq<&str> for Exact {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

#[test]
fn equality_is_of_digits_and_order() {
    let odd = r#"{"$serde_json::private::Number":1e400,"b":[1.10,{}],"a":"\u00e9"}"#;
    assert_eq!(Exact::parse(odd), r#"{ "$serde_json::private::Number": 1e400, "b": [1.10, {}], "a": "é" }"#);
    assert_ne!(Exact::parse(r#"{"a":1.1}"#), r#"{"a":1.10}"#);
    assert_ne!(Exact::parse(r#"{"a":1,"b":2}"#), r#"{"b":2,"a":1}"#);
}
