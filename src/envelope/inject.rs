//! Plain request headers made of session data, for applications that read no token (contract section 6).
//!
//! A template is a JSON Pointer, or text with pointers in braces. What it gives is a whole header value or nothing: a
//! part that is missing or cannot stand in a header leaves the header out, so that no value can break, split or forge
//! one. An [`Unfit`] names the kind of fault and never what stood there.

use std::fmt;

use http::{HeaderName, HeaderValue};

use crate::session::document::{Document, Json, Pointer};

/// One `[routes.inject]`: a header and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// The request header.
    pub name: HeaderName,
    /// Its value.
    pub template: Template,
}

/// A JSON Pointer, or text with pointers in braces; `{{` and `}}` are braces themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Place(Pointer),
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateFault {
    /// Neither begins with `/` nor has braces: it would be the same for everybody.
    NoPointer,
    /// What stands in the braces, or the whole of it, is no pointer.
    BadPointer,
    /// The pointer of the whole data, which is an object.
    Root,
    /// A brace without its partner.
    Brace,
    /// A control character, or white space at an end.
    Text,
}

/// Why a header is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Nothing or `null` is there.
    Missing,
    /// An object or an array is there.
    NotText,
    /// It has a control character.
    Control,
    /// It begins or ends with white space.
    OuterSpace,
}

impl Template {
    /// Reads what was configured.
    ///
    /// # Errors
    /// [`TemplateFault`]
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        if !text.contains(['{', '}']) {
            let place = if text.starts_with('/') { place(text)? } else { return Err(TemplateFault::NoPointer) };
            return Ok(Self { pieces: vec![place] });
        }
        let outer = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
        if outer || text.contains(char::is_control) {
            return Err(TemplateFault::Text);
        }
        let pieces = pieces(text)?;
        if pieces.iter().any(|piece| matches!(piece, Piece::Place(_))) {
            Ok(Self { pieces })
        } else {
            Err(TemplateFault::NoPointer)
        }
    }

    /// The header's value for this data, marked sensitive.
    ///
    /// # Errors
    /// [`Unfit`]: the header is to be left out.
    pub fn fill(&self, data: &Document) -> Result<HeaderValue, Unfit> {
        let mut value = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Place(place) => value.push_str(fit(text_of(data.get(place))?)?),
            }
        }
        let mut value = HeaderValue::from_bytes(fit(&value)?.as_bytes()).map_err(|_| Unfit::Control)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn place(text: &str) -> Result<Piece, TemplateFault> {
    let place = Pointer::parse(text).map_err(|_| TemplateFault::BadPointer)?;
    if place.is_root() { Err(TemplateFault::Root) } else { Ok(Piece::Place(place)) }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateFault> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let (inner, after) = after.split_once('}').filter(|_| brace == "{").ok_or(TemplateFault::Brace)?;
        if inner.contains('{') {
            return Err(TemplateFault::Brace);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
        }
        pieces.push(place(inner)?);
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    Ok(pieces)
}

fn text_of(value: Option<&Json>) -> Result<&str, Unfit> {
    match value {
        Some(Json::String(text)) => Ok(text),
        Some(Json::Number(number)) => Ok(number.as_str()),
        Some(Json::Bool(true)) => Ok("true"),
        Some(Json::Bool(false)) => Ok("false"),
        Some(Json::Null) | None => Err(Unfit::Missing),
        Some(Json::Object(_) | Json::Array(_)) => Err(Unfit::NotText),
    }
}

fn fit(text: &str) -> Result<&str, Unfit> {
    if text.contains(char::is_control) {
        return Err(Unfit::Control);
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(Unfit::OuterSpace);
    }
    Ok(text)
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPointer => "names no place in the data",
            Self::BadPointer => "has something that is no JSON Pointer where one belongs",
            Self::Root => "names the whole data, which is no text",
            Self::Brace => "has a brace without its partner",
            Self::Text => "has a control character, or white space at an end",
        })
    }
}

impl std::error::Error for TemplateFault {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is nothing to make it of",
            Self::NotText => "an object or an array is there",
            Self::Control => "the value has control characters",
            Self::OuterSpace => "the value begins or ends with white space",
        })
    }
}

impl std::error::Error for Unfit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: &str = r#"{"user":{"name":"ada","first":"Ada","last":"Löwe 🦁","":"empty key"},"n":1.10,"big":12345678901234567890123,
        "yes":true,"no":false,"null":null,"list":[1,"two"],"empty":"","a/b":"slash","{x}":"braces","space":" x","end":"x\t",
        "nbsp":"x\u00a0","cr":"a\rb","lf":"a\nX-Admin: 1","nul":"a\u0000b","del":"a\u007fb","c1":"a\u0085b","tab":"a\tb"}"#;

    fn filled(template: &str) -> Result<String, Unfit> {
        let template = Template::parse(template).unwrap_or_else(|fault| panic!("{template}: {fault}"));
        let value = template.fill(&Document::parse(DATA).unwrap())?;
        assert!(value.is_sensitive());
        Ok(String::from_utf8(value.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_pointer_gives_the_text_that_stands_there() {
        for (template, value) in [
            ("/user/name", "ada"),
            ("/user/last", "Löwe 🦁"),
            ("/user/", "empty key"),
            ("/n", "1.10"),
            ("/big", "12345678901234567890123"),
            ("/yes", "true"),
            ("/no", "false"),
            ("/list/1", "two"),
            ("/empty", ""),
            ("/a~1b", "slash"),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(value), "{template}");
        }
    }

    #[test]
    fn a_template_gives_its_text_with_the_pointers_filled_in() {
        for (template, value) in [
            ("{/user/first} {/user/last}", "Ada Löwe 🦁"),
            ("{/user/name}", "ada"),
            ("id={/n};", "id=1.10;"),
            ("/u/{/user/name}/x", "/u/ada/x"),
            ("{{{/n}}}", "{1.10}"),
            ("{{}} {/n}", "{} 1.10"),
            ("{/n}{/n}", "1.101.10"),
            ("é{/user/name}", "éada"),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(value), "{template}");
        }
    }

    #[test]
    fn a_header_that_would_not_be_what_it_says_is_left_out() {
        for (template, unfit) in [
            ("/nothing", Unfit::Missing),
            ("/null", Unfit::Missing),
            ("/user/name/x", Unfit::Missing),
            ("/user", Unfit::NotText),
            ("/list", Unfit::NotText),
            ("/space", Unfit::OuterSpace),
            ("/end", Unfit::Control),
            ("/nbsp", Unfit::OuterSpace),
            ("/cr", Unfit::Control),
            ("/lf", Unfit::Control),
            ("/nul", Unfit::Control),
            ("/del", Unfit::Control),
            ("/c1", Unfit::Control),
            ("/tab", Unfit::Control),
            ("{/user/first} {/nothing}", Unfit::Missing),
            ("{/user/first} {/list}", Unfit::NotText),
            ("a{/space}b", Unfit::OuterSpace),
            ("{/user/first} {/empty}", Unfit::OuterSpace),
        ] {
            assert_eq!(filled(template), Err(unfit), "{template}");
        }
    }

    #[test]
    fn what_could_not_mean_anything_is_no_template() {
        for (text, fault) in [
            ("", TemplateFault::NoPointer),
            ("user", TemplateFault::NoPointer),
            ("{{user}}", TemplateFault::NoPointer),
            ("/a~2", TemplateFault::BadPointer),
            ("{user}", TemplateFault::BadPointer),
            ("{}", TemplateFault::Root),
            ("{/a", TemplateFault::Brace),
            ("/a}", TemplateFault::Brace),
            ("{/a{/b}}", TemplateFault::Brace),
            ("{/a}}", TemplateFault::Brace),
            (" {/a}", TemplateFault::Text),
            ("{/a}\n", TemplateFault::Text),
            ("{/a}\r\nX: {/b}", TemplateFault::Text),
        ] {
            assert_eq!(Template::parse(text), Err(fault), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_splits_or_forges_a_header(text in "(?s).{0,40}|[\\x00-\\x20\\x7f-\\xa0a]{0,4}") {
            let mut data = Document::empty();
            data.set(&Pointer::parse("/x").unwrap(), Json::string(&text)).unwrap();
            match Template::parse("/x").unwrap().fill(&data) {
                Ok(value) => prop_assert_eq!(value.as_bytes(), text.as_bytes()),
                Err(_) => prop_assert!(text.contains(char::is_control) || text.trim() != text),
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}/a~0 é]{0,12}") {
            let _ = Template::parse(&text);
        }
    }
}
