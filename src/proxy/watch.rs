//! A tunnel lives no longer than its session: who is logged out must not go on talking through an open socket.
//!
//! Every two seconds the store is asked for the session. One that is gone, destroyed or past its deadline ends the
//! tunnel; a rotation does not, nor does a store that is away, for an error never means "not there". While bytes flow the
//! session's life is pushed out as by requests.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use super::Shard;
use crate::{
    session::{Handle, record::Stored},
    upstream::Flow,
};

/// From one look to the next; what ends is noticed within this and one round trip.
const EVERY: Duration = Duration::from_secs(2);

impl Shard {
    /// Resolves when the session has ended.
    pub(super) fn end_of(&self, session: Option<Handle>, flow: Flow) -> impl Future<Output = ()> + Send + use<> {
        let (store, line) = (self.store.clone(), std::sync::Arc::clone(&self.line));
        async move {
            let Some(handle) = session else { return std::future::pending().await };
            let mut seen = flow.mark();
            // The first look comes at any time, so that tunnels which begin together do not ask together.
            sleep(EVERY.mul_f64(rand::random())).await;
            loop {
                let entry = match store.load(&[handle]).await {
                    Ok(entries) => entries.into_iter().next().flatten(),
                    Err(error) => {
                        debug!(target: "cloakroom::proxy", session = %handle, %error, "a tunnel's session cannot be looked up");
                        sleep(EVERY).await;
                        continue;
                    }
                };
                let now = store.now();
                let Some(entry) = entry else { return };
                let Some(Stored::Live(record)) = entry.decode(&handle) else { return };
                if record.deadline <= now {
                    return;
                }
                let mark = flow.mark();
                let moved = std::mem::replace(&mut seen, mark) != mark;
                if moved
                    && let Some(ttl) = record.touch(entry.left, now, &line.policy)
                    && let Err(error) = store.touch(&handle, &record.stamp(), ttl).await
                {
                    warn!(target: "cloakroom::proxy", session = %handle, %error, "a session's expiry was not pushed out");
                }
                sleep(EVERY).await;
            }
        }
    }
}
