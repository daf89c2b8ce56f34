//! `store.encrypt` over Redis: what an operator finds in it, what becomes of records that were damaged, moved or sealed by
//! somebody else, and processes with different settings over one store.

use cloakroom::{
    session::{Handle, record::SEALED},
    store::{StoreError, Swap, commit::CommitError, index::revoke},
};
use tokio::task::spawn_blocking;

use crate::{
    bench::{Bench, LONG, PREFIX, Process, handle, handle_of, is_ended, issued, listing, live, sealing, tombstone},
    double::{Deed, Double},
    support::{Gate, Redis, Stop, Turnstile},
    visitor::Presented,
};

fn server(bench: &Bench) -> &Redis {
    bench.server.as_ref().expect("a server")
}

fn key(handle: &Handle) -> String {
    format!("{PREFIX}s:{handle}")
}

fn raw(bench: &Bench, handle: &Handle) -> Vec<u8> {
    server(bench).command(&["GET", &key(handle)])
}

fn is_sealed(bench: &Bench, handle: &Handle) -> bool {
    raw(bench, handle)[34] == SEALED
}

/// Which key it is sealed with.
fn key_id(bench: &Bench, handle: &Handle) -> Vec<u8> {
    assert!(is_sealed(bench, handle));
    raw(bench, handle)[35..43].to_vec()
}

/// Puts bytes under a key without the proxy's help.
fn plant(bench: &Bench, handle: &Handle, bytes: &[u8]) {
    let text: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
    let script = format!("return redis.call('SET', KEYS[1], '{text}', 'PX', 1000000)");
    let _: String = server(bench).command(&["EVAL", &script, "1", &key(handle)]);
    assert_eq!(raw(bench, handle), bytes);
}

/// One process, by its roots and whether it encrypts.
fn process(bench: &Bench, roots: &[u8], encrypts: bool) -> Process {
    process_at(bench, &server(bench).url(), roots, encrypts)
}

fn process_at(bench: &Bench, url: &str, roots: &[u8], encrypts: bool) -> Process {
    bench.process_with(url, |settings| if encrypts { sealing(roots, settings) } else { listing(roots, settings) })
}

#[tokio::test]
async fn live_sessions_and_tombstones_are_sealed_and_nothing_of_a_body_shows() {
    let bench = Bench::sealed_redis();
    let visitor = bench.process.visit(r#"{"canary":"canary"}"#).await;
    let handle = handle_of(&visitor);
    for (update, control) in [(r#"{"b":"canary"}"#, "subject=canary, rotate=?0"), ("", "destroy")] {
        bench.process.save(&visitor, update, control).await.unwrap();
        assert!(is_sealed(&bench, &handle), "{update} {control}");
        for key in server(&bench).command::<Vec<String>>(&["KEYS", "*"]) {
            let dump: Vec<u8> = server(&bench).command(&["DUMP", &key]);
            for part in [&b"canary"[..], b"secret", b"data", b"retired"] {
                assert!(!dump.windows(part.len()).any(|window| window == part), "{key}");
            }
        }
    }
    assert_eq!(&raw(&bench, &handle)[..2], b"1T");
}

#[tokio::test]
async fn a_damaged_seal_is_a_session_that_has_ended_and_stays_damaged() {
    let bench = Bench::sealed_redis();
    for place in [0, 1, 17, 33, 34, 44, 60, 90] {
        let visitor = bench.process.visit(r#"{"a":1}"#).await;
        let handle = handle_of(&visitor);
        let mut damaged = raw(&bench, &handle);
        damaged[place] ^= 1;
        plant(&bench, &handle, &damaged);
        assert_eq!(bench.process.stored(&handle).await, None, "byte {place}");
        for (update, control) in [(r#"{"b":1}"#, ""), (r#"{"a":1}"#, ""), ("", "rotate")] {
            let saved = bench.process.save(&visitor, update, control).await;
            // Where the stamp is untouched the compare-and-set cannot tell, and heals what it never had to read.
            let heals = (34..).contains(&place) && update != r#"{"a":1}"#;
            assert!(if heals { saved.is_ok() } else { is_ended(&saved) }, "byte {place}: {update} {control} {saved:?}");
            plant(&bench, &handle, &damaged);
        }
    }
}

#[tokio::test]
async fn a_record_copied_to_another_session_or_under_another_stamp_does_not_open() {
    let bench = Bench::sealed_redis();
    let (ada, eve) = (bench.process.visit(r#"{"user":"ada"}"#).await, bench.process.visit(r#"{"user":"eve"}"#).await);
    plant(&bench, &handle_of(&eve), &raw(&bench, &handle_of(&ada)));
    assert_eq!(bench.process.stored(&handle_of(&eve)).await, None);
    // An older body under the stamp of a later write.
    let old = raw(&bench, &handle_of(&ada));
    bench.process.save(&ada, r#"{"user":"nobody"}"#, "").await.unwrap();
    let rolled_back = [&raw(&bench, &handle_of(&ada))[..34], &old[34..]].concat();
    plant(&bench, &handle_of(&ada), &rolled_back);
    assert_eq!(bench.process.stored(&handle_of(&ada)).await, None);
}

#[tokio::test]
async fn a_record_of_a_root_that_is_not_listed_is_an_error_of_the_store_and_stays_as_it_is() {
    let bench = Bench::sealed_redis();
    let visitor = bench.process.visit(r#"{"a":1}"#).await;
    let (handle, fine) = (handle_of(&visitor), handle());
    let kept = raw(&bench, &handle);
    for encrypts in [true, false] {
        let stranger = process(&bench, &[9], encrypts);
        let store = &stranger.store;
        assert_eq!(store.load(&[fine, handle]).await.err(), Some(StoreError::UnknownKey));
        let swap = store.swap(&handle, None, &live(1, "{}"), LONG).await;
        assert_eq!(swap.err(), Some(StoreError::UnknownKey));
        assert_eq!(store.remove(&handle, &live(1, "{}").stamp()).await.err(), Some(StoreError::UnknownKey));
        let saved = stranger.save(&visitor, r#"{"a":1}"#, "").await;
        assert_eq!(saved.err(), Some(CommitError::Store(StoreError::UnknownKey)));
        assert_eq!(raw(&bench, &handle), kept);
    }
    assert_eq!(bench.process.data(&handle).await, r#"{"a":1}"#);
    assert!(StoreError::UnknownKey.to_string().contains("keys.root"));
}

#[tokio::test]
async fn encryption_is_switched_on_and_off_under_living_sessions() {
    let bench = Bench::redis();
    let (off, on) = (process(&bench, &[1], false), process(&bench, &[1], true));
    let ticket = off.create(r#"{"n":0}"#).await;
    let handle = ticket.locator.handle();
    for (round, (process, sealed)) in [(&on, true), (&off, false), (&on, true), (&on, true)].into_iter().enumerate() {
        let before = raw(&bench, &handle);
        let visitor = process.present(&ticket).await;
        let record = process.record(&handle).await;
        process.store.touch(&handle, &record.stamp(), 2 * LONG).await.unwrap();
        assert_eq!(raw(&bench, &handle), before, "a read and a touch do not write");
        process.save(&visitor, &format!("{{\"n\":{}}}", round + 1), "").await.unwrap();
        assert_eq!(is_sealed(&bench, &handle), sealed);
        assert_eq!(process.record(&handle).await.version, record.version + 1);
        for reader in [&on, &off] {
            assert_eq!(reader.data(&handle).await, format!("{{\"n\":{}}}", round + 1));
        }
    }
}

#[tokio::test]
async fn writers_with_and_without_encryption_lose_nothing_of_each_other() {
    let bench = Bench::redis();
    let processes = [(&[1][..], true), (&[1], false), (&[2, 1], true), (&[1, 2], true)];
    let processes = processes.map(|(roots, encrypts)| process(&bench, roots, encrypts));
    // Who lists one root cannot read what the third one seals.
    let processes = [process(&bench, &[1, 2], false), processes[2].clone(), processes[3].clone()];
    let visitor = processes[0].visit(r#"{"first":true}"#).await;
    let tasks = (0..60).map(|n: usize| {
        let (process, visitor) = (processes[n % 3].clone(), visitor.clone());
        tokio::spawn(async move { process.save(&visitor, &format!("{{\"k{n}\":{n}}}"), "").await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    let record = processes[1].record(&handle_of(&visitor)).await;
    let data: serde_json::Value = serde_json::from_str(&record.data).unwrap();
    assert_eq!((record.version, data.as_object().unwrap().len()), (61, 61));
}

#[tokio::test]
async fn a_record_changes_to_the_new_root_with_its_next_write() {
    let bench = Bench::redis();
    let old = process(&bench, &[1], true);
    let ticket = old.create(r#"{"n":0}"#).await;
    let handle = ticket.locator.handle();
    let first = key_id(&bench, &handle);
    for (roots, wanted) in [(&[1, 2][..], true), (&[2, 1], false), (&[2], false)] {
        let process = process(&bench, roots, true);
        let visitor = process.present(&ticket).await;
        process.save(&visitor, &format!("{{\"n\":{roots:?}}}"), "").await.unwrap();
        assert_eq!(key_id(&bench, &handle) == first, wanted, "{roots:?}");
    }
    assert_eq!(old.store.load(&[handle]).await.err(), Some(StoreError::UnknownKey));
}

#[tokio::test]
async fn a_sealed_write_whose_acknowledgement_was_lost_is_applied_once() {
    let bench = Bench::sealed_redis();
    let double = Double::of(server(&bench).port());
    let behind = process_at(&bench, &double.url(), &[1], true);
    let visitor = behind.visit(r#"{"l":[]}"#).await;
    let mut deed = Some(Deed::LoseAnswer);
    double.rule(move |command| match command.is_script() {
        true => deed.take().unwrap_or(Deed::Forward),
        false => Deed::Forward,
    });
    behind.save(&visitor, r#"[{"op":"add","path":"/l/-","value":1}]"#, "").await.expect("saved");
    assert_eq!(bench.process.data(&handle_of(&visitor)).await, r#"{"l":[1]}"#);
}

#[tokio::test]
async fn a_conflict_with_a_sealed_record_is_told_in_plain() {
    let bench = Bench::sealed_redis();
    let (handle, there) = (handle(), tombstone());
    bench.process.put(&handle, &there, LONG).await;
    let swap = bench.process.store.swap(&handle, None, &live(1, "{}"), LONG).await.unwrap();
    let Swap::Conflict(Some(found)) = swap else { panic!("{swap:?}") };
    assert_eq!(found.bytes, there.encode());
}

/// The settings of a deployment that is being changed; of neighbours in this list both may run at the same time.
const CHANGE: [(&[u8], bool); 7] =
    [(&[1], false), (&[1], true), (&[1, 2], true), (&[2, 1], true), (&[2, 1], false), (&[2, 1], true), (&[2], true)];

fn neighbours() -> impl Iterator<Item = [(&'static [u8], bool); 2]> {
    CHANGE.windows(2).flat_map(|pair| [[pair[0], pair[1]], [pair[1], pair[0]]])
}

async fn arrived(gate: &Gate) {
    let gate = gate.clone();
    spawn_blocking(move || gate.arrived()).await.expect("the step");
}

#[tokio::test]
async fn a_revocation_finds_the_sessions_that_a_process_with_other_settings_made() {
    for [(making, seals), (revoking, hides)] in neighbours() {
        let bench = Bench::redis();
        let (maker, revoker) = (process(&bench, making, seals), process(&bench, revoking, hides));
        let plan = maker.save(&Presented::Nobody, "{}", "subject=ada").await.unwrap();
        let other = maker.save(&Presented::Nobody, "{}", "subject=bob").await.unwrap();
        assert_eq!(revoke(&revoker.store, "ada", None).await, Ok(1), "{making:?} {seals}, {revoking:?} {hides}");
        assert!(matches!(maker.present(&issued(&plan)).await, Presented::Nobody));
        assert!(matches!(revoker.present(&issued(&other)).await, Presented::Loaded(_)));
    }
}

#[tokio::test]
async fn a_session_that_such_a_process_is_just_making_does_not_outlive_it_either() {
    for [(making, seals), (revoking, hides)] in neighbours() {
        let bench = Bench::redis();
        let turnstile = Turnstile::before(server(&bench).port());
        let maker = process_at(&bench, &turnstile.url(), making, seals);
        let revoker = process(&bench, revoking, hides);
        for step in [Stop::Swap, Stop::Epoch] {
            let stopped = turnstile.hold(step);
            let log_in = {
                let maker = maker.clone();
                tokio::spawn(async move { maker.save(&Presented::Nobody, "{}", "subject=ada").await })
            };
            arrived(&stopped).await;
            revoke(&revoker.store, "ada", None).await.unwrap();
            stopped.release();
            let saved = log_in.await.unwrap();
            assert!(is_ended(&saved), "{making:?} {seals}, {revoking:?} {hides}, {step:?}: {saved:?}");
            let left: Vec<String> = server(&bench).command(&["KEYS", &format!("{PREFIX}s:*")]);
            assert_eq!(left, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_opened_keeps_no_other_session_of_its_subject_alive() {
    let bench = Bench::sealed_redis();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let plan = bench.process.save(&Presented::Nobody, "{}", "subject=ada").await.unwrap();
        sessions.push(issued(&plan).locator.handle());
    }
    let mut foreign = raw(&bench, &sessions[1]);
    foreign[35] ^= 1;
    plant(&bench, &sessions[1], &foreign);
    assert_eq!(revoke(&bench.process.store, "ada", None).await, Err(StoreError::UnknownKey));
    let left = [0, 1, 2].map(|index| server(&bench).command::<bool>(&["EXISTS", &key(&sessions[index])]));
    assert_eq!(left, [false, true, false]);
}

#[tokio::test]
async fn with_encryption_no_key_shows_the_digest_of_a_subject_not_even_after_a_revocation() {
    let digest: [u8; 32] = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"ada").as_ref().try_into().unwrap();
    let label: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    for (encrypts, shows) in [(true, false), (false, true)] {
        let bench = Bench::redis();
        let process = process(&bench, &[1, 2], encrypts);
        process.save(&Presented::Nobody, "{}", "subject=ada").await.unwrap();
        revoke(&process.store, "ada", None).await.unwrap();
        process.save(&Presented::Nobody, "{}", "subject=ada").await.unwrap();
        let keys: Vec<String> = server(&bench).command(&["KEYS", "*"]);
        assert!(keys.len() >= 4, "{keys:?}");
        assert_eq!(keys.iter().any(|key| key.contains(&label)), shows, "{keys:?}");
    }
}
