//! What the operator is told of a server that refuses: once, with the setting to look at, and again after a minute if
//! it goes on. Never what the server said beyond its code: it may repeat what it was sent.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

/// The same complaint is heard again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// The last complaint of one kind.
#[derive(Default)]
pub(in crate::store) struct Complaints(Mutex<Option<(String, Instant)>>);

impl Complaints {
    /// Whether this is worth saying now.
    pub(in crate::store) fn is_news(&self, complaint: &str) -> bool {
        let mut last = self.last();
        let is_news = last.as_ref().is_none_or(|(said, at)| said != complaint || at.elapsed() >= AGAIN);
        if is_news {
            *last = Some((complaint.to_owned(), Instant::now()));
        }
        is_news
    }

    /// The cause is gone: whatever comes next is news.
    pub(in crate::store) fn settle(&self) {
        *self.last() = None;
    }

    /// The server refused a command with this code.
    pub(super) fn refused(&self, code: &str) {
        let Some(advice) = advice(code) else { return };
        if self.is_news(code) {
            warn!(target: "cloakroom::store", code, "the store refuses: {advice}");
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about a refusal; `None`: it is answered without anybody's help.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "NOSCRIPT" => return None,
        "NOPERM" => "its user may not do what Cloakroom does (docs/reference.md has the ACL rule)",
        "NOAUTH" | "WRONGPASS" => "it wants another password (see store.password)",
        "READONLY" => "it is a replica, or has become one; store.url must lead to the master",
        "MASTERDOWN" => "it is a replica without its master; store.url must lead to the master",
        "LOADING" => "it is still loading its data",
        "BUSY" => "a script of somebody else keeps it busy",
        "OOM" => "its memory is full (see its setting maxmemory)",
        "MISCONF" => "it cannot write to its disk (see its own log)",
        "NOREPLICAS" => "too few replicas follow it (see its setting min-replicas-to-write)",
        "WRONGTYPE" => "a key that begins with store.prefix holds what Cloakroom did not write",
        "MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN" | "CROSSSLOT" => {
            "it is a Redis Cluster, which is not in this version of Cloakroom"
        }
        _ => "it does not carry out what Cloakroom asks for (Redis 6.2 or later is needed)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_said_once_a_minute_and_another_thing_at_once() {
        let complaints = Complaints::default();
        let said = |what| complaints.is_news(what);
        assert!(said("a") && !said("a"));
        assert!(said("b") && !said("b"));
        tokio::time::advance(AGAIN).await;
        assert!(said("b") && !said("b"));
        complaints.settle();
        assert!(said("b"));
    }
}
