//! How slow a client may be over HTTP/2: before its first request, between requests, and in taking responses.
//!
//! A new connection must come to the end of its first head within `limits.head_timeout`, whatever stands before it (a PROXY
//! header, a TLS handshake, the preface); later it may be idle for `limits.idle_timeout`. Bytes are no head (they may be
//! pings), so a later head has what is left of the idle time. While requests are answered only one thing is timed: that none
//! of the responses is taken by the client.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::place::Place;

/// The alarm is never further off than this, so that it need not be set anew with every request.
const TICK: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request came yet.
    Fresh,
    Idle,
    Busy,
}

struct State {
    phase: Phase,
    since: Instant,
    /// Requests that are being answered, those included whose client is gone.
    answering: usize,
    /// Responses that wait for the client to take what there is.
    stalled: usize,
    /// When a response last got on.
    moved: Instant,
}

/// What a connection is doing, and since when. Holds its place.
pub(super) struct Pace {
    state: Mutex<State>,
    overrun: AtomicBool,
    _place: Place,
}

/// A request that is being answered.
pub(super) struct UnderWay(Arc<Pace>);

impl Pace {
    /// A connection that was accepted then: it owes us a request.
    pub(super) fn new(place: Place, accepted: Instant) -> Arc<Self> {
        let state = State { phase: Phase::Fresh, since: accepted, answering: 0, stalled: 0, moved: accepted };
        Arc::new(Self { state: Mutex::new(state), overrun: AtomicBool::new(false), _place: place })
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.change(|state| {
            state.phase = Phase::Busy;
            state.answering += 1;
        });
        UnderWay(Arc::clone(self))
    }

    /// The client has more requests under way than it may: its time is up.
    pub(super) fn overrun(&self) {
        self.overrun.store(true, Ordering::Relaxed);
    }

    /// No request ever came.
    pub(super) fn is_unused(&self) -> bool {
        self.change(|state| state.phase == Phase::Fresh)
    }

    /// Requests that are being answered.
    pub(super) fn answering(&self) -> usize {
        self.change(|state| state.answering)
    }

    /// Resolves when the client has used up its time. Polled whenever the connection is, it notices at once what happened
    /// on it.
    pub(super) async fn out_of_time(&self, limits: impl Fn() -> (Duration, Duration)) {
        let (mut alarm, mut set) = (pin!(sleep_until(Instant::now())), false);
        poll_fn(|cx| {
            loop {
                if self.overrun.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                let ((head, idle), now) = (limits(), Instant::now());
                let deadline = self.change(|state| state.deadline(head, idle));
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Poll::Ready(());
                }
                // With nothing to wait for: look again when the next thing could be over.
                let look = deadline.unwrap_or(now + head.min(idle)).min(now + TICK);
                if !set || (deadline.is_some() && look < alarm.deadline()) {
                    alarm.as_mut().reset(look);
                    set = true;
                }
                ready!(alarm.as_mut().poll(cx));
                set = false;
            }
        })
        .await;
    }

    /// Resolves when a request is being answered; somebody else must have this polled then.
    pub(super) async fn busy(&self) {
        poll_fn(|_| if self.answering() > 0 { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Resolves when there has been no sign of a request for so long.
    pub(super) async fn quiet(&self, span: Duration) {
        loop {
            let until = self.change(|state| match state.phase {
                Phase::Fresh | Phase::Idle => state.since + span,
                Phase::Busy => Instant::now() + span,
            });
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn deadline(&self, head: Duration, idle: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Fresh => Some(self.since + head),
            Phase::Idle => Some(self.since + idle),
            Phase::Busy if self.stalled == self.answering => Some(self.moved + idle),
            Phase::Busy => None,
        }
    }
}

impl UnderWay {
    /// Its response got on, and `stalled` says whether it begins (1), goes on (0) or ceases (-1) to wait for the client.
    pub(super) fn moved(&self, stalled: isize) {
        self.0.change(|state| {
            state.moved = Instant::now();
            state.stalled = state.stalled.saturating_add_signed(stalled);
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.answering -= 1;
            if state.answering == 0 {
                (state.phase, state.since) = (Phase::Idle, Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::{super::place::Places, *};

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Arc<Pace> {
        Pace::new(Places::new(1).take().unwrap(), Instant::now())
    }

    fn limits() -> (Duration, Duration) {
        (HEAD, IDLE)
    }

    /// How long this client still has, if nothing happens any more; `None`: more than ten minutes.
    async fn left(pace: &Pace) -> Option<Duration> {
        let begun = Instant::now();
        timeout(600 * SECOND, pace.out_of_time(limits)).await.ok().map(|()| begun.elapsed())
    }

    fn about(time: Duration) -> impl Fn(Option<Duration>) -> bool {
        move |left| left.is_some_and(|left| left >= time && left <= time + Duration::from_millis(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_time_of_a_head() {
        assert!(about(HEAD)(left(&pace()).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_is_not_timed() {
        let pace = pace();
        let _request = pace.begin();
        assert_eq!(left(&pace).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_response_the_connection_may_be_idle() {
        let pace = pace();
        let (one, two) = (pace.begin(), pace.begin());
        advance(100 * SECOND).await;
        drop(one);
        assert_eq!(left(&pace).await, None);
        drop(two);
        assert!(about(IDLE)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn responses_that_nobody_takes_are_timed_when_there_are_no_others() {
        let pace = pace();
        let (taken, waits) = (pace.begin(), pace.begin());
        waits.moved(1);
        assert_eq!(left(&pace).await, None);
        taken.moved(1);
        advance(SECOND).await;
        taken.moved(0);
        assert!(about(IDLE)(left(&pace).await));
        taken.moved(-1);
        assert_eq!(left(&pace).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_overruns_its_limit_has_no_time_left() {
        let pace = pace();
        let _request = pace.begin();
        pace.overrun();
        assert!(about(Duration::ZERO)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_changes_while_somebody_waits_is_noticed() {
        let pace = pace();
        let mut waiting = pin!(pace.out_of_time(limits));
        let begun = Instant::now();
        let request = pace.begin();
        assert!(timeout(39 * SECOND, waiting.as_mut()).await.is_err());
        drop(request);
        waiting.await;
        let wanted = begun + 39 * SECOND + IDLE;
        assert!(
            Instant::now() >= wanted && Instant::now() <= wanted + Duration::from_millis(20),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_is_when_no_request_began_for_a_while() {
        let pace = pace();
        let request = pace.begin();
        assert!(timeout(IDLE, pace.quiet(SECOND)).await.is_err());
        drop(request);
        assert!(timeout(SECOND / 2, pace.quiet(SECOND)).await.is_err());
        assert!(timeout(SECOND, pace.quiet(SECOND)).await.is_ok());
        pace.busy_at_once(false).await;
        let _request = pace.begin();
        pace.busy_at_once(true).await;
    }

    impl Pace {
        async fn busy_at_once(&self, expected: bool) {
            assert_eq!(timeout(Duration::ZERO, self.busy()).await.is_ok(), expected);
        }
    }
}
