//! How slow a client may be: before its first request, in a request's head, between requests, and in taking responses.
//!
//! hyper has one timeout for some of these. Here a new connection must come to the end of its first head within
//! `limits.head_timeout`, whatever stands before it (a PROXY header, a TLS handshake, an HTTP/2 preface); a kept-alive one
//! may be idle for `limits.idle_timeout`, and from the first byte of a head on HTTP/1.1 to its end it has the time of a
//! head again. On HTTP/2 bytes are no head (they may be pings), so there a head has what is left of the idle time. While
//! requests are answered only one thing is timed: that none of the responses is taken by the client.

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

/// A kept-alive connection that was idle for so long is likely to stay so.
const REST: Duration = Duration::from_secs(2);

/// What time says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client has used up its time.
    Over,
    /// There is nothing to do for a while.
    Rest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was received yet.
    Fresh,
    Head,
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
    multiplexed: AtomicBool,
    overrun: AtomicBool,
    _place: Place,
}

/// A request that is being answered.
pub(super) struct UnderWay(Arc<Pace>);

impl Pace {
    /// A new connection: it owes us a request.
    pub(super) fn new(place: Place) -> Arc<Self> {
        let now = Instant::now();
        let state = State { phase: Phase::Fresh, since: now, answering: 0, stalled: 0, moved: now };
        let no = || AtomicBool::new(false);
        Arc::new(Self { state: Mutex::new(state), multiplexed: no(), overrun: no(), _place: place })
    }

    /// It speaks HTTP/2: from now on bytes alone are no request.
    pub(super) fn multiplex(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
        self.arrived();
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
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

    /// What came before the first request is over: nothing of the request itself is here.
    pub(super) fn arrived(&self) {
        self.change(|state| state.phase = Phase::Fresh);
    }

    /// Nothing of a request was ever received.
    pub(super) fn is_unused(&self) -> bool {
        self.change(|state| state.phase == Phase::Fresh)
    }

    /// Requests that are being answered.
    pub(super) fn answering(&self) -> usize {
        self.change(|state| state.answering)
    }

    /// Bytes came from the client.
    pub(super) fn received(&self) {
        let multiplexed = self.is_multiplexed();
        self.change(|state| match state.phase {
            Phase::Fresh if !multiplexed => state.phase = Phase::Head,
            Phase::Idle if !multiplexed => (state.phase, state.since) = (Phase::Head, Instant::now()),
            Phase::Fresh | Phase::Idle | Phase::Head | Phase::Busy => {}
        });
    }

    /// Resolves when the client has used up its time.
    pub(super) async fn out_of_time(&self, limits: impl Fn() -> (Duration, Duration)) {
        self.judge(limits, || false).await;
    }

    /// Resolves when the client has used up its time, or is idle and `may_rest`, which is asked for that alone. Polled
    /// whenever the connection is, it notices at once what happened on it.
    pub(super) async fn judge(
        &self,
        limits: impl Fn() -> (Duration, Duration),
        may_rest: impl Fn() -> bool,
    ) -> Verdict {
        let (mut alarm, mut set) = (pin!(sleep_until(Instant::now())), false);
        poll_fn(|cx| {
            loop {
                if self.overrun.load(Ordering::Relaxed) {
                    return Poll::Ready(Verdict::Over);
                }
                let ((head, idle), now) = (limits(), Instant::now());
                let (deadline, is_idle) = self.change(|state| (state.deadline(head, idle), state.is_idle(now)));
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Poll::Ready(Verdict::Over);
                }
                if is_idle && may_rest() {
                    return Poll::Ready(Verdict::Rest);
                }
                // With nothing to wait for: look again when the next thing could be over. The alarm is never far, so
                // that it need not be set anew with every request.
                let look = deadline.unwrap_or(now + head.min(idle)).min(now + REST);
                if !set || (deadline.is_some() && look < alarm.deadline()) {
                    alarm.as_mut().reset(look);
                    set = true;
                }
                ready!(alarm.as_mut().poll(cx));
                set = false;
            }
        })
        .await
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
                Phase::Head | Phase::Busy => Instant::now() + span,
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
    fn is_idle(&self, now: Instant) -> bool {
        self.phase == Phase::Idle && now.saturating_duration_since(self.since) >= REST
    }

    fn deadline(&self, head: Duration, idle: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Fresh | Phase::Head => Some(self.since + head),
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
        Pace::new(Places::new(1).take().unwrap())
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
    async fn bytes_of_a_head_buy_no_more_time() {
        let pace = pace();
        for _ in 0..9 {
            advance(SECOND).await;
            pace.received();
        }
        assert!(about(SECOND)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_is_not_timed() {
        let pace = pace();
        let _request = pace.begin();
        assert_eq!(left(&pace).await, None);
        pace.received();
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
    async fn an_idle_connection_rests_after_a_while_if_it_may() {
        let pace = pace();
        drop(pace.begin());
        let begun = Instant::now();
        assert_eq!(pace.judge(limits, || true).await, Verdict::Rest);
        assert!(about(REST)(Some(begun.elapsed())));
        assert_eq!(pace.judge(limits, || false).await, Verdict::Over);
        assert!(about(IDLE)(Some(begun.elapsed())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_or_a_busy_one_does_not_rest() {
        let pace = pace();
        assert_eq!(pace.judge(limits, || true).await, Verdict::Over);
        let _request = pace.begin();
        assert!(timeout(600 * SECOND, pace.judge(limits, || true)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_after_that_starts_the_time_of_a_head() {
        let pace = pace();
        drop(pace.begin());
        advance(59 * SECOND).await;
        pace.received();
        advance(4 * SECOND).await;
        pace.received();
        assert!(about(6 * SECOND)(left(&pace).await));
    }

    #[tokio::test(start_paused = true)]
    async fn on_http_2_bytes_between_requests_buy_no_time() {
        let pace = pace();
        pace.multiplex();
        drop(pace.begin());
        for _ in 0..59 {
            advance(SECOND).await;
            pace.received();
        }
        assert!(about(SECOND)(left(&pace).await));
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
        assert!(timeout(SECOND, waiting.as_mut()).await.is_err());
        pace.received();
        waiting.await;
        let wanted = begun + 40 * SECOND + HEAD;
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
