//! Issue 4, "must hold" 4: many sessions at once, in memory and in a file: what they take, how soon a process is back
//! with them, and how long a visitor waits while half of them end. Small by default, so that it runs with everything;
//! `CLOAKROOM_SESSIONS=1000000 cargo nextest run --release --test stores million --no-capture` measures.

use std::{
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use cloakroom::{
    session::{Handle, record::Stored, ticket::Locator},
    store::{Depot, Kind, Settings, Store, Swap},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::bench::{LONG, SLACK, live};

/// Writes under way at once.
const CROWD: usize = 2_000;
/// A process is back with its sessions in this time.
const BACK: Duration = Duration::from_secs(2);

fn sessions() -> u64 {
    std::env::var("CLOAKROOM_SESSIONS").map_or(10_000, |text| text.parse().expect("CLOAKROOM_SESSIONS is a number"))
}

fn numbered(number: u64) -> Handle {
    Locator::from_random(u128::from(number).to_le_bytes()).handle()
}

/// A session with 300 bytes of data, always the same.
fn value() -> Stored {
    static VALUE: LazyLock<Stored> =
        LazyLock::new(|| live(1, &format!(r#"{{"user":"ada","filling":"{}"}}"#, "x".repeat(272))));
    VALUE.clone()
}

/// Bytes resident of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") * 1024
}

/// Many writes at once, of the sessions of these numbers.
async fn write_all(
    store: &Store,
    numbers: impl Iterator<Item = u64>,
    expected: Option<&Stored>,
    life: impl Fn() -> Duration,
) {
    let (mut writes, value) = (JoinSet::new(), value());
    for number in numbers {
        if writes.len() >= CROWD {
            writes.join_next().await.expect("a write").expect("a write");
        }
        let (store, value, stamp, life) = (store.clone(), value.clone(), expected.map(Stored::stamp), life());
        writes.spawn(async move {
            let swap = store.swap(&numbered(number), stamp.as_ref(), &value, life).await;
            assert_eq!(swap, Ok(Swap::Done), "session {number}");
        });
    }
    while let Some(write) = writes.join_next().await {
        write.expect("a write");
    }
}

/// Sessions that outlast the test.
async fn fill(store: &Store, count: u64) {
    write_all(store, 0..count, None, || 100 * LONG).await;
}

/// Every second session is to end at this moment.
async fn doom(store: &Store, count: u64, end: Instant) {
    let left = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    write_all(store, (0..count).step_by(2), Some(&value()), left).await;
}

/// When they end: hardly before all of them are doomed.
fn end(count: u64) -> Instant {
    Instant::now() + Duration::from_secs(1) + Duration::from_micros(count * 100)
}

/// Latencies, sorted when they are told.
#[derive(Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    fn tell(mut self, what: &str) -> Duration {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        eprintln!(
            "{what}: {} in all, p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
            self.0.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        at(0.99)
    }
}

/// Reads those that live on, for so long, with a write now and then; what both took.
async fn visit(store: &Store, count: u64, span: Duration, mut beside: impl FnMut()) -> (Latencies, Latencies) {
    let (mut reads, mut writes) = (Latencies::default(), Latencies::default());
    let begun = Instant::now();
    for turn in 0_u64.. {
        let number = ((turn * 7_919) % (count / 2)) * 2 + 1;
        let started = Instant::now();
        let found = store.load(&[numbered(number)]).await.expect("a read");
        reads.0.push(started.elapsed());
        assert!(found[0].is_some(), "session {number} is gone");
        if turn % 64 == 0 {
            let started = Instant::now();
            assert_eq!(
                store.swap(&numbered(rand::random::<u64>() | 1 << 63), None, &value(), LONG).await,
                Ok(Swap::Done)
            );
            writes.0.push(started.elapsed());
            beside();
        }
        if begun.elapsed() > span {
            break;
        }
    }
    (reads, writes)
}

/// Whoever fills a store is patient.
fn depot(kind: Kind) -> Depot {
    Depot::new(&Settings { kind, save_timeout: Duration::from_secs(60), ..Settings::default() }).expect("a depot")
}

async fn until(end: Instant) {
    tokio::time::sleep(end.saturating_duration_since(Instant::now())).await;
}

/// Opens the file as a new process does.
fn open(path: &Path, what: &str) -> Depot {
    let begun = Instant::now();
    let depot = depot(Kind::File { path: path.to_owned() });
    eprintln!("open {what}: {:?}", begun.elapsed());
    assert!(begun.elapsed() < BACK + SLACK, "open {what}: {:?}", begun.elapsed());
    depot
}

#[tokio::test]
async fn a_million_in_a_file() {
    let (count, folder) = (sessions(), TempDir::new().expect("a folder"));
    let path = folder.path().join("sessions.db");
    let begun = Instant::now();
    let first = open(&path, "a new file");
    let before = resident();
    fill(&first.open(), count).await;
    let size = std::fs::metadata(&path).expect("the file").len();
    eprintln!("{count} sessions in {:?}: {} bytes of file each", begun.elapsed(), size / count);
    eprintln!("resident: {} MiB more", (resident() - before) >> 20);
    // The file as a SIGKILL leaves it.
    let crashed = folder.path().join("crashed.db");
    std::fs::copy(&path, &crashed).expect("a copy");
    let survivor = open(&crashed, "after a crash");
    assert!(survivor.open().load(&[numbered(1)]).await.expect("a read")[0].is_some());
    survivor.close().await;
    std::fs::remove_file(&crashed).expect("the copy");
    first.close().await;
    let second = open(&path, "after a clean end");
    let store = second.open();
    visit(&store, count, Duration::from_secs(1), || {}).await.0.tell("reads before");
    let end = end(count);
    doom(&store, count, end).await;
    until(end).await;
    let span = Duration::from_secs(1) + Duration::from_micros(count * 20);
    let (reads, writes) = visit(&store, count, span, || {}).await;
    let slow = reads.tell("reads while half of them end");
    writes.tell("writes while half of them end");
    assert!(slow < Duration::from_millis(10) + SLACK, "{slow:?}");
    second.close().await;
    eprintln!("afterwards: {} of {} MiB", std::fs::metadata(&path).expect("the file").len() >> 20, size >> 20);
    let third = open(&path, "when they have ended");
    assert!(third.open().load(&[numbered(0)]).await.expect("a read")[0].is_none());
    third.close().await;
}

#[tokio::test]
async fn a_million_in_memory() {
    let count = sessions();
    let (before, begun) = (resident(), Instant::now());
    let depot = depot(Kind::Memory { max_sessions: usize::MAX });
    let store = depot.open();
    fill(&store, count).await;
    eprintln!("{count} sessions in {:?}: {} bytes resident each", begun.elapsed(), (resident() - before) / count);
    visit(&store, count, Duration::from_secs(1), || {}).await.0.tell("reads before");
    let end = end(count / 10);
    doom(&store, count, end).await;
    until(end).await;
    let mut sweeps = Latencies::default();
    let sweep = || {
        let started = Instant::now();
        depot.sweep();
        sweeps.0.push(started.elapsed());
    };
    let (reads, _) = visit(&store, count, Duration::from_secs(2), sweep).await;
    let slow = reads.tell("reads while half of them end");
    sweeps.tell("sweeps");
    assert!(slow < Duration::from_millis(10) + SLACK, "{slow:?}");
    assert!(store.load(&[numbered(0)]).await.expect("a read")[0].is_none());
}
