//! Listing Redis: one `SCAN` over the session keys, then their values and expiries in one round trip. The server looks at
//! about as many keys as the page may hold, whoever they belong to.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{Redis, entry, value_of};
use crate::{
    session::{
        Handle,
        record::{STAMP_LEN, Stamp},
    },
    store::{
        Entry, StoreError,
        listing::{Cursor, Page, Place},
    },
};

/// What `PTTL` says of a key that never expires.
const NEVER: Value = Value::Int(-1);

/// What one `SCAN` came upon.
struct Met {
    handles: Vec<Handle>,
    strangers: usize,
    next: Option<Cursor>,
}

impl Redis {
    pub(in crate::store) async fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let Met { handles, strangers, next } = self.met(cursor, limit).await?;
        Ok(Page { strangers, entries: self.read_all(&handles).await?, next })
    }

    /// How many of a page's sessions live: of each value only the stamp is read.
    pub(in crate::store) async fn living(
        &self,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(usize, Option<Cursor>), StoreError> {
        let Met { handles, next, .. } = self.met(cursor, limit).await?;
        if handles.is_empty() {
            return Ok((0, next));
        }
        let stamp = |handle| Cmd::getrange(self.key(handle), 0, STAMP_LEN as isize - 1);
        let commands: Vec<Cmd> = handles.iter().map(stamp).collect();
        let mut living = 0;
        for reply in self.ask(&commands, self.deadline()).await?.replies {
            living += usize::from(match reply {
                Value::BulkString(stamp) => Stamp::of(&stamp).is_some_and(|stamp| stamp.is_live()),
                Value::ServerError(error) if error.code() == "WRONGTYPE" => false,
                other => return value_of(other).and(Err(StoreError::Nonsense)),
            });
        }
        Ok((living, next))
    }

    /// The keys of a page.
    async fn met(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Met, StoreError> {
        let begin = match cursor.map(|cursor| cursor.0) {
            Some(Place::Number(number)) => number,
            Some(Place::After(_)) | None => 0,
        };
        let prefix = format!("{}s:", self.server.prefix);
        let mut scan = redis::cmd("SCAN");
        scan.arg(begin).arg("MATCH").arg(format!("{}*", literally(&prefix))).arg("COUNT").arg(limit.max(1));
        let (next, keys) = scanned(value_of(self.ask(&[scan], self.deadline()).await?.only()?)?)?;
        let found = keys.len();
        let handles: Vec<Handle> = keys.iter().filter_map(|key| handle_of(key, &prefix)).collect();
        let next = (next != 0).then_some(Cursor(Place::Number(next)));
        Ok(Met { strangers: found - handles.len(), handles, next })
    }

    /// What is still there of these, with what is left of its life.
    async fn read_all(&self, handles: &[Handle]) -> Result<Vec<(Handle, Entry)>, StoreError> {
        if handles.is_empty() {
            return Ok(Vec::new());
        }
        let keys = handles.iter().map(|handle| self.key(handle));
        let commands: Vec<Cmd> = keys.flat_map(|key| [Cmd::get(&key), Cmd::pttl(&key)]).collect();
        let mut replies = self.ask(&commands, self.deadline()).await?.replies.into_iter();
        let mut entries = Vec::with_capacity(handles.len());
        for handle in handles {
            let (value, life) = (replies.next(), replies.next());
            let stays = life.as_ref() == Some(&NEVER);
            if let Some(entry) = entry(value, life)? {
                entries.push((*handle, Entry { left: if stays { Duration::MAX } else { entry.left }, ..entry }));
            }
        }
        Ok(entries)
    }
}

/// A pattern that matches this text and nothing else.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// The reply to `SCAN`: where to go on, and keys.
fn scanned(reply: Value) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
    let Value::Array(parts) = reply else { return Err(StoreError::Nonsense) };
    let Ok([Value::BulkString(next), Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else {
        return Err(StoreError::Nonsense);
    };
    let next = std::str::from_utf8(&next).ok().and_then(|digits| digits.parse().ok()).ok_or(StoreError::Nonsense)?;
    let keys = keys.into_iter().map(|key| match key {
        Value::BulkString(key) => Ok(key),
        _ => Err(StoreError::Nonsense),
    });
    Ok((next, keys.collect::<Result<_, _>>()?))
}

fn handle_of(key: &[u8], prefix: &str) -> Option<Handle> {
    Handle::parse(std::str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_matched_as_it_is_written() {
        for (text, pattern) in
            [("cloakroom:s:", "cloakroom:s:"), ("a*b?s:", r"a\*b\?s:"), (r"[x]\^s:", r"\[x\]\\\^s:"), ("ü:s:", "ü:s:")]
        {
            assert_eq!(literally(text), pattern);
        }
    }

    #[test]
    fn what_is_no_answer_to_a_scan_is_nonsense() {
        let text = |text: &str| Value::BulkString(text.into());
        let key = || Value::Array(vec![text("a")]);
        assert_eq!(scanned(Value::Array(vec![text("17"), key()])), Ok((17, vec![b"a".to_vec()])));
        for reply in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![text("17")]),
            Value::Array(vec![text("-1"), key()]),
            Value::Array(vec![key(), text("17")]),
            Value::Array(vec![text("0"), Value::Array(vec![Value::Nil])]),
        ] {
            assert_eq!(scanned(reply.clone()), Err(StoreError::Nonsense), "{reply:?}");
        }
    }
}
