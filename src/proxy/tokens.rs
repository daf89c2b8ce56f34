//! Tokens that were signed this second: the same visitor with the same record gets the same text again.
//!
//! A token is kept under everything that shapes it: with the record that it tells of, by upstream and by the second that it
//! names. Which second it is says the time of day when it is asked first; whether that has passed, the clock of the turn.
//! What all tokens of one upstream and second begin with is kept once. Each shard has its own.

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
use crate::{
    clock,
    envelope::{Claims, Opening},
    store::commit::Live,
    upstream::Postscript,
};

const SECOND: Duration = Duration::from_secs(1);

/// The last tokens that say the same thing, one for each upstream that was told it.
#[derive(Default)]
pub(super) struct Signed(Mutex<Kept>);

/// All of one second. Nearly always there is one upstream: what is for others takes a pointer until there are some.
#[derive(Default)]
#[repr(C)]
struct Kept {
    first: Option<Signature>,
    #[expect(clippy::box_collection, reason = "each visitor has one, and hardly any of them is ever filled")]
    more: Option<Box<Vec<Signature>>>,
}

/// Upstream and second as far as they tell tokens of one record apart.
struct Signature {
    upstream: u32,
    second: u32,
    token: Postscript,
}

/// One shard's tokens.
pub struct Tokens {
    upstreams: Vec<Upstream>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Upstream {
    nobody: Signed,
    opening: Mutex<Option<Opening>>,
}

impl Tokens {
    /// For so many upstreams.
    pub fn new(upstreams: usize, tally: Arc<Tally>) -> Self {
        Self { upstreams: (0..upstreams).map(|_| Upstream::default()).collect(), tally }
    }

    /// A token that is not kept.
    ///
    /// # Errors
    /// Those of `seal`.
    pub(super) fn once<E>(
        &self,
        upstream: usize,
        claims: Claims<'_>,
        seal: impl FnOnce(&mut Option<Opening>, Claims<'_>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        self.sign(upstream, second_at(clock::now(), since_epoch), |opening, second| seal(opening, claims, second))
    }

    /// The token of all visitors without a session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub fn of_nobody<E>(
        &self,
        upstream: usize,
        seal: impl FnOnce(&mut Option<Opening>, Claims<'_>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let nobody = &self.upstreams[upstream].nobody;
        self.at(nobody, upstream, since_epoch, |opening, second| seal(opening, Claims::Anonymous, second))
    }

    /// The token of a live session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub(super) fn of_session<E>(
        &self,
        upstream: usize,
        guest: &Guest,
        seal: impl FnOnce(&mut Option<Opening>, Claims<'_>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let claims = Claims::Session(guest.handle(), guest.record());
        self.at(guest.tokens(), upstream, since_epoch, |opening, second| seal(opening, claims, second))
    }

    fn at<E>(
        &self,
        signed: &Signed,
        upstream: usize,
        time_of_day: impl FnOnce() -> Duration,
        sign: impl FnOnce(&mut Option<Opening>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let now = second_at(clock::now(), time_of_day);
        let place = (upstream as u32, now as u32);
        let mut kept = signed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.find(place) {
            self.tally.signed.count(Signing::Kept);
            return Ok(token.clone());
        }
        self.tally.signed.count(Signing::Fresh);
        let token = self.sign(upstream, now, sign)?;
        kept.put(place, token.clone());
        Ok(token)
    }

    fn sign<E>(
        &self,
        upstream: usize,
        second: u64,
        sign: impl FnOnce(&mut Option<Opening>, u64) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let mut opening = self.upstreams[upstream].opening.lock().unwrap_or_else(PoisonError::into_inner);
        sign(&mut opening, second)
    }
}

thread_local! {
    /// The second that this thread was in last, and its end.
    static LAST: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

/// Which second it is: the time of day is read once in it.
fn second_at(now: Instant, time_of_day: impl FnOnce() -> Duration) -> u64 {
    if let Some((second, _)) = LAST.get().filter(|(_, until)| now < *until) {
        return second;
    }
    let time = time_of_day();
    let until = now + SECOND.saturating_sub(Duration::from_nanos(time.subsec_nanos().into()));
    LAST.set(Some((time.as_secs(), until)));
    time.as_secs()
}

impl Kept {
    fn find(&self, (upstream, second): (u32, u32)) -> Option<&Postscript> {
        let first = self.first.as_ref().filter(|first| first.second == second)?;
        if first.upstream == upstream {
            return Some(&first.token);
        }
        self.more.as_ref()?.iter().find(|kept| kept.upstream == upstream).map(|kept| &kept.token)
    }

    /// One that is not there.
    fn put(&mut self, (upstream, second): (u32, u32), token: Postscript) {
        let signature = Signature { upstream, second, token };
        if self.first.as_ref().is_some_and(|first| first.second == second) {
            self.more.get_or_insert_default().push(signature);
        } else {
            *self = Self { first: Some(signature), more: None };
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
    use std::{collections::HashMap, mem::size_of};

    use tokio::time::advance;
    use triomphe::ThinArc;

    use super::{
        super::known::tests::{record, ticket},
        *,
    };
    use crate::{
        envelope::{Algorithm, Audience, Sealed, Sealer, Settings, SigningKey},
        proxy::Tallies,
        session::{Handle, record::Record},
    };

    fn line(number: u64) -> Postscript {
        let shared = ThinArc::from_header_and_slice("x-session".len(), b"x-session: ");
        Postscript::new(ThinArc::from_header_and_slice(shared, format!("{number}\r\n").as_bytes()))
    }

    fn text(token: &Postscript) -> String {
        let mut text = Vec::new();
        token.write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_visitor_has_little_room_for_tokens() {
        assert!(size_of::<Signed>() <= 32);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_signed_once_a_second_for_each_upstream() {
        let tally = Arc::new(Tallies::default()).open();
        let (tokens, signed, read) = (Tokens::new(3, Arc::clone(&tally)), Signed::default(), Cell::new(0));
        for second in [1, 2, 3] {
            for part in 0..4 {
                for upstream in [0, 2, 1, 1, 0] {
                    let number = |part| 100 * upstream as u64 + 10 * second + part;
                    let sign = |_: &mut _, _| Ok::<_, ()>(line(number(part)));
                    let time_of_day = || {
                        read.update(|count| count + 1);
                        Duration::from_secs(second)
                    };
                    let token = tokens.at(&signed, upstream, time_of_day, sign).unwrap();
                    assert_eq!(text(&token), text(&line(number(0))));
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
            let token = tokens.at(&signed, upstream, || time, |_, second| Ok::<_, ()>(line(second))).unwrap();
            assert_eq!(text(&token), text(&line(second)), "at {time:?}");
        }
        assert!(signed.0.lock().unwrap().more.is_none(), "what nobody is told any more is forgotten");
    }

    #[test]
    fn what_could_not_be_signed_is_not_kept() {
        let (tokens, signed) = (Tokens::new(1, Arc::new(Tallies::default()).open()), Signed::default());
        assert!(tokens.at(&signed, 0, || SECOND, |_, _| Err(())).is_err());
        let token = tokens.at(&signed, 0, || SECOND, |_, second| Ok::<_, ()>(line(6 + second))).unwrap();
        assert_eq!(text(&token), text(&line(7)));
    }

    fn sealer(key: u8) -> Sealer {
        let settings = Settings {
            header: "x-session".parse().unwrap(),
            update_header: "x-session-update".parse().unwrap(),
            control_header: "x-session-control".parse().unwrap(),
            issuer: "cloakroom".to_owned(),
            lifetime: 60 * SECOND,
            max_bytes: 4096,
            algorithm: Algorithm::Hs256,
            keys: vec![SigningKey { id: Some("k".to_owned()), secret: vec![key; 32] }],
        };
        Sealer::new(&settings).unwrap().unwrap()
    }

    /// A session, and who is logged in there.
    fn session(seed: u8) -> (Handle, Record) {
        let ticket = ticket(seed);
        let record = Record { subject: Some("x".repeat(seed.into())), ..record(&ticket) };
        (ticket.locator.handle(), record)
    }

    /// Two shards with keys of their own, of whose visitors each goes to both upstreams.
    #[tokio::test(start_paused = true)]
    async fn tokens_begin_with_the_same_text_if_upstream_second_and_shard_are_the_same_and_only_then() {
        let shards = [1, 2].map(|key| (sealer(key), Tokens::new(2, Arc::new(Tallies::default()).open())));
        let audiences = ["app", "api"].map(|name| Audience::new(name, None));
        let sessions = [3, 4, 5].map(session);
        let kept: Vec<Vec<Signed>> = (0..2).map(|_| (0..4).map(|_| Signed::default()).collect()).collect();
        let mut sealed: Vec<((usize, usize, u64), Sealed)> = Vec::new();
        for second in [10, 11, 12] {
            let order = (0..48).map(|step| (step % 2, step / 2 % 2, step / 4 % 4));
            for (shard, upstream, visitor) in order {
                let (sealer, tokens) = &shards[shard];
                let session: Option<&(Handle, Record)> = sessions.get(visitor);
                let claims = session.map_or(Claims::Anonymous, |(handle, record)| Claims::Session(handle, record));
                let sign = |opening: &mut _, second| {
                    let line = sealer.seal(opening, &audiences[upstream], claims, second)?;
                    sealed.push(((shard, upstream, second), line.clone()));
                    Ok::<_, aws_lc_rs::error::Unspecified>(Postscript::new(line))
                };
                let time_of_day = || Duration::from_secs(second);
                let token = tokens.at(&kept[shard][visitor], upstream, time_of_day, sign).unwrap();
                let token = text(&token).trim_end().replace("x-session: ", "");
                let verified = sealer.verify(&token, second + 59).unwrap();
                assert_eq!(verified.audience, audiences[upstream].name());
                assert_eq!(verified.sid.as_deref(), session.map(|(handle, _)| handle.as_str()));
                assert!(
                    sealer.verify(&token, second + 60).is_err() && shards[1 - shard].0.verify(&token, second).is_err()
                );
            }
            advance(SECOND).await;
        }
        assert_eq!(sealed.len(), 2 * 2 * 4 * 3, "each is signed once a second");
        let (mut beginnings, mut places) = (HashMap::new(), HashMap::new());
        for (place, line) in &sealed {
            let beginning = line.header.header.slice.as_ptr();
            assert_eq!(*beginnings.entry(place).or_insert(beginning), beginning);
            assert_eq!(*places.entry(beginning).or_insert(place), place);
        }
    }
}
