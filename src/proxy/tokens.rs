//! Tokens that were signed this second: the same visitor with the same record gets the same text again.
//!
//! A token is kept under everything that shapes it: with the record that it tells of, by upstream, up to the end of the
//! second that it names. How far off that is says the time of day when the first one is signed in it; whether it has passed,
//! the clock of the turn. Each shard has its own.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use super::{
    known::Guest,
    tally::{Signing, Tally},
};
use crate::{clock, envelope::Claims, store::commit::Live, upstream::Postscript};

const SECOND: Duration = Duration::from_secs(1);

/// The last tokens that say the same thing, one for each upstream that was told it.
#[derive(Default)]
pub(super) struct Signed(Mutex<Kept>);

/// Nearly always there is one upstream. In this order: the others are not looked at then.
#[derive(Default)]
#[repr(C)]
struct Kept {
    first: Option<Signature>,
    more: Vec<Signature>,
}

struct Signature {
    upstream: usize,
    until: Instant,
    token: Postscript,
}

/// One shard's tokens.
pub struct Tokens {
    nobody: Vec<Signed>,
    tally: Arc<Tally>,
}

impl Tokens {
    /// For so many upstreams.
    pub fn new(upstreams: usize, tally: Arc<Tally>) -> Self {
        Self { nobody: (0..upstreams).map(|_| Signed::default()).collect(), tally }
    }

    /// The token of all visitors without a session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub fn of_nobody<E>(
        &self,
        upstream: usize,
        seal: impl FnOnce(Claims<'_>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        self.at(&self.nobody[upstream], upstream, since_epoch, |second| seal(Claims::Anonymous, second))
    }

    /// The token of a live session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub(super) fn of_session<E>(
        &self,
        upstream: usize,
        guest: &Guest,
        seal: impl FnOnce(Claims<'_>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let claims = Claims::Session(guest.handle(), guest.record());
        self.at(guest.tokens(), upstream, since_epoch, |second| seal(claims, second))
    }

    fn at<E>(
        &self,
        signed: &Signed,
        upstream: usize,
        time_of_day: impl FnOnce() -> Duration,
        sign: impl FnOnce(u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let now = clock::now();
        let mut kept = signed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.find(upstream).filter(|found| now < found.until) {
            self.tally.signed.count(Signing::Kept);
            return Ok(found.token.clone());
        }
        self.tally.signed.count(Signing::Fresh);
        let (second, until) = second_at(now, time_of_day);
        let token = sign(second)?;
        kept.put(Signature { upstream, until, token: token.clone() }, now);
        Ok(token)
    }
}

thread_local! {
    /// The second that this thread signed in last, and its end.
    static LAST: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

/// Which second it is, and its end: the time of day is read once in it.
fn second_at(now: Instant, time_of_day: impl FnOnce() -> Duration) -> (u64, Instant) {
    if let Some(last) = LAST.get().filter(|(_, until)| now < *until) {
        return last;
    }
    let time = time_of_day();
    let second = (time.as_secs(), now + SECOND.saturating_sub(Duration::from_nanos(time.subsec_nanos().into())));
    LAST.set(Some(second));
    second
}

impl Kept {
    fn find(&self, upstream: usize) -> Option<&Signature> {
        self.first.iter().chain(&self.more).find(|kept| kept.upstream == upstream)
    }

    fn put(&mut self, signature: Signature, now: Instant) {
        self.more.retain(|kept| now < kept.until);
        let is_old = |kept: &&mut Signature| kept.upstream == signature.upstream;
        match self.first.iter_mut().chain(&mut self.more).find(is_old) {
            Some(old) => *old = signature,
            None => match self.first {
                None => self.first = Some(signature),
                Some(_) => self.more.push(signature),
            },
        }
    }
}

/// Seconds since the epoch by our own clock: what applications hold tokens against.
pub fn unix_now() -> u64 {
    since_epoch().as_secs()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::proxy::Tallies;

    fn line(number: u64) -> Postscript {
        Postscript::new(format!("x-session: {number}\r\n").into_bytes().into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_signed_once_a_second_for_each_upstream() {
        let tally = Arc::new(Tallies::default()).open();
        let (tokens, signed, read) = (Tokens::new(3, Arc::clone(&tally)), Signed::default(), Cell::new(0));
        for second in [1, 2, 3] {
            for part in 0..4 {
                for upstream in [0, 2, 1, 1, 0] {
                    let number = |part| 100 * upstream as u64 + 10 * second + part;
                    let sign = |_| Ok::<_, ()>(line(number(part)));
                    let time_of_day = || {
                        read.update(|count| count + 1);
                        Duration::from_secs(second)
                    };
                    let token = tokens.at(&signed, upstream, time_of_day, sign).unwrap();
                    assert_eq!(token.value(), line(number(0)).value());
                }
                advance(SECOND / 4).await;
            }
        }
        let counted = [Signing::Fresh, Signing::Kept].map(|signing| tally.signed.of(signing).total());
        assert_eq!((counted, read.get()), ([9, 51], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_no_longer_than_the_second_that_it_names() {
        let tally = Arc::new(Tallies::default()).open();
        let (tokens, signed) = (Tokens::new(2, Arc::clone(&tally)), Signed::default());
        let mut time = Duration::from_millis(10_950);
        for (step, upstream, second) in [(0, 0, 10), (40, 0, 10), (20, 0, 11), (0, 1, 11), (900, 0, 11), (900, 0, 12)] {
            advance(Duration::from_millis(step)).await;
            time += Duration::from_millis(step);
            let token = tokens.at(&signed, upstream, || time, |second| Ok::<_, ()>(line(second))).unwrap();
            assert_eq!(token.value(), line(second).value(), "at {time:?}");
        }
        assert_eq!(signed.0.lock().unwrap().more.len(), 0, "what nobody is told any more is forgotten");
    }

    #[test]
    fn what_could_not_be_signed_is_not_kept() {
        let (tokens, signed) = (Tokens::new(1, Arc::new(Tallies::default()).open()), Signed::default());
        assert!(tokens.at(&signed, 0, || SECOND, |_| Err(())).is_err());
        assert_eq!(tokens.at(&signed, 0, || SECOND, |second| Ok::<_, ()>(line(6 + second))).unwrap().value(), b"7");
    }
}
