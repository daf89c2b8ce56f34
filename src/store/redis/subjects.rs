//! The subject index in Redis: a sorted set of handles by deadline, and the epoch beside it. Both keys share a hash tag
//! and carry the subject's label, not its name.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{Program, Redis, value_of};
use crate::{
    session::{Handle, Timestamp, time::millis},
    store::{
        StoreError,
        index::{Epochs, Label},
    },
};

/// Longer than any save takes: the epoch matters while one is under way.
const EPOCH_LIFE: Duration = Duration::from_secs(3600);

/// Sessions of a subject that are listed in one reply, more or less: the server is not held up by a subject with many.
const PAGE: usize = 1000;

/// `KEYS`: index, epochs; `ARGV`: now, deadline, handle, life in milliseconds.
const ENTER: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local epochs = {}
for place = 2, #KEYS do
  epochs[place - 1] = redis.call('GET', KEYS[place])
end
return epochs";

pub(super) fn enter() -> Program {
    Program::new(ENTER.to_owned())
}

impl Redis {
    pub(in crate::store) async fn enter_index(
        &self,
        labels: &[Label],
        handle: &Handle,
        deadline: Timestamp,
    ) -> Result<Epochs, StoreError> {
        let now = self.now();
        let life = millis(deadline.since(now)).max(1);
        let index = labels.first().map(|label| self.index_key(label)).ok_or(StoreError::Nonsense)?;
        let epochs: Vec<String> = labels.iter().map(|label| self.epoch_key(label)).collect();
        let keys: Vec<&str> = std::iter::once(&index).chain(&epochs).map(String::as_str).collect();
        let arguments = [now.0.to_string(), deadline.0.to_string(), handle.to_string(), life.to_string()];
        let arguments = arguments.each_ref().map(String::as_bytes);
        match value_of(self.script(&self.server.enter, &keys, &arguments).await?.only()?)? {
            Value::Array(found) if found.len() == labels.len() => epochs_of(found),
            _ => Err(StoreError::Nonsense),
        }
    }

    pub(in crate::store) async fn leave_index(&self, labels: &[Label], handle: &Handle) -> Result<(), StoreError> {
        let leave = |label| Cmd::zrem(self.index_key(label), handle.as_str());
        let commands: Vec<Cmd> = labels.iter().map(leave).collect();
        let replies = self.ask(&commands, self.deadline()).await?.replies;
        replies.into_iter().try_for_each(|reply| value_of(reply).map(drop))
    }

    pub(in crate::store) async fn epochs(&self, labels: &[Label]) -> Result<Epochs, StoreError> {
        let commands: Vec<Cmd> = labels.iter().map(|label| Cmd::get(self.epoch_key(label))).collect();
        epochs_of(self.ask(&commands, self.deadline()).await?.replies)
    }

    /// The epochs are set before the indexes are read: in one round trip, unless there are many sessions.
    pub(in crate::store) async fn raise_epoch(&self, labels: &[Label], epoch: u64) -> Result<Vec<Handle>, StoreError> {
        let raise = |label| {
            let mut command = redis::cmd("SET");
            command.arg(self.epoch_key(label)).arg(epoch).arg("PX").arg(millis(EPOCH_LIFE));
            command
        };
        self.walk(labels.iter().map(raise).collect(), labels).await
    }

    pub(in crate::store) async fn list_index(&self, labels: &[Label]) -> Result<Vec<Handle>, StoreError> {
        self.walk(Vec::new(), labels).await
    }

    /// Lists these indexes; the first page of each comes in one round trip with some other commands, which go before.
    /// Every page has its own time, and what was listed from the first page to the last is in one of them.
    async fn walk(&self, mut commands: Vec<Cmd>, labels: &[Label]) -> Result<Vec<Handle>, StoreError> {
        let others = commands.len();
        commands.extend(labels.iter().map(|label| self.page(label, b"0")));
        let mut replies = self.ask(&commands, self.deadline()).await?.replies;
        let pages = replies.split_off(others);
        replies.into_iter().try_for_each(|reply| value_of(reply).map(drop))?;
        let mut handles = Vec::new();
        for (label, page) in labels.iter().zip(pages) {
            let mut next = listed(page, &mut handles)?;
            while next != b"0" {
                let page = self.ask(&[self.page(label, &next)], self.deadline()).await?.only()?;
                next = listed(page, &mut handles)?;
            }
        }
        Ok(handles)
    }

    /// Asks for the part of a subject's index that begins at a cursor.
    fn page(&self, label: &Label, cursor: &[u8]) -> Cmd {
        let mut command = redis::cmd("ZSCAN");
        command.arg(self.index_key(label)).arg(cursor).arg("COUNT").arg(PAGE);
        command
    }

    fn index_key(&self, label: &Label) -> String {
        format!("{}u:{{{label}}}", self.server.prefix)
    }

    fn epoch_key(&self, label: &Label) -> String {
        format!("{}e:{{{label}}}", self.server.prefix)
    }
}

/// Takes the handles out of a page (members and their scores in turn); returns the cursor of the next one.
fn listed(page: Value, handles: &mut Vec<Handle>) -> Result<Vec<u8>, StoreError> {
    let Value::Array(parts) = value_of(page)? else { return Err(StoreError::Nonsense) };
    let [Value::BulkString(cursor), Value::Array(members)] = parts.as_slice() else { return Err(StoreError::Nonsense) };
    handles.extend(members.iter().step_by(2).filter_map(handle_of));
    Ok(cursor.clone())
}

fn handle_of(member: &Value) -> Option<Handle> {
    match member {
        Value::BulkString(text) => Handle::parse(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

fn epochs_of(replies: Vec<Value>) -> Result<Epochs, StoreError> {
    replies.into_iter().map(epoch_of).collect::<Result<_, _>>().map(Epochs)
}

fn epoch_of(reply: Value) -> Result<Option<u64>, StoreError> {
    match value_of(reply)? {
        Value::Nil | Value::Boolean(false) => Ok(None),
        Value::BulkString(digits) => {
            let number = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok());
            number.map(Some).ok_or(StoreError::Nonsense)
        }
        _ => Err(StoreError::Nonsense),
    }
}
