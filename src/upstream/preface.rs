//! Header lines that many requests have in common, written once.
//!
//! Most requests of one connection from a browser tell the application the same about it. Over a connection of our own
//! making such lines go out as they are; where somebody else writes the head they are put into it one by one.

use http::HeaderMap;

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

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::VIA};

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
}
