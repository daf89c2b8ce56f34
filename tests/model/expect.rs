//! The sequential model: what a deed does to one session when nothing else happens (contract sections 3 and 5), written
//! from the contract and with another JSON library than the product's.

use cloakroom::{
    session::{record::Record, settle::Refusal, ticket::SecretHash},
    store::commit::Live as _,
};
use serde_json::Value;

use crate::{
    deed::{Deed, Kind},
    visitor::Presented,
};

/// How many retired secrets are recognised.
const RETIRED: usize = 4;

/// A session at one moment.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Live {
        /// As the store must hold it.
        record: Box<Record>,
        /// Secrets that were rotated away, oldest first.
        retired: Vec<SecretHash>,
    },
    Destroyed {
        version: u64,
        retired: Vec<SecretHash>,
    },
    Gone,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Nobody,
    Retired,
    Destroyed,
    /// With the ticket of a session that was live when the request came.
    Holder(SecretHash),
    /// With a token.
    Token,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    Ended,
    Conflict,
}

/// What must come of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Nothing is written.
    Keep,
    Refused(No),
    /// A session like this, which has not been there before.
    Create(Body),
    /// This session changed; whether its secret is another one.
    Change(Body, bool),
    End,
    /// This session ended, another one made.
    Replace(Body),
}

/// What an application can see and set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) data: Value,
    pub(crate) subject: Option<String>,
    pub(crate) persistent: bool,
}

impl Body {
    fn blank() -> Self {
        Self { data: Value::Object(serde_json::Map::new()), subject: None, persistent: false }
    }

    pub(crate) fn of(record: &Record) -> Self {
        let data = serde_json::from_str(&record.data).expect("stored data is JSON");
        Self { data, subject: record.subject.clone(), persistent: record.persistent }
    }

    /// `None`: a line does not fit.
    fn with(&self, deed: &Deed) -> Option<Self> {
        let mut next = if deed.clear { Self { persistent: self.persistent, ..Self::blank() } } else { self.clone() };
        for line in deed.lines.iter().flatten() {
            if line.is_object() {
                json_patch::merge(&mut next.data, line);
            } else {
                let patch: json_patch::Patch = serde_json::from_value(line.clone()).expect("a JSON Patch");
                json_patch::patch(&mut next.data, &patch).ok()?;
            }
        }
        next.persistent = deed.persistent.unwrap_or(next.persistent);
        if let Some(subject) = deed.subject {
            next.subject = Some(subject.to_owned()).filter(|subject| !subject.is_empty());
        }
        Some(next)
    }
}

impl Who {
    pub(crate) fn of(presented: &Presented) -> Self {
        match presented {
            Presented::Nobody | Presented::Several | Presented::Unavailable => Self::Nobody,
            Presented::Retired(_) => Self::Retired,
            Presented::Destroyed(_) => Self::Destroyed,
            Presented::Loaded(session) => Self::Holder(session.ticket().secret.hash()),
        }
    }
}

impl No {
    pub(crate) fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended(_) => Self::Ended,
            Refusal::VersionConflict | Refusal::DoesNotFit => Self::Conflict,
            other => panic!("no deed is refused with {other:?}"),
        }
    }
}

impl State {
    pub(crate) fn version(&self) -> u64 {
        match self {
            Self::Live { record, .. } => record.version,
            Self::Destroyed { version, .. } => *version,
            Self::Gone => 0,
        }
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        match self {
            Self::Live { record, .. } => record.subject.as_deref(),
            Self::Destroyed { .. } | Self::Gone => None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// Who comes with this secret.
    pub(crate) fn who(&self, secret: SecretHash) -> Who {
        let late = |retired: &[SecretHash]| retired.iter().rev().take(RETIRED).any(|known| *known == secret);
        match self {
            Self::Live { record, .. } if record.secret == secret => Who::Holder(secret),
            Self::Live { retired, .. } if late(retired) => Who::Retired,
            Self::Destroyed { retired, .. } if late(retired) => Who::Destroyed,
            Self::Live { .. } | Self::Destroyed { .. } | Self::Gone => Who::Nobody,
        }
    }

    /// What a deed of this caller must do here.
    pub(crate) fn expect(&self, who: Who, deed: &Deed) -> Expected {
        use Expected::{Create, End, Keep, Refused, Replace};
        let ended = Refused(No::Ended);
        match (who, deed.kind()) {
            (Who::Token, _) => match self {
                Self::Live { record, .. } => amended(record, deed),
                Self::Destroyed { .. } | Self::Gone => ended,
            },
            (_, Kind::Nothing) => Keep,
            (Who::Nobody, Kind::End) => Keep,
            (Who::Nobody, _) => newborn(0, deed, Keep, Create),
            (Who::Retired | Who::Destroyed, Kind::Bare) => Keep,
            (Who::Destroyed, Kind::End) => Keep,
            (Who::Retired | Who::Destroyed, _) => ended,
            (Who::Holder(_), Kind::End) if self.is_live() => End,
            (Who::Holder(_), Kind::End) => Keep,
            (Who::Holder(secret), kind) => match self {
                Self::Live { record, .. } if record.secret != secret => ended,
                Self::Live { record, .. } if kind == Kind::Replace => newborn(record.version, deed, End, Replace),
                Self::Live { record, .. } => amended(record, deed),
                Self::Destroyed { .. } | Self::Gone => ended,
            },
        }
    }
}

fn newborn(version: u64, deed: &Deed, nothing: Expected, made: fn(Body) -> Expected) -> Expected {
    let body = Body::blank().with(deed);
    if deed.if_version.is_some_and(|wanted| wanted != version) {
        return Expected::Refused(No::Conflict);
    }
    match body {
        None => Expected::Refused(No::Conflict),
        Some(body) if body == Body::blank() => nothing,
        Some(body) => made(body),
    }
}

fn amended(record: &Record, deed: &Deed) -> Expected {
    if deed.if_version.is_some_and(|wanted| wanted != record.version) {
        return Expected::Refused(No::Conflict);
    }
    let before = Body::of(record);
    let Some(after) = before.with(deed) else { return Expected::Refused(No::Conflict) };
    let log_in = after.subject.is_some() && after.subject != before.subject;
    let rotates = deed.rotate.unwrap_or(log_in);
    if !rotates && after == before { Expected::Keep } else { Expected::Change(after, rotates) }
}
