//! Where a closed gate sends a navigation (contract section 6): a fixed place, with what was asked for as a parameter.
//!
//! The path of the request is percent-encoded down to its slashes, so that it can neither change what stands around it
//! nor, decoded again by the log-in page, lead to another host: leading slashes (and backslashes, which browsers read
//! as slashes) are one.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::PatternFault;

const PATH: &str = "{path}";
/// Everything but unreserved characters (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A place on this site (`/login?next={path}`) or on another (`https://id.example.com/?from={path}`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirect {
    /// What stands between the `{path}`s; never empty.
    pieces: Vec<String>,
}

impl Redirect {
    /// Reads what was configured.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Redirect, PatternFault> {
        let pieces: Vec<String> = text.split(PATH).map(str::to_owned).collect();
        let fault = |problem: &str, cure: &str| Err(PatternFault::new(format!("{text:?} {problem}"), cure));
        if pieces.iter().any(|piece| piece.contains(['{', '}'])) {
            return fault("has braces around something else than path", "write {path} for the path that was asked for");
        }
        if !pieces.iter().all(|piece| piece.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')) {
            return fault("has characters that a URL has not", "percent-encode them");
        }
        if !is_local(&pieces[0]) && !is_absolute(&pieces[0]) {
            let cure = "write a path such as \"/login?next={path}\", or a URL with its host and a path";
            return fault("leads nowhere", cure);
        }
        Ok(Redirect { pieces })
    }

    /// The target for a request to this path and query; visible ASCII.
    pub fn target(&self, path_and_query: &str) -> String {
        let path = path_and_query.trim_start_matches(['/', '\\']);
        let encoded = format!("%2F{}", utf8_percent_encode(path, ENCODED));
        self.pieces.join(&encoded)
    }

    /// The path that it leads to, if that is on the same site.
    pub fn local_path(&self) -> Option<&str> {
        let start = self.pieces.first().filter(|start| is_local(start))?;
        start.split(['?', '#']).next()
    }
}

fn is_local(start: &str) -> bool {
    start.starts_with('/') && !start.starts_with("//")
}

/// The host must end before the first `{path}`.
fn is_absolute(start: &str) -> bool {
    let rest = start.strip_prefix("https://").or_else(|| start.strip_prefix("http://"));
    rest.and_then(|rest| rest.split_once('/')).is_some_and(|(host, _)| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(template: &str, path: &str) -> String {
        Redirect::parse(template).unwrap().target(path)
    }

    #[test]
    fn what_was_asked_for_is_one_parameter_and_nothing_else() {
        for (path, encoded) in [
            ("/", "%2F"),
            ("/a/b-c._~d", "%2Fa%2Fb-c._~d"),
            ("/a?x=1&y=2#z", "%2Fa%3Fx%3D1%26y%3D2%23z"),
            ("/a%20b", "%2Fa%2520b"),
            ("/café", "%2Fcaf%C3%A9"),
            ("/a b\r\nSet-Cookie: x", "%2Fa%20b%0D%0ASet-Cookie%3A%20x"),
            ("", "%2F"),
        ] {
            assert_eq!(target("/login?next={path}", path), format!("/login?next={encoded}"), "{path}");
        }
    }

    #[test]
    fn it_is_no_open_redirect() {
        for path in ["//evil.test/x", "///evil.test/x", "/\\evil.test/x", "\\\\evil.test/x", "/\\/\\evil.test/x"] {
            assert_eq!(target("/login?next={path}", path), "/login?next=%2Fevil.test%2Fx", "{path}");
        }
    }

    #[test]
    fn the_place_may_be_fixed_or_elsewhere_and_name_the_path_twice() {
        assert_eq!(target("/login", "/a"), "/login");
        assert_eq!(target("https://id.test/in?to={path}", "/a"), "https://id.test/in?to=%2Fa");
        assert_eq!(target("/l/{path}?{path}", "/a"), "/l/%2Fa?%2Fa");
    }

    #[test]
    fn a_path_on_the_same_site_is_known() {
        for (template, path) in [
            ("/login?next={path}", Some("/login")),
            ("/login", Some("/login")),
            ("/in/{path}", Some("/in/")),
            ("https://id.test/in", None),
        ] {
            assert_eq!(Redirect::parse(template).unwrap().local_path(), path, "{template}");
        }
    }

    #[test]
    fn faults_say_what_to_write_instead() {
        for (template, cure) in [
            ("", "write a path"),
            ("login", "write a path"),
            ("{path}", "write a path"),
            ("//evil.test/", "write a path"),
            ("https://{path}", "its host and a path"),
            ("https://id.test", "its host and a path"),
            ("https:///x", "its host and a path"),
            ("javascript:alert(1)", "write a path"),
            ("/login?next={uri}", "{path}"),
            ("/login?next={path", "{path}"),
            ("/lo gin", "percent-encode"),
            ("/login\r\nX: y", "percent-encode"),
            ("/\\evil.test", "percent-encode"),
            ("/café", "percent-encode"),
        ] {
            let fault = Redirect::parse(template).unwrap_err();
            assert!(fault.cure.contains(cure), "{template:?}: {fault}");
        }
    }
}
