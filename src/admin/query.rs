//! The query of a request: names that were asked for, once each. What nobody asks for is a fault, for a filter that is
//! misspelt must not mean everything.

use percent_encoding::percent_decode_str;

use super::Refusal;
use crate::store::listing::Cursor;

/// Sessions of a page, unless said otherwise, and at most.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

/// The parameters of one request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query of which these are the names.
    pub(super) fn read(query: Option<&str>, names: &[&str]) -> Result<Self, Refusal> {
        let mut read: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !names.contains(&name.as_str()) {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(Refusal::Query(format!("unknown parameter; those here are: {known}")));
            }
            if read.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::Query(format!("{name} is given twice")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn subject(&self) -> Result<Option<&str>, Refusal> {
        match self.value("subject") {
            Some("") => Err(Refusal::Query("subject is empty; leave it out to mean every session".to_owned())),
            subject => Ok(subject),
        }
    }

    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.value("limit") else { return Ok(LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        limit.ok_or_else(|| Refusal::Query(format!("limit is a number from 1 to {MOST}")))
    }

    pub(super) fn cursor(&self) -> Result<Option<Cursor>, Refusal> {
        let Some(text) = self.value("cursor") else { return Ok(None) };
        let cursor = Cursor::parse(text);
        cursor.map(Some).ok_or_else(|| Refusal::Query("cursor is not what next was in the page before".to_owned()))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::Query(format!("{name} is true or false"))),
        }
    }
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| Refusal::Query("the query is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["subject", "limit", "cursor", "data"];

    fn fault<T>(read: Result<T, Refusal>) -> bool {
        matches!(read, Err(Refusal::Query(_)))
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::read(Some("subject=a%20b+c%C3%A9%26&limit=7&data=true&"), NAMES).ok().unwrap();
        assert_eq!(query.subject().ok().flatten(), Some("a b c\u{e9}&"));
        assert_eq!(query.limit().ok(), Some(7));
        assert!(query.flag("data").ok().unwrap());
        let nothing = Query::read(None, NAMES).ok().unwrap();
        assert_eq!((nothing.subject().ok(), nothing.limit().ok()), (Some(None), Some(LIMIT)));
        assert!(!nothing.flag("data").ok().unwrap() && nothing.cursor().ok().unwrap().is_none());
    }

    #[test]
    fn what_is_misspelt_or_makes_no_sense_is_a_fault() {
        for query in ["subjct=ada", "subject=a&subject=a", "subject=%ff", "Subject=ada", "%ff=1"] {
            assert!(fault(Query::read(Some(query), NAMES)), "{query}");
        }
        let read = |query: &'static str| Query::read(Some(query), NAMES).ok().unwrap();
        assert!(fault(read("subject").subject()) && fault(read("subject=").subject()));
        for limit in ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1"] {
            assert!(fault(read(limit).limit()), "{limit}");
        }
        assert!(fault(read("cursor=").cursor()) && fault(read("cursor=x").cursor()));
        assert!(fault(read("data=1").flag("data")) && fault(read("data=").flag("data")));
    }
}
