//! How a session looks to an operator: `docs/openapi.json` describes it, and the command line prints it. Points in time are
//! seconds since the epoch by the store's clock, spans are seconds.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    session::{Handle, Policy, Timestamp, record::Record},
    store::census::Found,
};

/// Some sessions, and where to go on.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    pub(super) sessions: Vec<Session<'a>>,
    pub(super) unreadable: usize,
    pub(super) next: Option<String>,
}

/// One session.
#[derive(Debug, Serialize)]
pub(super) struct Session<'a> {
    handle: String,
    subject: Option<&'a str>,
    version: u64,
    /// Since it was made.
    age: u64,
    /// Since it was used, as far as the store was told: up to a touch step too much.
    idle: u64,
    created: u64,
    changed: u64,
    expires: u64,
    deadline: u64,
    idle_timeout: u64,
    persistent: bool,
    /// What counts towards `session.max_bytes`.
    bytes: usize,
    /// In its vault.
    cookies: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl<'a> Session<'a> {
    pub(super) fn of(Found { handle, record, expires }: &'a Found, now: Timestamp, policy: &Policy) -> Self {
        Self {
            handle: Handle::to_string(handle),
            subject: record.subject.as_deref(),
            version: record.version,
            age: now.since(record.created).as_secs(),
            idle: now.since(last_use(record, *expires, policy)).as_secs(),
            created: record.created.seconds(),
            changed: record.written.seconds(),
            expires: expires.seconds(),
            deadline: record.deadline.seconds(),
            idle_timeout: record.idle_timeout(policy).as_secs(),
            persistent: record.persistent,
            bytes: record.data.len() + record.vault.weight(now),
            cookies: record.vault.len(now),
            data: None,
        }
    }

    /// With everything that the application keeps in it; what the vault holds stays there.
    pub(super) fn with_data(self, record: &Record) -> Self {
        Self { data: RawValue::from_string(record.data.to_string()).ok(), ..self }
    }
}

/// When it was used last: the store keeps it for the idle timeout and one step from then on, unless its deadline is nearer.
fn last_use(record: &Record, expires: Timestamp, policy: &Policy) -> Timestamp {
    let idle = record.idle_timeout(policy);
    let kept = idle.saturating_add(policy.touch_step(idle));
    let begin = Timestamp(expires.0.saturating_sub(crate::session::time::millis(kept)));
    begin.max(record.written)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::{
        homes::Homes,
        record::Nonce,
        ticket::{Locator, SecretHash},
        vault::Jar,
    };

    fn found(deadline: u64, expires: u64) -> Found {
        let record = Record {
            version: 7,
            writes: [Nonce(1)].into(),
            secret: SecretHash([1; 32]),
            retired: vec![],
            created: Timestamp(1_000_000),
            written: Timestamp(2_000_000),
            deadline: Timestamp(deadline * 1_000),
            idle: Some(Duration::from_secs(100)),
            persistent: false,
            subject: Some("ada".to_owned()),
            vault: Jar::default(),
            homes: Homes::default(),
            data: r#"{"canary":1.10}"#.into(),
        };
        Found {
            handle: Locator::from_random([7; 16]).handle(),
            record: record.into(),
            expires: Timestamp(expires * 1_000),
        }
    }

    #[test]
    fn the_last_use_is_what_the_expiry_says_and_not_before_the_last_change() {
        let idle = |deadline, expires, now: u64| {
            let found = found(deadline, expires);
            let session = Session::of(&found, Timestamp(now * 1_000), &Policy::default());
            (session.age, session.idle)
        };
        // Idle timeout and one step are 110 s: used at 3000.
        assert_eq!(idle(90_000, 3_110, 3_050), (2_050, 50));
        // The expiry was cut by the deadline, or by the time that a fresh session has.
        assert_eq!(idle(2_050, 2_050, 2_040), (1_040, 40));
        assert_eq!(idle(90_000, 2_020, 2_010), (1_010, 10));
    }

    #[test]
    fn data_is_shown_when_asked_for_and_digit_by_digit() {
        let found = found(90_000, 3_110);
        let session = || Session::of(&found, Timestamp(3_050_000), &Policy::default());
        let shown = serde_json::to_string(&session()).unwrap();
        assert!(!shown.contains("canary") && shown.contains("\"bytes\":15"), "{shown}");
        assert!(
            serde_json::to_string(&session().with_data(&found.record)).unwrap().contains(r#""data":{"canary":1.10}"#)
        );
    }
}
