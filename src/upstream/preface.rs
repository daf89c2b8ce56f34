//! Header lines that many requests have in common, written once.
//!
//! Most requests of one connection from a browser tell the application the same about it, and all of one visitor within a
//! second who that is. Over a connection of our own making such lines go out as they are; where somebody else writes the
//! head they are put into it one by one.

use http::{HeaderMap, HeaderName, HeaderValue};
use triomphe::ThinArc;

/// Header lines; no request that has them may have others of the same names.
#[derive(Debug)]
pub struct Preface {
    fields: HeaderMap,
    text: Vec<u8>,
}

impl Preface {
    /// These lines.
    pub fn new(fields: HeaderMap) -> Self {
        let mut text = Vec::new();
        for (name, value) in &fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        Self { fields, text }
    }

    /// Appends the lines.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
    }

    /// Puts the lines into a head.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.insert(name, value.clone());
        }
    }
}

/// One header line, whose value is not to be seen by others; no request that has it may have others of the same name.
///
/// In two parts, one of which it has in common with other lines: where there are many, that one is always at hand.
#[derive(Clone)]
pub struct Postscript(ThinArc<ThinArc<usize, u8>, u8>);

impl Postscript {
    /// This line: a name, a colon, a space, a value of visible ASCII, and the line's end. The first three are in the part that
    /// is shared, with the length of the name; the last is in the other.
    pub fn new(line: ThinArc<ThinArc<usize, u8>, u8>) -> Self {
        Self(line)
    }

    fn shared(&self) -> &[u8] {
        &self.0.header.header.slice
    }

    /// How long the name is.
    fn name(&self) -> usize {
        self.0.header.header.header.header
    }

    /// How long the value is.
    pub fn value_len(&self) -> usize {
        self.shared().len() + self.0.slice.len() - self.name() - ": \r\n".len()
    }

    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.shared());
        out.extend_from_slice(&self.0.slice);
    }

    /// Puts the line into a head.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        // One was a name, the other is visible ASCII.
        let (name, value) = self.shared().split_at(self.name());
        let own = &self.0.slice;
        let value = [&value[": ".len()..], own.strip_suffix(b"\r\n").unwrap_or(own)].concat();
        if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::try_from(value)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::VIA;

    use super::*;

    #[test]
    fn lines_are_the_same_as_text_and_in_a_head() {
        let fields = [("via", "1.1 cloakroom"), ("forwarded", "for=192.0.2.1;host=\"[::1]\"")];
        let fields: HeaderMap =
            fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).into_iter().collect();
        let preface = Preface::new(fields.clone());
        let mut headers = HeaderMap::new();
        headers.insert(VIA, HeaderValue::from_static("what nobody may leave there"));
        preface.put_into(&mut headers);
        assert_eq!(headers, fields);
        let mut text = Vec::new();
        preface.write(&mut text);
        let mut lines: Vec<&str> = std::str::from_utf8(&text).unwrap().split_inclusive("\r\n").collect();
        lines.sort_unstable();
        assert_eq!(lines, ["forwarded: for=192.0.2.1;host=\"[::1]\"\r\n", "via: 1.1 cloakroom\r\n"]);
    }

    #[test]
    fn a_line_of_its_own_is_the_same_as_text_and_in_a_head() {
        for value in ["eyJ.eyJ.c2ln", "", "a: b\u{e9}"] {
            let (name, value) =
                (HeaderName::from_static("x-session"), HeaderValue::from_bytes(value.as_bytes()).unwrap());
            let whole = [b"x-session: ", value.as_bytes(), b"\r\n"].concat();
            for shared in "x-session: ".len()..=whole.len() - 2 {
                let (shared, own) = whole.split_at(shared);
                let shared = ThinArc::from_header_and_slice("x-session".len(), shared);
                let line = Postscript::new(ThinArc::from_header_and_slice(shared, own));
                assert_eq!(line.value_len(), value.len());
                let mut text = Vec::new();
                line.write(&mut text);
                assert_eq!(text, whole);
                let mut headers = HeaderMap::new();
                headers.insert(&name, HeaderValue::from_static("what nobody may leave there"));
                line.put_into(&mut headers);
                assert_eq!(headers.get_all(&name).iter().collect::<Vec<_>>(), [&value]);
                assert!(headers[&name].is_sensitive());
            }
        }
    }
}
