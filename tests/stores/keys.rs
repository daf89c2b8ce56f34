//! What an operator sees in Redis: names with the prefix, an expiry on every key, and values of other hands.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cloakroom::{
    session::Handle,
    store::{Swap, commit::Live as _, index},
};

use crate::{
    bench::{Bench, LONG, PREFIX, Process, handle, handle_of, issued, live, tombstone},
    support::Redis,
    visitor::Presented,
};

fn server(bench: &Bench) -> &Redis {
    bench.server.as_ref().expect("a server")
}

fn key(handle: &Handle) -> String {
    format!("{PREFIX}s:{handle}")
}

/// Asserts that every key has the prefix and an expiry; says how many there are.
fn audited(server: &Redis) -> usize {
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    for key in &keys {
        let left: i64 = server.command(&["PTTL", key]);
        assert!(key.starts_with(PREFIX), "{key}");
        assert!(left > 0, "{key} has no expiry: {left}");
    }
    keys.len()
}

#[tokio::test]
async fn every_key_has_the_prefix_the_handle_and_an_expiry() {
    let bench = Bench::redis();
    let (server, store) = (server(&bench), &bench.process.store);
    let (session, ended, first) = (handle(), handle(), live(1, "{}"));
    bench.process.put(&session, &first, LONG).await;
    bench.process.put(&ended, &tombstone(), LONG).await;
    assert_eq!(audited(server), 2);
    for handle in [&session, &ended] {
        assert_eq!(server.command::<i64>(&["EXISTS", &key(handle)]), 1);
    }
    let second = live(2, "{}");
    store.swap(&session, Some(&first.stamp()), &second, LONG).await.unwrap();
    store.swap(&session, Some(&first.stamp()), &live(2, "{}"), LONG).await.unwrap();
    store.touch(&session, &second.stamp(), 2 * LONG).await.unwrap();
    store.touch(&handle(), &second.stamp(), 2 * LONG).await.unwrap();
    assert_eq!(audited(server), 2);
    let left: i64 = server.command(&["PTTL", &key(&session)]);
    assert!(left > 1_900_000 && left <= 2_000_000, "{left}");
    assert_eq!(server.command::<Vec<u8>>(&["GETRANGE", &key(&session), "0", "1"]), b"1L");
}

#[tokio::test]
async fn a_whole_life_leaves_no_key_without_an_expiry() {
    let bench = Bench::redis();
    let process = bench.process.with(|policy| policy.retire_grace = Duration::from_millis(50));
    let visitor = process.visit(r#"{"a":1}"#).await;
    process.save(&visitor, r#"{"b":2}"#, "subject=ada").await.unwrap();
    audited(server(&bench));
    process.save(&visitor, "", "destroy").await.unwrap();
    audited(server(&bench));
    bench.gone(&handle_of(&visitor)).await;
    assert!(!server(&bench).command::<Vec<String>>(&["KEYS", "*"]).contains(&key(&handle_of(&visitor))));
}

#[tokio::test]
async fn a_life_below_a_millisecond_is_still_one() {
    let bench = Bench::redis();
    let (handle, value) = (handle(), live(1, "{}"));
    bench.process.put(&handle, &value, Duration::ZERO).await;
    bench.process.store.touch(&handle, &value.stamp(), Duration::ZERO).await.unwrap();
    bench.gone(&handle).await;
}

#[tokio::test]
async fn a_key_that_lost_its_expiry_gets_one_with_the_next_touch() {
    let bench = Bench::redis();
    let visitor = bench.process.visit(r#"{"a":1}"#).await;
    let Presented::Loaded(session) = &visitor else { panic!("{visitor:?}") };
    let _: i64 = server(&bench).command(&["PERSIST", &key(session.handle())]);
    let left = bench.process.left(session.handle()).await.expect("it is still there");
    let ttl = session.record.touch(left, bench.process.store.now(), &bench.process.policy).expect("a touch is due");
    bench.process.store.touch(session.handle(), &session.record.stamp(), ttl).await.unwrap();
    audited(server(&bench));
}

/// Contract section 3: what cannot be read counts as unknown, so that the visitor is never stuck.
#[tokio::test]
async fn what_is_no_record_is_there_but_says_nothing() {
    let bench = Bench::redis();
    let server = server(&bench);
    let (list, garbage, short, later) = (handle(), handle(), handle(), handle());
    let _: i64 = server.command(&["RPUSH", &key(&list), "x"]);
    let _: String = server.command(&["SET", &key(&garbage), &"\u{1f9e5}".repeat(40)]);
    let _: String = server.command(&["SET", &key(&short), "1L"]);
    let _: String = server.command(&["SET", &key(&later), &format!("9L{:032}={{}}", 1)]);
    let asked = [list, garbage, short, later];
    let entries = bench.process.store.load(&asked).await.unwrap();
    for (entry, handle) in entries.iter().zip(&asked) {
        assert_eq!(entry.as_ref().expect("something is there").decode(handle), None);
    }
    // Nothing is created over it by accident, and the neighbours of a bad value are read all the same.
    for handle in [&garbage, &short, &later] {
        let swap = bench.process.store.swap(handle, None, &live(1, "{}"), LONG).await.unwrap();
        assert!(matches!(swap, Swap::Conflict(Some(_))), "{swap:?}");
    }
    let fine = handle();
    bench.process.put(&fine, &live(1, "{}"), LONG).await;
    let entries = bench.process.store.load(&[list, fine]).await.unwrap();
    assert!(entries[1].as_ref().is_some_and(|entry| entry.decode(&fine).is_some()));
}

#[tokio::test]
async fn a_session_whose_record_was_damaged_has_ended_and_stays_damaged() {
    let bench = Bench::redis();
    for damage in ["", "nonsense", "1L0000000000000001"] {
        let visitor = bench.process.visit(r#"{"a":1}"#).await;
        let key = key(&handle_of(&visitor));
        let _: String = server(&bench).command(&["SET", &key, damage, "EX", "100"]);
        for (update, control) in [(r#"{"b":1}"#, ""), (r#"{"a":1}"#, ""), ("", "rotate")] {
            let saved = bench.process.save(&visitor, update, control).await;
            assert!(crate::bench::is_ended(&saved), "{damage:?} {update} {control}: {saved:?}");
        }
        assert_eq!(server(&bench).command::<String>(&["GET", &key]), damage);
    }
}

/// Runs as one step of the server's: nothing can come between its looks.
const IMMORTAL: &str = "\
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) < 0 then found[#found + 1] = key end
end
return found";

/// Somebody logs in, comes back, writes, logs out, and is logged out by others.
async fn lives(process: Process, subject: String) {
    for turn in 0..25 {
        let visitor = process.visit(r#"{"a":1}"#).await;
        let control = format!("rotate, subject=\"{subject}\"");
        let plan = process.save(&visitor, r#"{"b":2}"#, &control).await;
        let Ok(plan) = plan else { continue }; // revoked by a neighbour of the same subject
        let visitor = process.present(&issued(&plan)).await;
        let Presented::Loaded(session) = &visitor else { continue };
        let _ = process.store.touch(session.handle(), &session.record.stamp(), 2 * LONG).await;
        let _ = process.save(&visitor, r#"{"c":3}"#, "lifetime=500").await;
        match turn % 3 {
            0 => drop(process.save(&visitor, "", "destroy").await),
            1 => drop(index::revoke(&process.store, &subject, None).await),
            _ => {}
        }
    }
}

#[tokio::test]
async fn at_no_moment_is_there_a_key_without_an_expiry() {
    let server = Arc::new(Redis::start());
    let watch = server.watch();
    let done = Arc::new(AtomicBool::new(false));
    let auditor = thread::spawn({
        let (server, done) = (Arc::clone(&server), Arc::clone(&done));
        move || {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let immortal: Vec<String> = server.command(&["EVAL", IMMORTAL, "0"]);
                assert_eq!(immortal, Vec::<String>::new());
                looks += 1;
            }
            looks
        }
    });
    let visitors = (0..12).map(|n| {
        let process = Process::at(&server.url(), Duration::from_secs(10));
        tokio::spawn(lives(process, format!("subject {}", n % 4)))
    });
    for visitor in visitors.collect::<Vec<_>>() {
        visitor.await.expect("a life");
    }
    done.store(true, Ordering::Relaxed);
    assert!(auditor.join().expect("no key without an expiry") > 10);
    // What writes says how long, or stands in a script that does.
    let mut seen = BTreeSet::new();
    for line in watch.lines() {
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let name = words.first().copied().unwrap_or_default().to_ascii_uppercase();
        let in_script = line.contains(" lua] ");
        match name.as_str() {
            "SET" => assert!(words.contains(&"PX"), "{line}"),
            "ZADD" => assert!(in_script, "{line}"),
            _ => {}
        }
        seen.insert(name);
    }
    let writers = ["SET", "ZADD", "DEL", "PEXPIRE", "ZREM", "ZREMRANGEBYSCORE"];
    assert!(writers.iter().all(|name| seen.contains(*name)), "{seen:?}");
    let others = ["EVALSHA", "EVAL", "GET", "GETRANGE", "PTTL", "TIME", "ZSCAN", "KEYS", "CLIENT", "AUTH", "ECHO", ""];
    let unknown: Vec<_> =
        seen.iter().filter(|name| !writers.contains(&name.as_str()) && !others.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "commands that nobody thought of: {unknown:?}");
}
