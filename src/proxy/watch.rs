//! A tunnel lives no longer than its session: who is logged out must not go on talking through an open socket.
//!
//! Every two seconds the store is asked for the session. One that is gone, destroyed or past its deadline ends the
//! tunnel; a rotation does not, nor does a store that is away, for an error never means "not there". While bytes flow the
//! session's life is pushed out as by requests.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Shard, line::Line};
use crate::{
    session::{
        Handle, Timestamp,
        record::{Record, Stored},
    },
    store::{Entry, Store, StoreError},
    upstream::Flow,
};

/// From one look to the next; what ends is noticed within this and one round trip.
const EVERY: Duration = Duration::from_secs(2);

/// Looks after one tunnel's session.
struct Watch {
    store: Store,
    line: Arc<Line>,
    handle: Handle,
    flow: Flow,
    seen: u64,
}

enum Found {
    Alive,
    Ended,
}

impl Shard {
    /// Resolves when the session has ended; never without one.
    pub(super) fn end_of(&self, session: Option<Handle>, flow: Flow) -> impl Future<Output = ()> + Send + use<> {
        let (store, line, seen) = (self.store.clone(), Arc::clone(&self.line), flow.mark());
        async move {
            match session {
                Some(handle) => Watch { store, line, handle, flow, seen }.ended().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl Watch {
    async fn ended(mut self) {
        // The first look comes at any time, so that tunnels which begin together do not ask together.
        sleep(EVERY.mul_f64(rand::random())).await;
        loop {
            match self.look().await {
                Ok(Found::Ended) => return,
                Ok(Found::Alive) => {}
                Err(error) => {
                    debug!(target: "cloakroom::proxy", session = %self.handle, %error, "a tunnel's session cannot be looked up");
                }
            }
            sleep(EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<Found, StoreError> {
        let entry = self.store.load(&[self.handle]).await?.into_iter().next().flatten();
        let now = self.store.now();
        let Some(entry) = entry else { return Ok(Found::Ended) };
        match entry.decode(&self.handle) {
            Some(Stored::Live(record)) if record.deadline > now => {
                self.touch(&record, &entry, now).await;
                Ok(Found::Alive)
            }
            Some(Stored::Live(_) | Stored::Tombstone(_)) | None => Ok(Found::Ended),
        }
    }

    /// Pushes the expiry out if something has moved since the last look and it is time.
    async fn touch(&mut self, record: &Record, entry: &Entry, now: Timestamp) {
        let mark = self.flow.mark();
        if std::mem::replace(&mut self.seen, mark) == mark {
            return;
        }
        let Some(ttl) = record.touch(entry.left, now, &self.line.policy) else { return };
        if let Err(error) = self.store.touch(&self.handle, &record.stamp(), ttl).await {
            warn!(target: "cloakroom::proxy", session = %self.handle, %error, "a session's expiry was not pushed out");
        }
    }
}
