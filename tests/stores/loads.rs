//! Reading: several sessions at once, every byte of them, and nothing that has expired.

use std::time::Duration;

use cloakroom::{
    session::{
        Handle,
        record::{Record, Stored},
    },
    store::{Entry, Last, Reading, Spot, Swap},
};

use crate::bench::{Bench, LONG, every_store, handle, live, tombstone};

/// Somebody who reads the same session again and again.
struct Reader {
    handle: Handle,
    last: Option<(Entry, Option<Spot>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Same,
    Other(Stored),
}

impl Reader {
    async fn told(&mut self, bench: &Bench) -> (Told, Duration) {
        let last = self.last.as_ref().map(|(entry, spot)| Last { bytes: &entry.bytes, spot: spot.as_ref() });
        let (reading, now) = bench.process.store.load_one(&self.handle, last).await.expect("an answer");
        assert!(now <= bench.process.store.now());
        match reading {
            Reading::Nothing => (Told::Nothing, Duration::ZERO),
            Reading::Same(left) => (Told::Same, left),
            Reading::Other(entry, spot) => {
                let told = (Told::Other(entry.decode(&self.handle).expect("a record")), entry.left);
                self.last = Some((entry, spot));
                told
            }
        }
    }

    async fn is_told(&mut self, bench: &Bench, wanted: Told) {
        let (told, left) = self.told(bench).await;
        assert_eq!(told, wanted);
        assert!(told == Told::Nothing || (left <= LONG && left > LONG / 2), "{left:?}");
    }
}

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

    async fn whoever_reads_again_is_told_whether_it_is_the_same_and_never_what_was(bench) {
        let mut reader = Reader { handle: handle(), last: None };
        let (handle, store) = (reader.handle, &bench.process.store);
        reader.is_told(bench, Told::Nothing).await;
        // Two with the same stamp, and something else in them.
        let Stored::Live(record) = live(3, r#"{"n":3}"#) else { unreachable!() };
        let forged = Stored::from(Record { data: r#"{"n":4}"#.into(), ..Record::clone(&record) });
        let mut stored: Option<Stored> = None;
        for value in [live(1, "{}"), live(2, "{}"), Stored::Live(record), forged, tombstone(), live(4, "{}")] {
            let expected = stored.as_ref().map(Stored::stamp);
            assert_eq!(store.swap(&handle, expected.as_ref(), &value, LONG).await, Ok(Swap::Done));
            reader.is_told(bench, Told::Other(value.clone())).await;
            reader.is_told(bench, Told::Same).await;
            reader.is_told(bench, Told::Same).await;
            stored = Some(value);
        }
        let last = stored.unwrap();
        assert_eq!(store.remove(&handle, &last.stamp()).await, Ok(Swap::Done));
        reader.is_told(bench, Told::Nothing).await;
        bench.process.put(&handle, &last, LONG).await;
        // Of a store that knows it to be the same it may be told so, or be told it once more.
        let (told, _) = reader.told(bench).await;
        assert!(told == Told::Same || told == Told::Other(last));
        reader.is_told(bench, Told::Same).await;
    }

    async fn what_a_reader_has_already_ends_in_time_and_is_extended_by_a_touch(bench) {
        let (mut brief, mut touched) =
            (Reader { handle: handle(), last: None }, Reader { handle: handle(), last: None });
        let value = live(1, "{}");
        bench.process.put(&touched.handle, &value, LONG / 2).await;
        assert_eq!(touched.told(bench).await.0, Told::Other(value.clone()));
        bench.process.store.touch(&touched.handle, &value.stamp(), LONG).await.unwrap();
        touched.is_told(bench, Told::Same).await;
        bench.process.put(&brief.handle, &value, Duration::from_millis(300)).await;
        assert_eq!(brief.told(bench).await.0, Told::Other(value));
        bench.gone(&brief.handle).await;
        brief.is_told(bench, Told::Nothing).await;
        touched.is_told(bench, Told::Same).await;
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
