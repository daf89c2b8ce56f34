//! Sending in a row: whoever has something to send lets all tasks that can go on do so first.
//!
//! In one turn of a busy runtime many requests come and many answers. Sent one by one, between all that is done for each of
//! them, every piece finds the kernel's program for it cold, and wakes a receiver that has gone to sleep since the last one.

use std::{future::poll_fn, mem, task::Poll};

/// Waits until every other task that is woken by now has had its turn; no longer if there is none.
pub async fn others_first() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn whoever_sends_is_behind_those_who_can_go_on_and_before_those_who_come_later() {
        let log = Arc::new(Mutex::new(String::new()));
        let tasks = ["a", "b", "c"].map(|name| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                log.lock().unwrap().push_str(name);
                others_first().await;
                log.lock().unwrap().push_str(&name.to_uppercase());
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*log.lock().unwrap(), "abcABC");
        others_first().await;
    }
}
