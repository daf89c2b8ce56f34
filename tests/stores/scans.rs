//! Listing: every session that is there all the time is met, whatever the size of a page and whatever others do.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use cloakroom::{
    session::{Handle, record::Stored},
    store::{Depot, Entry, Settings, Store, Swap, listing::Page},
};

use crate::{
    bench::{Bench, LONG, PREFIX, every_store, handle, live, redis, tombstone},
    support::Redis,
};

/// Everything that a walk in pages of this size meets, and how many pages it took.
async fn walk(store: &Store, limit: usize) -> (Vec<Page>, HashMap<Handle, Entry>) {
    let (mut pages, mut met, mut cursor) = (Vec::new(), HashMap::new(), None);
    loop {
        let page = store.scan(cursor.as_ref(), limit).await.expect("a page");
        met.extend(page.entries.iter().cloned());
        cursor = page.next;
        pages.push(page);
        if cursor.is_none() {
            return (pages, met);
        }
    }
}

async fn fill(bench: &Bench, count: usize) -> BTreeSet<Handle> {
    let mut handles = BTreeSet::new();
    for n in 0..count {
        let handle = handle();
        bench.process.put(&handle, &live(1, &format!("{{\"n\":{n}}}")), LONG).await;
        handles.insert(handle);
    }
    handles
}

every_store! {
    async fn every_session_is_listed_whatever_the_size_of_a_page(bench) {
        let handles = fill(bench, 300).await;
        for limit in [1, 7, 100, 300, 10_000] {
            let (pages, met) = walk(&bench.process.store, limit).await;
            assert_eq!(met.keys().copied().collect::<BTreeSet<_>>(), handles, "{limit}");
            assert!(pages.iter().all(|page| page.entries.len() <= limit + 50), "a page of {limit} is far longer");
            assert!(pages.len() >= 300 / (limit + 50), "{limit}");
        }
    }

    async fn what_is_listed_is_what_is_read(bench) {
        for value in [live(3, r#"{"a":1}"#), tombstone()] {
            let handle = handle();
            bench.process.put(&handle, &value, LONG / 2).await;
            let (_, met) = walk(&bench.process.store, 10).await;
            let entry = &met[&handle];
            assert_eq!(entry.decode(&handle), Some(value));
            assert!(entry.left <= LONG / 2 && entry.left > LONG / 4, "{:?}", entry.left);
        }
    }

    async fn an_empty_store_is_one_empty_page(bench) {
        assert_eq!(walk(&bench.process.store, 10).await.0, [Page::default()]);
    }

    async fn what_has_expired_is_not_listed(bench) {
        let brief = handle();
        bench.process.put(&brief, &live(1, "{}"), Duration::from_millis(30)).await;
        let stays = fill(bench, 3).await;
        bench.gone(&brief).await;
        assert_eq!(walk(&bench.process.store, 2).await.1.into_keys().collect::<BTreeSet<_>>(), stays);
    }

    async fn sessions_that_come_and_go_hide_none_that_stays(bench) {
        let (stays, goes) = (fill(bench, 200).await, fill(bench, 200).await);
        let (store, mut going) = (&bench.process.store, goes.iter());
        let (mut met, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = store.scan(cursor.as_ref(), 20).await.unwrap();
            met.extend(page.entries.iter().map(|(handle, _)| *handle));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            for handle in going.by_ref().take(20) {
                let there = bench.process.stored(handle).await.expect("it is there");
                assert_eq!(store.remove(handle, &there.stamp()).await, Ok(Swap::Done));
            }
            fill(bench, 20).await;
        }
        assert!(stays.is_subset(&met));
    }
}

fn store_with(prefix: &str, server: &Redis) -> Store {
    let kind = redis(&server.url());
    let settings = Settings { kind, prefix: prefix.to_owned(), timeout: Duration::from_secs(5), ..Settings::default() };
    Depot::new(&settings).expect("a depot").open()
}

async fn put(store: &Store, value: &Stored) -> Handle {
    let handle = handle();
    assert_eq!(store.swap(&handle, None, value, LONG).await, Ok(Swap::Done));
    handle
}

#[tokio::test]
async fn a_prefix_with_the_signs_of_a_pattern_lists_its_own_sessions_and_no_others() {
    let server = Redis::start();
    for (prefix, other) in
        [("a*:", "ab:"), ("a?:", "ab:"), ("[ab]:", "a:"), (r"a\:", "a:"), ("[^a]:", "b:"), ("a:", "a:s:")]
    {
        let (own, others) = (store_with(prefix, &server), store_with(other, &server));
        let handle = put(&own, &live(1, "{}")).await;
        put(&others, &live(1, "{}")).await;
        let (_, met) = walk(&own, 100).await;
        assert_eq!(met.into_keys().collect::<Vec<_>>(), [handle], "{prefix}");
        let _: String = server.command(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn keys_that_are_no_sessions_are_counted_and_left_out() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let own = fill(&bench, 5).await;
    for key in ["s:", "s:short", "s:../../x", "u:{0123}", "e:{0123}", "other"] {
        let _: String = server.command(&["SET", &format!("{PREFIX}{key}"), "x"]);
    }
    let _: String = server.command(&["SET", &format!("{PREFIX}s:{}=", handle()), "x"]);
    let (pages, met) = walk(&bench.process.store, 3).await;
    assert_eq!(met.into_keys().collect::<BTreeSet<_>>(), own);
    assert_eq!(pages.iter().map(|page| page.strangers).sum::<usize>(), 4);
}

#[tokio::test]
async fn what_cannot_be_read_and_what_never_expires_is_listed_all_the_same() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let (list, eternal) = (handle(), handle());
    let _: i64 = server.command(&["RPUSH", &format!("{PREFIX}s:{list}"), "x"]);
    bench.process.put(&eternal, &live(1, "{}"), LONG).await;
    let _: i64 = server.command(&["PERSIST", &format!("{PREFIX}s:{eternal}")]);
    let (_, met) = walk(&bench.process.store, 3).await;
    assert_eq!(met[&list].decode(&list), None);
    assert_eq!(met[&eternal].left, Duration::MAX);
}
