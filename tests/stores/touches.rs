//! A touch extends a life and does nothing else.

use std::time::Duration;

use cloakroom::store::{Swap, commit::Live as _};

use crate::{
    bench::{LONG, every_store, handle, live, tombstone},
    visitor::Presented,
};

every_store! {
    async fn a_touch_extends(bench) {
        let (handle, value) = (handle(), live(1, r#"{"a":1}"#));
        bench.process.put(&handle, &value, LONG / 10).await;
        bench.process.store.touch(&handle, &value.stamp(), LONG).await.unwrap();
        let left = bench.process.left(&handle).await.unwrap();
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
        assert_eq!(bench.process.stored(&handle).await, Some(value));
    }

    async fn a_touch_never_shortens(bench) {
        let (handle, value) = (handle(), live(1, "{}"));
        bench.process.put(&handle, &value, LONG).await;
        for ttl in [LONG / 2, Duration::from_millis(1), Duration::ZERO] {
            bench.process.store.touch(&handle, &value.stamp(), ttl).await.unwrap();
            let left = bench.process.left(&handle).await.unwrap();
            assert!(left > LONG / 10 * 9, "{left:?} after a touch to {ttl:?}");
        }
    }

    async fn a_touch_never_creates(bench) {
        let (handle, value) = (handle(), live(1, "{}"));
        bench.process.store.touch(&handle, &value.stamp(), LONG).await.unwrap();
        assert_eq!(bench.process.stored(&handle).await, None);
        bench.process.put(&handle, &value, LONG).await;
    }

    async fn a_touch_does_not_bring_back_what_has_expired(bench) {
        let (handle, value) = (handle(), live(1, "{}"));
        bench.process.put(&handle, &value, Duration::from_millis(30)).await;
        bench.gone(&handle).await;
        bench.process.store.touch(&handle, &value.stamp(), LONG).await.unwrap();
        assert_eq!(bench.process.stored(&handle).await, None);
    }

    async fn a_touch_leaves_a_tombstone_as_it_is(bench) {
        let (handle, session, value) = (handle(), live(1, "{}"), tombstone());
        bench.process.put(&handle, &session, LONG / 20).await;
        let swap = bench.process.store.swap(&handle, Some(&session.stamp()), &value, LONG / 10).await;
        assert_eq!(swap, Ok(Swap::Done));
        bench.process.store.touch(&handle, &session.stamp(), LONG).await.unwrap();
        let left = bench.process.left(&handle).await.unwrap();
        assert!(left <= LONG / 10, "{left:?}");
        assert_eq!(bench.process.stored(&handle).await, Some(value));
    }

    async fn a_touch_that_a_write_overtook_does_not_give_the_old_life_back(bench) {
        let visitor = bench.process.visit(r#"{"a":1}"#).await;
        let Presented::Loaded(slow) = &visitor else { panic!("{visitor:?}") };
        let due = slow.record.touch(Duration::ZERO, bench.process.store.now(), &bench.process.policy);
        bench.another_process().save(&visitor, "", "idle=60").await.unwrap();
        let stored = bench.process.stored(slow.handle()).await;
        bench.process.store.touch(slow.handle(), &slow.record.stamp(), due.expect("a touch is due")).await.unwrap();
        let left = bench.process.left(slow.handle()).await.unwrap();
        assert!(left <= Duration::from_secs(66), "{left:?}"); // idle and one touch step
        assert_eq!(bench.process.stored(slow.handle()).await, stored);
    }
}
