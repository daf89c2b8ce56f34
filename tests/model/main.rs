//! A randomised run against a sequential model (issue 3, "must hold" 1): several browsers and sessions, two processes,
//! one store; reads, writes, rotations, endings, revocations, late tickets, expiry. Most rounds let operations overlap:
//! all of them are given the session before any of them is saved, and all are saved at once.
//!
//! Every operation that was saved says which version of which session it made, so the order in which the store took
//! them is known, and the model is applied in that order. `CLOAKROOM_MODEL_SEED` replays the choices of a run, and
//! `CLOAKROOM_MODEL_OPERATIONS` says how many there are. `tests/model/plant` shows that the run finds planted bugs.

mod check;
mod deed;
mod expect;
mod nap;
mod process;
mod round;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/visitor.rs"]
mod visitor;
mod world;

use cloakroom::store::{Depot, Kind, Settings, redis::Target, seal::Roots};
use process::Process;
use support::{Redis, Turnstile};
use world::World;

const PREFIX: &str = "model:";

fn settings(kind: Kind) -> Settings {
    let timeout = std::time::Duration::from_secs(10);
    Settings { kind, prefix: PREFIX.to_owned(), timeout, ..Settings::default() }
}

fn process(settings: &Settings) -> Process {
    Process::new(Depot::new(settings).expect("a depot").open())
}

/// These settings with `store.encrypt`, and roots of this byte each.
fn sealing(roots: &[u8], settings: Settings) -> Settings {
    let roots = Roots(roots.iter().map(|root| vec![*root; 32]).collect());
    Settings { encrypt: true, roots, ..settings }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

async fn run(name: &str, operations: u64, processes: Vec<Process>) -> World {
    let seed = from_environment("CLOAKROOM_MODEL_SEED").unwrap_or_else(rand::random);
    let operations = from_environment("CLOAKROOM_MODEL_OPERATIONS").unwrap_or(operations);
    eprintln!("{name}: CLOAKROOM_MODEL_SEED={seed}");
    let mut world = World::new(seed, processes);
    let begun = std::time::Instant::now();
    while world.tally.operations < operations {
        world.round().await;
    }
    world.settle_naps().await;
    eprintln!("{name}: {:?} in {:?}", world.tally, begun.elapsed());
    assert!(3 * world.tally.overlapping >= world.tally.operations, "too few overlap: {:?}", world.tally);
    world
}

#[tokio::test]
async fn ten_thousand_operations_in_memory_are_those_of_the_model() {
    let depot = Depot::new(&settings(Kind::Memory { max_sessions: 1_000_000 })).expect("a depot");
    // Two shards of one process: they share the sessions and the lanes.
    let first = Process::new(depot.open());
    let second = Process { store: depot.open(), ..first.clone() };
    run("memory", 10_000, vec![first, second]).await;
}

#[tokio::test]
async fn three_thousand_operations_in_a_file_are_those_of_the_model() {
    // In memory, if there is such a folder: crashes have tests of their own.
    let folder = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).expect("a folder");
    let kind = Kind::File { path: folder.path().join("sessions.db") };
    let depot = Depot::new(&settings(kind)).expect("a depot");
    let first = Process::new(depot.open());
    let second = Process { store: depot.open(), ..first.clone() };
    run("file", 3_000, vec![first, second]).await;
}

/// `told`: what a process is told, the first one and the second.
async fn run_in_redis(name: &str, operations: u64, told: [fn(Settings) -> Settings; 2]) {
    let server = Redis::start();
    // One of them is slow, so that the steps of the other come between its own.
    let slow = Turnstile::dawdling_before(server.port(), 1);
    let at = |url: &str| Kind::Redis(Box::new(Target::parse(url).expect("a URL of Redis").expect("a sound URL")));
    let processes = vec![process(&told[0](settings(at(&slow.url())))), process(&told[1](settings(at(&server.url()))))];
    let world = run(name, operations, processes).await;
    let keys: Vec<String> = server.command(&["KEYS", &format!("{PREFIX}s:*")]);
    for key in keys {
        assert!(world.explains(key.rsplit(':').next().unwrap_or_default()), "{key} is nobody's; {}", world.name());
    }
}

#[tokio::test]
async fn ten_thousand_operations_of_two_processes_on_one_redis_are_those_of_the_model() {
    run_in_redis("redis", 10_000, [|settings| settings, |settings| settings]).await;
}

/// In the middle of a change: one encrypts and the other not yet, and the root that is first here is second there.
#[tokio::test]
async fn so_are_three_thousand_of_a_process_that_encrypts_and_one_that_does_not() {
    let here = |settings| sealing(&[1, 2], settings);
    let there = |settings| Settings { encrypt: false, ..sealing(&[2, 1], settings) };
    run_in_redis("sealed", 3_000, [here, there]).await;
}
