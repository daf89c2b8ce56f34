//! Header lines that many requests have in common, written once.
//!
//! Most requests of one connection from a browser tell the application the same about it, and all of one visitor within a
//! second who that is. Over a connection of our own making such lines go out as they are; where somebody else writes the
//! head they are put into it one by one.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

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
#[derive(Clone)]
pub struct Postscript(Arc<[u8]>);

impl Postscript {
    /// This line, with its end: a name, a colon, a space, and a value of visible ASCII.
    pub fn new(line: Arc<[u8]>) -> Self {
        Self(line)
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.parts().1
    }

    /// Name and value. In no name there is a colon.
    fn parts(&self) -> (&[u8], &[u8]) {
        let name = memchr::memchr(b':', &self.0).unwrap_or_default();
        (&self.0[..name], &self.0[name + 2..self.0.len() - 2])
    }

    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    /// Puts the line into a head.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        // One was a name, the other is visible ASCII.
        let (name, value) = self.parts();
        if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
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
            let line = Postscript::new([b"x-session: ", value.as_bytes(), b"\r\n"].concat().into());
            assert_eq!(line.value(), value.as_bytes());
            let mut text = Vec::new();
            line.write(&mut text);
            assert_eq!(text, [b"x-session: ", value.as_bytes(), b"\r\n"].concat());
            let mut headers = HeaderMap::new();
            headers.insert(&name, HeaderValue::from_static("what nobody may leave there"));
            line.put_into(&mut headers);
            assert_eq!(headers.get_all(&name).iter().collect::<Vec<_>>(), [&value]);
            assert!(headers[&name].is_sensitive());
        }
    }
}
