//! A million sessions in memory (`CLOAKROOM_MILLION=1`, best with `--release`): what one of them takes, and that nobody
//! waits for the others: not while half of them expire at once, and not at the limit.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cloakroom::{
    session::{
        Handle, Timestamp,
        record::{Nonce, Record, Stored},
        ticket::{Locator, Secret},
    },
    store::{Depot, Kind, Settings, Store, StoreError, Swap},
};
use rustix::time::{ClockId, clock_gettime};

const MILLION: u32 = 1_000_000;
const SHORT: Duration = Duration::from_secs(1_000);
const LONG: Duration = Duration::from_secs(100_000);

fn handle(number: u32) -> Handle {
    let mut raw = [0; 16];
    raw[..4].copy_from_slice(&number.to_le_bytes());
    Locator::from_random(raw).handle()
}

/// As a small session is: a name and a cart.
fn session(number: u32) -> Stored {
    Stored::Live(Record {
        version: 3,
        writes: (0..3).map(|n| Nonce(u64::from(number) + n)).collect(),
        secret: Secret::from_random([7; 32]).hash(),
        retired: vec![],
        created: Timestamp(1_790_000_000_000),
        written: Timestamp(1_790_000_000_000),
        deadline: Timestamp(u64::MAX / 2),
        idle: None,
        persistent: false,
        subject: Some(format!("user-{number}")),
        data: r#"{"name":"Ada Lovelace","cart":{"hat":1,"gloves":2},"csrf":"oqKxQv7mXJ0bZt5e1w8d"}"#.into(),
    })
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// What this thread has worked: on a busy machine a clock tells of the others.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// How much work single steps were.
#[derive(Default)]
struct Steps(Vec<Duration>);

impl Steps {
    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let begun = worked();
        let done = step();
        self.0.push(worked() - begun);
        done
    }

    /// Prints what they were; returns what 999 of 1,000 were at most.
    fn report(mut self, what: &str) -> Duration {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        let (median, most, all) = (at(0.5), at(0.999), at(1.0));
        eprintln!("{what}: {} steps, median {median:?}, 99.9 % {most:?}, all {all:?}", self.0.len());
        most
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("memory makes nobody wait"),
    }
}

/// Reads until it is told to stop. Time stands still for it.
fn reader(store: Store, stop: Arc<AtomicBool>) -> thread::JoinHandle<Steps> {
    thread::spawn(move || {
        let mut steps = Steps::default();
        for number in (MILLION / 2..MILLION).cycle().step_by(7) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let handles = [handle(number)];
            assert!(steps.time(|| now(store.load(&handles))).expect("a read")[0].is_some());
        }
        steps
    })
}

#[tokio::test(start_paused = true)]
async fn a_million_sessions_wait_for_nobody() {
    if std::env::var_os("CLOAKROOM_MILLION").is_none() {
        return;
    }
    let kind = Kind::Memory { max_sessions: MILLION as usize };
    let depot = Depot::new(&Settings { kind, ..Settings::default() }).expect("a depot");
    let store = depot.open();
    let put = |number: u32, ttl: Duration| now(store.swap(&handle(number), None, &session(number), ttl));

    let (before, mut steps) = (resident(), Steps::default());
    for number in 0..MILLION {
        let ttl = if number < MILLION / 2 { SHORT } else { LONG };
        assert_eq!(steps.time(|| put(number, ttl)), Ok(Swap::Done));
    }
    steps.report("to make a session");
    let each = (resident() - before) / u64::from(MILLION);
    eprintln!("{each} bytes for a session of {} bytes", session(0).encode().len());
    assert!(each < 2_000);

    let mut steps = Steps::default();
    for number in MILLION..MILLION + 10_000 {
        assert_eq!(steps.time(|| put(number, LONG)), Err(StoreError::Full));
    }
    steps.report("to be refused at the limit");

    tokio::time::advance(SHORT).await;
    let mut steps = Steps::default();
    for number in MILLION..MILLION + 10_000 {
        assert_eq!(steps.time(|| put(number, LONG)), Ok(Swap::Done));
    }
    steps.report("to take the place of an expired one at the limit");

    let stop = Arc::new(AtomicBool::new(false));
    let reading = reader(depot.open(), Arc::clone(&stop));
    let mut steps = Steps::default();
    for _ in 0..2_500 {
        steps.time(|| depot.sweep());
    }
    stop.store(true, Ordering::Relaxed);
    steps.report("one sweep (every 100 ms)");
    let read = reading.join().expect("the reader").report("to read while half a million are swept out");
    assert!(read < Duration::from_millis(1));
    let mut free = 0;
    while put(2 * MILLION + free, LONG) == Ok(Swap::Done) {
        free += 1;
    }
    assert_eq!(free, MILLION / 2 - 10_000);
}
