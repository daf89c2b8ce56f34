//! What a server may answer instead of an answer: each is an error within `store.timeout`, never "no session", and over
//! as soon as the server is well.

use std::time::Duration;

use cloakroom::store::{Depot, Settings, StoreError, Swap};

use crate::{
    bench::{Bench, LONG, PREFIX, Process, ask_everything, handle, handle_of, live, stamp_of, within},
    double::{Deed, Double},
    support::Redis,
};

const TIMEOUT: Duration = Duration::from_millis(300);

/// A session behind a double that turns to `fault`, for every command but those of the handshake; then behaves again.
/// Says what each question was answered with.
async fn endure(fault: impl Fn() -> Deed + Send + 'static) -> Vec<(&'static str, StoreError)> {
    let server = Redis::start();
    let double = Double::of(server.port());
    let process = Process::at(&double.url(), TIMEOUT).ready().await;
    let visitor = process.visit(r#"{"a":1}"#).await;
    process
        .store
        .touch(&handle_of(&visitor), &stamp_of(&visitor), Duration::from_millis(1))
        .await
        .expect("both scripts are known");
    double.rule(move |command| if command.name() == "CLIENT" { Deed::Forward } else { fault() });
    let mut errors = Vec::new();
    for (what, took, answer) in ask_everything(&process.store, &handle_of(&visitor)).await {
        assert!(took <= TIMEOUT + crate::bench::SLACK, "{what} took {took:?}");
        errors.push((what, answer.expect_err(what)));
    }
    double.behave();
    within(TIMEOUT, "the way back", process.clone().ready()).await;
    assert_eq!(process.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    process.save(&visitor, r#"{"b":2}"#, "").await.expect("the first save afterwards");
    errors
}

#[tokio::test]
async fn a_refusal_is_an_error_that_names_its_code() {
    for answer in [
        "-LOADING Redis is loading the dataset in memory",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "-READONLY You can't write against a read only replica.",
        "-OOM command not allowed when used memory > 'maxmemory'.",
        "-NOAUTH Authentication required.",
        "-NOPERM this user has no permissions",
        "-MISCONF Redis is configured to save RDB snapshots",
        "-BUSY Redis is busy running a script.",
        "-CLUSTERDOWN Hash slot not served",
        "-MOVED 3999 127.0.0.1:6381",
        "-ASK 3999 127.0.0.1:6381",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-NOREPLICAS Not enough good replicas to write.",
        "-EXECABORT Transaction discarded because of previous errors.",
        "-ERR unknown command",
    ] {
        let code = answer[1..].split(' ').next().unwrap_or_default().to_owned();
        let line = format!("{answer}\r\n").into_bytes();
        for (what, error) in endure(move || Deed::Say(line.clone())).await {
            assert_eq!(error, StoreError::Refused(code.clone()), "{what}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    for answer in [
        &b"garbage\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe\r\n",
        b":notanumber\r\n",
        b"$abc\r\n",
        b"*2\r\n$1\r\nx\r\n:nan\r\n",
    ] {
        endure(move || Deed::Say(answer.to_vec())).await;
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_is_an_error() {
    for answer in [
        &b"*0\r\n"[..],
        b"$-7\r\n",
        b"*-9\r\n",
        b"+OK\r\n",
        b":-5\r\n",
        b"*1\r\n*0\r\n",
        b"%1\r\n+a\r\n+b\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
    ] {
        let errors = endure_but_ping(answer).await;
        assert!(errors.iter().all(|(_, error)| *error != StoreError::Full), "{errors:?}");
    }
}

/// Anything but an error is an answer to a ping, and a touch is answered with anything.
async fn endure_but_ping(answer: &'static [u8]) -> Vec<(&'static str, StoreError)> {
    let server = Redis::start();
    let double = Double::of(server.port());
    let process = Process::at(&double.url(), TIMEOUT).ready().await;
    let visitor = process.visit(r#"{"a":1}"#).await;
    double.rule(move |command| match command.name().as_str() {
        "CLIENT" => Deed::Forward,
        _ => Deed::Say(answer.to_vec()),
    });
    let answers = ask_everything(&process.store, &handle_of(&visitor)).await;
    let errors: Vec<_> = answers
        .into_iter()
        .filter(|(what, _, _)| ["load", "swap"].contains(what))
        .map(|(what, _, answer)| (what, answer.expect_err(what)))
        .collect();
    double.behave();
    assert_eq!(process.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    errors
}

#[tokio::test]
async fn an_answer_that_never_ends_is_a_timeout() {
    for answer in
        [&b""[..], b"$100\r\nabc", b"$536870912\r\nabc", b"*2\r\n$3\r\nabc\r\n", b"+OK", b"-ERR", b"*1000000\r\n"]
    {
        for (what, error) in endure(move || Deed::SayAndHush(answer.to_vec())).await {
            assert!([StoreError::Timeout, StoreError::Disconnected].contains(&error), "{what}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_a_timeout() {
    for answer in [&b"$100\r\nabcdefghijklmnopqrstuvwxyz"[..], b"+OKOKOKOKOKOKOKOKOKOKOKOKOKOKOKOK"] {
        for (what, error) in endure(move || Deed::Drip(answer.to_vec())).await {
            assert!([StoreError::Timeout, StoreError::Disconnected].contains(&error), "{what}: {error:?}");
        }
    }
}

/// RESP3, which we have not asked for.
#[tokio::test]
async fn what_is_pushed_is_no_answer() {
    for push in [&b">2\r\n+invalidate\r\n*0\r\n"[..], b">3\r\n$7\r\nmessage\r\n+a\r\n+b\r\n"] {
        for (what, error) in endure(move || Deed::SayAndHush(push.to_vec())).await {
            assert!([StoreError::Timeout, StoreError::Disconnected].contains(&error), "{what}: {error:?}");
        }
    }
}

/// Else one reply could take all the memory that there is: Redis itself would send half a gibibyte.
#[tokio::test]
async fn an_answer_that_is_larger_than_any_session_is_not_read_to_its_end() {
    for (first, others) in [
        (&b"$536870912\r\n"[..], &b"x"[..]),
        (b"+", b"x"),
        (b"*1000000000\r\n", b":1\r\n"),
        (b"", b">2\r\n+invalidate\r\n*0\r\n"),
        (b"-ERR ", b"no"),
    ] {
        let server = Redis::start();
        let double = Double::of(server.port());
        let process = Process::at(&double.url(), crate::support::PATIENCE);
        let visitor = process.visit(r#"{"a":1}"#).await;
        double.rule(move |command| match command.name().as_str() {
            "CLIENT" => Deed::Forward,
            _ => Deed::Flood(first, others),
        });
        let asked = tokio::spawn({
            let (store, handle) = (process.store.clone(), handle_of(&visitor));
            async move { store.load(&[handle]).await }
        });
        let flood = crate::bench::eventually("the end of a flood", async || double.floods().first().copied()).await;
        assert!(flood < crate::double::FLOOD / 4, "{flood} bytes of {first:?} found a listener");
        double.behave();
        assert!(asked.await.expect("a task").expect("asked again")[0].is_some());
        assert_eq!(process.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn an_answer_as_large_as_sessions_may_be_is_read() {
    let server = Redis::start();
    let store = |value_bytes, timeout| {
        let kind = crate::bench::redis(&server.url());
        Depot::new(&Settings { kind, value_bytes, timeout, ..Settings::default() }).expect("a depot").open()
    };
    let large = store(30 * 1024 * 1024, Duration::from_secs(20));
    let small = store(64 * 1024, Duration::from_secs(1));
    let (handle, value) = (handle(), live(1, &format!(r#"{{"a":"{}"}}"#, "x".repeat(30 * 1024 * 1024))));
    assert_eq!(large.swap(&handle, None, &value, LONG).await, Ok(Swap::Done));
    let found = large.load(&[handle, handle, handle]).await.expect("a read");
    assert!(found.iter().all(|entry| entry.as_ref().is_some_and(|entry| entry.bytes.len() > 30 * 1024 * 1024)));
    // The limit was lowered far below what is there: an error, and the others are served.
    assert!(small.load(&[handle]).await.is_err());
    assert_eq!(small.ping().await, Ok(()));
}

#[tokio::test]
async fn a_server_that_hangs_up_on_every_command_is_an_error() {
    for (what, error) in endure(|| Deed::Break).await {
        assert!([StoreError::Timeout, StoreError::Disconnected].contains(&error), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn forgotten_scripts_are_taught_again_without_anybody_noticing() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let visitor = bench.process.visit(r#"{"a":1}"#).await;
    for n in 0..3 {
        let _: String = server.command(&["SCRIPT", "FLUSH"]);
        bench.process.save(&visitor, &format!("{{\"k\":{n}}}"), "").await.expect("saved");
        let _: String = server.command(&["SCRIPT", "FLUSH"]);
        let stored = bench.process.stored(&handle_of(&visitor)).await.expect("a session");
        bench.process.store.touch(&handle_of(&visitor), &stored.stamp(), 100 * LONG).await.expect("touched");
    }
    assert_eq!(bench.process.data(&handle_of(&visitor)).await, r#"{"a":1,"k":2}"#);
    assert!(bench.process.left(&handle_of(&visitor)).await.expect("a life") > 50 * LONG);
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_and_left_alone() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let handle = handle();
    let key = format!("{PREFIX}s:{handle}");
    let _: i64 = server.command(&["RPUSH", &key, "x"]);
    let refused = |answer: Result<(), StoreError>| matches!(answer, Err(StoreError::Refused(_)));
    assert!(refused(bench.process.store.swap(&handle, None, &live(1, "{}"), LONG).await.map(drop)));
    assert!(refused(bench.process.store.touch(&handle, &live(1, "{}").stamp(), LONG).await));
    assert_eq!(server.command::<Vec<String>>(&["LRANGE", &key, "0", "-1"]), ["x"]);
    assert_eq!(bench.process.store.ping().await, Ok(()));
}

#[tokio::test]
async fn a_full_server_keeps_what_it_has_and_refuses_the_rest() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let visitor = bench.process.visit(r#"{"a":1}"#).await;
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let saved = bench.process.save(&visitor, r#"{"b":2}"#, "").await;
    assert!(
        matches!(&saved, Err(cloakroom::store::commit::CommitError::Store(StoreError::Refused(code))) if code == "OOM")
    );
    assert_eq!(bench.process.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    bench.process.save(&visitor, r#"{"b":2}"#, "").await.expect("saved");
}

#[tokio::test]
async fn a_password_that_is_asked_for_and_then_not_any_more() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let visitor = bench.process.visit(r#"{"a":1}"#).await;
    let _: String = server.command(&["CONFIG", "SET", "requirepass", "secret"]);
    let stranger = Process::at(&server.url(), TIMEOUT);
    let answers = ask_everything(&stranger.store, &handle_of(&visitor)).await;
    assert!(answers.iter().all(|(_, _, answer)| *answer == Err(StoreError::Disconnected)), "{answers:?}");
    let known = Process::at(&format!("redis://:secret@127.0.0.1:{}/0", server.port()), Duration::from_secs(5));
    assert_eq!(known.data(&handle_of(&visitor)).await, r#"{"a":1}"#);
    known.save(&visitor, r#"{"b":2}"#, "").await.expect("saved");
    let wrong = Process::at(&format!("redis://:wrong@127.0.0.1:{}/0", server.port()), TIMEOUT);
    for (what, took, answer) in ask_everything(&wrong.store, &handle_of(&visitor)).await {
        assert!(took <= TIMEOUT + crate::bench::SLACK && answer.is_err(), "{what} {took:?} {answer:?}");
    }
}
