//! Guarantee 3: no request, however slow, brings an ended session back. The steps are called in the order that would.

use std::time::Duration;

use cloakroom::{
    session::{
        record::{Nonce, Record, Stored},
        settle::{CookieStep, Outcome, Plan},
    },
    store::commit::Live as _,
};

use crate::{
    bench::{LONG, Process, every_store, handle_of, is_ended, issued, stamp_of},
    visitor::Presented,
};

const WRITES: [(&str, &str); 6] = [
    (r#"{"b":1}"#, ""),
    // Says nothing new to the record that the request was given.
    (r#"{"a":1}"#, ""),
    (r#"{"b":1}"#, "rotate"),
    ("", "rotate"),
    ("", "subject=mallory"),
    (r#"{"b":1}"#, "destroy"),
];

async fn assert_no_write_passes(process: &Process, slow: &Presented) {
    for (update, control) in WRITES {
        let saved = process.save(slow, update, control).await;
        assert!(is_ended(&saved), "{update} {control}: {saved:?}");
    }
}

fn is_tombstone(stored: Option<Stored>) -> bool {
    matches!(stored, Some(Stored::Tombstone(_)))
}

every_store! {
    sealed:
    async fn a_slow_write_does_not_bring_a_destroyed_session_back(bench) {
        let slow = bench.process.visit(r#"{"a":1}"#).await;
        let plan = bench.another_process().save(&slow, "", "destroy").await.unwrap();
        assert_eq!((plan.cookie, plan.outcome), (CookieStep::Delete, Outcome::Destroyed));
        for process in [&bench.process, &bench.another_process()] {
            assert_no_write_passes(process, &slow).await;
            assert!(is_tombstone(process.stored(&handle_of(&slow)).await));
        }
    }

    async fn nor_when_its_tombstone_has_gone(bench) {
        let process = bench.process.with(|policy| policy.retire_grace = Duration::from_millis(20));
        let slow = process.visit(r#"{"a":1}"#).await;
        process.save(&slow, "", "destroy").await.unwrap();
        bench.gone(&handle_of(&slow)).await;
        assert_no_write_passes(&process, &slow).await;
        assert_eq!(process.stored(&handle_of(&slow)).await, None);
    }

    async fn nor_does_a_slow_touch(bench) {
        let process = bench.process.with(|policy| policy.retire_grace = Duration::from_millis(200));
        let slow = process.visit(r#"{"a":1}"#).await;
        process.save(&slow, "", "destroy").await.unwrap();
        process.store.touch(&handle_of(&slow), &stamp_of(&slow), LONG).await.unwrap();
        assert!(process.left(&handle_of(&slow)).await.is_none_or(|left| left <= Duration::from_millis(200)));
        bench.gone(&handle_of(&slow)).await;
        process.store.touch(&handle_of(&slow), &stamp_of(&slow), LONG).await.unwrap();
        assert_eq!(process.stored(&handle_of(&slow)).await, None);
    }

    async fn a_slow_write_does_not_bring_an_expired_session_back(bench) {
        let process = bench.process.with(|policy| policy.idle_timeout = Duration::from_millis(700));
        let slow = process.visit(r#"{"a":1}"#).await;
        bench.gone(&handle_of(&slow)).await;
        assert_no_write_passes(&process, &slow).await;
        process.store.touch(&handle_of(&slow), &stamp_of(&slow), LONG).await.unwrap();
        assert_eq!(process.stored(&handle_of(&slow)).await, None);
    }

    async fn what_the_store_still_holds_after_the_deadline_has_ended_too(bench) {
        let process = bench.process.with(|policy| policy.absolute_timeout = Duration::from_secs(100));
        let slow = process.visit(r#"{"a":1}"#).await;
        // Somebody made the key live on; the deadline in the record counts.
        let handle = handle_of(&slow);
        let Some(Stored::Live(record)) = process.stored(&handle).await else { panic!("a session") };
        let stamp = record.stamp();
        let mut record = Record::clone(&record);
        record.deadline = process.store.now();
        record.writes = record.writes.led_by(Nonce(rand::random()));
        process.store.swap(&handle, Some(&stamp), &record.into(), LONG).await.unwrap();
        assert_no_write_passes(&process, &slow).await;
        assert_eq!(process.save(&slow, "", "destroy").await.unwrap().cookie, CookieStep::Keep);
    }

    async fn a_slow_write_does_not_pass_a_rotation(bench) {
        let slow = bench.process.visit(r#"{"a":1}"#).await;
        let plan = bench.another_process().save(&slow, r#"{"user":"ada"}"#, "rotate").await.unwrap();
        assert_no_write_passes(&bench.process, &slow).await;
        assert_eq!(bench.process.data(&handle_of(&slow)).await, r#"{"a":1,"user":"ada"}"#);
        assert!(matches!(bench.process.present(&issued(&plan)).await, Presented::Loaded(_)));
        let Presented::Loaded(session) = &slow else { unreachable!() };
        assert!(matches!(bench.process.present(session.ticket()).await, Presented::Retired(_)));
    }

    async fn a_log_out_that_a_rotation_overtook_still_logs_out(bench) {
        let slow = bench.process.visit(r#"{"a":1}"#).await;
        bench.another_process().save(&slow, "", "rotate").await.unwrap();
        let plan = bench.process.save(&slow, "", "destroy").await.unwrap();
        assert_eq!(plan.cookie, CookieStep::Delete);
        assert!(is_tombstone(bench.process.stored(&handle_of(&slow)).await));
    }

    async fn a_second_log_out_passes_and_changes_nothing(bench) {
        let slow = bench.process.visit(r#"{"a":1}"#).await;
        bench.process.save(&slow, "", "destroy").await.unwrap();
        let tombstone = bench.process.stored(&handle_of(&slow)).await;
        for process in [&bench.process, &bench.another_process()] {
            let plan = process.save(&slow, "", "destroy").await.unwrap();
            assert_eq!((plan.cookie, plan.outcome), (CookieStep::Keep, Outcome::None));
        }
        assert_eq!(bench.process.stored(&handle_of(&slow)).await, tombstone);
    }

    async fn a_log_out_among_fifty_writers_wins(bench) {
        for round in 0..4 {
            let visitor = bench.process.visit(r#"{"a":1}"#).await;
            let processes = [bench.process.clone(), bench.another_process()];
            let tasks: Vec<_> = (0..50).map(|n: usize| {
                let (process, visitor) = (processes[n % 2].clone(), visitor.clone());
                let (update, control) = if n == 10 * round { (String::new(), "destroy") } else { (format!("{{\"k{n}\":1}}"), "") };
                tokio::spawn(async move { process.save(&visitor, &update, control).await })
            }).collect();
            let mut endings = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(Plan { outcome: Outcome::Destroyed, .. }) => endings += 1,
                    Ok(plan) => assert_eq!(plan.outcome, Outcome::Updated),
                    refused => assert!(is_ended(&refused), "{refused:?}"),
                }
            }
            assert_eq!(endings, 1);
            assert!(is_tombstone(bench.process.stored(&handle_of(&visitor)).await));
        }
    }

    async fn destroy_with_an_update_ends_the_old_session_and_makes_another(bench) {
        let old = bench.process.visit(r#"{"a":1}"#).await;
        let plan = bench.process.save(&old, r#"{"b":2}"#, "destroy").await.unwrap();
        let ticket = issued(&plan);
        assert_ne!(ticket.locator.handle(), handle_of(&old));
        assert!(is_tombstone(bench.process.stored(&handle_of(&old)).await));
        assert_eq!(bench.process.data(&ticket.locator.handle()).await, r#"{"b":2}"#);
        assert_no_write_passes(&bench.process, &old).await;
        assert_eq!(bench.process.data(&ticket.locator.handle()).await, r#"{"b":2}"#);
    }
}
