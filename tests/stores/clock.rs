//! The store's clock decides (contract section 3), not that of the machine on which a proxy runs.

use std::time::Duration;

use cloakroom::session::Timestamp;

use crate::{
    bench::{Bench, Process, eventually, handle},
    double::{Deed, Double},
    support::Redis,
};

const HOUR: u64 = 3_600_000;

/// The server's time in milliseconds.
fn time_of(server: &Redis) -> u64 {
    let (seconds, micros): (u64, u64) = server.command(&["TIME"]);
    seconds * 1000 + micros / 1000
}

/// The double's TIME is so many hours away from that of the server.
fn shift(double: &Double, server: &Redis, hours: i64) {
    let now = time_of(server).saturating_add_signed(hours * HOUR as i64);
    let (seconds, micros) = ((now / 1000).to_string(), (now % 1000 * 1000).to_string());
    let answer = format!("*2\r\n${}\r\n{seconds}\r\n${}\r\n{micros}\r\n", seconds.len(), micros.len());
    double.rule(move |command| match command.name() == "TIME" {
        true => Deed::Say(answer.clone().into_bytes()),
        false => Deed::Forward,
    });
}

fn hours_between(a: Timestamp, b: u64) -> i64 {
    let seconds = (a.0 as i64 - b as i64) / 1000;
    (seconds + seconds.signum() * 1800) / 3600
}

#[tokio::test]
async fn after_a_read_the_time_is_the_servers() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let before = time_of(server);
    bench.process.store.load(&[handle()]).await.unwrap();
    let now = bench.process.store.now().0;
    let after = time_of(server);
    assert!(before <= now + 2 && now <= after + 2, "{before} {now} {after}");
}

#[tokio::test]
async fn a_server_whose_clock_is_elsewhere_is_followed_there_and_back() {
    let server = Redis::start();
    let double = Double::of(server.port());
    let process = Process::at(&double.url(), Duration::from_secs(5));
    for hours in [1, -2, 0] {
        shift(&double, &server, hours);
        eventually("the clock to follow", async || {
            process.store.load(&[handle()]).await.unwrap();
            (hours_between(process.store.now(), time_of(&server)) == hours).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_first_session_of_a_process_is_dated_by_the_server() {
    let server = Redis::start();
    let double = Double::of(server.port());
    shift(&double, &server, 1);
    let process = Process::at(&double.url(), Duration::from_secs(5));
    let ticket = process.create(r#"{"a":1}"#).await;
    let record = process.record(&ticket.locator.handle()).await;
    assert_eq!(hours_between(record.created, time_of(&server)), 1, "it was dated by the proxy's own clock");
    assert_eq!(hours_between(record.deadline, time_of(&server)), 13);
}

#[tokio::test]
async fn time_goes_on_between_two_reads() {
    for bench in [Bench::memory(), Bench::redis()] {
        bench.process.store.load(&[handle()]).await.unwrap();
        let first = bench.process.store.now();
        eventually("time to pass", async || (bench.process.store.now().0 >= first.0 + 20).then_some(())).await;
    }
}
