//! A touch extends a life and does nothing else.

use std::time::Duration;

use crate::bench::{LONG, every_store, handle, live, tombstone};

every_store! {
    async fn a_touch_extends(bench) {
        let (handle, value) = (handle(), live(1, r#"{"a":1}"#));
        bench.process.put(&handle, &value, LONG / 10).await;
        bench.process.store.touch(&handle, LONG).await.unwrap();
        let left = bench.process.left(&handle).await.unwrap();
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
        assert_eq!(bench.process.stored(&handle).await, Some(value));
    }

    async fn a_touch_never_shortens(bench) {
        let handle = handle();
        bench.process.put(&handle, &live(1, "{}"), LONG).await;
        for ttl in [LONG / 2, Duration::from_millis(1), Duration::ZERO] {
            bench.process.store.touch(&handle, ttl).await.unwrap();
            let left = bench.process.left(&handle).await.unwrap();
            assert!(left > LONG / 10 * 9, "{left:?} after a touch to {ttl:?}");
        }
    }

    async fn a_touch_never_creates(bench) {
        let handle = handle();
        bench.process.store.touch(&handle, LONG).await.unwrap();
        assert_eq!(bench.process.stored(&handle).await, None);
        bench.process.put(&handle, &live(1, "{}"), LONG).await;
    }

    async fn a_touch_does_not_bring_back_what_has_expired(bench) {
        let handle = handle();
        bench.process.put(&handle, &live(1, "{}"), Duration::from_millis(30)).await;
        bench.gone(&handle).await;
        bench.process.store.touch(&handle, LONG).await.unwrap();
        assert_eq!(bench.process.stored(&handle).await, None);
    }

    async fn a_touch_leaves_a_tombstone_as_it_is(bench) {
        let (handle, value) = (handle(), tombstone());
        bench.process.put(&handle, &value, LONG / 10).await;
        bench.process.store.touch(&handle, LONG).await.unwrap();
        let left = bench.process.left(&handle).await.unwrap();
        assert!(left <= LONG / 10, "{left:?}");
        assert_eq!(bench.process.stored(&handle).await, Some(value));
    }
}
