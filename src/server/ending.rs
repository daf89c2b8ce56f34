//! How the end of the process comes to connections: a stage that is cheap to look at, and a call that wakes whoever waits.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Context,
};

use tokio::sync::{Notify, futures::Notified};

/// How near the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Not in sight.
    Far,
    /// The process is about to end: whoever is answered now is told not to come back on this connection.
    Near,
    /// Connections that wait for nothing are closed.
    Here,
}

/// The end of the process, as connections see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stage: AtomicU8,
    call: Notify,
}

impl Ending {
    pub(super) fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Acquire) {
            0 => Stage::Far,
            1 => Stage::Near,
            _ => Stage::Here,
        }
    }

    /// Goes on to this stage, and wakes everybody who waits for a call.
    pub(super) fn come(&self, stage: Stage) {
        self.0.stage.store(stage as u8, Ordering::Release);
        self.0.call.notify_waiters();
    }

    /// Resolves when this stage is reached.
    pub(super) async fn reached(&self, stage: Stage) {
        loop {
            // Made before the look, so that no call is missed.
            let call = self.0.call.notified();
            if self.stage() >= stage {
                return;
            }
            call.await;
        }
    }

    /// An ear for the task that it is polled in.
    pub(super) fn ear(&self) -> Ear<'_> {
        Ear { ending: self, heard: None, call: None }
    }
}

/// Wakes a task at every stage: so it need only look at the stage.
pub(super) struct Ear<'a> {
    ending: &'a Ending,
    heard: Option<Stage>,
    /// Boxed, for nobody looks at it before it comes.
    call: Option<Pin<Box<Notified<'a>>>>,
}

impl Ear<'_> {
    /// Call it whenever the task is polled. It waits for the call once and not each time: a task is woken in the same way
    /// for as long as it lives.
    pub(super) fn listen(&mut self, cx: &mut Context<'_>) {
        while self.heard != Some(self.ending.stage()) {
            let stage = self.ending.stage();
            let mut call = Box::pin(self.ending.0.call.notified());
            if call.as_mut().poll(cx).is_pending() {
                self.heard = Some(stage);
            }
            self.call = Some(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_a_stage_hears_of_it_and_of_later_ones() {
        let ending = Ending::default();
        let wait = |stage| {
            let ending = ending.clone();
            tokio::spawn(async move { ending.reached(stage).await })
        };
        let (near, here) = (wait(Stage::Near), wait(Stage::Here));
        tokio::task::yield_now().await;
        assert_eq!(ending.stage(), Stage::Far);
        ending.come(Stage::Near);
        near.await.unwrap();
        assert!(!here.is_finished());
        ending.come(Stage::Here);
        here.await.unwrap();
        ending.reached(Stage::Near).await;
    }

    #[tokio::test]
    async fn work_is_woken_at_every_stage() {
        let ending = Ending::default();
        let seen = ending.clone();
        let work = tokio::spawn(async move {
            let (mut stages, mut ear) = (Vec::new(), seen.ear());
            poll_fn(|cx| {
                ear.listen(cx);
                stages.push(seen.stage());
                if seen.stage() == Stage::Here { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            stages
        });
        for stage in [Stage::Near, Stage::Here] {
            tokio::task::yield_now().await;
            ending.come(stage);
        }
        assert_eq!(work.await.unwrap(), [Stage::Far, Stage::Near, Stage::Here]);
    }
}
