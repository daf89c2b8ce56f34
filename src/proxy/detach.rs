//! A request that the browser has given up goes on: its connection drops the future then, and with it a save that was
//! under way. This future moves what is left of it into a task of its own instead (guarantee 5).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio_util::task::TaskTracker;

/// A future that finishes in the background if it is dropped half-way.
pub(super) struct Detachable<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    started: bool,
    tasks: TaskTracker,
    unclaimed: fn(F::Output),
}

impl<F: Future<Output: Send> + Send + 'static> Detachable<F> {
    /// `tasks` counts it if it goes on by itself; then `unclaimed` gets what comes of it.
    pub(super) fn new(future: F, tasks: TaskTracker, unclaimed: fn(F::Output)) -> Self {
        Self { future: Some(Box::pin(future)), started: false, tasks, unclaimed }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detachable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.started = true;
        let Some(future) = &mut self.future else { return Poll::Pending };
        let output = future.as_mut().poll(cx);
        if output.is_ready() {
            self.future = None;
        }
        output
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detachable<F> {
    fn drop(&mut self) {
        let Some(future) = self.future.take().filter(|_| self.started) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let unclaimed = self.unclaimed;
        self.tasks.spawn_on(async move { unclaimed(future.await) }, &runtime);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_after_a_drop() {
        let (tasks, (go, gone), (done, finished)) = (TaskTracker::new(), oneshot::channel::<()>(), oneshot::channel());
        let work = async move {
            let _ = gone.await;
            done
        };
        let mut begun = Detachable::new(work, tasks.clone(), |done| assert!(done.send(()).is_ok()));
        assert!(futures_poll(&mut begun).await.is_pending());
        drop(begun);
        assert_eq!(tasks.len(), 1);
        go.send(()).unwrap();
        finished.await.unwrap();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_was_not_begun_or_is_done_leaves_nothing_behind() {
        let tasks = TaskTracker::new();
        let never = |()| unreachable!("somebody has claimed it, or it was not begun");
        drop(Detachable::new(async {}, tasks.clone(), never));
        Detachable::new(async {}, tasks.clone(), never).await;
        assert!(tasks.is_empty());
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
    }
}
