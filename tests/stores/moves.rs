//! Moving: what leaves one store and comes into another one is the same session, in any direction.

use std::time::Duration;

use cloakroom::{
    session::{
        Policy, Timestamp,
        record::{
            Record, Stored,
            parcel::{Line, Parcel},
        },
    },
    store::{
        Store, StoreError, index,
        moving::{Departures, Fate, Older, arrive},
    },
};

use crate::bench::{Bench, Process, benches, eventually, handle, handle_of, live, tombstone};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that leaves, through its text.
async fn leaving(store: &Store) -> Vec<Parcel> {
    store.learn_time().await.expect("the time");
    let (mut walk, mut parcels) = (Departures::of(store), Vec::new());
    while let Some(portion) = walk.next().await.expect("a portion") {
        assert!(portion.unreadable.is_empty() && portion.strangers == 0, "{portion:?}");
        for parcel in portion.parcels {
            let Ok(Line::Parcel(read)) = Line::parse(&parcel.to_line().expect("a line")) else { panic!("{parcel:?}") };
            assert_eq!(*read, parcel);
            parcels.push(*read);
        }
    }
    parcels.sort_by_key(|parcel| parcel.handle);
    parcels
}

async fn coming(store: &Store, parcels: &[Parcel], older: Older) -> Vec<Fate> {
    store.learn_time().await.expect("the time");
    let fates = arrive(store, parcels, &Policy::default(), older).await;
    fates.into_iter().map(|fate| fate.expect("a fate")).collect()
}

/// A session that ends in an hour, changed as the test likes.
async fn session(process: &Process, change: impl FnOnce(&mut Record)) -> Parcel {
    process.store.learn_time().await.expect("the time");
    let now = process.store.now();
    let Stored::Live(record) = live(1, r#"{"a":1}"#) else { unreachable!() };
    let mut record = Record::clone(&record);
    record.deadline = now.after(DAY);
    change(&mut record);
    Parcel { handle: handle(), stored: record.into(), expires: now.after(Duration::from_secs(600)) }
}

#[tokio::test]
async fn a_session_is_the_same_after_moving_from_any_store_to_any_other() {
    for kind in 0..benches().len() {
        for to in benches() {
            let from = benches().swap_remove(kind);
            let visitor = from.process.visit(r#"{"n":1.10,"big":12345678901234567890123,"ü":"\n"}"#).await;
            from.process
                .save(&visitor, r#"{"b":2}"#, "subject=ada, idle=600, lifetime=86400, persistent")
                .await
                .unwrap();
            let bare = from.process.visit("{\"bare\":true}").await;
            let ended = from.process.visit("{\"ended\":true}").await;
            from.process.save(&ended, "", "destroy").await.unwrap();

            let parcels = leaving(&from.process.store).await;
            assert_eq!(parcels.len(), 3);
            assert_eq!(coming(&to.process.store, &parcels, Older::Keep).await, [Fate::Stored; 3]);
            for visitor in [&visitor, &bare, &ended] {
                let handle = handle_of(visitor);
                assert_eq!(to.process.stored(&handle).await, from.process.stored(&handle).await);
                let [left, was] = [&to, &from].map(|bench| bench.process.left(&handle));
                let (left, was) = (left.await.expect("a life"), was.await.expect("a life"));
                assert!(left.abs_diff(was) < Duration::from_secs(5), "{left:?} instead of {was:?}");
            }
            assert_eq!(leaving(&to.process.store).await.len(), 3);
            // The subject's index came with it.
            assert_eq!(index::revoke(&to.process.store, "ada", None).await, Ok(1));
            assert_eq!(to.process.stored(&handle_of(&visitor)).await, None);
        }
    }
}

#[tokio::test]
async fn coming_in_twice_is_like_once() {
    for bench in benches() {
        let parcels = [session(&bench.process, |_| ()).await, session(&bench.process, |r| r.version = 7).await];
        let twice = [&parcels[..], &parcels[..]].concat();
        assert_eq!(coming(&bench.process.store, &parcels, Older::Keep).await, [Fate::Stored; 2]);
        assert_eq!(coming(&bench.process.store, &twice, Older::Replace).await, [Fate::Known; 4]);
        let stranger = session(&bench.process, |_| ()).await;
        let both = [stranger.clone(), stranger.clone()];
        let fates = coming(&bench.process.store, &both, Older::Keep).await;
        assert!(fates.contains(&Fate::Stored) && fates.iter().all(|fate| [Fate::Stored, Fate::Known].contains(fate)));
        assert_eq!(leaving(&bench.process.store).await.len(), 3);
    }
}

#[tokio::test]
async fn what_is_newer_stays_and_what_is_older_is_replaced_only_if_that_was_said() {
    for bench in benches() {
        let (store, old) = (&bench.process.store, session(&bench.process, |r| r.version = 3).await);
        let mut new = session(&bench.process, |r| (r.version, r.subject) = (4, Some("ada".into()))).await;
        new.handle = old.handle;
        assert_eq!(coming(store, std::slice::from_ref(&old), Older::Keep).await, [Fate::Stored]);
        assert_eq!(coming(store, std::slice::from_ref(&new), Older::Keep).await, [Fate::OlderStays]);
        assert_eq!(bench.process.stored(&old.handle).await, Some(old.stored.clone()));
        assert_eq!(coming(store, std::slice::from_ref(&new), Older::Replace).await, [Fate::Replaced]);
        assert_eq!(coming(store, std::slice::from_ref(&old), Older::Replace).await, [Fate::Known]);
        assert_eq!(bench.process.stored(&old.handle).await, Some(new.stored.clone()));
        assert_eq!(index::revoke(store, "ada", None).await, Ok(1));
    }
}

#[tokio::test]
async fn what_has_ended_or_never_would_does_not_come_in() {
    for bench in benches() {
        let process = &bench.process;
        let mut idle = session(process, |_| ()).await;
        idle.expires = process.store.now();
        let past = session(process, |r| r.deadline = Timestamp(2)).await;
        let endless = session(process, |r| r.deadline = Timestamp(u64::MAX)).await;
        let eternal = Parcel { stored: tombstone(), ..session(process, |_| ()).await };
        let fates = coming(&process.store, &[idle, past, endless, eternal], Older::Keep).await;
        assert_eq!(fates, [Fate::Ended, Fate::Ended, Fate::Endless, Fate::Endless]);
        assert_eq!(leaving(&process.store).await, []);
    }
}

#[tokio::test]
async fn a_session_lives_no_longer_by_moving_than_by_being_used() {
    for bench in benches() {
        let mut parcel = session(&bench.process, |r| r.idle = Some(Duration::from_secs(100))).await;
        parcel.expires = Timestamp(u64::MAX);
        assert_eq!(coming(&bench.process.store, std::slice::from_ref(&parcel), Older::Keep).await, [Fate::Stored]);
        let left = bench.process.left(&parcel.handle).await.expect("a life");
        assert!(left <= Duration::from_secs(110) && left > Duration::from_secs(90), "{left:?}");
    }
}

#[tokio::test]
async fn a_session_that_comes_in_while_its_subject_is_revoked_does_not_stay() {
    for bench in benches() {
        let mut parcels = Vec::new();
        for n in 0..500 {
            parcels.push(session(&bench.process, |r| (r.version, r.subject) = (n + 1, Some("ada".into()))).await);
        }
        let (arriving, revoking) = (bench.process.store.clone(), bench.another_store());
        let arrived = tokio::spawn(async move { coming(&arriving, &parcels, Older::Keep).await });
        eventually("the first to come in", async || {
            let ended = index::revoke(&revoking, "ada", None).await.expect("a revocation");
            (ended > 0 || arrived.is_finished()).then_some(())
        })
        .await;
        let fates = arrived.await.expect("fates");
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Stored | Fate::Revoked)), "{fates:?}");
        // Whoever was not told to go came after the last revocation, and the index knows them.
        let stay = leaving(&bench.process.store).await.len();
        assert_eq!(index::revoke(&bench.process.store, "ada", None).await, Ok(stay));
        assert_eq!(leaving(&bench.process.store).await, []);
    }
}

#[tokio::test]
async fn a_place_that_holds_something_else_is_left_as_it_is() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let parcel = session(&bench.process, |_| ()).await;
    let key = format!("{}s:{}", crate::bench::PREFIX, parcel.handle);
    let _: String = server.command(&["SET", &key, "garbage"]);
    assert_eq!(coming(&bench.process.store, &[parcel], Older::Replace).await, [Fate::Blocked]);
    assert_eq!(server.command::<String>(&["GET", &key]), "garbage");
}

#[tokio::test]
async fn a_full_memory_says_so_for_each_that_found_no_place() {
    let bench = Bench::memory_for(2);
    let mut parcels = Vec::new();
    for _ in 0..5 {
        parcels.push(session(&bench.process, |_| ()).await);
    }
    let fates = arrive(&bench.process.store, &parcels, &Policy::default(), Older::Keep).await;
    assert_eq!(fates.iter().filter(|fate| **fate == Ok(Fate::Stored)).count(), 2);
    assert_eq!(fates.iter().filter(|fate| **fate == Err(StoreError::Full)).count(), 3);
}

#[tokio::test]
async fn a_key_that_lost_its_expiry_leaves_with_the_sessions_own_end() {
    let bench = Bench::redis();
    let parcel = session(&bench.process, |_| ()).await;
    coming(&bench.process.store, std::slice::from_ref(&parcel), Older::Keep).await;
    let key = format!("{}s:{}", crate::bench::PREFIX, parcel.handle);
    let _: i64 = bench.server.as_ref().expect("a server").command(&["PERSIST", &key]);
    let left = leaving(&bench.process.store).await;
    assert_eq!(Some(left[0].expires), left[0].stored.live().map(|record| record.deadline));
}
