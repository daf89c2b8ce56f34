//! A server that is in trouble is not made worse: at most ten attempts to connect per second in the whole process.

use std::time::{Duration, Instant};

use cloakroom::store::Store;

use crate::{
    bench::{depot, handle, redis},
    double::{Deed, Double},
    support::Redis,
};

const TIMEOUT: Duration = Duration::from_millis(250);
const PER_SECOND: usize = 10;

/// Asks and asks again, on every shard, for so long.
async fn besiege(stores: &[Store], time: Duration) {
    let end = Instant::now() + time;
    let tasks = stores.iter().cloned().map(|store| {
        tokio::spawn(async move {
            while Instant::now() < end {
                let _ = store.load(&[handle()]).await;
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a task");
    }
}

/// The most arrivals in any one second.
fn busiest_second(arrivals: &[Instant]) -> usize {
    let within =
        |start: &Instant| arrivals.iter().filter(|a| **a >= *start && **a < *start + Duration::from_secs(1)).count();
    arrivals.iter().map(within).max().unwrap_or_default()
}

async fn attempts(shards: usize, fault: fn() -> Deed) {
    let double = Double::of_nobody();
    double.rule(move |_| fault());
    let depot = depot(redis(&double.url()), TIMEOUT);
    let stores: Vec<_> = (0..shards).map(|_| depot.open()).collect();
    besiege(&stores, Duration::from_millis(2_500)).await;
    let arrivals = double.arrivals();
    let busiest = busiest_second(&arrivals);
    // One more for a moment that falls on both ends of the second.
    assert!(
        busiest <= PER_SECOND + 1,
        "{busiest} attempts in one second by {shards} shards, {} in all",
        arrivals.len()
    );
    assert!(arrivals.len() >= 8, "only {} attempts by {shards} shards in 2.5 s", arrivals.len());
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_is_tried_ten_times_a_second_at_most() {
    for shards in [1, 8] {
        attempts(shards, || Deed::Break).await;
    }
}

#[tokio::test]
async fn a_server_that_talks_nonsense_is_tried_ten_times_a_second_at_most() {
    for shards in [1, 8] {
        attempts(shards, || Deed::Say(b"nonsense\r\n".to_vec())).await;
    }
}

/// The trap: connecting works, and so nothing tells the link to wait.
#[tokio::test]
async fn a_server_that_greets_and_then_hangs_up_is_tried_ten_times_a_second_at_most() {
    for shards in [1, 8] {
        let server = Redis::start();
        let double = Double::of(server.port());
        double.rule(|command| if command.name() == "CLIENT" { Deed::Forward } else { Deed::Break });
        let depot = depot(redis(&double.url()), TIMEOUT);
        let stores: Vec<_> = (0..shards).map(|_| depot.open()).collect();
        // In the beginning the other shards follow the first one that was greeted.
        besiege(&stores, Duration::from_millis(500)).await;
        assert!(
            double.arrivals().len() <= PER_SECOND / 2 + shards + 1,
            "{} attempts at first",
            double.arrivals().len()
        );
        let begun = Instant::now();
        besiege(&stores, Duration::from_millis(2_500)).await;
        let later: Vec<_> = double.arrivals().into_iter().filter(|arrival| *arrival > begun).collect();
        let busiest = busiest_second(&later);
        assert!(
            busiest <= PER_SECOND + 1,
            "{busiest} attempts in one second by {shards} shards, {} in all",
            later.len()
        );
    }
}

/// And yet all shards work as soon as one has found the server.
#[tokio::test]
async fn when_the_server_is_back_every_shard_works_within_its_timeout() {
    let server = Redis::durable();
    let depot = depot(redis(&server.url()), Duration::from_secs(1));
    let stores: Vec<_> = (0..8).map(|_| depot.open()).collect();
    for round in 0..3 {
        besiege(&stores, Duration::from_millis(600)).await;
        server.kill();
        besiege(&stores, Duration::from_millis(700)).await;
        server.restart();
        let asked = stores.iter().cloned().map(|store| tokio::spawn(async move { store.load(&[handle()]).await }));
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.expect("a task"), Ok(vec![None]), "round {round}");
        }
    }
}
