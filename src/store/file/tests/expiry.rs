//! What has ended leaves the file by itself, a little at a time, and the file does not grow without end.

use super::*;
use crate::store::file::layout::{DUE, FACT_TIME, FACTS, SESSIONS, SUBJECTS};
use redb::{ReadableDatabase, ReadableTableMetadata};

const SOON: Duration = Duration::from_millis(100);

/// Rows of sessions, of the index and of what is due, once the file is closed.
async fn rows(file: File, drum: &Drum) -> (u64, u64, u64) {
    file.close().await;
    let database = drum.copy().open().unwrap();
    let transaction = database.begin_read().unwrap();
    let sessions = transaction.open_table(SESSIONS).unwrap().len().unwrap();
    let subjects = transaction.open_table(SUBJECTS).unwrap().len().unwrap();
    (sessions, subjects, transaction.open_table(DUE).unwrap().len().unwrap())
}

/// Rows of sessions, as of the last commit.
fn sessions(file: &File) -> u64 {
    file.shared.snapshot.load_full().map_or(u64::MAX, |snapshot| snapshot.sessions.len().unwrap())
}

/// Many sessions at once.
async fn fill(file: &Arc<File>, numbers: std::ops::Range<u64>, ttl: Duration) {
    for numbers in numbers.collect::<Vec<_>>().chunks(1_000) {
        let write = |number: &u64| {
            let (file, number) = (Arc::clone(file), *number);
            tokio::spawn(async move { put(&file, number, ttl).await })
        };
        for write in numbers.iter().map(write).collect::<Vec<_>>() {
            write.await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_has_ended_leaves_the_file_also_after_a_restart() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    fill(&file, 0..1_000, SOON).await;
    fill(&file, 1_000..1_010, HOUR).await;
    file.close().await;
    let file = on(&drum);
    eventually("what is due to be gone", || sessions(&file) == 10).await;
    assert!((1_000..1_010).all(|number| version(&file, number) == Some(1)));
    assert_eq!(rows(file, &drum).await, (10, 0, 10));
}

#[tokio::test]
async fn a_session_that_was_touched_is_looked_at_when_it_was_due_and_stays() {
    let drum = Drum::default();
    let file = on(&drum);
    put(&file, 1, SOON).await;
    file.touch(&handle(1), &stamp(1), HOUR).await.unwrap();
    tokio::time::sleep(2 * SOON).await;
    put(&file, 2, HOUR).await;
    assert_eq!(version(&file, 1), Some(1));
    assert_eq!(rows(file, &drum).await, (2, 0, 2));
}

#[tokio::test]
async fn a_life_that_was_shortened_or_ended_leaves_no_row_behind() {
    let drum = Drum::default();
    let file = on(&drum);
    for number in 0..2 {
        put(&file, number, 100 * HOUR).await;
    }
    assert_eq!(file.swap(&handle(0), Some(&stamp(1)), value(2), HOUR).await, Ok(Swap::Done));
    assert_eq!(file.remove(&handle(1), &stamp(1)).await, Ok(Swap::Done));
    assert_eq!(rows(file, &drum).await, (1, 0, 1));
}

#[tokio::test]
async fn the_index_forgets_what_is_beyond_its_deadline_and_what_was_left() {
    let drum = Drum::default();
    let file = on(&drum);
    let label = Label::of(&[7; 32]);
    let deadline = file.now().after(SOON);
    file.enter_index(&[label], &handle(1), deadline).await.unwrap();
    file.enter_index(&[label], &handle(2), file.now().after(HOUR)).await.unwrap();
    file.enter_index(&[label], &handle(2), file.now().after(9 * HOUR)).await.unwrap();
    file.enter_index(&[label], &handle(3), file.now().after(HOUR)).await.unwrap();
    file.leave_index(&[label], &handle(3)).await.unwrap();
    tokio::time::sleep(2 * SOON).await;
    assert_eq!(file.raise_epoch(&[label], 5).await.map(|mut listed| listed.remove(0)), Ok(handle(2)));
    assert_eq!(file.raise_epoch(&[label], 6).await.map(|listed| listed.len()), Ok(1));
    assert_eq!(file.epochs(&[label]), Ok(Epochs(vec![Some(6)])));
    assert_eq!(rows(file, &drum).await, (0, 1, 2));
}

#[tokio::test]
async fn the_file_levels_off_however_often_it_is_filled_and_emptied() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    let mut sizes = Vec::new();
    for round in 0..20 {
        fill(&file, round * 1_000..(round + 1) * 1_000, Duration::from_millis(1)).await;
        eventually("what is due to be gone", || sessions(&file) == 0).await;
        sizes.push(drum.size());
    }
    let (early, late) = (sizes[..5].iter().max().unwrap(), sizes[15..].iter().max().unwrap());
    // How much it breathes depends on who shares a commit with whom.
    assert!(*late <= 2 * early, "it grows: {sizes:?}");
}

#[tokio::test]
async fn a_file_that_is_mostly_free_is_made_smaller_at_start() {
    let drum = Drum::default();
    let file = Arc::new(on(&drum));
    fill(&file, 0..20_000, HOUR).await;
    let full = drum.size();
    for numbers in (0..19_990).collect::<Vec<u64>>().chunks(1_000) {
        let removals: Vec<_> = numbers
            .iter()
            .map(|&number| {
                let file = Arc::clone(&file);
                tokio::spawn(async move { file.remove(&handle(number), &stamp(1)).await })
            })
            .collect();
        for removal in removals {
            assert_eq!(removal.await.unwrap(), Ok(Swap::Done));
        }
    }
    file.close().await;
    let file = on(&drum);
    assert!(drum.size() < full / 2, "{full} bytes are {} now", drum.size());
    assert!((19_990..20_000).all(|number| version(&file, number) == Some(1)));
}

/// A file whose last commit was so many hours ahead of this machine's clock.
async fn from_the_future(hours: u32) -> Drum {
    let drum = Drum::default();
    let file = on(&drum);
    put(&file, 1, HOUR).await;
    put(&file, 2, 100 * HOUR).await;
    let ahead = file.now().after(hours * HOUR);
    file.close().await;
    let database = drum.open().unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(FACTS).unwrap().insert(FACT_TIME, ahead.0).unwrap();
    transaction.commit().unwrap();
    drum
}

#[tokio::test]
async fn a_clock_that_was_set_back_brings_no_ended_session_back() {
    let machine = Clock::starting_after(Timestamp(0));
    let drum = from_the_future(5).await;
    let file = on(&drum);
    assert!(file.now() >= machine.now().after(4 * HOUR));
    assert_eq!((version(&file, 1), version(&file, 2)), (None, Some(1)));
    put(&file, 3, HOUR).await;
    file.close().await;
    let again = on(&drum);
    assert!(again.now() >= machine.now().after(4 * HOUR));
    assert_eq!((version(&again, 1), version(&again, 3)), (None, Some(1)));
}
