//! Reading: several sessions at once, every byte of them, and nothing that has expired.

use std::time::Duration;

use crate::bench::{LONG, every_store, handle, live, tombstone};

every_store! {
    sealed:
    async fn several_sessions_are_read_at_once_in_the_order_asked_for(bench) {
        let known: Vec<_> = [live(1, r#"{"n":1}"#), tombstone(), live(3, r#"{"n":3}"#)]
            .into_iter().map(|value| (handle(), value)).collect();
        for (handle, value) in &known {
            bench.process.put(handle, value, LONG).await;
        }
        let asked = [known[2].0, handle(), known[0].0, known[1].0, known[2].0];
        let entries = bench.process.store.load(&asked).await.unwrap();
        let found: Vec<_> = entries.iter().zip(&asked).map(|(entry, handle)| entry.as_ref()?.decode(handle)).collect();
        let [first, second, third] = [0, 1, 2].map(|n| Some(known[n].1.clone()));
        assert_eq!(found, [third.clone(), None, first, second, third]);
        assert!(entries.iter().flatten().all(|entry| entry.left <= LONG && entry.left > LONG / 2));
    }

    async fn reading_nothing_yields_nothing(bench) {
        assert_eq!(bench.process.store.load(&[]).await, Ok(vec![]));
        bench.process.put(&handle(), &live(1, "{}"), LONG).await;
        assert_eq!(bench.process.store.load(&[]).await, Ok(vec![]));
    }

    async fn every_byte_of_64_kib_comes_back(bench) {
        let odd = r#"{"n":12345678901234567890123,"f":1.10,"e":1e400,"__proto__":[],"ü\u0000":"\r\n$5\r\n","x":""#;
        let data = format!("{odd}{}\"}}", "🧥".repeat((64 * 1024 - odd.len() - 2) / 4));
        let (handle, value) = (handle(), live(1, &data));
        bench.process.put(&handle, &value, LONG).await;
        let entry = bench.process.store.load(&[handle]).await.unwrap().remove(0).unwrap();
        assert!(entry.bytes.len() > 64 * 1024 - 8);
        assert_eq!(entry.bytes, value.encode());
        assert_eq!(bench.process.data(&handle).await, data);
    }

    async fn what_has_expired_is_not_read(bench) {
        let (brief, lasting) = (handle(), handle());
        bench.process.put(&brief, &live(1, "{}"), Duration::from_millis(30)).await;
        bench.process.put(&lasting, &live(1, "{}"), LONG).await;
        bench.gone(&brief).await;
        let entries = bench.process.store.load(&[brief, lasting]).await.unwrap();
        assert!(entries[0].is_none() && entries[1].is_some());
    }

    async fn a_life_that_is_counted_in_milliseconds_lasts_that_long(bench) {
        let handle = handle();
        let begun = std::time::Instant::now();
        bench.process.put(&handle, &live(1, "{}"), Duration::from_millis(250)).await;
        bench.gone(&handle).await;
        assert!(begun.elapsed() >= Duration::from_millis(249), "gone after {:?}", begun.elapsed());
    }
}
