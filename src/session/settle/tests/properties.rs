//! What holds for every decision, whatever was presented, stored, configured and said.

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::session::vault::{Offer, Renewal};

const LINES: [&str; 14] = [
    "{}",
    "[]",
    r#"{"a":1}"#,
    r#"{"a":2}"#,
    r#"{"a":null}"#,
    r#"{"b":{"c":[1,2,{}]}}"#,
    r#"{"b":{"c":null}}"#,
    r#"{"s":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#,
    r#"[{"op":"test","path":"/a","value":1}]"#,
    r#"[{"op":"remove","path":"/a"}]"#,
    r#"[{"op":"add","path":"","value":[]}]"#,
    r#"[{"op":"add","path":"","value":{}}]"#,
    r#"[{"op":"copy","from":"","path":"/self"}]"#,
    r#"[{"op":"move","from":"/b","path":"/a"}]"#,
];

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0..5000_u64).prop_map(Duration::from_millis),
        (0..1_000_000_u64).prop_map(Duration::from_secs),
        any::<u64>().prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        3 => (NOW.0 - 100_000_000..NOW.0 + 100_000_000).prop_map(Timestamp),
        1 => any::<u64>().prop_map(Timestamp),
        1 => Just(NOW),
    ]
}

fn timer() -> impl Strategy<Value = Option<Timer>> {
    option::of(prop_oneof![Just(Timer::Default), span().prop_map(Timer::Span)])
}

prop_compose! {
    fn control()(
        rotate in option::of(any::<bool>()),
        (clear, destroy, revoke_others) in (prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>()),
        subject in option::of(select(vec!["", "alice", "bob"])),
        (idle, lifetime) in (timer(), timer()),
        persistent in option::of(any::<bool>()),
        if_version in option::weighted(0.2, select(vec![0, 1, 3, 4, u64::MAX])),
    ) -> Control {
        let subject = subject.map(str::to_owned);
        let revoke_subject = None;
        Control { rotate, clear, destroy, subject, idle, lifetime, persistent, if_version, revoke_others, revoke_subject }
    }
}

prop_compose! {
    fn offers()(
        name in select(vec!["id", "cart"]),
        path in select(vec!["/", "/x"]),
        value in option::of(select(vec!["", "1", "22222222222222222222"])),
        expires in option::of(moment()),
        renewal in select(vec![Renewal::Rotates, Renewal::Ignored]),
    ) -> Offer {
        let bytes = |text: &str| Box::from(text.as_bytes());
        Offer { upstream: "app".into(), name: bytes(name), path: bytes(path), value: value.map(bytes), expires, renewal }
    }
}

prop_compose! {
    fn response()(
        lines in option::of(prop::collection::vec(select(LINES.to_vec()), 0..4)),
        captures in prop::collection::vec((select(vec!["/a", "/b/c", "/s/t/u"]), select(vec!["", "x", "yyyyyyyyyyyy"])), 0..3),
        cookies in prop::collection::vec(offers(), 0..3),
        control in control(),
        served in option::of(select(vec!["http://a:80", "http://b:80"])),
    ) -> Change {
        let capture = |(place, text): (&str, &str)| Capture { place: Pointer::parse(place).unwrap(), text: text.into() };
        let captures = captures.into_iter().map(capture).collect();
        let update = lines.map(|lines| lines.iter().map(|line| Patch::parse(line.as_bytes()).unwrap()).collect());
        Change { captures, update, cookies, control, served: served.map(served_by) }
    }
}

fn retired() -> impl Strategy<Value = Vec<Retired>> {
    let one =
        (select(vec![OLD, NEWER, 11, 12]), moment()).prop_map(|(seed, until)| Retired(secret(seed).hash(), until));
    prop::collection::vec(one, 0..6)
}

fn nonces() -> impl Strategy<Value = Writes> {
    prop::collection::vec(any::<u64>().prop_map(Nonce), 0..10).prop_map(|nonces| nonces.into_iter().collect())
}

prop_compose! {
    fn records()(
        version in prop_oneof![0..6_u64, any::<u64>()],
        (writes, retired) in (nonces(), retired()),
        secret_of in select(vec![OLD, OLD, NEWER]),
        (created, written, deadline) in (moment(), moment(), moment()),
        (idle, persistent) in (option::of(span()), any::<bool>()),
        subject in option::of(select(vec!["alice", "bob"])),
        offers in prop::collection::vec(offers(), 0..3),
        data in select(vec!["{}", r#"{"a":1}"#, r#"{"a":1,"b":{"c":2}}"#, r#"{"s":"xxxxxxxxxxxxxxxxxxxxxxxx"}"#]),
    ) -> Record {
        let (secret, subject, data) = (secret(secret_of).hash(), subject.map(str::to_owned), data.into());
        let mut vault = Jar::default();
        offers.iter().for_each(|offer| vault.take(offer));
        let homes = Homes::default();
        Record { version, writes, secret, retired, created, written, deadline, idle, persistent, subject, vault, homes, data }
    }
}

fn stored() -> impl Strategy<Value = Option<Stored>> {
    let tombstone = (any::<u64>(), nonces(), retired())
        .prop_map(|(version, writes, retired)| Stored::from(Tombstone { version, writes, retired }));
    prop_oneof![6 => records().prop_map(Stored::from).prop_map(Some), 1 => tombstone.prop_map(Some), 1 => Just(None)]
}

prop_compose! {
    fn policy()(
        idle_timeout in span(),
        absolute_timeout in span(),
        (max_idle_timeout, max_absolute_timeout) in (span(), span()),
        (touch_interval, retire_grace) in (span(), span()),
        max_bytes in select(vec![0, 20, 60, 1 << 16]),
        fresh_timeout in option::of(span()),
        persistent in any::<bool>(),
    ) -> Policy {
        Policy {
            idle_timeout, absolute_timeout, max_idle_timeout, max_absolute_timeout, touch_interval, retire_grace,
            max_bytes, fresh_timeout, persistent, ..Policy::default()
        }
    }
}

prop_compose! {
    fn scenes()(
        kind in prop_oneof![
            1 => select(vec![Kind::Retired, Kind::Destroyed, Kind::Several, Kind::Unavailable]),
            3 => Just(Kind::Nobody),
            8 => Just(Kind::Loaded),
        ],
        (given, stored) in (records(), stored()),
        policy in policy(),
        create in select(vec![Create::OnWrite, Create::Always]),
        reach in select(vec![Reach::Browser, Reach::Browser, Reach::Nowhere]),
    ) -> Scene {
        Scene { kind, given, stored, policy, create, reach }
    }
}

/// What the presented ticket opens, if it opens anything.
fn open(scene: &Scene) -> Option<&Record> {
    match &scene.stored {
        Some(Stored::Live(record)) if record.deadline > NOW && record.secret == secret(OLD).hash() => Some(record),
        _ => None,
    }
}

fn check(scene: &Scene, change: &Change, plan: &Plan) -> Result<(), TestCaseError> {
    match (&plan.store, &plan.cookie) {
        (Step::Keep, CookieStep::Keep) => {
            prop_assert!(matches!(plan.outcome, Outcome::None | Outcome::Live));
        }
        (Step::Create(ticket, write), CookieStep::Issue(issued, age)) => {
            prop_assert_eq!((scene.kind, plan.outcome), (Kind::Nobody, Outcome::Created));
            check_new(scene, ticket, write)?;
            prop_assert_eq!(ticket, issued);
            check_age(write, *age)?;
        }
        (Step::Recreate(end, ticket, write), CookieStep::Issue(issued, age)) => {
            prop_assert_eq!((scene.kind, plan.outcome), (Kind::Loaded, Outcome::Destroyed));
            let begins = change.update.is_some() || change.cookies.iter().any(|offer| offer.value.is_some());
            prop_assert!(open(scene).is_some() && begins && change.control.destroy);
            check_buried(end)?;
            check_new(scene, ticket, write)?;
            prop_assert_eq!(ticket, issued);
            check_age(write, *age)?;
        }
        (Step::Change(write), CookieStep::Delete) => {
            prop_assert_eq!((scene.kind, plan.outcome), (Kind::Loaded, Outcome::Destroyed));
            prop_assert!(change.control.destroy);
            check_buried(write)?;
        }
        (Step::Change(write), cookie) => {
            prop_assert_eq!(scene.kind, Kind::Loaded);
            let base = open(scene);
            prop_assert!(base.is_some(), "a write without an open session");
            let base = base.unwrap();
            let Stored::Live(next) = &write.stored else { return Err(TestCaseError::fail("an undeleted tombstone")) };
            check_record(scene, next, write.ttl)?;
            prop_assert_eq!(next.version, base.version.saturating_add(1));
            prop_assert_eq!(next.created, base.created);
            let longer = next.deadline > base.deadline && change.cookies.iter().any(|offer| offer.expires.is_some());
            prop_assert!(next.deadline == base.deadline || longer || change.control.lifetime.is_some());
            let whole = next.data.len() + next.vault.weight(NOW);
            let same = next.vault == swept(base) && (*next.data == *base.data || change.control.clear);
            prop_assert!(whole <= scene.policy.max_bytes.max(2) || same);
            prop_assert_eq!(next.secret != base.secret, plan.outcome == Outcome::Rotated);
            match cookie {
                CookieStep::Issue(ticket, age) => {
                    prop_assert_eq!(ticket.locator.handle(), old_ticket().locator.handle());
                    prop_assert_eq!(ticket.secret.hash(), next.secret);
                    check_age(write, *age)?;
                }
                CookieStep::Keep => {
                    prop_assert_eq!((next.secret, next.persistent), (base.secret, base.persistent));
                    prop_assert!(next.deadline == base.deadline || !next.persistent);
                }
                CookieStep::Delete => return Err(TestCaseError::fail("a deletion without an end")),
            }
        }
        (step, cookie) => return Err(TestCaseError::fail(format!("{step:?} with {cookie:?}"))),
    }
    prop_assert!(scene.reach == Reach::Browser || !matches!(plan.cookie, CookieStep::Issue(..)));
    Ok(())
}

fn swept(record: &Record) -> Jar {
    let mut vault = record.vault.clone();
    vault.sweep(NOW);
    vault
}

fn check_buried(write: &Write) -> Result<(), TestCaseError> {
    let Stored::Tombstone(tombstone) = &write.stored else { return Err(TestCaseError::fail("not buried")) };
    prop_assert!(write.ttl >= Duration::from_millis(1) && tombstone.retired.len() <= 4 && tombstone.writes.len() <= 8);
    prop_assert_eq!(tombstone.writes.first(), Some(&Nonce(99)));
    Ok(())
}

fn check_new(scene: &Scene, ticket: &Ticket, write: &Write) -> Result<(), TestCaseError> {
    let Stored::Live(made) = &write.stored else { return Err(TestCaseError::fail("born dead")) };
    prop_assert_eq!(ticket.locator.handle(), locator(FRESH).handle());
    prop_assert_eq!(ticket.secret.hash(), secret(FRESH).hash());
    prop_assert_eq!((made.version, made.created, made.secret), (1, NOW, secret(FRESH).hash()));
    prop_assert!(made.retired.is_empty() && made.data.len() + made.vault.weight(NOW) <= scene.policy.max_bytes.max(2));
    let longest = scene.policy.fresh_timeout.unwrap_or(Duration::MAX);
    prop_assert!(write.ttl <= longest.max(Duration::from_millis(1)));
    check_record(scene, made, write.ttl)
}

fn check_record(scene: &Scene, record: &Record, ttl: Duration) -> Result<(), TestCaseError> {
    prop_assert!(Document::parse(&record.data).is_ok());
    prop_assert_eq!((record.written, record.writes.first()), (NOW, Some(&Nonce(99))));
    prop_assert!(record.retired.len() <= 6 && record.writes.len() <= 8);
    prop_assert!(record.retired.iter().all(|retired| retired.1 > NOW));
    prop_assert!(ttl >= Duration::from_millis(1));
    prop_assert!(ttl <= record.deadline.since(NOW).max(Duration::from_millis(1)));
    let idle = record.idle.unwrap_or(scene.policy.idle_timeout);
    prop_assert!(ttl <= idle.saturating_add(idle / 10).max(Duration::from_millis(1)));
    prop_assert_ne!(record.subject.as_deref(), Some(""));
    Ok(())
}

fn check_age(write: &Write, age: Option<u64>) -> Result<(), TestCaseError> {
    let Stored::Live(record) = &write.stored else { return Err(TestCaseError::fail("a cookie for a tombstone")) };
    prop_assert_eq!(age.is_some(), record.persistent);
    prop_assert!(age.is_none_or(|age| (1..=400 * 86_400).contains(&age)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Also: an ended session is never written to, an unreachable browser never gets a ticket, and a handle changes
    /// only by `Create` and `Recreate`.
    #[test]
    fn every_plan_makes_sense_and_there_is_always_a_decision(scene in scenes(), change in response()) {
        match scene.settle(&change) {
            Ok(plan) => check(&scene, &change, &plan)?,
            Err(Refusal::Unreachable) => prop_assert_eq!(scene.reach, Reach::Nowhere),
            Err(Refusal::VersionConflict) => prop_assert!(change.control.if_version.is_some()),
            Err(Refusal::Unavailable) => prop_assert_eq!(scene.kind, Kind::Unavailable),
            Err(Refusal::Ended(_)) => prop_assert!(scene.kind != Kind::Nobody && !(scene.kind == Kind::Loaded && open(&scene).is_some())),
            Err(Refusal::DoesNotFit | Refusal::NotAnObject | Refusal::TooLarge) => {
                let said = !change.captures.is_empty() || !change.cookies.is_empty();
                prop_assert!(said || !change.patches().is_empty());
            }
        }
    }

    #[test]
    fn a_decision_depends_on_its_arguments_only(scene in scenes(), change in response()) {
        prop_assert_eq!(scene.settle(&change), scene.settle(&change));
    }

    #[test]
    fn nothing_said_is_nothing_done(scene in scenes()) {
        let plan = scene.settle(&Change::default()).unwrap();
        let stored = scene.kind == Kind::Nobody && scene.create == Create::Always && scene.reach == Reach::Browser;
        prop_assert_eq!(plan.store == Step::Keep && plan.cookie == CookieStep::Keep, !stored);
    }

    #[test]
    fn rotation_changes_the_secret_and_nothing_else(record in records()) {
        let record = Record { secret: secret(OLD).hash(), deadline: NOW.after(secs(100)), ..record };
        let next = Scene::with(|base| *base = record.clone()).written(None, "rotate");
        let Record { version, ref writes, secret: fresh, ref retired, written, .. } = next;
        let (writes, retired, vault) = (*writes, retired.clone(), swept(&record));
        let same = Record { version, writes, secret: fresh, retired, written, vault, ..record.clone() };
        prop_assert_eq!(&next, &same);
        prop_assert_eq!(fresh, secret(FRESH).hash());
        prop_assert_eq!(next.retired.last(), Some(&Retired(record.secret, NOW.after(secs(10)))));
    }

    #[test]
    fn changes_of_different_keys_commute(
        one in "[1-9][0-9]{0,3}|null|\\{\"k\":[1-9]\\}",
        two in "[1-9][0-9]{0,3}|null|\\{\"k\":null\\}",
        record in records(),
    ) {
        let record = Record { secret: secret(OLD).hash(), deadline: NOW.after(secs(100)), ..record };
        let after = |first: &str, second: &str| {
            let data = [first, second].into_iter().fold(record.clone(), |base, update| {
                let scene = Scene::with(|record| *record = base.clone());
                match scene.settle(&change(Some(update), "")).unwrap().store {
                    Step::Change(Write { stored: Stored::Live(next), .. }) => Record::clone(&next),
                    Step::Keep => base,
                    step => panic!("{step:?}"),
                }
            }).data;
            Document::parse(&data).unwrap()
        };
        let (one, two) = (format!("{{\"a\":{one}}}"), format!("{{\"b\":{two}}}"));
        prop_assert!(after(&one, &two).root().equals(after(&two, &one).root()));
    }
}
