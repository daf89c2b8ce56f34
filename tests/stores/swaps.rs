//! Compare-and-set: the one way in which a value changes.

use std::{collections::HashSet, time::Duration};

use cloakroom::{
    session::record::{Nonce, Record, Stored},
    store::{StoreError, Swap},
};

use crate::bench::{LONG, every_store, handle, live, tombstone};

every_store! {
    sealed:
    async fn a_value_is_created_only_where_nothing_is(bench) {
        let (store, handle) = (&bench.process.store, handle());
        for there in [live(1, "{}"), tombstone()] {
            let handle = crate::bench::handle();
            bench.process.put(&handle, &there, LONG).await;
            let swap = store.swap(&handle, None, &live(1, r#"{"second":1}"#), LONG).await.unwrap();
            assert!(matches!(swap, Swap::Conflict(Some(_))), "{swap:?}");
            assert_eq!(bench.process.stored(&handle).await, Some(there));
        }
        assert_eq!(bench.process.stored(&handle).await, None);
    }

    async fn a_value_is_replaced_only_if_it_has_the_expected_stamp(bench) {
        let (store, handle, first) = (&bench.process.store, handle(), live(1, "{}"));
        bench.process.put(&handle, &first, LONG).await;
        // The same version by another writer, another version by the same writer, a tombstone of both.
        let Stored::Live(record) = first.clone() else { unreachable!() };
        let other_writer = Stored::from(Record { writes: [Nonce(record.writes[0].0 ^ 1)].into(), ..Record::clone(&record) });
        let other_version = Stored::from(Record { version: 2, ..Record::clone(&record) });
        for stranger in [other_writer, other_version, tombstone()] {
            let swap = store.swap(&handle, Some(&stranger.stamp()), &live(2, "{}"), LONG).await.unwrap();
            assert!(matches!(swap, Swap::Conflict(Some(_))), "{swap:?}");
            assert_eq!(bench.process.stored(&handle).await, Some(first.clone()));
        }
        let second = live(2, r#"{"a":1}"#);
        assert_eq!(store.swap(&handle, Some(&first.stamp()), &second, LONG).await, Ok(Swap::Done));
        assert_eq!(bench.process.stored(&handle).await, Some(second));
    }

    async fn nothing_is_replaced_where_nothing_is(bench) {
        let handle = handle();
        let swap = bench.process.store.swap(&handle, Some(&live(1, "{}").stamp()), &live(2, "{}"), LONG).await;
        assert_eq!(swap, Ok(Swap::Conflict(None)));
        assert_eq!(bench.process.stored(&handle).await, None);
    }

    async fn a_conflict_says_what_is_stored_and_what_is_left_of_its_life(bench) {
        let (store, handle, there) = (&bench.process.store, handle(), live(7, r#"{"a":1}"#));
        bench.process.put(&handle, &there, LONG).await;
        for expected in [None, Some(live(7, "{}").stamp())] {
            let Swap::Conflict(Some(found)) = store.swap(&handle, expected.as_ref(), &live(8, "{}"), LONG).await.unwrap()
            else { panic!("no conflict with {expected:?}") };
            assert_eq!(found.decode(&handle), Some(there.clone()));
            assert!(found.left <= LONG && found.left > LONG / 2, "{:?}", found.left);
        }
    }

    async fn a_swap_sets_the_life_anew_also_to_a_shorter_one(bench) {
        let (store, handle, first) = (&bench.process.store, handle(), live(1, "{}"));
        bench.process.put(&handle, &first, LONG).await;
        let second = tombstone();
        assert_eq!(store.swap(&handle, Some(&first.stamp()), &second, LONG / 10).await, Ok(Swap::Done));
        let left = bench.process.left(&handle).await.unwrap();
        assert!(left <= LONG / 10 && left > LONG / 20, "{left:?}");
    }

    async fn what_has_expired_counts_as_nothing(bench) {
        let (store, handle, brief) = (&bench.process.store, handle(), live(1, "{}"));
        bench.process.put(&handle, &brief, Duration::from_millis(30)).await;
        bench.gone(&handle).await;
        let next = live(2, "{}");
        assert_eq!(store.swap(&handle, Some(&brief.stamp()), &next, LONG).await, Ok(Swap::Conflict(None)));
        assert_eq!(store.swap(&handle, None, &next, LONG).await, Ok(Swap::Done));
        assert_eq!(bench.process.stored(&handle).await, Some(next));
    }

    async fn a_value_is_removed_only_if_it_has_the_expected_stamp(bench) {
        let (store, handle, there) = (&bench.process.store, handle(), live(1, "{}"));
        assert_eq!(store.remove(&handle, &there.stamp()).await, Ok(Swap::Conflict(None)));
        bench.process.put(&handle, &there, LONG).await;
        let swap = store.remove(&handle, &live(1, "{}").stamp()).await.unwrap();
        assert!(matches!(swap, Swap::Conflict(Some(_))), "{swap:?}");
        assert_eq!(bench.process.stored(&handle).await, Some(there.clone()));
        assert_eq!(store.remove(&handle, &there.stamp()).await, Ok(Swap::Done));
        assert_eq!(bench.process.stored(&handle).await, None);
    }

    async fn of_a_hundred_swaps_of_the_same_value_one_is_carried_out(bench) {
        let (handle, first) = (handle(), live(1, "{}"));
        bench.process.put(&handle, &first, LONG).await;
        let stamp = first.stamp();
        let tries = (0..100).map(|n| {
            let (store, value) = (bench.another_store(), live(2, &format!("{{\"n\":{n}}}")));
            tokio::spawn(async move { store.swap(&handle, Some(&stamp), &value, LONG).await.map(|swap| (swap, value)) })
        });
        let mut done = Vec::new();
        for tried in tries.collect::<Vec<_>>() {
            if let (Swap::Done, value) = tried.await.unwrap().unwrap() {
                done.push(value);
            }
        }
        assert_eq!(done.len(), 1);
        assert_eq!(bench.process.stored(&handle).await, done.pop());
    }
}

#[tokio::test]
async fn a_full_memory_refuses_new_sessions_only_and_recovers_when_some_end() {
    let bench = crate::bench::Bench::memory_for(10);
    let store = &bench.process.store;
    let kept: Vec<_> = (0..8).map(|_| (handle(), live(1, "{}"))).collect();
    for (handle, value) in &kept {
        bench.process.put(handle, value, LONG).await;
    }
    let brief = [handle(), handle()];
    for handle in &brief {
        bench.process.put(handle, &live(1, "{}"), Duration::from_millis(200)).await;
    }
    let refused = handle();
    assert_eq!(store.swap(&refused, None, &live(1, "{}"), LONG).await, Err(StoreError::Full));
    // Those that exist go on: they are read, changed, touched and ended.
    let (first, value) = &kept[0];
    let changed = live(2, r#"{"a":1}"#);
    assert_eq!(store.swap(first, Some(&value.stamp()), &changed, LONG).await, Ok(Swap::Done));
    store.touch(first, &changed.stamp(), 2 * LONG).await.unwrap();
    assert_eq!(store.swap(first, Some(&changed.stamp()), &tombstone(), LONG).await, Ok(Swap::Done));
    assert_eq!(store.swap(&kept[1].0, None, &live(1, "{}"), LONG).await.map(|swap| swap == Swap::Done), Ok(false));
    for handle in &brief {
        bench.gone(handle).await;
    }
    // Two expired, and the tombstone takes no place.
    for _ in 0..3 {
        bench.process.put(&handle(), &live(1, "{}"), LONG).await;
    }
    assert_eq!(store.swap(&refused, None, &live(1, "{}"), LONG).await, Err(StoreError::Full));
    for (handle, _) in &kept {
        assert!(bench.process.stored(handle).await.is_some(), "an acknowledged session was evicted");
    }
}

#[test]
fn each_sample_is_another_write() {
    let stamps: HashSet<_> = (0..10).map(|_| live(1, "{}").stamp().0).collect();
    assert_eq!(stamps.len(), 10);
}
