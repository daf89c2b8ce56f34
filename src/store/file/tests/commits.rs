//! Who shares a commit with whom, and who waits for the disk.

use super::*;

/// Writes that begin while the disk stands still, all answered when it goes on.
async fn while_the_disk_stands_still(drum: &Drum, file: &Arc<File>, orders: Vec<Deed>) -> usize {
    drum.stand_still(true);
    let first = tokio::spawn({
        let file = Arc::clone(file);
        async move { put(&file, u64::MAX, HOUR).await }
    });
    let waiting: Vec<_> = orders
        .into_iter()
        .map(|deed| {
            let file = Arc::clone(file);
            tokio::spawn(async move { file.order(deed).await.map(drop) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await; // all of them are in the queue
    let before = drum.syncs();
    drum.stand_still(false);
    first.await.unwrap();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
    drum.syncs() - before
}

fn creation(number: u64) -> Deed {
    Deed::Swap { handle: handle(number), expected: None, value: value(1), ttl: HOUR }
}

#[tokio::test]
async fn writes_that_come_while_the_disk_works_share_one_commit() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    let syncs = while_the_disk_stands_still(&drum, &file, (0..200).map(creation).collect()).await;
    assert!(syncs <= 6, "{syncs} syncs for 201 writes");
    assert!((0..200).all(|number| version(&file, number) == Some(1)));
}

#[tokio::test]
async fn reads_do_not_wait_for_the_disk_and_see_nothing_before_it_is_kept() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    put(&file, 1, HOUR).await;
    drum.stand_still(true);
    let writer = tokio::spawn({
        let file = Arc::clone(&file);
        async move { file.swap(&handle(1), Some(&stamp(1)), value(2), HOUR).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((version(&file, 1), writer.is_finished()), (Some(1), false));
    drum.stand_still(false);
    assert_eq!(writer.await.unwrap(), Ok(Swap::Done));
    assert_eq!(version(&file, 1), Some(2));
}

#[tokio::test]
async fn touches_share_a_commit_and_a_write_does_not_wait_for_them() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    for number in 0..20 {
        put(&file, number, Duration::from_secs(60)).await;
    }
    let before = drum.syncs();
    let touches: Vec<_> = (0..20)
        .map(|number| {
            let file = Arc::clone(&file);
            tokio::spawn(async move { file.touch(&handle(number), &stamp(1), HOUR).await })
        })
        .collect();
    for touch in touches {
        assert_eq!(touch.await.unwrap(), Ok(()));
    }
    assert!(drum.syncs() - before <= 4, "{} syncs for 20 touches", drum.syncs() - before);
    let left = |number| file.load(&[handle(number)]).unwrap().remove(0).unwrap().left;
    assert!((0..20).all(|number| left(number) > HOUR / 2));
}

#[tokio::test]
async fn whoever_gave_up_before_the_writer_began_has_changed_nothing() {
    let drum = Drum::default();
    let patient = on(&drum);
    let file = Arc::new(File { patience: Duration::from_millis(100), ..patient });
    drum.stand_still(true);
    let first = file.order(creation(1)).await;
    let second = file.order(creation(2)).await;
    assert_eq!((first.map(drop), second.map(drop)), (Err(StoreError::Timeout), Err(StoreError::Timeout)));
    drum.stand_still(false);
    eventually("the one that was under way", || version(&file, 1) == Some(1)).await;
    let file = Arc::into_inner(file).unwrap();
    put(&File { patience: Duration::from_secs(20), ..file }, 2, HOUR).await;
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_instead_of_growing() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    drum.stand_still(true);
    let mut waiting = Vec::new();
    for number in 0..WAITING as u64 + 2_000 {
        let file = Arc::clone(&file);
        waiting.push(tokio::spawn(async move { file.order(creation(number)).await.map(drop) }));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    drum.stand_still(false);
    let mut refused = 0;
    for waiting in waiting {
        match waiting.await.unwrap() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, StoreError::Timeout);
                refused += 1;
            }
        }
    }
    assert!((1..=2_000).contains(&refused), "{refused}");
}

#[tokio::test]
async fn what_waits_at_the_end_is_committed_and_what_comes_after_it_is_refused() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    put(&file, 1, Duration::from_secs(60)).await;
    let touch = tokio::spawn({
        let file = Arc::clone(&file);
        async move { file.touch(&handle(1), &stamp(1), HOUR).await }
    });
    // On this runtime of one thread, the touch is with the writer after that.
    tokio::task::yield_now().await;
    file.close().await;
    assert_eq!(touch.await.unwrap(), Ok(()));
    assert_eq!(file.order(creation(2)).await.map(drop), Err(StoreError::Disconnected));
    assert_eq!(file.load(&[handle(1)]), Err(StoreError::Disconnected));
    assert_eq!(file.ping(), Err(StoreError::Disconnected));
    let again = on(&drum);
    assert!(again.load(&[handle(1)]).unwrap().remove(0).unwrap().left > HOUR / 2);
}
