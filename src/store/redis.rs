//! `redis://`: one string per session, `PX` expiry in the same command as the value, compare-and-set in a script.
//!
//! Reads are one round trip (`GET` and `PTTL` pipelined; now and then `TIME` beside them, for the store's clock
//! decides). Nothing is merged in Lua: `cjson` damages big numbers and empty arrays. A swap that is repeated after a
//! broken connection is safe, because a value that carries this write's stamp says that it was carried out.

mod clock;
mod complaints;
mod dial;
mod health;
mod mover;
mod probe;
mod reason;
mod refusal;
mod reply;
mod request;
mod scan;
mod subjects;
mod talk;
mod target;
mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
pub(super) use probe::cure_of;
use redis::{Cmd, Script, Value};
use tokio::time::Instant;
use tracing::debug;

pub(super) use complaints::Complaints;
pub(super) use dial::Dialer;
pub use target::{Password, Target, Unfit};
pub(super) use wire::Wire;

use super::{
    Entry, Last, Reading, Settings, StoreError, Swap,
    link::{Connection, Link, Reach},
    tally::{Again, Tally},
};
use crate::{
    clock as turn,
    session::{
        Handle, Timestamp,
        record::{STAMP_LEN, Stamp},
        time::millis,
    },
};
use clock::{Clock, time_of};
use refusal::{code, refused};
use request::{END, call, command, word};
use talk::{Expected, Silence};
use wire::write;

/// A connection that is found in the last fifth of a question's time would come too late for the answer: whoever waits
/// for one gives up before, so that the browser has the error within the time that was promised.
const LAST_PART: u32 = 5;
/// What a value and the words around it measure beside the session's data.
const BESIDE_DATA: u64 = 16 * 1024;

/// How to reach the server; shared by the shards.
pub struct Server {
    reach: Arc<Reach>,
    prefix: String,
    timeout: Duration,
    /// What a reply to one command may measure.
    largest: u64,
    complaints: Complaints,
    /// `GET` and `PTTL` of a session, up to its handle.
    reads: [Vec<u8>; 2],
    swap: OfSession,
    touch: OfSession,
    remove: OfSession,
    enter: Program,
}

/// A script and the digest under which the server remembers it.
struct Program {
    text: String,
    digest: String,
}

impl Program {
    fn new(text: String) -> Self {
        let digest = Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }
}

/// A script on one session.
struct OfSession {
    program: Program,
    /// Its call up to the session's handle.
    front: Vec<u8>,
}

impl OfSession {
    /// With so many arguments beside the session.
    fn new(text: &str, prefix: &str, arguments: usize) -> Self {
        let program = Program::new(text.replace("STAMP_LEN", &STAMP_LEN.to_string()));
        Self { front: request::call_front(&program.digest, prefix, arguments), program }
    }
}

impl Server {
    /// Prepares links to a server.
    ///
    /// # Errors
    /// TLS cannot be spoken like this.
    pub fn new(target: &Target, settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            reach: Arc::new(Reach::new(Dialer::new(target.clone(), settings.timeout)?)),
            largest: settings.value_bytes as u64 + BESIDE_DATA,
            complaints: Complaints::default(),
            reads: ["GET", "PTTL"].map(|verb| request::front(verb, &settings.prefix)),
            prefix: settings.prefix.clone(),
            timeout: settings.timeout,
            swap: OfSession::new(SWAP, &settings.prefix, 3),
            touch: OfSession::new(TOUCH, &settings.prefix, 2),
            remove: OfSession::new(REMOVE, &settings.prefix, 1),
            enter: subjects::enter(),
        })
    }
}

/// `KEYS[1]`: the session; `ARGV`: expected stamp (empty: nothing), value, life in milliseconds.
const SWAP: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, STAMP_LEN - 1) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

/// `KEYS[1]`: the session; `ARGV`: expected stamp.
const REMOVE: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, STAMP_LEN - 1) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 1
end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

/// `KEYS[1]`: the session; `ARGV`: expected stamp, life in milliseconds. Redis 6.2 has no `PEXPIRE ... GT`.
const TOUCH: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, STAMP_LEN - 1) == ARGV[1]
  and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1";

/// One shard's way to the server.
#[derive(Clone)]
pub struct Redis {
    server: Arc<Server>,
    link: Link,
    clock: Arc<Clock>,
    tally: Arc<Tally>,
}

impl Redis {
    pub(super) fn open(server: Arc<Server>, tally: Arc<Tally>) -> Self {
        let link = Link::open(Arc::clone(&server.reach), Arc::clone(&tally));
        Self { server, link, clock: Arc::new(Clock::new()), tally }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) async fn learn_time(&self) -> Result<bool, StoreError> {
        let unknown = !self.clock.is_known();
        if unknown {
            self.load(&[]).await?;
        }
        Ok(unknown)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        value_of(self.ask(&[redis::cmd("PING")], self.deadline()).await?.only()?).map(drop)
    }

    pub(super) async fn load(&self, handles: &[Handle]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut replies = self.read(handles).await?.into_iter();
        handles.iter().map(|_| entry(replies.next(), replies.next())).collect()
    }

    /// The session, and the time as it is then.
    pub(super) async fn load_one(
        &self,
        handle: &Handle,
        last: Option<Last<'_>>,
    ) -> Result<(Reading, Timestamp), StoreError> {
        let mut replies = self.read(std::slice::from_ref(handle)).await?.into_iter();
        let found = entry(replies.next(), replies.next())?;
        Ok((Reading::of(found, last), self.clock.at(turn::now())))
    }

    /// What the server says of these sessions, two replies for each; and learns its time now and then.
    async fn read(&self, handles: &[Handle]) -> Result<Vec<Value>, StoreError> {
        let now = turn::now();
        let asks_time = self.clock.is_stale(now);
        let count = 2 * handles.len() + usize::from(asks_time);
        let questions = |out: &mut Vec<u8>| {
            for handle in handles {
                for read in &self.server.reads {
                    out.extend_from_slice(read);
                    out.extend_from_slice(handle.as_bytes());
                    out.extend_from_slice(END);
                }
            }
            if asks_time {
                command(out, 1);
                word(out, [b"TIME"]);
            }
        };
        let mut replies = self.put(&questions, count, now + self.server.timeout).await?.replies;
        if asks_time {
            let time = value_of(replies.pop().ok_or(StoreError::Nonsense)?)?;
            self.clock.set(time_of(time).ok_or(StoreError::Nonsense)?);
        }
        Ok(replies)
    }

    pub(super) async fn swap(
        &self,
        handle: &Handle,
        expected: Option<&Stamp>,
        bytes: &Bytes,
        ttl: Duration,
    ) -> Result<Swap, StoreError> {
        let expected = expected.map_or(&[][..], |stamp| &stamp.0);
        let mut life = itoa::Buffer::new();
        let arguments = [expected, bytes, life.format(millis(ttl).max(1)).as_bytes()];
        let answer = self.of_session(&self.server.swap, handle, &arguments).await?;
        answer.swapped(|found| Stamp::of(&found.bytes) == Stamp::of(bytes))
    }

    pub(super) async fn remove(&self, handle: &Handle, expected: &Stamp) -> Result<Swap, StoreError> {
        let answer = self.of_session(&self.server.remove, handle, &[&expected.0]).await?;
        answer.swapped(|_| false)
    }

    pub(super) async fn touch(&self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), StoreError> {
        let mut life = itoa::Buffer::new();
        let arguments = [&expected.0, life.format(millis(ttl).max(1)).as_bytes()];
        self.of_session(&self.server.touch, handle, &arguments).await.map(drop)
    }

    fn key(&self, handle: &Handle) -> String {
        [&self.server.prefix, "s:", handle.as_str()].concat()
    }

    fn deadline(&self) -> Instant {
        turn::now() + self.server.timeout
    }

    /// Runs a script on one session.
    async fn of_session(&self, script: &OfSession, handle: &Handle, arguments: &[&[u8]]) -> Result<Answer, StoreError> {
        let deadline = self.deadline();
        let known = |out: &mut Vec<u8>| {
            [&script.front, handle.as_bytes(), END].iter().for_each(|part| out.extend_from_slice(part));
            arguments.iter().for_each(|argument| word(out, [argument]));
        };
        let answer = self.put(&known, 1, deadline).await?;
        if !answer.is_error("NOSCRIPT") {
            return answer.unless_refused();
        }
        let told = |out: &mut Vec<u8>| {
            call(out, "EVAL", &script.program.text, (1, arguments.len()));
            word(out, [self.server.prefix.as_bytes(), b"s:", handle.as_bytes()]);
            arguments.iter().for_each(|argument| word(out, [argument]));
        };
        Box::pin(self.tell(answer, told, deadline)).await
    }

    /// Runs a script by its digest.
    async fn script(&self, program: &Program, keys: &[&str], arguments: &[&[u8]]) -> Result<Answer, StoreError> {
        let deadline = self.deadline();
        let write = |out: &mut Vec<u8>, verb: &str, what: &str| {
            call(out, verb, what, (keys.len(), arguments.len()));
            keys.iter().for_each(|key| word(out, [key.as_bytes()]));
            arguments.iter().for_each(|argument| word(out, [argument]));
        };
        let answer = self.put(&|out: &mut Vec<u8>| write(out, "EVALSHA", &program.digest), 1, deadline).await?;
        if !answer.is_error("NOSCRIPT") {
            return answer.unless_refused();
        }
        self.tell(answer, |out: &mut Vec<u8>| write(out, "EVAL", &program.text), deadline).await
    }

    /// Sends a script's text, since the server has answered that it does not know it (any more).
    async fn tell(&self, answer: Answer, told: impl Fn(&mut Vec<u8>), deadline: Instant) -> Result<Answer, StoreError> {
        self.tally.again.count(Again::Script);
        let mut told = self.put(&told, 1, deadline).await?;
        // A server that has forgotten its scripts may still have carried out what was sent before.
        told.repeated |= answer.repeated;
        told.unless_refused()
    }

    /// One round trip for some commands that are asked seldom.
    async fn ask(&self, commands: &[Cmd], deadline: Instant) -> Result<Answer, StoreError> {
        self.put(&|out: &mut Vec<u8>| write(commands, out), commands.len(), deadline).await
    }

    /// One round trip. A connection that turns out to be broken is replaced and the `count` commands are sent again, all
    /// before `deadline`; after a timeout nothing is repeated.
    async fn put(
        &self,
        commands: &impl Fn(&mut Vec<u8>),
        count: usize,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        if count == 0 {
            return Ok(Answer { replies: Vec::new(), repeated: false });
        }
        let expected = Expected { replies: count, bytes: count as u64 * self.server.largest, deadline };
        let mut repeated = false;
        loop {
            let connection = match self.link.current() {
                Some(connection) => connection,
                None => Box::pin(self.link.connection(deadline - self.server.timeout / LAST_PART)).await?,
            };
            let error = match connection.wire.ask(commands, expected).await {
                Ok(replies) => {
                    self.look_at(&replies, &connection);
                    return Ok(Answer { replies, repeated });
                }
                Err(Silence::Late) => StoreError::Timeout,
                Err(Silence::Broken) => StoreError::Disconnected,
            };
            debug!(target: "cloakroom::store", %error, "the connection to the store is given up");
            self.link.broken(&connection);
            if error != StoreError::Disconnected {
                return Err(error);
            }
            self.tally.again.count(Again::Connection);
            repeated = true;
        }
    }

    /// Tells the operator what the server refuses, and the link if it seems to lead to the wrong one.
    fn look_at(&self, replies: &[Value], connection: &Connection) {
        for reply in replies {
            let Value::ServerError(error) = reply else { continue };
            self.server.complaints.refused(code(error));
            if matches!(code(error), "READONLY" | "MASTERDOWN" | "NOAUTH" | "WRONGPASS") {
                self.link.doubted(connection);
            }
        }
    }
}

/// The replies of one round trip, one for each command.
struct Answer {
    replies: Vec<Value>,
    /// The commands were sent more than once.
    repeated: bool,
}

impl Answer {
    fn only(mut self) -> Result<Value, StoreError> {
        self.replies.pop().ok_or(StoreError::Nonsense)
    }

    /// What a compare-and-set answered; `is_ours` knows the value that it was to store.
    fn swapped(self, is_ours: impl Fn(&Entry) -> bool) -> Result<Swap, StoreError> {
        let repeated = self.repeated;
        match self.only()? {
            Value::Int(1) => Ok(Swap::Done),
            Value::Array(parts) => {
                let mut parts = parts.into_iter();
                let found = entry(parts.next(), parts.next())?;
                Ok(match (found.as_ref().is_some_and(is_ours), repeated) {
                    (true, _) => Swap::Done,
                    (false, true) => Swap::Doubt(found),
                    (false, false) => Swap::Conflict(found),
                })
            }
            _ => Err(StoreError::Nonsense),
        }
    }

    /// Itself, unless the server refused.
    fn unless_refused(self) -> Result<Self, StoreError> {
        match self.replies.first() {
            Some(Value::ServerError(error)) => Err(refused(error)),
            Some(_) | None => Ok(self),
        }
    }

    fn is_error(&self, code: &str) -> bool {
        matches!(self.replies.first(), Some(Value::ServerError(error)) if error.code() == code)
    }
}

/// The reply, unless it is the server's refusal.
fn value_of(reply: Value) -> Result<Value, StoreError> {
    match reply {
        Value::ServerError(error) => Err(refused(&error)),
        reply => Ok(reply),
    }
}

/// The replies to `GET` and `PTTL`. A key of another type is there but no record; a key without expiry lives on
/// borrowed time and is given an expiry by the next touch.
fn entry(value: Option<Value>, life: Option<Value>) -> Result<Option<Entry>, StoreError> {
    let left = match life {
        Some(Value::Int(left)) => Duration::from_millis(u64::try_from(left).unwrap_or_default()),
        Some(Value::ServerError(error)) => return Err(refused(&error)),
        _ => return Err(StoreError::Nonsense),
    };
    match value {
        Some(Value::Nil) | Some(Value::Boolean(false)) => Ok(None),
        Some(Value::BulkString(bytes)) => Ok(Some(Entry { bytes: bytes.into(), left })),
        Some(Value::ServerError(error)) if error.code() == "WRONGTYPE" => Ok(Some(Entry { bytes: Bytes::new(), left })),
        Some(Value::ServerError(error)) => Err(refused(&error)),
        _ => Err(StoreError::Nonsense),
    }
}
