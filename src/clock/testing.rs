//! A task that is polled by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::task::{coop, yield_now};

/// What such a task is woken by.
#[derive(Default)]
pub struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Bell {
    /// How often it has rung since it was last asked.
    pub fn rung(&self) -> usize {
        self.0.swap(0, SeqCst)
    }

    /// Whether it rings soon.
    pub async fn rings(&self) -> bool {
        for _ in 0..100 {
            if self.rung() > 0 {
                return true;
            }
            yield_now().await;
        }
        false
    }

    /// Polls something.
    pub fn poll<T>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

/// Does this at the end of a turn that is used up.
pub async fn spent<T>(mut work: impl FnMut() -> T) -> T {
    let done = std::future::poll_fn(|cx| {
        while let Poll::Ready(step) = coop::poll_proceed(cx) {
            step.made_progress();
        }
        Poll::Ready(work())
    })
    .await;
    yield_now().await;
    done
}
