//! Paths as servers read them (RFC 3986 §5.2.4, §6.2.2), for matching only.
//!
//! The first reading is the contract's: unreserved characters decoded, empty segments merged, then dot segments
//! resolved. [`Readings`] are the others that servers are known for. A plain path has one reading, itself, and nothing
//! is allocated for it.

use std::borrow::Cow;

use super::PatternFault;

/// A path prefix on segment boundaries. `/app` and `/app/` are the same: both match `/app`, `/app/` and `/app/x`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPrefix {
    /// In the first reading, without the last slash: empty for `/`.
    text: String,
    /// `text` with every escape decoded.
    bytes: Vec<u8>,
}

impl PathPrefix {
    /// Reads a prefix such as `/` or `/static/`.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<PathPrefix, PatternFault> {
        check(text)?;
        let text = first_reading(text).trim_end_matches('/').to_owned();
        Ok(PathPrefix { bytes: percent_encoding::percent_decode_str(&text).collect(), text })
    }

    /// The prefix as it is compared; `/` for all paths.
    pub fn as_str(&self) -> &str {
        if self.text.is_empty() { "/" } else { &self.text }
    }

    /// Whether any server reads `path` as this very path (a slash at its end does not matter).
    pub fn is(&self, path: &str) -> bool {
        let same = |reading: &[u8], escapes| matches!(self.below(reading, escapes), Some([] | [b'/']));
        same(first_reading(path).as_bytes(), Escapes::Kept)
            || other_readings(path).iter().any(|(reading, escapes)| same(reading, *escapes))
    }

    /// How specific it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether `path`, as one server reads it, is at or below this prefix.
    pub(super) fn covers(&self, path: &[u8], escapes: Escapes) -> bool {
        matches!(self.below(path, escapes), Some([] | [b'/', ..]))
    }

    fn below<'a>(&self, path: &'a [u8], escapes: Escapes) -> Option<&'a [u8]> {
        path.strip_prefix(match escapes {
            Escapes::Kept => self.text.as_bytes(),
            Escapes::Decoded => &self.bytes,
        })
    }
}

fn check(text: &str) -> Result<(), PatternFault> {
    let fault = |problem: &str, cure: String| Err(PatternFault::new(format!("{text:?} {problem}"), cure));
    if !text.starts_with('/') {
        return fault("does not start with `/`", format!("write \"/{text}\""));
    }
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return fault("has a query or a fragment", format!("write {path:?}: routes look at the path alone"));
    }
    if let Some((path, _)) = text.split_once('*') {
        return fault("has a `*`", format!("write {path:?}: a prefix covers all that is below it"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string();
        return fault(
            "has white space or characters that are not ASCII",
            format!("write {:?}", encoded.replace(' ', "%20")),
        );
    }
    if is_ambiguous(text) || text.contains(';') {
        let cure = "leave out `\\`, `;`, `%2f`, `%5c` and `%00`".to_owned();
        return fault("is read in different ways by different servers", cure);
    }
    Ok(())
}

/// Whether the escapes of a reading stand or are decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escapes {
    Kept,
    Decoded,
}

/// Whether a path contains what servers read in different ways, whatever the routes: an encoded slash, backslash or NUL, a
/// backslash, a `;` in a dot segment (encoded or not), or no slash at its beginning.
pub(super) fn is_ambiguous(path: &str) -> bool {
    if is_plain(path) || path == "*" || path.is_empty() {
        return false;
    }
    let decoded = decode_unreserved(path);
    !path.starts_with('/')
        || ["%2F", "%5C", "%00", "\\"].iter().any(|wicked| decoded.contains(wicked))
        || decoded
            .replace("%3B", ";")
            .split('/')
            .any(|segment| segment.split_once(';').is_some_and(|(name, _)| name == "." || name == ".."))
}

/// The contract's reading. `*` and an empty path are `/`.
pub(super) fn first_reading(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    if !path.starts_with('/') {
        return Cow::Borrowed("/");
    }
    Cow::Owned(resolve(&decode_unreserved(path), Order::MergeFirst))
}

/// The other readings of a path that has more than one: with path parameters cut off (servlets), with empty segments
/// counted while dots are resolved (RFC 3986), with every escape decoded (CGI, WSGI).
pub(super) fn other_readings(path: &str) -> Vec<(Vec<u8>, Escapes)> {
    if is_plain(path) && !path.contains(';') {
        return Vec::new();
    }
    let decoded = decode_unreserved(path);
    let mut readings = Vec::new();
    for text in [Cow::Borrowed(&*decoded), Cow::Owned(without_parameters(&decoded))] {
        for order in [Order::MergeFirst, Order::ResolveFirst] {
            let reading = resolve(&text, order);
            if reading.contains('%') {
                readings.push((percent_encoding::percent_decode_str(&reading).collect(), Escapes::Decoded));
            }
            readings.push((reading.into_bytes(), Escapes::Kept));
        }
    }
    readings
}

/// Whether every server reads the path alike, but for `;`: begins with a slash and has no escape, backslash, empty or
/// dot segment.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.first() == Some(&b'/')
        && !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        && !bytes.windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'/' | b'.'))
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Order {
    MergeFirst,
    ResolveFirst,
}

fn resolve(path: &str, order: Order) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            "" if order == Order::MergeFirst => {}
            segment => kept.push(segment),
        }
    }
    kept.retain(|segment| !segment.is_empty());
    format!("/{}", kept.join("/"))
}

fn without_parameters(path: &str) -> String {
    let names: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    names.join("/")
}

/// Decodes unreserved characters (RFC 3986 §2.3) and puts the other escapes in capitals; what is no escape stays.
fn decode_unreserved(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            Some(digits) => {
                match u8::from_str_radix(digits, 16) {
                    Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => decoded.push(byte.into()),
                    _ => decoded.extend(["%", &digits.to_ascii_uppercase()]),
                }
                decoded.push_str(&part[2..]);
            }
            None => decoded.extend(["%", part]),
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_its_own_reading() {
        for path in ["/", "/a/b", "/a/b/", "/a.b/c..d", "/a;b=c"] {
            assert!(matches!(first_reading(path), Cow::Borrowed(reading) if reading == path), "{path}");
        }
        assert!(other_readings("/a/b.c").is_empty());
    }

    #[test]
    fn escapes_empty_and_dot_segments_are_resolved() {
        for (path, reading) in [
            ("/%61%2D%7e", "/a-~"),
            ("/a//b///c", "/a/b/c"),
            ("//a", "/a"),
            ("/a/../b/%2e%2E/c/./d/", "/c/d"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a//../b", "/b"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%zz%4", "/%zz%4"),
            ("/%", "/%"),
            ("/%\u{e9}x", "/%\u{e9}x"),
            ("/.well-known/x", "/.well-known/x"),
            ("/%252e%252e", "/%252e%252e"),
            ("*", "/"),
            ("", "/"),
        ] {
            assert_eq!(first_reading(path), reading, "{path}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_ambiguous() {
        for path in
            ["/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/..;/a", "/a/.;x=1/b", "/%2e%2e;/a", "/..%3b/a", "/a%00b", "a"]
        {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in ["/", "*", "", "/a;x=1", "/a..;b", "/...;b", "/a%20b", "/a//../b", "/%252f"] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn a_prefix_ends_on_a_segment_boundary() {
        for (prefix, path, covers) in [
            ("/app", "/app", true),
            ("/app", "/app/", true),
            ("/app", "/app/x", true),
            ("/app", "/apple", false),
            ("/app/", "/app", true),
            ("/app/", "/app/x", true),
            ("/", "/", true),
            ("/", "/x", true),
            ("/%61pp", "/app", true),
            ("/app", "/App", false),
        ] {
            let found = PathPrefix::parse(prefix).unwrap().covers(path.as_bytes(), Escapes::Kept);
            assert_eq!(found, covers, "{prefix} {path}");
        }
        assert_eq!(PathPrefix::parse("/").unwrap().as_str(), "/");
        assert_eq!(PathPrefix::parse("/a//b/").unwrap().as_str(), "/a/b");
    }

    #[test]
    fn a_path_is_this_one_if_any_server_reads_it_so() {
        let logout = PathPrefix::parse("/log/out").unwrap();
        for path in [
            "/log/out",
            "/log/out/",
            "//log//out",
            "/log/./x/../out",
            "/log/%6Fut",
            "/log/out;jsessionid=1",
            "/log;x/out;y=1/",
            "/log/ou%74;a",
        ] {
            assert!(logout.is(path), "{path}");
        }
        for path in ["/log", "/log/out/x", "/log/outer", "/Log/out", "/x/log/out", "/", "/log/out%2fx"] {
            assert!(!logout.is(path), "{path}");
        }
        let root = PathPrefix::parse("/").unwrap();
        assert!(root.is("/") && root.is("//") && !root.is("/a"));
    }

    #[test]
    fn faults_say_what_to_write_instead() {
        for (text, cure) in [
            ("", "write \"/\""),
            ("app", "write \"/app\""),
            ("/app/*", "write \"/app/\""),
            ("/a?x=1", "write \"/a\""),
            ("/a b", "write \"/a%20b\""),
            ("/\u{e9}", "write \"/%C3%A9\""),
            ("/a%2fb", "leave out"),
            ("/a;b", "leave out"),
        ] {
            let fault = PathPrefix::parse(text).unwrap_err();
            assert!(fault.cure.contains(cure), "{text:?}: {fault}");
        }
    }
}
