//! A server that is away: every question is answered with an error within `store.timeout`, and the first one after its
//! return with the truth. Nobody restarts anything.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use cloakroom::store::{StoreError, commit::CommitError};

use crate::{
    bench::{PREFIX, Process, SLACK, ask_everything, eventually, handle_of, within},
    support::{Redis, Relay},
    visitor::Presented,
};

const TIMEOUT: Duration = Duration::from_millis(300);

async fn endure(server: &Redis, url: &str, fail: impl Fn(), heal: impl Fn()) {
    let process = Process::at(url, TIMEOUT).ready().await;
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
        let begun = Instant::now();
        for save in many.collect::<Vec<_>>() {
            let saved = save.await.expect("a task");
            assert!(matches!(saved, Err(CommitError::Store(_))), "{saved:?}");
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

/// Waits until a save is taken; everything before must be an error of the store.
async fn saved_at_last(process: &Process, visitor: &Presented, update: &str) -> Duration {
    let begun = Instant::now();
    eventually("a save after the fail-over", async || match process.save(visitor, update, "").await {
        Ok(_) => Some(begun.elapsed()),
        Err(CommitError::Store(_)) => None,
        Err(other) => panic!("{other:?}"),
    })
    .await
}

/// A master and its replica, which has everything.
async fn pair() -> (Redis, Redis) {
    let at_once = |_: &Path| ["--repl-diskless-sync-delay", "0"].map(str::to_owned).into();
    let (master, replica) = (Redis::with(at_once), Redis::with(at_once));
    let port = master.port().to_string();
    let _: String = replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    let followed = async || {
        let said: String = replica.command(&["INFO", "replication"]);
        said.contains("master_link_status:up").then_some(())
    };
    eventually("the replica to follow", followed).await;
    (master, replica)
}

#[tokio::test]
async fn a_fail_over_behind_a_name_is_followed_although_the_old_connection_lives() {
    let (old, new) = pair().await;
    let relay = Relay::to(old.port());
    let process = Process::at(&relay.url(), TIMEOUT).ready().await;
    let visitor = process.visit(r#"{"a":1}"#).await;
    let caught_up = async || {
        let _: i64 = old.command(&["WAIT", "1", "1000"]);
        (new.command::<usize>(&["DBSIZE"]) == 1).then_some(())
    };
    eventually("the replica to have the session", caught_up).await;
    // Roles change, the name leads to the new master, and nobody cuts the connections to the old one.
    let _: String = new.command(&["REPLICAOF", "NO", "ONE"]);
    relay.lead_to(new.port());
    let port = new.port().to_string();
    let _: String = old.command(&["REPLICAOF", "127.0.0.1", &port]);
    let refused = process.save(&visitor, r#"{"b":2}"#, "").await;
    assert!(
        matches!(&refused, Err(CommitError::Store(StoreError::Refused(code))) if code == "READONLY"),
        "{refused:?}"
    );
    let took = saved_at_last(&process, &visitor, r#"{"b":2}"#).await;
    assert!(took <= Duration::from_secs(1) + SLACK, "{took:?}");
    assert!(new.command::<i64>(&["STRLEN", &format!("{PREFIX}s:{}", handle_of(&visitor))]) > 0);
    assert_eq!(process.data(&handle_of(&visitor)).await, r#"{"a":1,"b":2}"#);
}

#[tokio::test]
async fn a_replica_that_lost_its_master_is_left_for_where_the_name_leads() {
    let (master, replica) = pair().await;
    let relay = Relay::to(replica.port());
    let process = Process::at(&relay.url(), TIMEOUT).ready().await;
    assert_eq!(process.store.ping().await, Ok(()));
    let _: String = replica.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    master.kill();
    let handle = crate::bench::handle();
    let masterdown = Err(StoreError::Refused("MASTERDOWN".to_owned()));
    let lost = async || (process.store.load(&[handle]).await == masterdown).then_some(());
    eventually("the replica to say that its master is down", lost).await;
    let other = Redis::start();
    relay.lead_to(other.port());
    let found = async || process.store.load(&[handle]).await.ok();
    let begun = Instant::now();
    assert_eq!(eventually("a server that answers", found).await, [None]);
    assert!(begun.elapsed() <= Duration::from_secs(1) + SLACK, "{:?}", begun.elapsed());
}

/// It is asked for another connection again and again, and yet serves what it can.
#[tokio::test]
async fn a_replica_without_anything_better_is_not_stormed_and_still_read() {
    let (_master, replica) = pair().await;
    let relay = Relay::to(replica.port());
    let process = Process::at(&relay.url(), Duration::from_secs(5)).ready().await;
    let begun = Instant::now();
    let mut reads = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let handle = crate::bench::handle();
        let swap = process.store.swap(&handle, None, &crate::bench::live(1, "{}"), TIMEOUT).await;
        assert_eq!(swap, Err(StoreError::Refused("READONLY".to_owned())));
        assert_eq!(process.store.load(&[handle]).await, Ok(vec![None]));
        reads += 1;
    }
    let attempts = relay.arrivals().len();
    assert!(reads > 20 && (2..=22).contains(&attempts), "{reads} reads, {attempts} connections in 2 s");
}
