//! Which server of each upstream keeps a session (`affinity`): names, kept in the record beside the data.
//!
//! It is noted with whatever write a response makes anyhow, so that it costs none, and is in the same atomic step as the
//! session's creation. No application sees it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// The server that answered a session last when it was written, by upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Homes(BTreeMap<Box<str>, Box<str>>);

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The server's.
    pub server: Arc<str>,
}

impl Homes {
    /// The server that keeps the session at this upstream.
    pub fn at(&self, upstream: &str) -> Option<&str> {
        self.0.get(upstream).map(AsRef::as_ref)
    }

    /// Whether none is noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From now on it is this one.
    pub(super) fn note(&mut self, served: &Served) {
        if self.at(&served.upstream) != Some(&served.server) {
            self.0.insert(Box::from(&*served.upstream), Box::from(&*served.server));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_upstream_has_one_home_and_the_last_one_counts() {
        let mut homes = Homes::default();
        let mut note = |upstream: &str, server: &str| {
            homes.note(&Served { upstream: upstream.into(), server: server.into() });
            (homes.at("app").map(str::to_owned), homes.at("api").map(str::to_owned))
        };
        assert_eq!(note("app", "a"), (Some("a".into()), None));
        assert_eq!(note("api", "b"), (Some("a".into()), Some("b".into())));
        assert_eq!(note("app", "c"), (Some("c".into()), Some("b".into())));
        assert_eq!(serde_json::to_string(&homes).unwrap(), r#"{"api":"b","app":"c"}"#);
    }
}
