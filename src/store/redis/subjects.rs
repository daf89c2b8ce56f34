//! The subject index in Redis: a sorted set of handles by deadline, and the epoch beside it. Both keys share a hash tag
//! and carry a digest of the subject, not its name.

use std::time::Duration;

use aws_lc_rs::digest;
use redis::{Cmd, Value};

use super::{Program, Redis, value_of};
use crate::{
    session::{Handle, Timestamp, time::millis},
    store::{StoreError, index::Epoch},
};

/// Longer than any save takes: the epoch matters while one is under way.
const EPOCH_LIFE: Duration = Duration::from_secs(3600);

/// `KEYS`: index, epoch; `ARGV`: now, deadline, handle, life in milliseconds.
const ENTER: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return redis.call('GET', KEYS[2])";

pub(super) fn enter() -> Program {
    Program::new(ENTER.to_owned())
}

impl Redis {
    pub(in crate::store) async fn enter_index(
        &self,
        subject: &str,
        handle: &Handle,
        deadline: Timestamp,
    ) -> Result<Epoch, StoreError> {
        let now = self.now();
        let life = millis(deadline.since(now)).max(1);
        let (index, epoch) = self.subject_keys(subject);
        let arguments = [now.0.to_string(), deadline.0.to_string(), handle.to_string(), life.to_string()];
        let arguments = arguments.each_ref().map(String::as_bytes);
        let reply = self.script(&self.server.enter, &[&index, &epoch], &arguments).await?.only()?;
        epoch_of(reply)
    }

    pub(in crate::store) async fn leave_index(&self, subject: &str, handle: &Handle) -> Result<(), StoreError> {
        let (index, _) = self.subject_keys(subject);
        let answer = self.ask(&[Cmd::zrem(index, handle.as_str())], self.deadline()).await?;
        value_of(answer.only()?).map(drop)
    }

    pub(in crate::store) async fn epoch(&self, subject: &str) -> Result<Epoch, StoreError> {
        let (_, epoch) = self.subject_keys(subject);
        epoch_of(self.ask(&[Cmd::get(epoch)], self.deadline()).await?.only()?)
    }

    /// The epoch is set before the index is read: one round trip, in this order.
    pub(in crate::store) async fn raise_epoch(&self, subject: &str, epoch: u64) -> Result<Vec<Handle>, StoreError> {
        let (index, key) = self.subject_keys(subject);
        let mut raise = redis::cmd("SET");
        raise.arg(key).arg(epoch).arg("PX").arg(millis(EPOCH_LIFE));
        let mut replies = self.ask(&[raise, Cmd::zrange(index, 0, -1)], self.deadline()).await?.replies;
        let (listed, raised) = (replies.pop(), replies.pop());
        value_of(raised.ok_or(StoreError::Nonsense)?)?;
        let Value::Array(listed) = value_of(listed.ok_or(StoreError::Nonsense)?)? else {
            return Err(StoreError::Nonsense);
        };
        Ok(listed.iter().filter_map(handle_of).collect())
    }

    fn subject_keys(&self, subject: &str) -> (String, String) {
        let digest = digest::digest(&digest::SHA256, subject.as_bytes());
        let name: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let prefix = &self.server.prefix;
        (format!("{prefix}u:{{{name}}}"), format!("{prefix}e:{{{name}}}"))
    }
}

fn handle_of(member: &Value) -> Option<Handle> {
    match member {
        Value::BulkString(text) => Handle::parse(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

fn epoch_of(reply: Value) -> Result<Epoch, StoreError> {
    match value_of(reply)? {
        Value::Nil | Value::Boolean(false) => Ok(Epoch(None)),
        Value::BulkString(digits) => {
            let number = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok());
            number.map(|epoch| Epoch(Some(epoch))).ok_or(StoreError::Nonsense)
        }
        _ => Err(StoreError::Nonsense),
    }
}
