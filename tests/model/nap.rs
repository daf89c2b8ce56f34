//! A session that nobody uses for its idle timeout, and those who come too late or just in time.

use std::time::Duration;

use cloakroom::{
    session::{
        Handle, Policy,
        record::{Stamp, Stored},
        settle::{CookieStep, Refusal, Step},
    },
    store::commit::CommitError,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::time::sleep;

use crate::{deed::Deed, process::Process, support::PATIENCE, visitor::Presented};

/// About so many operations is one nap.
pub(crate) const OPERATIONS: u64 = 6;
const IDLE: Duration = Duration::from_millis(100);

fn update(key: &str) -> Deed {
    Deed { lines: Some(vec![json!({ key: true })]), ..Deed::default() }
}

async fn gone(process: &Process, handle: &Handle) {
    let begun = std::time::Instant::now();
    while process.stored(&[*handle]).await[0].is_some() {
        assert!(begun.elapsed() < PATIENCE, "an idle session is not dropped");
        sleep(Duration::from_millis(3)).await;
    }
}

/// One session that is made to idle out, by one of the ways in which that may meet others.
pub(crate) async fn nap(one: Process, two: Process, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let idle =
        |process: Process| Process { policy: Policy { idle_timeout: IDLE, ..process.policy.clone() }, ..process };
    let (one, two) = (idle(one), idle(two));
    let saved = one.save(&Presented::Nobody, &update("born").change()).await.expect("a new session");
    let Step::Create(_, born) = &saved.plan.store else { panic!("no new session: {:?}", saved.plan.store) };
    let stamp = born.stored.stamp();
    let CookieStep::Issue(ticket, None) = saved.plan.cookie else { panic!("no ticket: {:?}", saved.plan.cookie) };
    let handle = ticket.locator.handle();
    let presented = two.present(Some(&ticket)).await;
    match (rng.random_range(0..3), &presented) {
        (0, Presented::Loaded(_)) => kept(&one, &handle, &stamp).await,
        (1, Presented::Loaded(_)) => just_in_time(&two, &presented, &handle, &mut rng).await,
        _ => {
            gone(&one, &handle).await;
            too_late(&two, &presented, &handle, &stamp).await;
        }
    }
    assert_eq!(one.store.touch(&handle, &stamp, Duration::from_millis(1)).await, Ok(()));
}

/// A touch keeps it, and a shorter one takes nothing away.
async fn kept(process: &Process, handle: &Handle, stamp: &Stamp) {
    let before = process.stored(&[*handle]).await;
    process.store.touch(handle, stamp, 1_000 * IDLE).await.expect("a touch");
    process.store.touch(handle, stamp, IDLE / 10).await.expect("a touch");
    if before[0].is_some() && process.stored(&[*handle]).await[0].is_some() {
        sleep(2 * IDLE).await; // the time that it would not have lived
        assert_eq!(process.stored(&[*handle]).await, before, "a touch changed or lost a session");
    }
    if let Some(stored) = &before[0] {
        let removed = process.store.remove(handle, &stored.stamp()).await;
        assert!(removed.is_ok(), "{removed:?}"); // it is nobody's in the model
    }
}

/// A write about when it ends: either it was in time, or it is refused and nothing comes back.
async fn just_in_time(process: &Process, presented: &Presented, handle: &Handle, rng: &mut StdRng) {
    sleep(rng.random_range(IDLE / 2..IDLE * 3 / 2)).await;
    let saved = process.save(presented, &update("late").change()).await;
    match saved.map(|saved| saved.plan.store) {
        Ok(Step::Change(write)) => {
            let Stored::Live(record) = write.stored else { panic!("a tombstone instead of a change") };
            assert_eq!((record.version, &*record.data), (2, r#"{"born":true,"late":true}"#));
            gone(process, handle).await;
        }
        Ok(other) => panic!("no change but {other:?}"),
        Err(error) => assert_eq!(error, CommitError::Refused(Refusal::Ended(None))),
    }
    assert_eq!(process.stored(&[*handle]).await, [None], "an idle session came back");
}

/// Whoever was given the session before it idled out cannot bring it back.
async fn too_late(process: &Process, presented: &Presented, handle: &Handle, stamp: &Stamp) {
    let ended = Err(CommitError::Refused(Refusal::Ended(None)));
    let late = update("late").change();
    process.store.touch(handle, stamp, 1_000 * IDLE).await.expect("a touch");
    if matches!(presented, Presented::Loaded(_)) {
        assert_eq!(process.save(presented, &late).await, ended);
    }
    assert_eq!(process.save_held(handle, &late).await, ended);
    let bare = Deed { destroy: true, ..Deed::default() };
    let saved = process.save(presented, &bare.change()).await.expect("a bare destroy passes");
    assert_eq!((saved.plan.store, saved.plan.cookie), (Step::Keep, CookieStep::Keep));
    assert_eq!(process.stored(&[*handle]).await, [None], "an idle session came back");
}
