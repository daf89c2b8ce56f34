//! The text of an object, taken apart into its members without reading what they hold: for changing a few of them and
//! leaving the others as they stand.
//!
//! Recognises only text that is letter by letter as [`super::Json::write_to`] writes it, and of that only what needs no
//! second thought: no escapes, few members, little depth. Whatever is recognised is JSON for certain, with no key twice.
//! Everything else is `None` and never an error: whoever asks goes the long way, which reads all of it.

use std::ops::Range;

/// More members in one object, or keys in objects within it, or containers within each other, are left to the long way.
const FEW: usize = 32;

/// The members of an object whose text is plain.
pub(crate) struct Outline<'a> {
    text: &'a str,
    places: [Place; FEW],
    count: usize,
}

/// How long a member is: between two is a comma.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// Up to its value.
    head: u16,
    /// All of it.
    whole: u16,
}

/// One member where it stands.
pub(crate) struct Member<'a> {
    text: &'a str,
    begin: usize,
    place: Place,
}

impl<'a> Outline<'a> {
    /// An object without members.
    pub(crate) fn empty() -> Self {
        Self::known("{}", &[])
    }

    /// Of a text whose members are known to be these.
    pub(super) fn known(text: &'a str, members: &[Place]) -> Self {
        let mut places = [Place::NONE; FEW];
        let count = members.len().min(FEW);
        places[..count].copy_from_slice(&members[..count]);
        Self { text, places, count }
    }

    /// Takes an object's text apart.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let mut outline = Self { text, ..Self::empty() };
        outline.read().map(|()| outline)
    }

    fn read(&mut self) -> Option<()> {
        let mut scan = Scan { bytes: self.text.as_bytes(), at: 0, keys: [(0, 0); FEW], open: 0 };
        scan.expect(b'{')?;
        while !scan.closes(b'}', self.count == 0)? {
            let begin = scan.at;
            let key = scan.string()?;
            if self.count == FEW || self.find(&scan.bytes[key]).is_some() {
                return None;
            }
            scan.expect(b':')?;
            let head = scan.at - begin;
            scan.value(FEW)?;
            self.places[self.count] = Place::new(head, scan.at - begin)?;
            self.count += 1;
        }
        (scan.at == self.text.len()).then_some(())
    }

    /// In order.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member<'a>> {
        let (text, mut next) = (self.text, 1);
        self.places[..self.count].iter().map(move |place| {
            let begin = next;
            next += usize::from(place.whole) + 1;
            Member { text, begin, place: *place }
        })
    }

    /// All of it.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The member with this key, and its number.
    pub(crate) fn find(&self, key: &[u8]) -> Option<(usize, Member<'a>)> {
        self.members().enumerate().find(|(_, member)| member.has_key(key))
    }

    /// The text of a part of it.
    pub(crate) fn part(&self, part: Range<usize>) -> &'a str {
        &self.text[part]
    }
}

impl Place {
    pub(super) const NONE: Self = Self { head: 0, whole: 0 };

    /// None of a member that is very long.
    pub(crate) fn new(head: usize, whole: usize) -> Option<Self> {
        Some(Self { head: head.try_into().ok()?, whole: whole.try_into().ok()? })
    }
}

impl<'a> Member<'a> {
    /// The key, which is its own text.
    pub(crate) fn key(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.begin + 1..self.begin + usize::from(self.place.head) - 2]
    }

    fn has_key(&self, key: &[u8]) -> bool {
        usize::from(self.place.head) == key.len() + 3 && self.key() == key
    }

    /// How long it is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The value's text.
    pub(crate) fn value(&self) -> &'a str {
        &self.text[self.begin + usize::from(self.place.head)..self.part().end]
    }

    /// Key and value with all that is between them, as a part of the outline's text.
    pub(crate) fn part(&self) -> Range<usize> {
        self.begin..self.begin + usize::from(self.place.whole)
    }

    /// What is before the value, as a part of the outline's text.
    pub(crate) fn head(&self) -> Range<usize> {
        self.begin..self.begin + usize::from(self.place.head)
    }
}

/// Reads bytes.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of the inner objects that have not ended yet, the innermost last: so many where they begin and end.
    keys: [(u32, u32); FEW],
    open: usize,
}

impl Scan<'_> {
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
        let outside = self.open;
        while !self.closes(b'}', self.open == outside)? {
            let key = self.string()?;
            let text = &self.bytes[key.clone()];
            let is_it = |(begin, end): &(u32, u32)| {
                (end - begin) as usize == text.len() && self.bytes[*begin as usize..].starts_with(text)
            };
            if self.open == FEW || self.keys[outside..self.open].iter().any(is_it) {
                return None;
            }
            self.keys[self.open] = (key.start as u32, key.end as u32);
            self.open += 1;
            self.expect(b':')?;
            self.value(depth)?;
        }
        self.open = outside;
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

    /// Passes a string in which nothing is escaped, or would have to be; where its content is.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let begin = self.at;
        let end = begin + quote(&self.bytes[begin..])?;
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

/// Where the first quotation mark is, if neither an escape nor a control character comes before. Eight bytes at a time: a
/// bit may be set wrongly, but only above one that is set rightly.
fn quote(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is_special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        let (quote, escape) = (word ^ (EACH * 0x22), word ^ (EACH * 0x5c));
        let zeros = quote.wrapping_sub(EACH) & !quote | escape.wrapping_sub(EACH) & !escape;
        let found = (zeros | word.wrapping_sub(EACH * 0x20) & !word) & (EACH * 0x80);
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return (bytes[at] == b'"').then_some(at);
        }
        at += 8;
    }
    at += bytes[at..].iter().position(is_special)?;
    (bytes[at] == b'"').then_some(at)
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
        let found: Vec<_> = outline
            .members()
            .map(|member| (str::from_utf8(member.key()).unwrap(), member.value(), outline.part(member.part())))
            .collect();
        assert_eq!(
            found,
            [
                ("a", r#"{"b":[1,-0.5e+7,{}],"a":null}"#, r#""a":{"b":[1,-0.5e+7,{}],"a":null}"#),
                ("é", "\"x, \u{7f}\"", "\"é\":\"x, \u{7f}\""),
                ("", "true", "\"\":true"),
            ]
        );
        let found =
            |key: &str| outline.find(key.as_bytes()).map(|(number, member)| (number, outline.part(member.head())));
        assert_eq!(["é", "", "b"].map(found), [Some((1, "\"é\":")), Some((2, "\"\":")), None]);
        assert!(Outline::of("{}").unwrap().members().next().is_none());
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
            &format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 16)),
        ] {
            assert!(Outline::of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_control_character_and_escape_is_found_wherever_it_stands() {
        for length in 0..20 {
            for around in ["a", " ", "!", "#", "[", "]", "\u{7f}", "\u{a0}", "\u{fffd}"] {
                assert_eq!(quote(format!("{}\"\n", around.repeat(length)).as_bytes()), Some(around.len() * length));
                assert_eq!(quote(around.repeat(length).as_bytes()), None);
                for at in 0..=length {
                    for found in (0..0x20).map(char::from).chain(['\\']) {
                        let (front, back) = (around.repeat(at), around.repeat(length - at));
                        assert_eq!(
                            quote(format!("{front}{found}{back}\"").as_bytes()),
                            None,
                            "{found:?} behind {front:?}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_is_recognised_is_what_the_document_writes(text in r#"\{("[ab]?":)?[\[\]{},:"ab0-9eE.+\-tfnlrusé \\]{0,12}\}"#) {
            if let Some(outline) = Outline::of(&text) {
                prop_assert_eq!(Document::parse(&text).unwrap().to_text(), text.clone());
                let members: Vec<_> = outline.members().map(|member| outline.part(member.part())).collect();
                prop_assert_eq!(format!("{{{}}}", members.join(",")), text.clone());
            }
        }
    }
}
