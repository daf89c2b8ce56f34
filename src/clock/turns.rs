//! The turns of one task, and its one alarm: for all that waits in the task for a time, whatever it is by then.
//!
//! Whoever waits says in every turn until when ([`Alarm`](super::alarm::Alarm)); after the turn the alarm is set to the
//! earliest of these, but never further off than a while. So nearly every wait finds it set early enough, and costs no more
//! than a look. It goes off too early at most once in a while; a turn in which nothing has come asks for it anew.
//!
//! A waker that was given to a timer stays there until the timer goes off or gets another one. So the alarm is asked again
//! only when it was set, has gone off, or would wake another task.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::turn;

/// The alarm is never set further off.
const WHILE: Duration = Duration::from_secs(2);

/// The turns of a task.
#[derive(Default)]
pub struct Turns {
    /// And when it goes off: to know that nobody has to look at it.
    alarm: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Whom the alarm wakes, set as it is.
    wakes: Option<Waker>,
}

impl Turns {
    /// One turn of a task that does this work.
    pub fn poll<T>(&mut self, cx: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let (done, wait) = turn(cx, work);
        if let (true, Some((until, now))) = (done.is_pending(), wait) {
            self.call(cx, until, now);
        }
        done
    }

    /// Has the task woken at this time, or before.
    fn call(&mut self, cx: &mut Context<'_>, until: Instant, now: Instant) {
        let soon = until.min(now + WHILE);
        let (alarm, at) = self.alarm.get_or_insert_with(|| (Box::pin(sleep_until(soon)), soon));
        // One that has not gone off by now does not do so before the next turn, or calls for that.
        if *at > until || *at <= now {
            alarm.as_mut().reset(soon);
            (*at, self.wakes) = (soon, None);
        }
        if self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        // In a task that has used up its turn a timer says that it waits, and has noted nobody.
        self.wakes = match pin!(unconstrained(alarm.as_mut())).poll(cx) {
            Poll::Pending => Some(cx.waker().clone()),
            Poll::Ready(()) => {
                cx.waker().wake_by_ref();
                None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use futures_util::{FutureExt as _, StreamExt as _, future::join, stream::FuturesUnordered};
    use tokio::{
        task::yield_now,
        time::{advance, timeout},
    };

    use super::{
        super::{
            alarm::Alarm,
            testing::{Bell, spent},
        },
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// One turn in which somebody waits until then.
    fn wait(turns: &mut Turns, bell: &Arc<Bell>, until: Instant) -> Poll<()> {
        bell.poll(|cx| turns.poll(cx, |cx| Alarm::default().poll(cx, until)))
    }

    /// Lets time pass, and timers go off.
    async fn pass(time: Duration) {
        advance(time).await;
        yield_now().await;
    }

    /// How long a task with turns takes for this.
    async fn took<T>(turns: &mut Turns, work: impl Future<Output = T>) -> Duration {
        let (mut work, begun) = (pin!(work), Instant::now());
        let done = poll_fn(|cx| turns.poll(cx, |cx| work.as_mut().poll(cx)));
        assert!(timeout(100 * SECOND, done).await.is_ok(), "the task was never called");
        begun.elapsed()
    }

    async fn sleep(time: Duration) {
        let (mut alarm, until) = (Alarm::default(), Instant::now() + time);
        poll_fn(|cx| alarm.poll(cx, until)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_wherever_the_alarm_stood() {
        let mut turns = Turns::default();
        for seconds in [5, 1, 2, 3, 1, 0, 7] {
            assert_eq!(took(&mut turns, sleep(seconds * SECOND)).await, seconds * SECOND);
            assert_eq!(took(&mut turns, timeout(SECOND / 2, sleep(3 * SECOND))).await, SECOND / 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_all_who_wait_each_has_its_deadline() {
        let begun = Instant::now();
        let both = join(sleep(3 * SECOND).map(|()| begun.elapsed()), sleep(SECOND).map(|()| begun.elapsed()));
        let both = both.inspect(|both| assert_eq!(*both, (3 * SECOND, SECOND)));
        assert_eq!(took(&mut Turns::default(), both).await, 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_with_a_waker_of_its_own_is_called_by_it() {
        let mut waits: FuturesUnordered<_> = [sleep(SECOND), sleep(3 * SECOND)].into_iter().collect();
        assert_eq!(took(&mut Turns::default(), waits.next()).await, SECOND);
        assert_eq!(took(&mut Turns::default(), waits.next()).await, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_leaves_the_turns_of_its_task_has_its_deadline_elsewhere() {
        let mut waiting = Box::pin(sleep(SECOND));
        let (mut turns, bell) = (Turns::default(), Arc::<Bell>::default());
        assert!(bell.poll(|cx| turns.poll(cx, |cx| waiting.as_mut().poll(cx))).is_pending());
        let begun = Instant::now();
        tokio::spawn(waiting).await.unwrap();
        assert_eq!(begun.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_is_set_again_only_for_an_earlier_wait_or_when_it_has_gone_off() {
        let (mut turns, bell, begun) = (Turns::default(), Arc::default(), Instant::now());
        for tenths in 0..10 {
            assert!(wait(&mut turns, &bell, begun + (30 + tenths) * SECOND).is_pending());
            assert_eq!(turns.alarm.as_ref().unwrap().0.deadline(), begun + WHILE);
            pass(SECOND / 10).await;
        }
        assert_eq!(bell.rung(), 0);
        assert!(wait(&mut turns, &bell, begun + SECOND * 3 / 2).is_pending());
        pass(SECOND / 2).await;
        assert_eq!(bell.rung(), 1);
        assert!(wait(&mut turns, &bell, begun + SECOND * 3 / 2).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_long_is_called_once_in_a_while_and_at_the_end() {
        let (mut turns, bell, until) = (Turns::default(), Arc::default(), Instant::now() + 5 * SECOND);
        for more in [WHILE, WHILE, SECOND] {
            assert!(wait(&mut turns, &bell, until).is_pending());
            pass(more).await;
            assert_eq!(bell.rung(), 1);
        }
        assert!(wait(&mut turns, &bell, until).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_waits_now_is_the_one_that_is_called() {
        let (mut turns, [first, second], begun) = (Turns::default(), [(); 2].map(|()| Arc::default()), Instant::now());
        for (bell, tenths) in [(&first, 1), (&second, 1), (&second, 8)] {
            assert!(wait(&mut turns, bell, begun + SECOND).is_pending());
            pass(tenths * SECOND / 10).await;
        }
        assert_eq!((first.rung(), second.rung()), (0, 1));
        assert_eq!(Arc::strong_count(&first), 1, "nobody knows it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_goes_off_while_nobody_waits_serves_the_next_who_does() {
        let (mut turns, bell, begun) = (Turns::default(), Arc::default(), Instant::now());
        assert!(wait(&mut turns, &bell, begun + SECOND).is_pending());
        pass(2 * SECOND).await;
        assert_eq!(bell.rung(), 1);
        assert!(bell.poll(|cx| turns.poll(cx, |_| Poll::<()>::Pending)).is_pending());
        assert!(wait(&mut turns, &bell, begun + 3 * SECOND).is_pending());
        pass(SECOND).await;
        assert_eq!(bell.rung(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_turn_is_called_all_the_same() {
        let (mut turns, bell, begun) = (Turns::default(), Arc::default(), Instant::now());
        assert!(spent(|| wait(&mut turns, &bell, begun + SECOND)).await.is_pending());
        assert_eq!(bell.rung(), 0);
        assert!(wait(&mut turns, &bell, begun + SECOND).is_pending());
        pass(SECOND).await;
        assert_eq!(bell.rung(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_within_a_turn_ends_the_wait_in_the_next() {
        let (mut turns, bell, begun) = (Turns::default(), Arc::<Bell>::default(), Instant::now());
        for until in [begun + SECOND, begun] {
            pass(2 * SECOND).await;
            bell.poll(|cx| turns.call(cx, until, Instant::now()));
            assert!(bell.rung() > 0, "it was called at once");
        }
        assert!(wait(&mut turns, &bell, begun + SECOND).is_ready());
    }
}
