//! The text of an object, taken apart into its members without reading what they hold: for changing a few of them and
//! leaving the others as they stand.
//!
//! Recognises only text that is letter by letter as [`super::Json::write_to`] writes it, and of that only what needs no
//! second thought: no escapes, few members, little depth. Whatever is recognised is JSON for certain, with no key twice.
//! Everything else is `None` and never an error: whoever asks goes the long way, which reads all of it.

use std::ops::Range;

use super::json::is_plain;

/// More members in one object, or containers within each other, are left to the long way.
const FEW: usize = 32;

/// The members of an object whose text is plain.
pub(crate) struct Outline<'a> {
    members: Vec<Member<'a>>,
}

/// One member where it stands.
pub(crate) struct Member<'a> {
    /// The key, which is its own text.
    pub(crate) key: &'a str,
    /// The value's text.
    pub(crate) value: &'a str,
    /// Key and value with all that is between them.
    pub(crate) text: &'a str,
}

impl<'a> Outline<'a> {
    /// Takes an object's text apart.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        if !is_plain(text) {
            return None;
        }
        let mut scan = Scan { bytes: text.as_bytes(), at: 0, keys: Vec::new() };
        let mut members: Vec<Member<'a>> = Vec::with_capacity(8);
        scan.expect(b'{')?;
        while !scan.closes(b'}', members.is_empty())? {
            let begin = scan.at;
            let key = &text[scan.string()?];
            if members.len() == FEW || members.iter().any(|member| member.key == key) {
                return None;
            }
            scan.expect(b':')?;
            let value = scan.at;
            scan.value(FEW)?;
            members.push(Member { key, value: &text[value..scan.at], text: &text[begin..scan.at] });
        }
        (scan.at == text.len()).then_some(Self { members })
    }

    /// An object without members.
    pub(crate) fn empty() -> Self {
        Self { members: Vec::new() }
    }

    /// In order.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.members.iter().any(|member| member.key == key)
    }
}

/// Reads bytes among which there are no escapes and no control characters.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of the objects that have not ended yet, the innermost last.
    keys: Vec<&'a [u8]>,
}

impl<'a> Scan<'a> {
    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then(|| self.at += 1)
    }

    /// Whether the container ends here; if not it stands at the next item. `first`: no item came before.
    fn closes(&mut self, close: u8, first: bool) -> Option<bool> {
        let next = self.next()?;
        if next == close {
            self.at += 1;
            return Some(true);
        }
        if !first {
            self.expect(b',')?;
        }
        Some(false)
    }

    /// Passes a value with at most `depth` containers within each other.
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.next()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        let outside = self.keys.len();
        while !self.closes(b'}', self.keys.len() == outside)? {
            let key = &self.bytes[self.string()?];
            let seen = &self.keys[outside..];
            if seen.len() == FEW || seen.contains(&key) {
                return None;
            }
            self.keys.push(key);
            self.expect(b':')?;
            self.value(depth)?;
        }
        self.keys.truncate(outside);
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        let mut first = true;
        while !self.closes(b']', first)? {
            self.value(depth)?;
            first = false;
        }
        Some(())
    }

    /// Passes a string; where its content is.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let begin = self.at;
        let end = begin + self.bytes[begin..].iter().position(|byte| *byte == b'"')?;
        self.at = end + 1;
        Some(begin..end)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    /// RFC 8259 section 6.
    fn number(&mut self) -> Option<()> {
        let _ = self.expect(b'-');
        match self.expect(b'0') {
            Some(()) => {}
            None => self.digits()?,
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.next(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.next(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        (count > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::document::Document;

    #[test]
    fn members_are_found_where_they_stand() {
        let text = r#"{"a":{"b":[1,-0.5e+7,{}],"a":null},"é":"x, \u{7f}","":true}"#.replace("\\u{7f}", "\u{7f}");
        let outline = Outline::of(&text).unwrap();
        let found: Vec<_> = outline.members().iter().map(|member| (member.key, member.value, member.text)).collect();
        assert_eq!(
            found,
            [
                ("a", r#"{"b":[1,-0.5e+7,{}],"a":null}"#, r#""a":{"b":[1,-0.5e+7,{}],"a":null}"#),
                ("é", "\"x, \u{7f}\"", "\"é\":\"x, \u{7f}\""),
                ("", "true", "\"\":true"),
            ]
        );
        assert!(outline.has("é") && outline.has("") && !outline.has("b"));
        assert!(Outline::of("{}").unwrap().members().is_empty());
    }

    #[test]
    fn what_is_not_as_we_write_it_or_not_simple_is_left_to_the_long_way() {
        let many = |count| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        let deep = |count: usize| format!("{{\"a\":{}1{}}}", "[".repeat(count), "]".repeat(count));
        assert!(Outline::of(&many(FEW)).is_some() && Outline::of(&format!("{{\"a\":{}}}", many(FEW))).is_some());
        assert!(Outline::of(&deep(FEW)).is_some());
        for text in [
            "",
            "{",
            "[]",
            "1",
            "{ }",
            "{} ",
            "{}}",
            "{,}",
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a" :1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1 }"#,
            r#"{"a":1 ,"b":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"a":1"b":1}"#,
            r#"{"a":"\n"}"#,
            r#"{"\u0061":1}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"b}"#,
            r#"{"a":}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":nul}"#,
            r#"{"a":truefalse}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":1e}"#,
            r#"{"a":1e+}"#,
            r#"{"a":NaN}"#,
            &many(FEW + 1),
            &format!("{{\"a\":{}}}", many(FEW + 1)),
            &deep(FEW + 1),
        ] {
            assert!(Outline::of(text).is_none(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_is_recognised_is_what_the_document_writes(text in r#"\{("[ab]?":)?[\[\]{},:"ab0-9eE.+\-tfnlrusé \\]{0,12}\}"#) {
            if let Some(outline) = Outline::of(&text) {
                prop_assert_eq!(Document::parse(&text).unwrap().to_text(), text.clone());
                let members: Vec<_> = outline.members().iter().map(|member| member.text).collect();
                prop_assert_eq!(format!("{{{}}}", members.join(",")), text.clone());
            }
        }
    }
}
