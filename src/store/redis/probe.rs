//! Trying a Redis out: every command on every kind of key, one by one, so that whoever wrote its access rules learns
//! which of them lacks what; then its clock, and what it says of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::{
    Redis, Server,
    health::Health,
    reason::SILENT,
    refusal::code,
    talk::Expected,
    time_of,
    wire::{Wire, write},
};
use crate::{
    session::time::millis,
    store::{
        StoreError,
        probe::{BRIEF, Finding, Gravity},
    },
};

/// Clocks that differ by less are not worth a word.
const APART: Duration = Duration::from_secs(2);
/// Until when a proxy that just started may find its store and ask how it is.
const LATER: Duration = Duration::from_secs(3600);

/// One command on one kind of key.
struct Trial {
    name: &'static str,
    /// What stands behind the prefix; empty without a key.
    keys: &'static str,
    command: Cmd,
}

impl Server {
    /// A connection of its own, on which the server has answered.
    pub(in crate::store) async fn connect(&self) -> Result<Wire, String> {
        let wire = self.reach.connect().await?;
        match self.tell(&wire, &[redis::cmd("PING")]).await.as_deref() {
            Ok([Value::ServerError(error)]) => {
                Err(format!("it refuses PING ({}); permit +ping in its ACL", code(error)))
            }
            Ok(_) => Ok(wire),
            Err(()) => Err(SILENT.to_owned()),
        }
    }

    /// Everything about the server that is worth knowing.
    pub(in crate::store) async fn look_over(&self) -> Vec<Finding> {
        let wire = match self.connect().await {
            Ok(wire) => wire,
            Err(reason) => {
                let unknown = (reason.as_str(), "see store.url, and whether a firewall stands between");
                let (why, cure) = reason.split_once("; ").unwrap_or(unknown);
                return vec![Finding::fault(format!("it cannot be reached: {why}"), cure)];
            }
        };
        let begun = Instant::now();
        let pinged = self.tell(&wire, &[redis::cmd("PING")]).await;
        let took = begun.elapsed();
        if pinged.is_err() {
            return vec![Finding::fault("it went away", "look into its log")];
        }
        let (took, limit) = (1000.0 * took.as_secs_f64(), millis(self.timeout));
        let mut findings = vec![Finding::good(format!("it answers in {took:.1} ms (store.timeout is {limit} ms)"))];
        let health = [redis::cmd("INFO"), snapshots()];
        if let Ok(replies) = self.tell(&wire, &health).await {
            findings.extend(health_of(replies).findings());
        }
        findings.extend(self.trials(&wire).await);
        findings
    }

    async fn trials(&self, wire: &Wire) -> Vec<Finding> {
        let trials = self.all_trials();
        let commands: Vec<Cmd> = trials.iter().map(|trial| trial.command.clone()).collect();
        let Ok(replies) = self.tell(wire, &commands).await else {
            return vec![Finding::fault("it went away", "look into its log")];
        };
        let mut findings = refusals(&trials, &replies, &self.prefix);
        let reply = |name| trials.iter().position(|trial| trial.name == name).and_then(|place| replies.get(place));
        let ours = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        findings.extend(reply("TIME").cloned().and_then(time_of).and_then(|time| clock(time.0, ours)));
        if reply("SET") == Some(&Value::Okay) {
            findings.extend(reply("PTTL").and_then(expiry));
        }
        findings
    }

    /// Every command that a proxy, an import or an export sends or a script calls; what is written expires in seconds.
    fn all_trials(&self) -> Vec<Trial> {
        let mark = format!("{:032x}", rand::random::<u128>());
        let life = millis(BRIEF).to_string();
        let keys = ["s:", "u:", "e:"].map(|keys| format!("{}{keys}{{check-{mark}}}", self.prefix));
        let [session, index, epoch] = keys.each_ref().map(String::as_str);
        let trial = |name: &'static str, keys, arguments: &[&str]| {
            let mut command = redis::cmd(name);
            command.arg(arguments);
            Trial { name, keys, command }
        };
        let digest = self.swap.program.digest.as_str();
        vec![
            trial("TIME", "", &[]),
            trial("SCAN", "", &["0", "MATCH", session, "COUNT", "1"]),
            trial("SET", "s:*", &[session, "x", "PX", &life]),
            trial("PTTL", "s:*", &[session]),
            trial("GET", "s:*", &[session]),
            trial("GETRANGE", "s:*", &[session, "0", "0"]),
            trial("PEXPIRE", "s:*", &[session, &life]),
            trial("EVALSHA", "s:*", &[digest, "1", session, "-", "x", "1"]),
            trial("EVAL", "s:*", &["return redis.call('GET', KEYS[1])", "1", session]),
            trial("DEL", "s:*", &[session]),
            trial("ZADD", "u:*", &[index, "1", "x"]),
            trial("PEXPIRE", "u:*", &[index, &life]),
            trial("PTTL", "u:*", &[index]),
            trial("ZSCAN", "u:*", &[index, "0"]),
            trial("ZREMRANGEBYSCORE", "u:*", &[index, "-inf", "0"]),
            trial("ZREM", "u:*", &[index, "x"]),
            trial("SET", "e:*", &[epoch, "1", "PX", &life]),
            trial("GET", "e:*", &[epoch]),
        ]
    }

    /// One round trip; refusals are replies like any other.
    async fn tell(&self, wire: &Wire, commands: &[Cmd]) -> Result<Vec<Value>, ()> {
        let deadline = Instant::now() + self.timeout.max(Duration::from_secs(2));
        let (replies, bytes) = (commands.len(), commands.len() as u64 * self.largest);
        wire.ask(|out| write(commands, out), Expected { replies, bytes, deadline }).await.map_err(drop)
    }
}

impl Redis {
    /// What the server says of itself, once it is there: one round trip.
    pub(in crate::store) async fn health(&self) -> Result<Vec<Finding>, StoreError> {
        self.link.connection(Instant::now() + LATER).await?;
        let answer = self.ask(&[redis::cmd("INFO"), snapshots()], self.deadline()).await?;
        Ok(health_of(answer.replies).findings())
    }
}

fn snapshots() -> Cmd {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("save");
    command
}

fn health_of(replies: Vec<Value>) -> Health {
    let text = |value: &Value| match value {
        Value::BulkString(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    };
    let save = replies.get(1).and_then(|reply| match reply {
        Value::Array(parts) => parts.get(1).and_then(text),
        _ => None,
    });
    Health { info: replies.first().and_then(text), save }
}

/// What was refused, gathered by reason.
fn refusals(trials: &[Trial], replies: &[Value], prefix: &str) -> Vec<Finding> {
    let (mut commands, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut codes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (trial, reply) in trials.iter().zip(replies) {
        let Value::ServerError(error) = reply else { continue };
        match code(error) {
            "NOSCRIPT" => {}
            "NOPERM" if trial.name == "SCAN" => {
                let what = "its user may not use SCAN: sessions cannot be exported or listed";
                findings.push(Finding::new(Gravity::Note, what, "permit +scan in its ACL"));
            }
            "NOPERM" if error.details().is_some_and(|details| details.contains(" command")) => {
                commands.insert(trial.name);
            }
            "NOPERM" => drop(keys.insert(format!("{prefix}{}", trial.keys))),
            code => drop(codes.entry(code).or_default().insert(trial.name)),
        }
    }
    let listed = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    if !commands.is_empty() {
        let rights: Vec<_> = commands.iter().map(|name| format!("+{}", name.to_ascii_lowercase())).collect();
        let cure = format!("permit {} in its ACL", rights.join(" "));
        findings.push(Finding::fault(format!("its user may not use {}", listed(&commands)), cure));
    }
    if !keys.is_empty() {
        let what = format!("its user may not use the keys {}", keys.into_iter().collect::<Vec<_>>().join(", "));
        findings.push(Finding::fault(what, format!("permit ~{prefix}* in its ACL")));
    }
    let refused = |(code, names): (&str, BTreeSet<&str>)| {
        Finding::fault(format!("it refuses {} with {code}", listed(&names)), cure_of(code))
    };
    findings.extend(codes.into_iter().map(refused));
    findings
}

fn clock(theirs: u64, ours: u64) -> Option<Finding> {
    let apart = Duration::from_millis(theirs.abs_diff(ours));
    let direction = if theirs > ours { "ahead of" } else { "behind" };
    (apart > APART).then(|| {
        let what = format!("its clock is {} s {direction} this machine's", apart.as_secs());
        let cure = "let both follow one time server (sessions end by its clock, tokens by this machine's)";
        Finding::new(Gravity::Warning, what, cure)
    })
}

/// Whether what was to live for [`BRIEF`] does.
fn expiry(reply: &Value) -> Option<Finding> {
    let &Value::Int(left) = reply else { return None };
    let life = i64::try_from(millis(BRIEF)).unwrap_or(i64::MAX);
    let sound = left > life / 2 && left <= life;
    (!sound).then(|| {
        let what = format!("a key that was to live for {life} ms has {left} ms left at once");
        Finding::fault(what, "look at its clock: it must not jump")
    })
}

/// What to do about a server that refuses with this code.
pub(in crate::store) fn cure_of(code: &str) -> String {
    let cure = match code {
        "READONLY" => "name the primary in store.url: this is a replica",
        "OOM" => "raise maxmemory: its memory is full",
        "MISCONF" => "look at its disk: it refuses writes because it cannot save them",
        "LOADING" => "wait until it has read its data, then try again",
        "MASTERDOWN" | "NOREPLICAS" => "look at its replication",
        "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => "name a server that is no part of a cluster",
        "NOPERM" => "permit it in its ACL",
        "NOAUTH" => "write user and password into store.url",
        _ => "look into its log",
    };
    cure.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_two_seconds_are_worth_a_warning() {
        const NOW: u64 = 1_000_000;
        let said = |theirs| clock(theirs, NOW).map(|finding| (finding.gravity, finding.what));
        for theirs in [NOW, NOW + 2_000, NOW - 2_000] {
            assert_eq!(said(theirs), None);
        }
        let warned = |what: &str| Some((Gravity::Warning, format!("its clock is {what} this machine's")));
        assert_eq!(said(NOW + 3_500), warned("3 s ahead of"));
        assert_eq!(said(NOW - 60_000), warned("60 s behind"));
    }

    #[test]
    fn an_expiry_that_is_not_what_was_asked_for_is_a_fault() {
        for (left, sound) in [(10_000, true), (9_000, true), (5_000, false), (10_001, false), (-1, false), (-2, false)]
        {
            assert_eq!(expiry(&Value::Int(left)).is_none(), sound, "{left}");
        }
    }
}
