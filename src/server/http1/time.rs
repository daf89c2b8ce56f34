//! How slow a client may be over HTTP/1.1.
//!
//! A new connection must come to the end of its first head within `limits.head_timeout`, whatever stands before it; a
//! kept-alive one may be idle for `limits.idle_timeout`, and from the first byte of a head to its end it has the time of a
//! head again. Once in a while the limits are looked at anew.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    clock::{self, alarm::Alarm},
    server::{Limits, connection::LINGER, ending::Stage},
};

/// A kept-alive connection that was idle for so long is likely to stay so.
const REST: Duration = Duration::from_secs(2);
/// How long limits may be out of date.
const WHILE: Duration = Duration::from_secs(2);

/// What time says about a connection that waits for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client has used up its time.
    Over,
    /// The process ends, and nothing was begun.
    Ends,
    /// There is nothing to do for a while. Said once.
    Rest,
    /// Some time has passed: the limits may be others now.
    Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was received yet.
    Fresh,
    Head,
    Idle,
}

/// What a connection is waiting for, and since when.
pub(super) struct Time {
    alarm: Alarm,
    phase: Phase,
    /// `None`: whoever looks next begins it.
    since: Option<Instant>,
    rests: bool,
    /// When to look at the limits.
    look: Instant,
    head: Duration,
    idle: Duration,
}

impl Time {
    /// A new connection owes us a request.
    pub(super) fn new(accepted: Instant, limits: &Limits) -> Self {
        let (head, idle) = (limits.head_timeout, limits.idle_timeout);
        let (alarm, phase, look) = (Alarm::default(), Phase::Fresh, Instant::now() + WHILE);
        Self { alarm, phase, since: Some(accepted), rests: false, look, head, idle }
    }

    /// These are the limits from now on.
    pub(super) fn bound_by(&mut self, limits: &Limits) {
        (self.head, self.idle) = (limits.head_timeout, limits.idle_timeout);
    }

    /// How long a client may take nothing of its answer.
    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    /// A request is answered, and nothing of the next one is there.
    pub(super) fn answered(&mut self) {
        self.enter(Phase::Idle);
    }

    /// Bytes of a head came.
    pub(super) fn heard(&mut self) {
        match self.phase {
            Phase::Fresh => self.phase = Phase::Head,
            Phase::Idle => self.enter(Phase::Head),
            Phase::Head => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since, self.rests) = (phase, None, false);
    }

    /// Ready with what time says.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stage: Stage) -> Poll<Verdict> {
        let now = clock::now();
        let since = *self.since.get_or_insert(now);
        let mut until = since + if self.phase == Phase::Idle { self.idle } else { self.head };
        if until <= now {
            return Poll::Ready(Verdict::Over);
        }
        if self.phase != Phase::Head && stage == Stage::Here {
            until = until.min(since + LINGER);
            if until <= now {
                return Poll::Ready(Verdict::Ends);
            }
        }
        if self.phase == Phase::Idle && !self.rests {
            if since + REST <= now {
                self.rests = true;
                return Poll::Ready(Verdict::Rest);
            }
            until = until.min(since + REST);
        }
        if self.look <= now {
            self.look = now + WHILE;
            return Poll::Ready(Verdict::Look);
        }
        self.alarm.poll(cx, until.min(self.look)).map(|()| Verdict::Look)
    }

    /// Ready when nothing has moved for this long since then; whoever asks first begins it.
    pub(super) fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        stands: &mut Option<Instant>,
        patience: Duration,
    ) -> Poll<()> {
        self.alarm.poll(cx, *stands.get_or_insert_with(clock::now) + patience)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;
    use crate::clock::turns::Turns;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn time() -> Time {
        let limits =
            Limits { header_bytes: 1, headers: 1, head_timeout: HEAD, idle_timeout: IDLE, connections: 1, streams: 1 };
        Time::new(Instant::now(), &limits)
    }

    /// What is said next, and after how long, if nothing happens any more.
    async fn said(time: &mut Time, stage: Stage) -> (Verdict, Duration) {
        let (begun, mut turns) = (Instant::now(), Turns::default());
        loop {
            match poll_fn(|cx| turns.poll(cx, |cx| time.poll(cx, stage))).await {
                Verdict::Look => {}
                verdict => return (verdict, begun.elapsed()),
            }
        }
    }

    /// Time passes, and the connection is looked at meanwhile.
    async fn pass(time: &mut Time, span: Duration) {
        let _ = timeout(span, async {
            loop {
                said(time, Stage::Far).await;
            }
        })
        .await;
    }

    #[track_caller]
    fn assert_about((verdict, after): (Verdict, Duration), wanted: Verdict, span: Duration) {
        assert_eq!(verdict, wanted);
        assert!(after >= span && after <= span + Duration::from_millis(10), "{after:?} instead of {span:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_time_of_a_head_and_bytes_buy_no_more() {
        assert_about(said(&mut time(), Stage::Far).await, Verdict::Over, HEAD);
        let mut time = time();
        for _ in 0..9 {
            advance(SECOND).await;
            time.heard();
        }
        assert_about(said(&mut time, Stage::Near).await, Verdict::Over, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_rests_once_and_has_its_time() {
        let mut time = time();
        time.answered();
        assert_about(said(&mut time, Stage::Far).await, Verdict::Rest, REST);
        assert_about(said(&mut time, Stage::Far).await, Verdict::Over, IDLE - REST);
        time.answered();
        assert_about(said(&mut time, Stage::Far).await, Verdict::Rest, REST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_after_that_starts_the_time_of_a_head() {
        let mut time = time();
        time.answered();
        pass(&mut time, 30 * SECOND).await;
        time.heard();
        pass(&mut time, 4 * SECOND).await;
        time.heard();
        assert_about(said(&mut time, Stage::Far).await, Verdict::Over, 6 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_only_a_head_that_was_begun_is_waited_for() {
        assert_about(said(&mut time(), Stage::Here).await, Verdict::Ends, LINGER);
        let mut idle = time();
        idle.answered();
        pass(&mut idle, SECOND).await;
        assert_about(said(&mut idle, Stage::Here).await, Verdict::Ends, Duration::ZERO);
        let mut begun = time();
        begun.heard();
        assert_about(said(&mut begun, Stage::Here).await, Verdict::Over, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_given_up_when_that_is_long() {
        let (mut time, mut turns, mut stands, begun) = (time(), Turns::default(), None, Instant::now());
        poll_fn(|cx| turns.poll(cx, |cx| time.poll_patience(cx, &mut stands, IDLE))).await;
        assert_about((Verdict::Over, begun.elapsed()), Verdict::Over, IDLE);
        stands = None;
        assert!(timeout(IDLE - SECOND, poll_fn(|cx| time.poll_patience(cx, &mut stands, IDLE))).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_limits_are_looked_at_once_in_a_while() {
        let (mut time, mut turns, begun) = (time(), Turns::default(), Instant::now());
        for looks in 1..=4 {
            assert_eq!(poll_fn(|cx| turns.poll(cx, |cx| time.poll(cx, Stage::Far))).await, Verdict::Look);
            assert_eq!(begun.elapsed(), looks * WHILE);
        }
    }
}
