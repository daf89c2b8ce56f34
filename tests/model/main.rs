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
mod world;

use cloakroom::store::{Depot, Kind, Settings, redis::Target};
use process::Process;
use support::{Redis, Turnstile};
use world::World;

const PREFIX: &str = "model:";

fn depot(kind: Kind) -> Depot {
    let timeout = std::time::Duration::from_secs(10);
    let settings = Settings { kind, prefix: PREFIX.to_owned(), timeout, ..Settings::default() };
    Depot::new(&settings).expect("a depot")
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

async fn run(name: &str, processes: Vec<Process>) -> World {
    let seed = from_environment("CLOAKROOM_MODEL_SEED").unwrap_or_else(rand::random);
    let operations = from_environment("CLOAKROOM_MODEL_OPERATIONS").unwrap_or(10_000);
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
    let depot = depot(Kind::Memory { max_sessions: 1_000_000 });
    // Two shards of one process: they share the sessions and the lanes.
    let first = Process::new(depot.open());
    let second = Process { store: depot.open(), ..first.clone() };
    run("memory", vec![first, second]).await;
}

#[tokio::test]
async fn ten_thousand_operations_of_two_processes_on_one_redis_are_those_of_the_model() {
    let server = Redis::start();
    // One of them is slow, so that the steps of the other come between its own.
    let slow = Turnstile::dawdling_before(server.port(), 1);
    let target = |url: &str| Target::parse(url).expect("a URL of Redis").expect("a sound URL");
    let process = |url: String| Process::new(depot(Kind::Redis(Box::new(target(&url)))).open());
    let world = run("redis", vec![process(slow.url()), process(server.url())]).await;
    let keys: Vec<String> = server.command(&["KEYS", &format!("{PREFIX}s:*")]);
    for key in keys {
        assert!(world.explains(key.rsplit(':').next().unwrap_or_default()), "{key} is nobody's; {}", world.name());
    }
}
