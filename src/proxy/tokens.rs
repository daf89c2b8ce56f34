//! Tokens that were signed this second: the same visitor with the same record gets the same text again.
//!
//! A token is kept under everything that shapes it: with the record that it tells of, by upstream, for a second. Each
//! shard has its own.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    known::Guest,
    tally::{Signing, Tally},
};
use crate::{envelope::Claims, upstream::Postscript};

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
    second: u64,
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
        second: u64,
        seal: impl FnOnce(Claims<'_>) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        self.at(&self.nobody[upstream], upstream, second, || seal(Claims::Anonymous))
    }

    /// The token of a live session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub(super) fn of_session<E>(
        &self,
        upstream: usize,
        guest: &Guest,
        second: u64,
        seal: impl FnOnce(Claims<'_>) -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        self.at(guest.tokens(), upstream, second, || seal(Claims::Session(guest.handle(), guest.record())))
    }

    fn at<E>(
        &self,
        signed: &Signed,
        upstream: usize,
        second: u64,
        sign: impl FnOnce() -> Result<Postscript, E>,
    ) -> Result<Postscript, E> {
        let mut kept = signed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.find(upstream).filter(|found| found.second == second) {
            self.tally.signed.count(Signing::Kept);
            return Ok(found.token.clone());
        }
        self.tally.signed.count(Signing::Fresh);
        let token = sign()?;
        kept.put(Signature { upstream, second, token: token.clone() });
        Ok(token)
    }
}

impl Kept {
    fn find(&self, upstream: usize) -> Option<&Signature> {
        self.first.iter().chain(&self.more).find(|kept| kept.upstream == upstream)
    }

    fn put(&mut self, signature: Signature) {
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

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::proxy::Tallies;

    fn line(number: u64) -> Postscript {
        Postscript::new(&HeaderName::from_static("x-session"), HeaderValue::from(number).as_bytes())
    }

    #[test]
    fn a_token_is_signed_once_for_each_upstream_and_second() {
        let tally = Arc::new(Tallies::default()).open();
        let (tokens, signed, mut times) = (Tokens::new(3, Arc::clone(&tally)), Signed::default(), 0);
        let mut token = |upstream, second| {
            let sign = || {
                times += 1;
                Ok::<_, ()>(line(100 * upstream as u64 + second))
            };
            tokens.at(&signed, upstream, second, sign).unwrap()
        };
        for second in [1, 2, 3] {
            for upstream in [0, 2, 1, 0, 1, 2, 0] {
                assert_eq!(token(upstream, second).value(), line(100 * upstream as u64 + second).value());
            }
        }
        assert_eq!(times, 9);
        let counted = [Signing::Fresh, Signing::Kept].map(|signing| tally.signed.of(signing).total());
        assert_eq!(counted, [9, 12]);
    }

    #[test]
    fn what_could_not_be_signed_is_not_kept() {
        let (tokens, signed) = (Tokens::new(1, Arc::new(Tallies::default()).open()), Signed::default());
        assert!(tokens.at(&signed, 0, 1, || Err(())).is_err());
        assert_eq!(tokens.at(&signed, 0, 1, || Ok::<_, ()>(line(7))).unwrap().value(), b"7");
    }
}
