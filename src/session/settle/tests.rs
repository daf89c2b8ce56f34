//! A scene is what was presented, what is stored and what is configured; [`Scene::tell`] settles a change in it and
//! writes the plan down as one line, so that the tables say what happens in words and nothing is computed.

use super::*;
use crate::session::{
    capture::Capture,
    document::{Document, Pointer},
    homes::Served,
    patch::Patch,
};
use crate::session::{record::Retired, ticket::SecretHash};

mod legacy;
mod matrix;
mod properties;
mod sentences;

const NOW: Timestamp = Timestamp(1_000_000_000);
const HOUR: u64 = 3600;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ago(n: u64) -> Timestamp {
    Timestamp(NOW.0 - 1000 * n)
}

fn secret(seed: u8) -> Secret {
    Secret::from_random([seed; 32])
}

fn locator(seed: u8) -> Locator {
    Locator::from_random([seed; 16])
}

const OLD: u8 = 1;
const NEWER: u8 = 2;
const FRESH: u8 = 9;

fn old_ticket() -> Ticket {
    Ticket { locator: locator(OLD), secret: secret(OLD) }
}

fn fresh() -> Fresh {
    Fresh::new(Nonce(99), || (locator(FRESH), secret(FRESH)))
}

fn change(update: Option<&str>, control: &str) -> Change {
    let lines = update.map(|lines| lines.split('\n').filter(|line| !line.is_empty()));
    Change {
        captures: Vec::new(),
        cookies: Vec::new(),
        update: lines.map(|lines| lines.map(|line| Patch::parse(line.as_bytes()).unwrap()).collect()),
        control: Control::parse([control.as_bytes()]).unwrap(),
        served: None,
    }
}

/// An answer of this server of an upstream with affinity.
fn served_by(server: &str) -> Served {
    Served { upstream: "app".into(), server: server.into() }
}

/// A session made ten minutes ago, changed one minute ago.
fn record() -> Record {
    Record {
        version: 3,
        writes: [Nonce(3), Nonce(2)].into(),
        secret: secret(OLD).hash(),
        retired: vec![],
        created: ago(600),
        written: ago(60),
        deadline: ago(600).after(secs(12 * HOUR)),
        idle: None,
        persistent: false,
        subject: None,
        vault: Jar::default(),
        homes: Homes::default(),
        data: r#"{"a":1}"#.into(),
    }
}

/// What stands where the presented session was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nobody,
    Retired,
    Destroyed,
    Several,
    Unavailable,
    Loaded,
}

#[derive(Debug)]
struct Scene {
    kind: Kind,
    given: Record,
    stored: Option<Stored>,
    policy: Policy,
    create: Create,
    reach: Reach,
}

impl Scene {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            given: record(),
            stored: Some(record().into()),
            policy: Policy::default(),
            create: Create::OnWrite,
            reach: Reach::Browser,
        }
    }

    fn nobody() -> Self {
        Self::of(Kind::Nobody)
    }

    fn live() -> Self {
        Self::of(Kind::Loaded)
    }

    /// A session that was given and is stored like this.
    fn with(change: impl Fn(&mut Record)) -> Self {
        let mut scene = Self::live();
        change(&mut scene.given);
        scene.stored = Some(scene.given.clone().into());
        scene
    }

    /// A session that was changed like this since it was given.
    fn meanwhile(change: impl FnOnce(&mut Record)) -> Self {
        let mut scene = Self::live();
        let mut stored = Record { version: 4, writes: [Nonce(4), Nonce(3), Nonce(2)].into(), ..record() };
        change(&mut stored);
        scene.stored = Some(stored.into());
        scene
    }

    fn rotated() -> Self {
        Self::meanwhile(|stored| {
            stored.secret = secret(NEWER).hash();
            stored.retired = vec![Retired(secret(OLD).hash(), NOW.after(secs(7)))];
        })
    }

    /// Rotated so long ago or so often that the old secret is not remembered.
    fn forgotten() -> Self {
        Self::meanwhile(|stored| stored.secret = secret(NEWER).hash())
    }

    fn buried() -> Self {
        let retired = vec![Retired(secret(OLD).hash(), NOW.after(secs(6)))];
        let tombstone = Tombstone { version: 4, writes: [Nonce(4), Nonce(3)].into(), retired };
        Self { stored: Some(tombstone.into()), ..Self::live() }
    }

    fn gone() -> Self {
        Self { stored: None, ..Self::live() }
    }

    fn past_deadline() -> Self {
        Self::meanwhile(|stored| stored.deadline = NOW)
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn always(self) -> Self {
        Self { create: Create::Always, ..self }
    }

    fn insecure(self) -> Self {
        Self { reach: Reach::Nowhere, ..self }
    }

    fn settle(&self, change: &Change) -> Result<Plan, Refusal> {
        let (ticket, fresh) = (old_ticket(), fresh());
        let (given, hash) = (&self.given, ticket.secret.hash());
        let before = match self.kind {
            Kind::Nobody => Before::Nobody,
            Kind::Retired => Before::Retired(secs(7)),
            Kind::Destroyed => Before::Destroyed(secs(6)),
            Kind::Several => Before::Several,
            Kind::Unavailable => Before::Unavailable,
            Kind::Loaded => Before::Loaded(Loaded {
                ticket: &ticket,
                secret: &hash,
                given,
                stored: self.stored.as_ref().map(Stored::content),
            }),
        };
        let context = Context { now: NOW, policy: &self.policy, create: self.create, reach: self.reach, fresh: &fresh };
        settle(&before, change, &context)
    }

    /// The plan with the record that a change writes, for tests that look at one thing only.
    fn written(&self, update: Option<&str>, control: &str) -> Record {
        match self.settle(&change(update, control)).unwrap().store {
            Step::Change(Write { stored: Stored::Live(record), .. })
            | Step::Create(_, Write { stored: Stored::Live(record), .. })
            | Step::Recreate(_, _, Write { stored: Stored::Live(record), .. }) => Record::clone(&record),
            step => panic!("no record in {step:?}"),
        }
    }

    /// The decision in words. Of a record it says the version, its time to live and everything in which it differs from
    /// what is stored (a new one: from `{}` with the defaults).
    fn tell(&self, update: Option<&str>, control: &str) -> String {
        self.tell_of(&change(update, control))
    }

    fn tell_of(&self, change: &Change) -> String {
        let plan = match self.settle(change) {
            Ok(plan) => plan,
            Err(refusal) => return format!("refused: {}", name(refusal)),
        };
        let store = match &plan.store {
            Step::Keep => None,
            Step::Create(ticket, write) => Some(format!("create {}", self.tell_new(ticket, write))),
            Step::Change(write) => Some(self.tell_change(write)),
            Step::Recreate(end, ticket, write) => {
                Some(format!("{}; create {}", self.tell_change(end), self.tell_new(ticket, write)))
            }
        };
        let cookie = match &plan.cookie {
            CookieStep::Keep => None,
            CookieStep::Issue(ticket, None) => Some(format!("issue {}", tell_ticket(ticket))),
            CookieStep::Issue(ticket, Some(age)) => Some(format!("issue {} for {age}s", tell_ticket(ticket))),
            CookieStep::Delete => Some("delete".to_owned()),
        };
        let outcome = match plan.outcome {
            Outcome::None => "none",
            Outcome::Live => "live",
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Rotated => "rotated",
            Outcome::Destroyed => "destroyed",
        };
        [Some(outcome.to_owned()), store, cookie].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn tell_change(&self, write: &Write) -> String {
        let (Write { stored, ttl }, before) = (write, self.stored.as_ref().unwrap());
        match (stored, before) {
            (Stored::Live(next), Stored::Live(base)) => tell_record(base, next, *ttl, "change"),
            (Stored::Tombstone(tombstone), Stored::Live(base)) => {
                assert_eq!(*tombstone.writes, [&[Nonce(99)], &*base.writes].concat());
                let retired = tell_retired(&tombstone.retired);
                format!("bury v{} ttl={} retired={retired}", tombstone.version, ttl.as_secs_f64())
            }
            (_, Stored::Tombstone(_)) => panic!("a tombstone was changed"),
        }
    }

    fn tell_new(&self, ticket: &Ticket, write: &Write) -> String {
        assert!(ticket.locator.handle() == locator(FRESH).handle() && ticket.secret.hash() == secret(FRESH).hash());
        let Stored::Live(made) = &write.stored else { panic!("a tombstone was made") };
        let blank = Record {
            version: 0,
            writes: [].into(),
            secret: secret(FRESH).hash(),
            created: NOW,
            deadline: NOW.after(secs(12 * HOUR)),
            data: "{}".into(),
            ..record()
        };
        tell_record(&blank, made, write.ttl, "").trim_start().to_owned()
    }
}

fn name(refusal: Refusal) -> String {
    match refusal {
        Refusal::Ended(None) => "ended".to_owned(),
        Refusal::Ended(Some(left)) => format!("ended, {}s left", left.as_secs_f64()),
        Refusal::Unavailable => "unavailable".to_owned(),
        Refusal::Unreachable => "unreachable".to_owned(),
        Refusal::VersionConflict => "version".to_owned(),
        Refusal::DoesNotFit => "misfit".to_owned(),
        Refusal::NotAnObject => "no object".to_owned(),
        Refusal::TooLarge => "too large".to_owned(),
    }
}

fn tell_ticket(ticket: &Ticket) -> &'static str {
    let same = |seed| ticket.locator.handle() == locator(seed).handle();
    match tell_secret(ticket.secret.hash()) {
        "old" if same(OLD) => "the same ticket",
        "fresh" if same(OLD) => "a rotated ticket",
        "fresh" if same(FRESH) => "a new ticket",
        _ => "an impossible ticket",
    }
}

fn tell_secret(hash: SecretHash) -> &'static str {
    [(OLD, "old"), (NEWER, "newer"), (FRESH, "fresh"), (11, "r1"), (12, "r2"), (13, "r3"), (14, "r4"), (15, "r5")]
        .into_iter()
        .find(|(seed, _)| secret(*seed).hash() == hash)
        .map_or("?", |(_, name)| name)
}

fn tell_idle(idle: Option<Duration>) -> String {
    idle.map_or_else(|| "default".to_owned(), |idle| idle.as_secs_f64().to_string())
}

fn tell_retired(retired: &[Retired]) -> String {
    let each = retired.iter().map(|Retired(hash, until)| {
        let left = (i128::from(until.0) - i128::from(NOW.0)) as f64 / 1000.0;
        format!("{}+{left}", tell_secret(*hash))
    });
    format!("[{}]", each.collect::<Vec<_>>().join(" "))
}

/// Every cookie: name, value, path, and what is left of its life.
fn tell_vault(jar: &Jar) -> String {
    let cookies = serde_json::to_value(jar).unwrap();
    let each = cookies.as_array().unwrap().iter().map(|cookie| {
        let text = |at: usize| cookie[at].as_str().unwrap().to_owned();
        let left = cookie[4].as_u64().map(|at| format!("+{}", Timestamp(at).since(NOW).as_secs()));
        format!("{}={}@{}{}", text(1), text(3), text(2), left.unwrap_or_default())
    });
    format!("[{}]", each.collect::<Vec<_>>().join(" "))
}

/// Every difference of `next` from `base`; version and time to live are always said.
fn tell_record(base: &Record, next: &Record, ttl: Duration, verb: &str) -> String {
    assert_eq!(next.written, NOW, "written");
    assert_eq!(*next.writes, [&[Nonce(99)], &*base.writes].concat(), "writes");
    let from_now = |at: Timestamp| (i128::from(at.0) - i128::from(NOW.0)) as f64 / 1000.0;
    let differences = [
        (next.secret != base.secret).then(|| format!("secret={}", tell_secret(next.secret))),
        (next.retired != base.retired).then(|| format!("retired={}", tell_retired(&next.retired))),
        (next.created != base.created).then(|| format!("created={}", from_now(next.created))),
        (next.deadline != base.deadline).then(|| format!("deadline={:+}", from_now(next.deadline))),
        (next.idle != base.idle).then(|| format!("idle={}", tell_idle(next.idle))),
        (next.persistent != base.persistent).then(|| format!("persistent={}", next.persistent)),
        (next.subject != base.subject).then(|| format!("subject={}", next.subject.as_deref().unwrap_or("nobody"))),
        (next.vault != base.vault).then(|| format!("vault={}", tell_vault(&next.vault))),
        (next.homes != base.homes).then(|| format!("home={}", next.homes.at("app").unwrap_or("nowhere"))),
        (next.data != base.data).then(|| format!("data={}", &*next.data)),
    ];
    let head = format!("{verb} v{} ttl={}", next.version, ttl.as_secs_f64());
    [Some(head)].into_iter().chain(differences).flatten().collect::<Vec<_>>().join(" ")
}
