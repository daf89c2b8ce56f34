//! Guarantee 2: no update is lost, and every decision is made on what is stored at that moment.

use cloakroom::{
    session::settle::{CookieStep, Outcome, Plan, Refusal, Step},
    store::commit::CommitError,
};

use crate::{
    bench::{Process, every_store, handle_of, issued},
    visitor::Presented,
};

fn refusal(saved: Result<Plan, CommitError>) -> Refusal {
    match saved {
        Err(CommitError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Saves `{"k<n>":n}` for each n, all from the same loaded record, and waits for all of them.
async fn save_all(processes: &[Process], visitor: &Presented, numbers: std::ops::Range<usize>) {
    let tasks = numbers.map(|n| {
        let (process, visitor) = (processes[n % processes.len()].clone(), visitor.clone());
        tokio::spawn(async move { process.save(&visitor, &format!("{{\"k{n}\":{n}}}"), "").await })
    });
    for task in tasks.collect::<Vec<_>>() {
        let plan = task.await.expect("a task").expect("every change is saved");
        assert_eq!((plan.outcome, plan.cookie), (Outcome::Updated, CookieStep::Keep));
    }
}

async fn assert_all_there(process: &Process, visitor: &Presented, count: usize) {
    let record = process.record(&handle_of(visitor)).await;
    assert_eq!(record.version, 1 + count as u64);
    let data: serde_json::Value = serde_json::from_str(&record.data).expect("JSON");
    let members = data.as_object().expect("an object");
    assert_eq!(members.len(), 1 + count);
    assert!((0..count).all(|n| members[&format!("k{n}")] == n));
}

every_store! {
    sealed:
    async fn a_hundred_commits_that_began_with_the_same_record_all_survive(bench) {
        let visitor = bench.process.visit(r#"{"first":true}"#).await;
        save_all(std::slice::from_ref(&bench.process), &visitor, 0..100).await;
        assert_all_there(&bench.process, &visitor, 100).await;
    }

    async fn a_hundred_commits_of_five_processes_all_survive(bench) {
        let visitor = bench.process.visit(r#"{"first":true}"#).await;
        let processes: Vec<_> = (0..5).map(|_| bench.another_process()).collect();
        save_all(&processes, &visitor, 0..100).await;
        assert_all_there(&bench.process, &visitor, 100).await;
    }

    async fn of_commits_on_the_same_key_the_last_one_wins(bench) {
        let (visitor, other) = (bench.process.visit(r#"{"a":0}"#).await, bench.another_process());
        bench.process.save(&visitor, r#"{"a":1}"#, "").await.unwrap();
        other.save(&visitor, r#"{"a":2}"#, "").await.unwrap();
        bench.process.save(&visitor, r#"{"b":1}"#, "").await.unwrap();
        assert_eq!(bench.process.data(&handle_of(&visitor)).await, r#"{"a":2,"b":1}"#);
    }

    async fn an_update_that_changes_nothing_given_but_something_stored_is_written(bench) {
        let (given, other) = (bench.process.visit(r#"{"a":1}"#).await, bench.another_process());
        other.save(&given, r#"{"a":2}"#, "").await.unwrap();
        let plan = bench.process.save(&given, r#"{"a":1}"#, "").await.unwrap();
        assert_eq!(plan.outcome, Outcome::Updated);
        let record = bench.process.record(&handle_of(&given)).await;
        assert_eq!((record.version, &*record.data), (3, r#"{"a":1}"#));
    }

    async fn an_update_that_changes_something_given_but_nothing_stored_is_not_written(bench) {
        let (given, other) = (bench.process.visit(r#"{"a":1}"#).await, bench.another_process());
        other.save(&given, r#"{"a":2}"#, "").await.unwrap();
        let plan = bench.process.save(&given, r#"{"a":2}"#, "").await.unwrap();
        assert_eq!((plan.outcome, plan.store), (Outcome::Live, Step::Keep));
        assert_eq!(bench.process.record(&handle_of(&given)).await.version, 2);
    }

    async fn a_removal_of_what_somebody_else_added_removes_it(bench) {
        let (given, other) = (bench.process.visit(r#"{"a":1}"#).await, bench.another_process());
        other.save(&given, r#"{"b":2}"#, "").await.unwrap();
        bench.process.save(&given, r#"{"b":null}"#, "").await.unwrap();
        assert_eq!(bench.process.data(&handle_of(&given)).await, r#"{"a":1}"#);
    }

    async fn if_version_is_held_against_what_is_stored(bench) {
        let (given, other) = (bench.process.visit(r#"{"a":1}"#).await, bench.another_process());
        other.save(&given, r#"{"b":2}"#, "").await.unwrap();
        assert_eq!(refusal(bench.process.save(&given, r#"{"c":3}"#, "if-version=1").await), Refusal::VersionConflict);
        assert_eq!(refusal(bench.process.save(&given, r#"{"a":1}"#, "if-version=1").await), Refusal::VersionConflict);
        assert_eq!(bench.process.record(&handle_of(&given)).await.version, 2);
        bench.process.save(&given, r#"{"c":3}"#, "if-version=2").await.unwrap();
        assert_eq!(bench.process.data(&handle_of(&given)).await, r#"{"a":1,"b":2,"c":3}"#);
    }

    async fn a_json_patch_is_tested_on_what_is_stored(bench) {
        let (given, other) = (bench.process.visit(r#"{"a":1,"l":[]}"#).await, bench.another_process());
        other.save(&given, r#"{"a":2}"#, "").await.unwrap();
        let add = |test: u8| format!(r#"[{{"op":"test","path":"/a","value":{test}}},{{"op":"add","path":"/l/-","value":0}}]"#);
        assert_eq!(refusal(bench.process.save(&given, &add(1), "").await), Refusal::DoesNotFit);
        bench.process.save(&given, &add(2), "").await.unwrap();
        assert_eq!(bench.process.data(&handle_of(&given)).await, r#"{"a":2,"l":[0]}"#);
    }

    async fn fifty_increments_by_append_are_fifty_elements(bench) {
        let visitor = bench.process.visit(r#"{"l":[]}"#).await;
        let processes = [bench.another_process(), bench.another_process()];
        let tasks = (0..50).map(|n: usize| {
            let (process, visitor) = (processes[n % 2].clone(), visitor.clone());
            tokio::spawn(async move { process.save(&visitor, r#"[{"op":"add","path":"/l/-","value":1}]"#, "").await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap().unwrap();
        }
        let wanted = format!("{{\"l\":[{}]}}", vec!["1"; 50].join(","));
        assert_eq!(bench.process.data(&handle_of(&visitor)).await, wanted);
    }

    async fn a_refused_change_leaves_everything_as_it_is(bench) {
        let process = bench.process.with(|policy| policy.max_bytes = 30);
        let visitor = process.visit(r#"{"a":1}"#).await;
        let before = process.stored(&handle_of(&visitor)).await;
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(30));
        for (update, control, wanted) in [
            (&*long, "", Refusal::TooLarge),
            (&*long, "rotate, subject=ada", Refusal::TooLarge),
            (r#"[{"op":"add","path":"/b","value":1},{"op":"remove","path":"/none"}]"#, "rotate", Refusal::DoesNotFit),
            (r#"[{"op":"replace","path":"","value":[]}]"#, "", Refusal::NotAnObject),
            (&*long, "destroy", Refusal::TooLarge),
        ] {
            assert_eq!(refusal(process.save(&visitor, update, control).await), wanted, "{update} {control}");
            assert_eq!(process.stored(&handle_of(&visitor)).await, before, "{update} {control}");
        }
    }

    async fn a_rotation_beside_a_hundred_commits_loses_none_that_was_acknowledged(bench) {
        let visitor = bench.process.visit("{\"first\":true}").await;
        let tasks: Vec<_> = (0..100).map(|n| {
            let (process, visitor) = (bench.process.clone(), visitor.clone());
            let control = if n == 50 { "rotate" } else { "" };
            tokio::spawn(async move { (n, process.save(&visitor, &format!("{{\"k{n}\":{n}}}"), control).await) })
        }).collect();
        let (mut saved, mut rotated) = (vec![], vec![]);
        for task in tasks {
            match task.await.unwrap() {
                (n, Ok(plan)) if plan.outcome == Outcome::Rotated => rotated.push((n, issued(&plan))),
                (n, Ok(_)) => saved.push(n),
                (_, refused) => assert!(crate::bench::is_ended(&refused), "{refused:?}"),
            }
        }
        let [(50, ticket)] = &rotated[..] else { panic!("{rotated:?}") };
        assert!(matches!(bench.process.present(ticket).await, Presented::Loaded(_)));
        let data: serde_json::Value = serde_json::from_str(&bench.process.data(&ticket.locator.handle()).await).unwrap();
        assert_eq!(data.as_object().unwrap().len(), 2 + saved.len());
        assert!(saved.iter().all(|n| data[format!("k{n}")] == *n));
    }
}
