//! Alarms for deadlines that nearly nobody reaches.
//!
//! Where a task has turns ([`turns`](super::turns)) it is the task's. Elsewhere an alarm is kept from one wait to the next,
//! so that not every wait sets a timer: it stands where an earlier wait has set it, goes off too early at most once, and
//! only then is it set to the deadline of whoever waits. Until it goes off, it may wake a task that waits for something
//! else by now. What does not wait has none. Either way a wait is never over before its deadline, nor later than at it.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::wait_in_turn;

/// How many are kept at most: there are as many as waits at once, and after a storm of them they only take room.
const KEPT: usize = 64;

/// One alarm.
#[derive(Default)]
pub struct Alarm {
    /// `None` as long as nobody has waited but in a turn.
    own: Option<Own>,
}

/// An alarm outside of turns.
struct Own(Pin<Box<Sleep>>);

/// Those that nobody waits with.
#[derive(Default)]
pub struct Alarms {
    spare: Mutex<Vec<Own>>,
}

/// One of them while somebody waits with it; given back when dropped.
struct Lent<'a> {
    alarms: &'a Alarms,
    alarm: Option<Own>,
}

impl Alarm {
    /// Ready at `deadline`, whatever it was asked for before. Whoever waits must ask in each turn of its task.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        wait_in_turn(cx, deadline)
            .unwrap_or_else(|| self.own.get_or_insert_with(|| Own::new(deadline)).poll(cx, deadline))
    }
}

impl Own {
    fn new(deadline: Instant) -> Self {
        Self(Box::pin(sleep_until(deadline)))
    }

    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        loop {
            ready!(self.0.as_mut().poll(cx));
            if self.0.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

impl Alarms {
    /// What comes of this work, or nothing if it is not done by then.
    pub async fn within<F: Future>(&self, deadline: Instant, mut work: Pin<&mut F>) -> Option<F::Output> {
        let mut lent = Lent { alarms: self, alarm: None };
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => lent.poll(cx, deadline).map(|()| None),
        })
        .await
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Own>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        wait_in_turn(cx, deadline).unwrap_or_else(|| {
            let spare = || self.alarms.spare().pop().unwrap_or_else(|| Own::new(deadline));
            self.alarm.get_or_insert_with(spare).poll(cx, deadline)
        })
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(alarm) = mem::take(&mut self.alarm) {
            let mut spare = self.alarms.spare();
            if spare.len() < KEPT {
                spare.push(alarm);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::pin,
        sync::Arc,
        time::Duration,
    };

    use futures_util::{FutureExt as _, future::join_all};
    use tokio::time::sleep;

    use super::{super::turns::Turns, *};

    const SECOND: Duration = Duration::from_secs(1);

    /// How long somebody waits who has this much time for something that never comes.
    async fn time_out(alarms: &Alarms, time: Duration) -> Duration {
        let begun = Instant::now();
        assert_eq!(alarms.within(begun + time, pin!(pending::<()>())).await, None);
        begun.elapsed()
    }

    /// Waits this long for something that comes in time.
    async fn wait(alarms: &Alarms, wait: Duration) {
        let deadline = Instant::now() + 2 * SECOND;
        assert_eq!(alarms.within(deadline, pin!(sleep(wait))).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_or_has_turns_needs_no_alarm() {
        let alarms = Alarms::default();
        assert_eq!(alarms.within(Instant::now(), pin!(ready(7))).await, Some(7));
        let (begun, mut turns) = (Instant::now(), Turns::default());
        let mut never = pin!(pending::<()>());
        let mut late = pin!(alarms.within(begun + 3 * SECOND, never.as_mut()));
        assert_eq!(poll_fn(|cx| turns.poll(cx, |cx| late.as_mut().poll(cx))).await, None);
        assert_eq!(begun.elapsed(), 3 * SECOND);
        assert!(alarms.spare().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_wherever_its_alarm_stood() {
        let alarms = Alarms::default();
        assert_eq!(time_out(&alarms, 2 * SECOND).await, 2 * SECOND);
        // One that has gone off, one that stands before the deadline, one that stands behind it.
        assert_eq!(time_out(&alarms, 2 * SECOND).await, 2 * SECOND);
        wait(&alarms, SECOND / 2).await;
        assert_eq!(time_out(&alarms, 2 * SECOND).await, 2 * SECOND);
        wait(&alarms, SECOND / 2).await;
        assert_eq!(time_out(&alarms, SECOND).await, SECOND);
        assert_eq!(alarms.spare().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_waits_each_has_its_own_deadline_and_few_alarms_are_kept() {
        let alarms = Alarms::default();
        let times = || (1..=10 * KEPT as u64).map(Duration::from_millis);
        for _ in 0..2 {
            let waited = join_all(times().map(|time| time_out(&alarms, time))).await;
            assert!(waited.into_iter().eq(times()));
            assert_eq!(alarms.spare().len(), KEPT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_of_somebody_who_gave_up_is_kept() {
        let alarms = Alarms::default();
        assert_eq!(time_out(&alarms, SECOND).now_or_never(), None);
        assert_eq!(alarms.spare().len(), 1);
        assert_eq!(time_out(&alarms, 3 * SECOND).await, 3 * SECOND);
    }

    /// A request goes on in another task when its browser has gone.
    #[tokio::test(start_paused = true)]
    async fn a_wait_that_moves_to_another_task_is_woken_there() {
        let alarms = Arc::new(Alarms::default());
        let mut waiting = Box::pin(async move { time_out(&alarms, SECOND).await });
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(tokio::spawn(waiting).await.unwrap(), SECOND);
    }
}
