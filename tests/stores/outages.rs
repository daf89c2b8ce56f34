//! A server that is away: every question is answered with an error within `store.timeout`, and the first one after its
//! return with the truth. Nobody restarts anything.

use std::time::Duration;

use crate::{
    bench::{Process, SLACK, ask_everything, handle_of, within},
    support::{Redis, Relay},
};

const TIMEOUT: Duration = Duration::from_millis(300);

async fn endure(server: &Redis, url: &str, fail: impl Fn(), heal: impl Fn()) {
    let process = Process::at(url, TIMEOUT);
    let visitor = process.visit(r#"{"a":1}"#).await;
    let _ = server;
    for round in 0..2 {
        fail();
        for _ in 0..2 {
            for (what, took, answer) in ask_everything(&process.store, &handle_of(&visitor)).await {
                assert!(answer.is_err(), "{what} in round {round}: {answer:?}");
                assert!(took <= TIMEOUT + SLACK, "{what} took {took:?}");
            }
        }
        let many = (0..50).map(|n| {
            let (process, visitor) = (process.clone(), visitor.clone());
            tokio::spawn(async move { process.save(&visitor, &format!("{{\"lost\":{n}}}"), "").await })
        });
        let begun = std::time::Instant::now();
        for save in many.collect::<Vec<_>>() {
            let saved = save.await.expect("a task");
            assert!(matches!(saved, Err(cloakroom::store::commit::CommitError::Store(_))), "{saved:?}");
        }
        // Those who wait in line behind the first one fail with it, not one after the other.
        assert!(begun.elapsed() <= TIMEOUT + SLACK, "fifty saves took {:?}", begun.elapsed());
        heal();
        let data = within(TIMEOUT, "the first read afterwards", process.data(&handle_of(&visitor))).await;
        assert!(data.starts_with(r#"{"a":1"#), "{data}");
        process.save(&visitor, &format!("{{\"round\":{round}}}"), "").await.expect("the first save afterwards");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_on_the_same_port() {
    let server = Redis::durable();
    endure(&server, &server.url(), || server.kill(), || server.restart()).await;
}

#[tokio::test]
async fn a_server_that_is_frozen_and_thaws() {
    let server = Redis::start();
    endure(&server, &server.url(), || server.freeze(), || server.thaw()).await;
}

#[tokio::test]
async fn a_network_that_swallows_every_byte() {
    let server = Redis::start();
    let relay = Relay::to(server.port());
    endure(&server, &relay.url(), || relay.swallow(), || relay.release()).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_between_two_questions_is_replaced_without_an_error() {
    let server = Redis::start();
    let relay = Relay::to(server.port());
    let process = Process::at(&relay.url(), Duration::from_secs(5));
    let visitor = process.visit(r#"{"a":1}"#).await;
    for n in 0..3 {
        relay.cut();
        assert_eq!(
            process.data(&handle_of(&visitor)).await,
            if n == 0 { r#"{"a":1}"#.to_owned() } else { format!("{{\"a\":1,\"n\":{}}}", n - 1) }
        );
        relay.cut();
        process.save(&visitor, &format!("{{\"n\":{n}}}"), "").await.expect("saved");
    }
}

#[tokio::test]
async fn a_client_that_the_server_throws_out_comes_back() {
    let server = Redis::start();
    let process = Process::at(&server.url(), Duration::from_secs(5));
    let visitor = process.visit(r#"{"a":1}"#).await;
    for _ in 0..3 {
        let _: i64 = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(process.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let server = Redis::start();
    server.kill();
    let process = Process::at(&server.url(), TIMEOUT);
    assert!(within(TIMEOUT, "a ping", process.store.ping()).await.is_err());
    server.restart();
    assert_eq!(within(TIMEOUT, "a ping", process.store.ping()).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_asked_and_believed() {
    let server = Redis::start();
    let process = Process::at(&server.url(), Duration::from_secs(5));
    let visitor = process.visit(r#"{"a":1}"#).await;
    server.restart();
    assert_eq!(process.stored(&handle_of(&visitor)).await, None);
    assert!(crate::bench::is_ended(&process.save(&visitor, r#"{"b":1}"#, "").await));
    assert_eq!(server.command::<usize>(&["DBSIZE"]), 0);
}
