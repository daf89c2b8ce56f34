//! Lives, places and sweeps of `memory:`, with time that the test moves.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::advance;

use super::*;
use crate::store::index::{Epochs, Label};

fn handle(number: u32) -> Handle {
    let mut raw = [0; 16];
    raw[..4].copy_from_slice(&number.to_le_bytes());
    crate::session::ticket::Locator::from_random(raw).handle()
}

fn value(state: char) -> Bytes {
    Bytes::from(format!("1{state}{:032x}={{}}", 7))
}

fn stamp(state: char) -> Stamp {
    Stamp::of(&value(state)).unwrap()
}

fn put(memory: &Memory, number: u32, ttl: Duration) -> Result<Swap, StoreError> {
    memory.swap(&handle(number), None, value('L'), ttl)
}

fn left(memory: &Memory, number: u32) -> Option<Duration> {
    memory.load(&[handle(number)]).remove(0).map(|entry| entry.left)
}

fn taken(memory: &Memory) -> usize {
    memory.taken.load(Ordering::Relaxed)
}

fn held(memory: &Memory) -> usize {
    memory.maps.iter().map(|map| locked(map).len()).sum()
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_value_is_read_up_to_the_last_millisecond_of_its_life_and_not_at_its_end() {
    let memory = Memory::new(10);
    put(&memory, 1, SECOND).unwrap();
    assert_eq!(left(&memory, 1), Some(SECOND));
    advance(SECOND - MILLISECOND).await;
    assert_eq!(left(&memory, 1), Some(MILLISECOND));
    advance(MILLISECOND).await;
    assert_eq!(left(&memory, 1), None);
}

#[tokio::test(start_paused = true)]
async fn its_clock_goes_with_time_and_not_with_the_machines_date() {
    let memory = Memory::new(10);
    let begun = memory.now();
    advance(Duration::from_millis(1234)).await;
    assert_eq!(memory.now(), begun.after(Duration::from_millis(1234)));
}

#[tokio::test(start_paused = true)]
async fn a_touch_counts_from_now_and_never_back() {
    let memory = Memory::new(10);
    put(&memory, 1, 10 * SECOND).unwrap();
    advance(4 * SECOND).await;
    for (touched, wanted) in [(SECOND, 6 * SECOND), (6 * SECOND, 6 * SECOND), (9 * SECOND, 9 * SECOND)] {
        memory.touch(&handle(1), &stamp('L'), touched);
        assert_eq!(left(&memory, 1), Some(wanted), "touched to {touched:?}");
    }
    advance(9 * SECOND).await;
    memory.touch(&handle(1), &stamp('L'), SECOND);
    assert_eq!(left(&memory, 1), None);
}

#[tokio::test(start_paused = true)]
async fn a_touch_does_not_extend_a_tombstone() {
    let memory = Memory::new(10);
    memory.swap(&handle(1), None, value('T'), SECOND).unwrap();
    memory.touch(&handle(1), &stamp('L'), 10 * SECOND);
    assert_eq!(left(&memory, 1), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_gives_its_place_to_the_next_also_before_it_is_swept() {
    let memory = Memory::new(2);
    put(&memory, 1, SECOND).unwrap();
    put(&memory, 2, 5 * SECOND).unwrap();
    assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
    advance(SECOND).await;
    assert_eq!(put(&memory, 3, SECOND), Ok(Swap::Done));
    assert_eq!(put(&memory, 4, SECOND), Err(StoreError::Full));
    assert_eq!((left(&memory, 2), held(&memory)), (Some(4 * SECOND), 2));
}

#[tokio::test(start_paused = true)]
async fn a_swap_over_what_has_expired_takes_no_second_place() {
    let memory = Memory::new(2);
    put(&memory, 1, SECOND).unwrap();
    advance(SECOND).await;
    assert_eq!(put(&memory, 1, SECOND), Ok(Swap::Done));
    assert_eq!(put(&memory, 2, SECOND), Ok(Swap::Done));
    assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
}

/// What a number of sweeps takes to look at every map.
const ROUND: usize = MAPS / SWEPT;

#[tokio::test(start_paused = true)]
async fn a_round_of_sweeps_takes_out_what_has_expired_and_nothing_else() {
    let memory = Memory::new(1_000);
    for number in 0..500 {
        put(&memory, number, if number % 2 == 0 { SECOND } else { 10 * SECOND }).unwrap();
    }
    (0..ROUND).for_each(|_| memory.sweep());
    assert_eq!(held(&memory), 500);
    advance(SECOND).await;
    assert_eq!(held(&memory), 500);
    memory.sweep();
    assert!((400..500).contains(&held(&memory)), "one sweep takes a portion: {} are left", held(&memory));
    (1..ROUND).for_each(|_| memory.sweep());
    assert_eq!((held(&memory), taken(&memory)), (250, 250));
    assert!((0..500).all(|number| left(&memory, number).is_some() == (number % 2 == 1)));
}

#[tokio::test(start_paused = true)]
async fn one_sweep_does_no_more_than_its_share_however_much_has_expired() {
    let memory = Memory::new(100_000);
    for number in 0..40_000 {
        put(&memory, number, SECOND).unwrap();
    }
    advance(SECOND).await;
    for _ in 0..20 * ROUND {
        let before = held(&memory);
        memory.sweep();
        assert!(before - held(&memory) <= SWEPT * PORTION, "{before}");
    }
    assert_eq!(held(&memory), 0);
    assert_eq!(taken(&memory), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_cannot_pile_up_where_sessions_are_made_and_nobody_sweeps() {
    let memory = Memory::new(100_000);
    for number in 0..40_000 {
        put(&memory, number, if number < 20_000 { SECOND } else { 100 * SECOND }).unwrap();
        if number == 20_000 {
            advance(SECOND).await;
        }
    }
    assert!(held(&memory) < 24_000, "{} are held", held(&memory));
    assert_eq!(taken(&memory), held(&memory));
}

#[tokio::test(start_paused = true)]
async fn a_touched_session_loses_its_place_to_nobody_before_its_new_end() {
    let memory = Memory::new(2);
    put(&memory, 1, SECOND).unwrap();
    put(&memory, 2, SECOND).unwrap();
    memory.touch(&handle(1), &stamp('L'), 5 * SECOND);
    advance(SECOND).await;
    assert_eq!(put(&memory, 3, 9 * SECOND), Ok(Swap::Done));
    assert_eq!(put(&memory, 4, SECOND), Err(StoreError::Full));
    assert_eq!((left(&memory, 1), left(&memory, 3)), (Some(4 * SECOND), Some(9 * SECOND)));
    advance(4 * SECOND).await;
    assert_eq!(put(&memory, 4, SECOND), Ok(Swap::Done));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_shortens_a_life_gives_the_place_up_then() {
    let memory = Memory::new(1);
    put(&memory, 1, 100 * SECOND).unwrap();
    memory.swap(&handle(1), Some(&stamp('L')), value('L'), SECOND).unwrap();
    advance(SECOND).await;
    assert_eq!(put(&memory, 2, SECOND), Ok(Swap::Done));
}

#[tokio::test(start_paused = true)]
async fn tombstones_take_no_place_and_stand_in_nobodys_way() {
    let memory = Memory::new(100);
    for number in 0..100 {
        put(&memory, number, SECOND).unwrap();
        memory.swap(&handle(number), Some(&stamp('L')), value('T'), SECOND / 2).unwrap();
    }
    assert_eq!((held(&memory), taken(&memory)), (100, 0));
    for number in 100..200 {
        assert_eq!(put(&memory, number, SECOND), Ok(Swap::Done));
    }
    assert_eq!(put(&memory, 200, SECOND), Err(StoreError::Full));
    memory.swap(&handle(200), None, value('T'), SECOND).unwrap();
    let revived = memory.swap(&handle(200), Some(&stamp('T')), value('L'), SECOND);
    assert_eq!(revived, Err(StoreError::Full), "a tombstone has no place to give to a session");
    advance(SECOND).await;
    for number in 300..400 {
        assert_eq!(put(&memory, number, SECOND), Ok(Swap::Done));
    }
    assert_eq!(put(&memory, 400, SECOND), Err(StoreError::Full));
}

#[tokio::test(start_paused = true)]
async fn places_are_counted_exactly_whatever_happens() {
    let (memory, mut rng) = (Memory::new(12), StdRng::seed_from_u64(1));
    let mut full = 0;
    for _ in 0..4_000 {
        let (number, ttl) = (rng.random_range(0..60), SECOND * rng.random_range(1..20));
        let old = [None, Some(stamp('L')), Some(stamp('T'))][rng.random_range(0..3)];
        match rng.random_range(0..10) {
            0..4 => {
                let new = value(if rng.random_bool(0.7) { 'L' } else { 'T' });
                let stored = memory.swap(&handle(number), old.as_ref(), new, ttl);
                full += usize::from(stored == Err(StoreError::Full));
            }
            4 => drop(old.map(|old| memory.remove(&handle(number), &old))),
            5..7 => old.iter().for_each(|old| memory.touch(&handle(number), old, ttl)),
            7 => memory.sweep(),
            _ => advance(SECOND / 10).await,
        }
        let now = memory.now();
        let alive =
            (0..60).filter(|number| memory.read(&handle(*number), now).is_some_and(|entry| entry.bytes[1] == b'L'));
        let sessions: usize = memory.maps.iter().map(|map| locked(map).sessions()).sum();
        assert_eq!(taken(&memory), sessions);
        assert!(alive.count() <= sessions && sessions <= 12);
    }
    assert!(full > 100, "too seldom full: {full}");
}

#[tokio::test(start_paused = true)]
async fn room_that_a_crowd_needed_is_given_back_when_it_has_gone() {
    let memory = Memory::new(1_000_000);
    for number in 0..80_000 {
        put(&memory, number, SECOND).unwrap();
    }
    let room = |memory: &Memory| -> usize { memory.maps.iter().map(|map| locked(map).room()).sum() };
    assert!(room(&memory) >= 80_000);
    advance(SECOND).await;
    while held(&memory) > 0 {
        memory.sweep();
    }
    assert!(room(&memory) <= 64 * MAPS, "{}", room(&memory));
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_gives_its_place_up_once() {
    let memory = Memory::new(1);
    let stamp = stamp('L');
    put(&memory, 1, SECOND).unwrap();
    assert_eq!(memory.remove(&handle(1), &stamp), Swap::Done);
    assert_eq!(memory.remove(&handle(1), &stamp), Swap::Conflict(None));
    assert_eq!(put(&memory, 2, SECOND), Ok(Swap::Done));
    assert_eq!(put(&memory, 3, SECOND), Err(StoreError::Full));
}

#[test]
fn threads_that_race_for_the_last_places_get_no_more_than_there_are() {
    let memory = Memory::new(100);
    let stored: usize = std::thread::scope(|scope| {
        let fill = |thread: u32| {
            let memory = &memory;
            move || (0..100).filter(|n| put(memory, 1_000 * thread + n, 100 * SECOND) == Ok(Swap::Done)).count()
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(fill(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((stored, held(&memory)), (100, 100));
}

#[test]
fn threads_that_race_for_the_places_of_the_expired_get_them_all_and_no_more() {
    for _ in 0..20 {
        let memory = Memory::new(400);
        (0..400).for_each(|number| drop(put(&memory, number, MILLISECOND).unwrap()));
        while (0..400).any(|number| left(&memory, number).is_some()) {
            std::thread::yield_now();
        }
        let stored: usize = std::thread::scope(|scope| {
            let fill = |thread: u32| {
                let memory = &memory;
                move || (0..110).filter(|n| put(memory, 1_000 * thread + n, 100 * SECOND) == Ok(Swap::Done)).count()
            };
            let threads: Vec<_> = (1..=4).map(|thread| scope.spawn(fill(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((stored, held(&memory), taken(&memory)), (400, 400, 400));
    }
}

fn label(name: u16) -> Label {
    Label::of(&[&name.to_be_bytes()[..], &[0; 14]].concat())
}

/// Long enough for the sweep to look at every entry.
fn sweep_index(memory: &Memory) {
    (0..400).for_each(|_| memory.sweep());
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_walk_lists_all_sessions_of_the_subject_and_of_no_other() {
    let memory = Memory::new(10_000);
    let far = memory.now().after(100 * HOUR);
    for number in 0..2_000_u32 {
        memory.enter_index(
            &[label(if number < 1_300 { 7 } else { 6 + 2 * (number % 2) as u16 })],
            &handle(number),
            far,
        );
    }
    for (name, wanted) in [(7, 1_300), (6, 350), (8, 350), (9, 0)] {
        let listed: HashSet<_> = memory.raise_epoch(&[label(name)], 1).into_iter().collect();
        assert_eq!(listed.len(), wanted, "{name}");
    }
    assert_eq!(memory.list_index(&[label(6), label(7), label(9)]).len(), 1_650);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_swept_when_its_session_has_gone_and_none_can_be_under_way_any_more() {
    let memory = Memory::new(10_000);
    let far = memory.now().after(100 * HOUR);
    for number in 0..600 {
        memory.enter_index(&[label(1)], &handle(number), far);
        if number < 200 {
            put(&memory, number, 50 * HOUR).unwrap();
        } else if number < 400 {
            put(&memory, number, SECOND).unwrap();
        }
    }
    advance(HOUR - MILLISECOND).await;
    sweep_index(&memory);
    assert_eq!(memory.list_index(&[label(1)]).len(), 600);
    advance(MILLISECOND).await;
    sweep_index(&memory);
    let listed: HashSet<_> = memory.list_index(&[label(1)]).into_iter().collect();
    assert!(listed == (0..200).map(handle).collect(), "{} are left", listed.len());
    memory.leave_index(&[label(2), label(1)], &handle(0));
    assert_eq!(memory.list_index(&[label(1)]).len(), 199);
    advance(99 * HOUR).await;
    sweep_index(&memory);
    assert_eq!(memory.list_index(&[label(1)]), []);
}

#[tokio::test(start_paused = true)]
async fn an_epoch_is_kept_for_as_long_as_a_save_may_be_under_way() {
    let memory = Memory::new(10);
    memory.raise_epoch(&[label(1), label(2)], 7);
    advance(HOUR / 2).await;
    memory.raise_epoch(&[label(2)], 8);
    advance(HOUR / 2 - MILLISECOND).await;
    sweep_index(&memory);
    let labels = [label(2), label(1), label(3)];
    assert_eq!(memory.epochs(&labels), Epochs(vec![Some(8), Some(7), None]));
    advance(MILLISECOND).await;
    sweep_index(&memory);
    assert_eq!(memory.epochs(&labels), Epochs(vec![Some(8), None, None]));
    assert_eq!(memory.enter_index(&labels, &handle(1), memory.now().after(HOUR)), Epochs(vec![Some(8), None, None]));
    advance(HOUR).await;
    sweep_index(&memory);
    assert_eq!(memory.epochs(&labels), Epochs(vec![None, None, None]));
}

#[tokio::test(start_paused = true)]
async fn entries_whose_sessions_have_gone_cannot_pile_up_where_others_are_made() {
    let memory = Memory::new(10);
    let far = memory.now().after(100 * HOUR);
    for number in 0..20_000_u32 {
        memory.enter_index(&[label(number as u16)], &handle(number), far);
        if number == 10_000 {
            advance(HOUR).await;
        }
    }
    let left: usize = (0..20_000).map(|name| memory.list_index(&[label(name)]).len()).sum();
    assert!(left < 13_000, "{left}");
}
