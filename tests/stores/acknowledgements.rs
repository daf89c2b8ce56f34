//! Guarantee 2, second half: a write that the store carried out but whose acknowledgement was lost is not applied twice.

use std::{pin::pin, time::Duration};

use cloakroom::{
    session::{
        record::{Stored, WRITES},
        settle::{CookieStep, Outcome},
    },
    store::{StoreError, commit::CommitError},
};
use futures_util::FutureExt as _;

use crate::{
    bench::{LONG, Process, handle, handle_of, issued, live},
    double::{Deed, Double, hold},
    support::{Command, Redis},
    visitor::Presented,
};

const PATIENT: Duration = Duration::from_secs(20);
const APPEND: &str = r#"[{"op":"add","path":"/l/-","value":1}]"#;

/// A server, its double, a process behind the double and one beside it, and a session with an empty list.
struct Scene {
    server: Redis,
    double: Double,
    behind: Process,
    beside: Process,
    visitor: Presented,
}

impl Scene {
    async fn new() -> Self {
        let server = Redis::start();
        let double = Double::of(server.port());
        let (behind, beside) = (Process::at(&double.url(), PATIENT), Process::at(&server.url(), PATIENT));
        let visitor = behind.visit(r#"{"l":[]}"#).await;
        Self { server, double, behind, beside, visitor }
    }

    async fn data(&self) -> String {
        self.beside.data(&handle_of(&self.visitor)).await
    }

    /// The first script call meets this fate, what comes after is forwarded.
    fn once(&self, deed: Deed) {
        let mut deed = Some(deed);
        self.double.rule(move |command: &Command| match command.is_script() {
            true => deed.take().unwrap_or(Deed::Forward),
            false => Deed::Forward,
        });
    }

    /// Appends behind the double; the answer is lost after `meanwhile` has happened.
    async fn append_while<T>(
        &self,
        meanwhile: impl AsyncFnOnce() -> T,
    ) -> (Result<cloakroom::session::settle::Plan, CommitError>, T) {
        let (mut hold, held) = hold();
        self.once(Deed::LoseAnswerLater(held));
        tokio::join!(self.behind.save(&self.visitor, APPEND, ""), async move {
            hold.reached().await;
            let done = meanwhile().await;
            hold.release();
            done
        })
    }
}

#[tokio::test]
async fn a_write_whose_acknowledgement_was_lost_is_applied_once() {
    let scene = Scene::new().await;
    scene.once(Deed::LoseAnswer);
    let plan = scene.behind.save(&scene.visitor, APPEND, "").await.expect("saved");
    assert_eq!(plan.outcome, Outcome::Updated);
    assert_eq!(scene.data().await, r#"{"l":[1]}"#);
    assert_eq!(scene.beside.record(&handle_of(&scene.visitor)).await.version, 2);
}

#[tokio::test]
async fn a_write_that_was_never_heard_is_applied_once() {
    let scene = Scene::new().await;
    scene.once(Deed::Break);
    scene.behind.save(&scene.visitor, APPEND, "").await.expect("saved");
    assert_eq!(scene.data().await, r#"{"l":[1]}"#);
}

#[tokio::test]
async fn a_write_whose_acknowledgements_were_lost_three_times_is_applied_once() {
    let scene = Scene::new().await;
    let mut losses = 3;
    scene.double.rule(move |command| match command.is_script() && losses > 0 {
        true => {
            losses -= 1;
            Deed::LoseAnswer
        }
        false => Deed::Forward,
    });
    scene.behind.save(&scene.visitor, APPEND, "").await.expect("saved");
    assert_eq!(scene.data().await, r#"{"l":[1]}"#);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_recognised_behind_as_many_writers_as_a_record_remembers() {
    for others in [1, 2, WRITES - 1] {
        let scene = Scene::new().await;
        let (saved, ()) = scene
            .append_while(async || {
                for n in 0..others {
                    scene.beside.save(&scene.visitor, &format!("{{\"k{n}\":{n}}}"), "").await.expect("saved");
                }
            })
            .await;
        saved.unwrap_or_else(|error| panic!("{others} others: {error:?}"));
        assert!(scene.data().await.starts_with(r#"{"l":[1],"#), "{others} others: {}", scene.data().await);
        assert_eq!(scene.beside.record(&handle_of(&scene.visitor)).await.version, 2 + others as u64);
    }
}

#[tokio::test]
async fn behind_more_writers_than_that_it_is_an_error_and_still_not_applied_twice() {
    for others in [WRITES, 3 * WRITES] {
        let scene = Scene::new().await;
        let (saved, ()) = scene
            .append_while(async || {
                for n in 0..others {
                    scene.beside.save(&scene.visitor, &format!("{{\"k{n}\":{n}}}"), "").await.expect("saved");
                }
            })
            .await;
        assert_eq!(saved.err(), Some(CommitError::Store(StoreError::Disconnected)), "{others} others");
        assert!(scene.data().await.starts_with(r#"{"l":[1],"#), "{others} others: {}", scene.data().await);
    }
}

#[tokio::test]
async fn nor_if_the_server_has_forgotten_the_script_meanwhile() {
    let scene = Scene::new().await;
    let (saved, ()) = scene
        .append_while(async || {
            scene.beside.save(&scene.visitor, r#"{"other":1}"#, "").await.expect("saved");
            let _: String = scene.server.command(&["SCRIPT", "FLUSH"]);
        })
        .await;
    saved.expect("saved");
    assert_eq!(scene.data().await, r#"{"l":[1],"other":1}"#);
}

#[tokio::test]
async fn nor_if_the_session_was_rotated_meanwhile() {
    let scene = Scene::new().await;
    let (saved, rotated) =
        scene.append_while(async || scene.beside.save(&scene.visitor, "", "rotate").await.expect("rotated")).await;
    saved.expect("saved");
    assert_eq!(scene.data().await, r#"{"l":[1]}"#);
    assert!(matches!(scene.beside.present(&issued(&rotated)).await, Presented::Loaded(_)));
}

#[tokio::test]
async fn nor_does_it_bring_back_a_session_that_was_destroyed_meanwhile() {
    let scene = Scene::new().await;
    let (_, plan) =
        scene.append_while(async || scene.beside.save(&scene.visitor, "", "destroy").await.expect("destroyed")).await;
    assert_eq!(plan.cookie, CookieStep::Delete);
    assert!(matches!(scene.beside.stored(&handle_of(&scene.visitor)).await, Some(Stored::Tombstone(_))));
}

/// With what the write itself stored, the second would find nothing to change.
#[tokio::test]
async fn whoever_waits_for_such_a_write_begins_with_what_is_stored_by_now() {
    let scene = Scene::new().await;
    let (mut hold, held) = hold();
    scene.once(Deed::LoseAnswerLater(held));
    let saved = tokio::join!(scene.behind.save(&scene.visitor, r#"{"a":1}"#, ""), async {
        hold.reached().await;
        let mut waiting = pin!(scene.behind.save(&scene.visitor, r#"{"a":1}"#, ""));
        assert!(waiting.as_mut().now_or_never().is_none());
        scene.beside.save(&scene.visitor, r#"{"a":2}"#, "").await.unwrap();
        hold.release();
        waiting.await
    });
    assert_eq!((saved.0.unwrap().outcome, saved.1.unwrap().outcome), (Outcome::Updated, Outcome::Updated));
    assert_eq!(scene.data().await, r#"{"l":[],"a":1}"#);
}

#[tokio::test]
async fn a_creation_whose_acknowledgement_was_lost_makes_one_session() {
    let scene = Scene::new().await;
    scene.once(Deed::LoseAnswer);
    let ticket = scene.behind.create(r#"{"new":1}"#).await;
    assert_eq!(scene.beside.data(&ticket.locator.handle()).await, r#"{"new":1}"#);
    assert_eq!(scene.server.command::<usize>(&["DBSIZE"]), 2);
}

#[tokio::test]
async fn a_rotation_whose_acknowledgement_was_lost_issues_the_secret_that_is_stored() {
    let scene = Scene::new().await;
    scene.once(Deed::LoseAnswer);
    let plan = scene.behind.save(&scene.visitor, "", "rotate").await.expect("rotated");
    assert!(matches!(scene.beside.present(&issued(&plan)).await, Presented::Loaded(_)));
    assert_eq!(scene.beside.record(&handle_of(&scene.visitor)).await.retired.len(), 1);
}

#[tokio::test]
async fn a_log_out_whose_acknowledgement_was_lost_deletes_the_cookie() {
    let scene = Scene::new().await;
    scene.once(Deed::LoseAnswer);
    let plan = scene.behind.save(&scene.visitor, "", "destroy").await.expect("destroyed");
    assert_eq!(plan.cookie, CookieStep::Delete);
    let Some(Stored::Tombstone(tombstone)) = scene.beside.stored(&handle_of(&scene.visitor)).await else {
        panic!("no tombstone")
    };
    assert_eq!(tombstone.version, 2);
}

#[tokio::test]
async fn a_replacement_both_of_whose_acknowledgements_were_lost_makes_one_session() {
    let scene = Scene::new().await;
    let mut seen = 0;
    scene.double.rule(move |command| {
        seen += usize::from(command.is_script());
        // The first call and the third: the end of the old one, the making of the new one.
        if command.is_script() && seen % 2 == 1 && seen < 4 { Deed::LoseAnswer } else { Deed::Forward }
    });
    let plan = scene.behind.save(&scene.visitor, r#"{"new":1}"#, "destroy").await.expect("replaced");
    assert_eq!(scene.beside.data(&issued(&plan).locator.handle()).await, r#"{"new":1}"#);
    assert!(matches!(scene.beside.stored(&handle_of(&scene.visitor)).await, Some(Stored::Tombstone(_))));
    assert_eq!(scene.server.command::<usize>(&["DBSIZE"]), 2);
}

/// A frozen server may carry out later what it was sent: after a timeout nothing is sent again, and the next writer
/// does not add to it either.
#[tokio::test]
async fn after_a_timeout_nothing_is_sent_again() {
    let scene = Scene::new().await;
    let hasty = Process::at(&scene.double.url(), Duration::from_millis(300));
    assert!(hasty.stored(&handle()).await.is_none());
    let (mut hold, held) = hold();
    scene.once(Deed::LoseAnswerLater(held));
    let (saved, ()) = tokio::join!(hasty.save(&scene.visitor, APPEND, ""), hold.reached());
    assert_eq!(saved.err(), Some(CommitError::Store(StoreError::Timeout)));
    hold.release();
    assert_eq!(scene.data().await, r#"{"l":[1]}"#);
    hasty.save(&scene.visitor, r#"{"next":1}"#, "").await.expect("saved");
    assert_eq!(scene.data().await, r#"{"l":[1],"next":1}"#);
}

#[tokio::test]
async fn a_read_whose_answer_was_lost_is_asked_again() {
    let scene = Scene::new().await;
    let mut losses = 2;
    scene.double.rule(move |command| match command.name() == "GET" && losses > 0 {
        true => {
            losses -= 1;
            Deed::LoseAnswer
        }
        false => Deed::Forward,
    });
    assert_eq!(scene.behind.data(&handle_of(&scene.visitor)).await, r#"{"l":[]}"#);
}

#[tokio::test]
async fn a_swap_that_is_sent_twice_and_finds_a_stranger_is_in_doubt() {
    let scene = Scene::new().await;
    let (handle, first) = (handle(), live(1, "{}"));
    scene.beside.put(&handle, &first, LONG).await;
    scene.once(Deed::Break);
    let stranger = live(1, "{}");
    let swap = scene.behind.store.swap(&handle, Some(&stranger.stamp()), &live(2, "{}"), LONG).await;
    assert!(matches!(swap, Ok(cloakroom::store::Swap::Doubt(Some(_)))), "{swap:?}");
}
