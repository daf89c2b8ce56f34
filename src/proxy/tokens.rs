//! Tokens that were signed this second: the same visitor at the same version gets the same text again.
//!
//! A token is kept under everything that shapes it: the upstream, the second, and the stamp of the record, which changes
//! with every write. Each shard has its own; nothing here outlives a second in use.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use quick_cache::sync::Cache;

use super::tally::{Signing, Tally};
use crate::{
    envelope::Claims,
    session::{Handle, record::Nonce},
    store::commit::Session,
};

/// Sessions whose tokens one shard keeps.
const KEPT: usize = 4096;

#[derive(Clone)]
struct Signed {
    second: u64,
    write: (u64, Option<Nonce>),
    token: HeaderValue,
}

/// One shard's tokens.
pub struct Tokens {
    nobody: Vec<Mutex<Option<(u64, HeaderValue)>>>,
    sessions: Cache<(usize, Handle), Signed>,
    tally: Arc<Tally>,
}

impl Tokens {
    /// For so many upstreams.
    pub fn new(upstreams: usize, tally: Arc<Tally>) -> Self {
        let nobody = (0..upstreams).map(|_| Mutex::new(None)).collect();
        Self { nobody, sessions: Cache::new(KEPT), tally }
    }

    /// The token of all visitors without a session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub fn of_nobody<E>(
        &self,
        upstream: usize,
        second: u64,
        seal: impl FnOnce(Claims<'_>) -> Result<HeaderValue, E>,
    ) -> Result<HeaderValue, E> {
        let mut kept = self.nobody[upstream].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = kept.as_ref().filter(|(signed, _)| *signed == second) {
            self.tally.signed.count(Signing::Kept);
            return Ok(token.clone());
        }
        self.tally.signed.count(Signing::Fresh);
        let token = seal(Claims::Anonymous)?;
        *kept = Some((second, token.clone()));
        Ok(token)
    }

    /// The token of a live session.
    ///
    /// # Errors
    /// Those of `seal`.
    pub fn of_session<E>(
        &self,
        upstream: usize,
        session: &Session,
        second: u64,
        seal: impl FnOnce(Claims<'_>) -> Result<HeaderValue, E>,
    ) -> Result<HeaderValue, E> {
        // What the stamp is made of.
        let write = (session.record.version, session.record.writes.first().copied());
        let key = (upstream, session.handle);
        if let Some(kept) = self.sessions.get(&key)
            && (kept.second, kept.write) == (second, write)
        {
            self.tally.signed.count(Signing::Kept);
            return Ok(kept.token);
        }
        self.tally.signed.count(Signing::Fresh);
        let token = seal(Claims::Session(&session.handle, &session.record))?;
        self.sessions.insert(key, Signed { second, write, token: token.clone() });
        Ok(token)
    }
}
