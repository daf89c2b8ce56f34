//! Looking through the sessions as people do: only what lives is met and counted, whatever else there is, and what is ended
//! is gone.

use cloakroom::store::{Store, census};

use crate::bench::{Bench, LONG, every_store, handle, live, tombstone};

/// Every session that is met in pages of this size, and how many pages it took.
async fn walk(store: &Store, limit: usize) -> (Vec<census::Found>, usize) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let roll = census::page(store, cursor, limit).await.expect("a page");
        assert_eq!(roll.unreadable, 0);
        found.extend(roll.sessions);
        pages += 1;
        cursor = roll.next;
        if cursor.is_none() {
            return (found, pages);
        }
    }
}

every_store! {
    async fn what_was_destroyed_is_neither_met_nor_counted(bench) {
        let (alive, dead) = (handle(), handle());
        bench.process.put(&alive, &live(3, r#"{"a":1}"#), LONG).await;
        bench.process.put(&dead, &tombstone(), LONG).await;
        let store = &bench.process.store;
        let (found, _) = walk(store, 10).await;
        assert_eq!(found.iter().map(|found| found.handle).collect::<Vec<_>>(), [alive]);
        assert_eq!(census::count(store).await, Ok(1));
        let alone = census::find(store, alive).await.expect("an answer").expect("a session");
        assert_eq!((alone.handle, &alone.record), (alive, &found[0].record));
        assert_eq!(census::find(store, dead).await, Ok(None));
        assert_eq!((census::end(store, dead).await, census::end(store, alive).await), (Ok(false), Ok(true)));
        assert!(bench.process.stored(&dead).await.is_some(), "a tombstone is left alone");
        assert_eq!((census::count(store).await, census::end(store, alive).await), (Ok(0), Ok(false)));
    }
}

/// A server looks at so many keys at once, whoever they belong to.
#[tokio::test]
async fn a_session_among_many_keys_of_others_is_met_after_a_few_pages() {
    let bench = Bench::redis();
    let server = bench.server.as_ref().expect("a server");
    let fill = "for i = 1, 20000 do redis.call('SET', 'other:' .. i, 'x') end";
    let _: Option<String> = server.command(&["EVAL", fill, "0"]);
    bench.process.put(&handle(), &live(1, "{}"), LONG).await;
    let (found, pages) = walk(&bench.process.store, 1).await;
    assert!(found.len() == 1 && pages <= 6, "{} sessions on {pages} pages", found.len());
    assert_eq!(census::count(&bench.process.store).await, Ok(1));
}
