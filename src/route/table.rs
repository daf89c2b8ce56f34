//! The table: which entry a host and a path belong to.
//!
//! Exact host before the longest `*.` domain before none. Unlike in nginx, a host without a matching prefix falls back to
//! less specific ones: next to `host = "a.test", path = "/x"`, a route `path = "/"` without host serves the rest of
//! `a.test` too, as its reader expects.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::host::{canonical, is_below};
use super::path::{Escapes, first_reading, is_ambiguous, other_readings};
use super::{HostPattern, PathPrefix};

/// Entries by host and path prefix.
#[derive(Clone, Debug)]
pub struct Table<T> {
    entries: Vec<T>,
    exact: HashMap<String, Prefixes>,
    /// By `*.` domain, the longest first.
    below: Vec<(String, Prefixes)>,
    any: Prefixes,
}

/// Prefixes of one host and the entries that they lead to, the longest first.
type Prefixes = Vec<(PathPrefix, usize)>;

/// Servers read this path in different ways that may lead to different routes; answer 400.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ambiguous;

impl fmt::Display for Ambiguous {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the path can be read in more than one way")
    }
}

impl std::error::Error for Ambiguous {}

/// Two entries with the same host and prefix: the second could never be reached. Positions count from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Duplicate {
    /// The earlier entry.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "routes {} and {} have the same host and path", self.first + 1, self.second + 1)
    }
}

impl std::error::Error for Duplicate {}

impl<T> Table<T> {
    /// Makes the table; the order of the entries does not matter.
    ///
    /// # Errors
    /// Every entry that has the host and prefix of an earlier one.
    pub fn new(entries: Vec<(Option<HostPattern>, PathPrefix, T)>) -> Result<Table<T>, Vec<Duplicate>> {
        let mut table = Table { entries: Vec::new(), exact: HashMap::new(), below: Vec::new(), any: Vec::new() };
        let mut duplicates = Vec::new();
        for (host, prefix, entry) in entries {
            let second = table.entries.len();
            let prefixes = table.prefixes_of(host);
            match prefixes.iter().find(|(earlier, _)| *earlier == prefix) {
                Some(&(_, first)) => duplicates.push(Duplicate { first, second }),
                None => prefixes.push((prefix, second)),
            }
            table.entries.push(entry);
        }
        table.sort();
        if duplicates.is_empty() { Ok(table) } else { Err(duplicates) }
    }

    /// The entry for a host (without port, any case, a trailing dot does not matter) and a path (without query).
    ///
    /// # Errors
    /// With more than one entry, a path that servers read in different ways: an encoded slash, backslash or NUL, a
    /// backslash, `;` in a dot segment; or any path of which some server's reading leads to another entry.
    pub fn find(&self, host: &str, path: &str) -> Result<Option<&T>, Ambiguous> {
        let host = if self.has_hosts() { canonical(host) } else { Cow::Borrowed(host) };
        let found = self.position(&host, first_reading(path).as_bytes(), Escapes::Kept);
        if self.entries.len() > 1 && self.is_ambiguous(&host, path, found) {
            return Err(Ambiguous);
        }
        Ok(found.map(|at| &self.entries[at]))
    }

    /// The entry that was given there.
    pub fn at(&self, position: usize) -> Option<&T> {
        self.entries.get(position)
    }

    /// All entries, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    fn has_hosts(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }

    fn is_ambiguous(&self, host: &str, path: &str, found: Option<usize>) -> bool {
        let leads_elsewhere = |(reading, escapes): (Vec<u8>, Escapes)| self.position(host, &reading, escapes) != found;
        is_ambiguous(path) || other_readings(path).into_iter().any(leads_elsewhere)
    }

    fn position(&self, host: &str, path: &[u8], escapes: Escapes) -> Option<usize> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        let below = self.below.iter().filter(|(domain, _)| is_below(host, domain)).map(|(_, prefixes)| prefixes);
        let by_host = exact.into_iter().chain(below).chain([&self.any]);
        by_host.flatten().find(|(prefix, _)| prefix.covers(path, escapes)).map(|&(_, at)| at)
    }

    fn prefixes_of(&mut self, host: Option<HostPattern>) -> &mut Prefixes {
        match host {
            None => &mut self.any,
            Some(HostPattern::Exact(host)) => self.exact.entry(host).or_default(),
            Some(HostPattern::Below(domain)) => {
                let at = self.below.iter().position(|(known, _)| *known == domain).unwrap_or(self.below.len());
                if at == self.below.len() {
                    self.below.push((domain, Vec::new()));
                }
                &mut self.below[at].1
            }
        }
    }

    fn sort(&mut self) {
        self.below.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.len()));
        let below = self.below.iter_mut().map(|(_, prefixes)| prefixes);
        for prefixes in self.exact.values_mut().chain(below).chain([&mut self.any]) {
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (Option<HostPattern>, PathPrefix, String);

    fn entry(host: &str, path: &str) -> Entry {
        let pattern = (!host.is_empty()).then(|| HostPattern::parse(host).unwrap());
        (pattern, PathPrefix::parse(path).unwrap(), format!("{host}{path}"))
    }

    fn table(entries: &[(&str, &str)]) -> Table<String> {
        Table::new(entries.iter().map(|(host, path)| entry(host, path)).collect()).unwrap()
    }

    fn find(table: &Table<String>, host: &str, path: &str) -> Option<String> {
        table.find(host, path).unwrap().cloned()
    }

    #[test]
    fn the_most_specific_host_wins() {
        let table = table(&[("", "/"), ("*.test", "/"), ("*.a.test", "/"), ("b.a.test", "/")]);
        for (host, expected) in [
            ("b.a.test", "b.a.test/"),
            ("B.A.TEST.", "b.a.test/"),
            ("c.a.test", "*.a.test/"),
            ("x.b.a.test", "*.a.test/"),
            ("a.test", "*.test/"),
            ("test", "/"),
            ("other", "/"),
            ("", "/"),
        ] {
            assert_eq!(find(&table, host, "/p").as_deref(), Some(expected), "{host}");
        }
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        let table = table(&[("", "/"), ("", "/a/b"), ("", "/a"), ("", "/static/")]);
        for (path, expected) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/bc", "/a"),
            ("/a/b/c", "/a/b"),
            ("/apple", "/"),
            ("/static", "/static/"),
            ("/static/x", "/static/"),
            ("/statics", "/"),
            ("/x/../a//b", "/a/b"),
            ("/%61/%62", "/a/b"),
            ("*", "/"),
        ] {
            assert_eq!(find(&table, "h", path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_host_without_a_matching_prefix_falls_back_to_less_specific_ones() {
        let table = table(&[("a.test", "/x"), ("*.test", "/y"), ("", "/")]);
        assert_eq!(find(&table, "a.test", "/x").as_deref(), Some("a.test/x"));
        assert_eq!(find(&table, "a.test", "/y").as_deref(), Some("*.test/y"));
        assert_eq!(find(&table, "a.test", "/z").as_deref(), Some("/"));
    }

    #[test]
    fn without_a_matching_route_there_is_none() {
        let table = table(&[("a.test", "/x"), ("a.test", "/y")]);
        assert_eq!(find(&table, "a.test", "/z"), None);
        assert_eq!(find(&table, "b.test", "/x"), None);
    }

    #[test]
    fn an_ambiguous_path_is_refused_with_several_routes_only() {
        let (one, two) = (table(&[("", "/")]), table(&[("", "/"), ("", "/admin")]));
        for path in ["/x%2fadmin", "/x%5cy", "/x\\y", "/..;/admin", "/%2e%2e;/x", "/x%00", "admin"] {
            assert_eq!(two.find("h", path), Err(Ambiguous), "{path}");
            assert_eq!(find(&one, "h", path).as_deref(), Some("/"), "{path}");
        }
    }

    #[test]
    fn a_path_of_which_some_reading_leads_to_another_route_is_refused() {
        let table = table(&[("", "/"), ("", "/admin"), ("", "/a@b")]);
        for path in ["/admin;x=1/users", "/x//../admin", "/a%40b/c", "/adm%69n;x"] {
            assert_eq!(table.find("h", path), Err(Ambiguous), "{path}");
        }
        for path in ["/page;jsessionid=1", "/x%20y", "/x//y", "/x/../y", "/caf%c3%a9"] {
            assert_eq!(find(&table, "h", path).as_deref(), Some("/"), "{path}");
        }
        assert_eq!(find(&table, "h", "/admin/x;y").as_deref(), Some("/admin"));
    }

    #[test]
    fn all_duplicates_are_reported() {
        let entries = [("", "/"), ("a.test", "/x/"), ("", "//"), ("A.test", "/%78")];
        let duplicates = Table::new(entries.iter().map(|(host, path)| entry(host, path)).collect()).unwrap_err();
        assert_eq!(duplicates, [Duplicate { first: 0, second: 2 }, Duplicate { first: 1, second: 3 }]);
        assert_eq!(duplicates[0].to_string(), "routes 1 and 3 have the same host and path");
    }
}
