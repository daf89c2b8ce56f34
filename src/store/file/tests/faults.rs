//! Full disks, I/O errors and power cuts: nothing that was acknowledged is lost, nothing is half there, an error is never
//! "not there", and the file is in use again as soon as it can be.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const TROUBLES: [Trouble; 4] = [Trouble::Full, Trouble::Torn, Trouble::Sync, Trouble::Growth];

/// Changes these sessions in turn until one change is refused; the versions that were acknowledged, and the one that
/// was not.
async fn write_until_it_fails(file: &File, known: &mut [u64], most: usize) -> Option<(usize, u64)> {
    for round in 0..most {
        let number = round % known.len();
        let (old, new) = (known[number], known[number] + 1);
        let expected = (old > 0).then(|| stamp(old));
        match file.swap(&handle(number as u64), expected.as_ref(), value(new), HOUR).await {
            Ok(swap) => assert_eq!(swap, Swap::Done, "session {number} was not at version {old}"),
            Err(error) => {
                assert!(matches!(error, StoreError::Disk(_)), "{error:?}");
                return Some((number, new));
            }
        }
        known[number] = new;
    }
    None
}

/// What is stored is what was acknowledged; of what was refused all or nothing.
fn assert_stored(file: &File, known: &mut [u64], refused: Option<(usize, u64)>) {
    for (number, expected) in known.iter_mut().enumerate() {
        let found = version(file, number as u64).unwrap_or_default();
        assert!(found == *expected || refused == Some((number, found)), "session {number}: {found}, not {expected}");
        *expected = found;
    }
}

#[tokio::test]
async fn whatever_fails_at_whatever_moment_loses_nothing_and_is_over_when_the_disk_is_well() {
    for trouble in TROUBLES {
        let mut noticed = 0;
        for grace in 0..30 {
            let drum = Drum::default();
            let file = on(&drum);
            let mut known = [0; 8];
            drum.fail(trouble, grace);
            let refused = write_until_it_fails(&file, &mut known, 80).await;
            noticed += usize::from(refused.is_some());
            assert!(refused.is_some() || !drum.is_failing(), "{trouble:?} after {grace} was not noticed");
            drum.heal();
            eventually("reads", || file.load(&[handle(0)]).is_ok()).await;
            assert_stored(&file, &mut known, refused);
            assert_eq!(write_until_it_fails(&file, &mut known, 10).await, None, "{trouble:?} after {grace} goes on");
            assert_eq!(file.ping(), Ok(()));
            file.close().await;
            assert_stored(&on(&drum), &mut known, None);
        }
        assert!(noticed > 0, "{trouble:?} never came");
        eprintln!("{trouble:?}: {noticed} of 30");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_says_so_and_serves_what_it_has() {
    let drum = Drum::default();
    let file = on(&drum);
    put(&file, 1, HOUR).await;
    drum.fail(Trouble::Full, 0);
    for _ in 0..3 {
        let saved = file.swap(&handle(1), Some(&stamp(1)), value(2), HOUR).await;
        assert_eq!(saved, Err(StoreError::Disk(std::io::ErrorKind::StorageFull)));
        assert_eq!(file.ping(), Err(StoreError::Disk(std::io::ErrorKind::StorageFull)));
    }
    // redb marks an open file, which a disk that takes no byte at all does not let it.
    match file.load(&[handle(1)]) {
        Ok(found) => assert!(found[0].is_some(), "an error is not \"not there\""),
        Err(error) => assert_eq!(error, StoreError::Disk(std::io::ErrorKind::StorageFull)),
    }
    drum.heal();
    assert_eq!(file.swap(&handle(1), Some(&stamp(1)), value(2), HOUR).await, Ok(Swap::Done));
    assert_eq!((version(&file, 1), file.ping()), (Some(2), Ok(())));
}

#[tokio::test]
async fn a_disk_that_is_well_again_is_noticed_although_nobody_writes() {
    let drum = Drum::default();
    let file = on(&drum);
    put(&file, 1, HOUR).await;
    drum.fail(Trouble::Sync, 0);
    assert!(file.swap(&handle(1), Some(&stamp(1)), value(2), HOUR).await.is_err());
    assert!(file.ping().is_err());
    drum.heal();
    eventually("the file to be ready", || file.ping().is_ok()).await;
}

#[tokio::test]
async fn a_read_that_fails_is_an_error_and_over_when_the_disk_is_well() {
    let drum = Drum::without_cache();
    let file = on(&drum);
    for number in 0..50 {
        put(&file, number, HOUR).await;
    }
    drum.fail(Trouble::Reads, 0);
    let read = |number| file.load(&[handle(number)]);
    assert!((0..50).any(|number| read(number).is_err()), "every page was in memory");
    assert!((0..50).all(|number| read(number).is_ok_and(|found| found[0].is_some()) || read(number).is_err()));
    drum.heal();
    eventually("the file to be read again", || (0..50).all(|number| read(number).is_ok())).await;
    assert!((0..50).all(|number| version(&file, number) == Some(1)));
}

#[tokio::test]
async fn after_a_power_cut_everything_that_was_acknowledged_is_there() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    eprintln!("seed {seed}");
    let mut drum = Drum::default();
    let mut known = [0; 20];
    let mut under_way = None;
    for _ in 0..60 {
        let file = Arc::new(on(&drum));
        assert_stored(&file, &mut known, under_way.take());
        for _ in 0..rng.random_range(0..6) {
            under_way = write_some(&file, &mut known, &mut rng).await;
            assert_eq!(under_way, None);
        }
        // One change is under way when the power goes: the disk stands still between its two syncs, or before.
        let number = rng.random_range(0..known.len());
        drum.stand_still(rng.random());
        let last = tokio::spawn({
            let (file, old) = (Arc::clone(&file), known[number]);
            async move {
                let expected = (old > 0).then(|| stamp(old));
                file.swap(&handle(number as u64), expected.as_ref(), value(old + 1), HOUR).await
            }
        });
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..3_000))).await;
        let acknowledged = last.is_finished();
        let cut = drum.after_a_power_cut(&mut rng);
        match acknowledged {
            true => known[number] += 1,
            false => under_way = Some((number, known[number] + 1)),
        }
        drum.stand_still(false);
        let _ = last.await.unwrap();
        file.close().await;
        drum = cut;
    }
}

async fn write_some(file: &File, known: &mut [u64], rng: &mut StdRng) -> Option<(usize, u64)> {
    let number = rng.random_range(0..known.len());
    let expected = (known[number] > 0).then(|| stamp(known[number]));
    let saved = file.swap(&handle(number as u64), expected.as_ref(), value(known[number] + 1), HOUR).await;
    assert_eq!(saved, Ok(Swap::Done));
    known[number] += 1;
    None
}

#[tokio::test]
async fn a_file_that_was_scribbled_on_is_an_error_at_worst() {
    let drum = Drum::default();
    let file = on(&drum);
    for number in 0..200 {
        put(&file, number, HOUR).await;
    }
    file.close().await;
    for page in 1..drum.size() / 4096 {
        let damaged = drum.copy();
        damaged.scribble(page * 4096, &[0xA5; 4096]);
        let Ok(file) = File::start(Box::new(damaged), &settings()) else { continue };
        for number in 0..200 {
            let _ = file.load(&[handle(number)]);
        }
        let patient = File { patience: Duration::from_millis(500), ..file };
        let _ = patient.swap(&handle(1), Some(&stamp(1)), value(2), HOUR).await;
        patient.close().await;
    }
}
