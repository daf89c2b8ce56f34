//! What a test of the stores has on its bench: a store, and processes that work with it as a proxy does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    session::{
        Handle, Policy, Ticket, Timestamp,
        change::Change,
        control::Control,
        patch::Patch,
        policy::Create,
        record::{Nonce, Record, Retired, Stamp, Stored, Tombstone},
        settle::{CookieStep, Plan, Reach, Refusal},
        ticket::{Locator, Secret},
    },
    store::{
        Depot, Kind, Settings, Store, StoreError, Swap,
        commit::{CommitError, Live as _, Request, commit},
        lane::Lanes,
        redis::Target,
        seal::Roots,
    },
};

use tempfile::TempDir;

use crate::{
    support::{PATIENCE, Redis},
    visitor::{Presented, Session, opened_by},
};

pub(crate) const PREFIX: &str = "wardrobe:";
/// A life that outlasts every test.
pub(crate) const LONG: Duration = Duration::from_secs(1_000);
/// What the busy machine may add to a limit.
pub(crate) const SLACK: Duration = Duration::from_millis(750);

/// Makes a test for each store of a function that takes a bench; after `sealed:` also for those that encrypt.
macro_rules! every_store {
    (sealed: $($tests:tt)+) => {
        crate::bench::every_store! { @ { memory file redis sealed_memory sealed_file sealed_redis } $($tests)+ }
    };
    (@ $stores:tt $($(#[$note:meta])* async fn $name:ident($bench:ident) $body:block)+) => {$(
        $(#[$note])*
        #[cfg(test)]
        mod $name {
            use super::*;
            use crate::bench::Bench;

            async fn test($bench: &Bench) $body

            crate::bench::on_each! $stores
        }
    )+};
    ($($tests:tt)+) => {
        crate::bench::every_store! { @ { memory file redis } $($tests)+ }
    };
}
pub(crate) use every_store;

/// Makes a test of the function `test` for each of these benches.
macro_rules! on_each {
    {$($store:ident)+} => {$(
        #[tokio::test]
        async fn $store() {
            test(&Bench::$store()).await;
        }
    )+};
}
pub(crate) use on_each;

/// One bench for each store.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::memory(), Bench::sealed_file(), Bench::redis()]
}

/// A store and one process that works with it.
pub(crate) struct Bench {
    pub(crate) server: Option<Redis>,
    settings: Settings,
    depot: Depot,
    _folder: Option<TempDir>,
    pub(crate) process: Process,
}

impl Bench {
    pub(crate) fn memory() -> Self {
        Self::memory_for(1_000)
    }

    pub(crate) fn memory_for(max_sessions: usize) -> Self {
        Self::over(None, in_memory(max_sessions))
    }

    pub(crate) fn file() -> Self {
        Self::in_a_file(|settings| settings)
    }

    pub(crate) fn sealed_file() -> Self {
        Self::in_a_file(|settings| sealing(&[1], settings))
    }

    fn in_a_file(change: impl FnOnce(Settings) -> Settings) -> Self {
        let folder = TempDir::new().expect("a folder");
        let kind = Kind::File { path: folder.path().join("sessions.db") };
        let settings = change(Settings { kind, save_timeout: Duration::from_secs(20), ..in_memory(1) });
        Self { _folder: Some(folder), ..Self::over(None, settings) }
    }

    pub(crate) fn redis() -> Self {
        let server = Redis::start();
        let settings = at(&server.url());
        Self::over(Some(server), settings)
    }

    pub(crate) fn sealed_memory() -> Self {
        Self::over(None, sealing(&[1], in_memory(1_000)))
    }

    pub(crate) fn sealed_redis() -> Self {
        let server = Redis::start();
        let settings = sealing(&[1], at(&server.url()));
        Self::over(Some(server), settings)
    }

    fn over(server: Option<Redis>, settings: Settings) -> Self {
        let depot = Depot::new(&settings).expect("a depot");
        let process = Process::new(depot.open());
        Self { server, settings, depot, _folder: None, process }
    }

    /// Another process with the same store: nothing else is shared, but what only one process can have.
    pub(crate) fn another_process(&self) -> Process {
        match &self.server {
            Some(_) => Process::of(&self.settings),
            None => Process::new(self.depot.open()),
        }
    }

    /// A process with other settings, and the same Redis at this address.
    pub(crate) fn process_with(&self, url: &str, change: impl FnOnce(Settings) -> Settings) -> Process {
        assert!(self.server.is_some(), "a store in memory has one process");
        Process::of(&change(Settings { kind: redis(url), ..self.settings.clone() }))
    }

    /// Another shard of the same process.
    pub(crate) fn another_store(&self) -> Store {
        self.depot.open()
    }

    /// Waits until the store has dropped a key by itself.
    pub(crate) async fn gone(&self, handle: &Handle) {
        eventually("the value to expire", async || self.process.stored(handle).await.is_none().then_some(())).await;
    }
}

/// The server at this URL.
pub(crate) fn target(url: &str) -> Target {
    Target::parse(url).expect("a URL of Redis").expect("a sound URL")
}

pub(crate) fn redis(url: &str) -> Kind {
    Kind::Redis(Box::new(target(url)))
}

fn in_memory(max_sessions: usize) -> Settings {
    Settings { kind: Kind::Memory { max_sessions }, prefix: PREFIX.to_owned(), ..Settings::default() }
}

fn at(url: &str) -> Settings {
    Settings { kind: redis(url), prefix: PREFIX.to_owned(), timeout: Duration::from_secs(5), ..Settings::default() }
}

/// These settings with `store.encrypt`, and roots of this byte each.
pub(crate) fn sealing(roots: &[u8], settings: Settings) -> Settings {
    Settings { encrypt: true, ..listing(roots, settings) }
}

/// These settings with these roots, but without `store.encrypt`.
pub(crate) fn listing(roots: &[u8], settings: Settings) -> Settings {
    let roots = Roots(roots.iter().map(|root| vec![*root; 32]).collect());
    Settings { encrypt: false, roots, ..settings }
}

pub(crate) fn depot(kind: Kind, timeout: Duration) -> Depot {
    let settings = Settings { kind, prefix: PREFIX.to_owned(), timeout, ..Settings::default() };
    Depot::new(&settings).expect("a depot")
}

/// One process: its way to the store, its lanes, its rules.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) store: Store,
    lanes: Arc<Lanes>,
    pub(crate) policy: Policy,
}

impl Process {
    fn new(store: Store) -> Self {
        Self { store, lanes: Arc::default(), policy: Policy::default() }
    }

    /// A process that reaches Redis at this URL.
    pub(crate) fn at(url: &str, timeout: Duration) -> Self {
        Self::to(target(url), timeout)
    }

    /// A process that reaches Redis like this.
    pub(crate) fn to(target: Target, timeout: Duration) -> Self {
        Self::of(&Settings {
            kind: Kind::Redis(Box::new(target)),
            prefix: PREFIX.to_owned(),
            timeout,
            ..Settings::default()
        })
    }

    fn of(settings: &Settings) -> Self {
        Self::new(Depot::new(settings).expect("a depot").open())
    }

    /// Waits until the store has been reached: on a busy machine that may take longer than a short timeout.
    pub(crate) async fn ready(self) -> Self {
        eventually("the store to be reached", async || self.store.ping().await.ok()).await;
        self
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = self.policy.clone();
        change(&mut policy);
        Self { policy, ..self.clone() }
    }

    /// Carries out what a response asks for.
    pub(crate) async fn save(&self, presented: &Presented, update: &str, control: &str) -> Result<Plan, CommitError> {
        let change = Change {
            update: (!update.is_empty()).then(|| vec![Patch::parse(update.as_bytes()).expect("a patch")]),
            control: Control::parse([control.as_bytes()]).expect("a control dictionary"),
            ..Change::default()
        };
        let (policy, create, reach) = (&self.policy, Create::OnWrite, Reach::Browser);
        let request = Request { change: &change, policy, create, reach };
        commit(&self.store, &self.lanes, presented, &request).await.map(|saved| saved.plan)
    }

    /// Makes a session with this data.
    pub(crate) async fn create(&self, data: &str) -> Ticket {
        issued(&self.save(&Presented::Nobody, data, "persistent=?0").await.expect("a new session"))
    }

    /// What the ticket opens, as a proxy finds it.
    pub(crate) async fn present(&self, ticket: &Ticket) -> Presented {
        opened_by(ticket, self.stored(&ticket.locator.handle()).await, self.store.now())
    }

    /// Makes a session and loads it.
    pub(crate) async fn visit(&self, data: &str) -> Presented {
        self.present(&self.create(data).await).await
    }

    /// As [`Process::visit`], where the store may refuse.
    pub(crate) async fn try_visit(&self, data: &str) -> Result<Presented, CommitError> {
        let ticket = issued(&self.save(&Presented::Nobody, data, "persistent=?0").await?);
        let handle = ticket.locator.handle();
        let stored = self.store.load(&[handle]).await.map_err(CommitError::Store)?.pop().flatten();
        match stored.and_then(|entry| entry.decode(&handle)) {
            Some(Stored::Live(record)) => Ok(Presented::Loaded(Session::new(&ticket, record))),
            Some(Stored::Tombstone(_)) | None => Ok(Presented::Nobody),
        }
    }

    pub(crate) async fn stored(&self, handle: &Handle) -> Option<Stored> {
        let entry = self.store.load(&[*handle]).await.expect("a read").pop().expect("one answer for one question");
        entry.and_then(|entry| entry.decode(handle))
    }

    /// The live record.
    pub(crate) async fn record(&self, handle: &Handle) -> Record {
        match self.stored(handle).await {
            Some(Stored::Live(record)) => Record::clone(&record),
            other => panic!("no live session but {other:?}"),
        }
    }

    pub(crate) async fn data(&self, handle: &Handle) -> String {
        self.record(handle).await.data.to_string()
    }

    /// What is left of a key's life.
    pub(crate) async fn left(&self, handle: &Handle) -> Option<Duration> {
        let mut entries = self.store.load(&[*handle]).await.expect("a read");
        entries.pop().flatten().map(|entry| entry.left)
    }

    pub(crate) async fn put(&self, handle: &Handle, value: &Stored, ttl: Duration) {
        assert_eq!(self.store.swap(handle, None, value, ttl).await, Ok(Swap::Done));
    }
}

pub(crate) fn handle_of(presented: &Presented) -> Handle {
    match presented {
        Presented::Loaded(session) => *session.handle(),
        other => panic!("no session was loaded: {other:?}"),
    }
}

/// The stamp of the record that was loaded: what a touch of this visit goes by.
pub(crate) fn stamp_of(presented: &Presented) -> Stamp {
    match presented {
        Presented::Loaded(session) => session.record.stamp(),
        other => panic!("no session was loaded: {other:?}"),
    }
}

pub(crate) fn issued(plan: &Plan) -> Ticket {
    match &plan.cookie {
        CookieStep::Issue(ticket, _) => Ticket::clone(ticket),
        other => panic!("no ticket was issued: {other:?}"),
    }
}

pub(crate) fn ticket() -> Ticket {
    Ticket { locator: Locator::from_random(rand::random()), secret: Secret::from_random(rand::random()) }
}

pub(crate) fn handle() -> Handle {
    ticket().locator.handle()
}

/// A live session of this version and data; each call is another write.
pub(crate) fn live(version: u64, data: &str) -> Stored {
    Stored::from(Record {
        version,
        writes: [Nonce(rand::random())].into(),
        secret: Secret::from_random(rand::random()).hash(),
        retired: vec![],
        created: Timestamp(1),
        written: Timestamp(1),
        deadline: Timestamp(u64::MAX),
        idle: None,
        persistent: false,
        subject: None,
        vault: cloakroom::session::vault::Jar::default(),
        homes: cloakroom::session::homes::Homes::default(),
        data: data.into(),
    })
}

pub(crate) fn tombstone() -> Stored {
    let retired = vec![Retired(Secret::from_random(rand::random()).hash(), Timestamp(u64::MAX))];
    Stored::from(Tombstone { version: 2, writes: [Nonce(rand::random())].into(), retired })
}

/// Polls until the condition yields a value; panics with `what` after the limit.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Awaits what must be over within `limit`.
pub(crate) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = tokio::time::timeout(PATIENCE, work).await;
    assert!(begun.elapsed() <= limit + SLACK, "{what}: {:?} instead of {limit:?}", begun.elapsed());
    done.expect("an end")
}

/// Everything that a shard asks a store, with what came of it. None of it changes what is stored while the store is
/// well: the swap and the touch expect something else.
pub(crate) async fn ask_everything(
    store: &Store,
    handle: &Handle,
) -> Vec<(&'static str, Duration, Result<(), StoreError>)> {
    let stranger = live(9, "{}");
    let mut answers = Vec::new();
    for what in ["load", "swap", "touch", "ping"] {
        let begun = Instant::now();
        let answer = match what {
            "load" => store.load(&[*handle]).await.map(drop),
            "swap" => store.swap(handle, Some(&stranger.stamp()), &stranger, LONG).await.map(drop),
            "touch" => store.touch(handle, &stranger.stamp(), Duration::from_millis(1)).await,
            _ => store.ping().await,
        };
        answers.push((what, begun.elapsed(), answer));
    }
    answers
}

/// Whether a change was refused because the session had ended or was rotated meanwhile.
pub(crate) fn is_ended(saved: &Result<Plan, CommitError>) -> bool {
    matches!(saved, Err(CommitError::Refused(Refusal::Ended(_))))
}
