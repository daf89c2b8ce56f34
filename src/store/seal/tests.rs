//! Sealing and labels as tables: what is changed, moved or foreign does not open, and what two processes have in common.

use std::collections::BTreeMap;

use super::*;
use crate::session::{
    Timestamp,
    homes::Homes,
    record::{Nonce as Mark, Record, Retired, Stamp, Stored, Tombstone},
    ticket::{Locator, SecretHash},
    vault::{Jar, Offer, Renewal},
};

const DATA: &str = r#"{"name":"canary"}"#;

fn handle(seed: u8) -> Handle {
    Locator::from_random([seed; 16]).handle()
}

fn seals(roots: &[u8], encrypts: bool) -> Seals {
    Seals::new(&Roots(roots.iter().map(|root| vec![*root; 32]).collect()), encrypts).unwrap()
}

fn vault() -> Jar {
    let mut vault = Jar::default();
    vault.take(&Offer {
        upstream: "app".into(),
        name: b"id"[..].into(),
        path: b"/"[..].into(),
        value: Some(b"canary-cookie"[..].into()),
        expires: None,
        renewal: Renewal::Rotates,
    });
    vault
}

fn text(stored: &Stored) -> Bytes {
    stored.encode().into()
}

fn live() -> Record {
    Record {
        version: 3,
        writes: [Mark(5), Mark(4)].into(),
        secret: SecretHash([1; 32]),
        retired: vec![Retired(SecretHash([2; 32]), Timestamp(1_000))],
        created: Timestamp(100),
        written: Timestamp(200),
        deadline: Timestamp(300),
        idle: None,
        persistent: true,
        subject: Some("canary-subject".into()),
        vault: vault(),
        homes: Homes::default(),
        data: DATA.into(),
    }
}

fn samples() -> [Stored; 3] {
    let tombstone = Tombstone { version: 9, writes: [Mark(1)].into(), retired: live().retired };
    let large = Record { data: format!("{{\"x\":\"{}\"}}", "x".repeat(64 * 1024)).into(), ..live() };
    [Stored::from(live()), Stored::from(large), Stored::from(tombstone)]
}

fn is_broken(opened: Result<Bytes, StoreError>) -> bool {
    Stored::decode(&opened.unwrap()).is_err()
}

#[test]
fn what_was_sealed_opens_to_exactly_the_plain_value() {
    let seals = seals(&[1], true);
    for value in samples() {
        let sealed = seals.seal(&handle(1), &text(&value)).unwrap().unwrap();
        assert_eq!(sealed.len(), value.encode().len() + ID_LEN + NONCE_LEN + TAG_LEN);
        assert_eq!(Stamp::of(&sealed), Some(value.stamp()), "the stamp stays in the clear");
        // Alone, as Redis gives it, and shared, as memory does.
        let kept = sealed.clone();
        assert_eq!(seals.open(&handle(1), sealed).unwrap(), value.encode());
        assert_eq!(seals.open(&handle(1), Bytes::copy_from_slice(&kept)).unwrap(), value.encode());
        assert_eq!(Stored::decode(&kept).unwrap_err().to_string(), RECORD_IS_SEALED);
    }
}

const RECORD_IS_SEALED: &str = "its seal is broken: it was damaged, changed, or sealed for another session";

#[test]
fn nothing_of_the_body_shows_and_no_two_seals_are_alike() {
    let seals = seals(&[1], true);
    let sealed = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap();
    for part in ["canary", "secret", "data", "subject", "vault"] {
        assert!(!sealed.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
    }
    let again = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap();
    assert_eq!(sealed[..HEAD_LEN], again[..HEAD_LEN]);
    assert_ne!(sealed[HEAD_LEN..BODY_AT], again[HEAD_LEN..BODY_AT]);
    assert_ne!(sealed[BODY_AT..], again[BODY_AT..]);
}

#[test]
fn with_any_byte_changed_it_is_no_record_any_more() {
    let seals = seals(&[1], true);
    let sealed = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap();
    for at in 0..sealed.len() {
        for bit in [1, 0x80] {
            let mut changed = sealed.to_vec();
            changed[at] ^= bit;
            let opened = seals.open(&handle(1), changed.into());
            match (STAMP_LEN + 1..HEAD_LEN).contains(&at) {
                true => assert_eq!(opened, Err(StoreError::UnknownKey), "byte {at} says which key"),
                false => assert!(is_broken(opened), "byte {at}"),
            }
        }
    }
}

#[test]
fn cut_short_or_with_something_behind_it_does_not_open_either() {
    let seals = seals(&[1], true);
    let sealed = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap();
    for length in 0..sealed.len() {
        assert!(is_broken(seals.open(&handle(1), sealed.slice(..length))), "{length}");
    }
    assert!(is_broken(seals.open(&handle(1), [&sealed[..], b"}"].concat().into())));
}

#[test]
fn it_opens_only_for_the_session_and_the_stamp_that_it_was_sealed_with() {
    let seals = seals(&[1], true);
    let sealed = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap();
    assert!(is_broken(seals.open(&handle(2), sealed.clone())));
    let mut others = vec![Record { version: 4, ..live() }, Record { writes: [Mark(6)].into(), ..live() }];
    others.push(Record { version: 2, ..live() });
    for other in others {
        let moved = [&other.stamp().0[..], &sealed[STAMP_LEN..]].concat();
        assert!(is_broken(seals.open(&handle(1), moved.into())), "{other:?}");
    }
    let [.., tombstone] = samples();
    let revived =
        [&live().stamp().0[..], &seals.seal(&handle(1), &text(&tombstone)).unwrap().unwrap()[STAMP_LEN..]].concat();
    assert!(is_broken(seals.open(&handle(1), revived.into())));
}

#[test]
fn the_first_root_seals_and_every_listed_one_opens() {
    let [value, ..] = samples();
    let by = |roots: &[u8]| seals(roots, true).seal(&handle(1), &text(&value)).unwrap().unwrap();
    for (sealed_by, read_by, opens) in [
        (&[1][..], &[1][..], true),
        (&[1], &[1, 2], true),
        (&[1], &[2, 1], true),
        (&[2, 1], &[1, 2], true),
        (&[1], &[2], false),
        (&[2, 1], &[1], false),
        (&[1], &[], false),
    ] {
        let opened = seals(read_by, false).open(&handle(1), by(sealed_by));
        let wanted = if opens { Ok(Bytes::from(value.encode())) } else { Err(StoreError::UnknownKey) };
        assert_eq!(opened, wanted, "sealed by {sealed_by:?}, read by {read_by:?}");
    }
}

#[test]
fn plain_records_are_read_with_encryption_on_and_written_with_it_off() {
    for value in samples() {
        let plain = text(&value);
        for writer in [seals(&[1], false), seals(&[], false)] {
            assert_eq!(writer.seal(&handle(1), &plain), Ok(None));
        }
        for reader in [seals(&[1], true), seals(&[1], false), seals(&[], false)] {
            let at = plain.as_ptr();
            let opened = reader.open(&handle(1), plain.clone()).unwrap();
            assert_eq!((opened.as_ptr(), &opened), (at, &plain), "not copied");
        }
    }
}

#[test]
fn a_seal_that_does_not_open_is_never_taken_for_a_plain_record() {
    let seals = seals(&[1], true);
    let plain = Stored::from(live()).encode();
    // The plain body behind the mark of a sealed one, and a sealed body behind the mark of a plain one.
    let id = seals.keys[0].id;
    let posing = [&plain[..STAMP_LEN], &[SEALED], &id, &[0; NONCE_LEN], &plain[STAMP_LEN + 1..]].concat();
    assert!(is_broken(seals.open(&handle(1), posing.into())));
    let mut marked = seals.seal(&handle(1), &text(&live().into())).unwrap().unwrap().to_vec();
    marked[STAMP_LEN] = PLAIN;
    assert!(is_broken(seals.open(&handle(1), marked.into())));
}

#[test]
fn to_encrypt_without_a_root_is_refused_and_roots_are_not_printed() {
    assert!(Seals::new(&Roots::default(), true).is_err_and(|error| error.contains("keys.root")));
    assert_eq!(format!("{:?}", Roots(vec![b"canary-canary-canary-canary-cana".to_vec()])), "Roots(1)");
}

/// What [`Labels`] says of a subject, by what this process does with it.
fn labels(roots: &[u8], encrypts: bool) -> Labels {
    seals(roots, encrypts).labels("ada")
}

#[test]
fn any_two_processes_of_a_change_understand_each_others_labels() {
    let phases = [&[1][..], &[1, 2], &[2, 1], &[2]];
    for phase in 0..phases.len() {
        // The next step may have been taken by some already, and encryption may be switched meanwhile.
        let roots = &phases[phase..(phase + 2).min(phases.len())];
        let processes: Vec<_> =
            roots.iter().flat_map(|roots| [true, false].map(|on| (*roots, on, labels(roots, on)))).collect();
        for (revoker, on, revoking) in &processes {
            for (maker, other_on, making) in &processes {
                let name = format!("{revoker:?} {on} revokes while {maker:?} {other_on} makes");
                assert!(revoking.all().contains(&making.all()[0]), "the walk misses the entry: {name}");
                let seen = revoking.shown().iter().any(|raised| making.all().contains(raised));
                assert!(seen, "the epoch is not seen: {name}");
            }
        }
    }
}

#[test]
fn a_subject_has_one_label_for_each_root_and_the_plain_one_is_written_only_without_encryption() {
    let plain = Label::of(digest::digest(&digest::SHA256, b"ada").as_ref());
    let (off, on) = (labels(&[1, 2], false), labels(&[1, 2], true));
    assert_eq!((off.all()[0], off.shown().len(), off.sought().len()), (plain, 3, 0));
    assert_eq!((on.shown().len(), on.sought()), (2, &[plain][..]));
    assert!(!on.shown().contains(&plain));
    let count = on.all().iter().map(|label| (label.to_string(), ())).collect::<BTreeMap<_, _>>().len();
    assert_eq!(count, 3);
    assert_eq!(on.all()[0], labels(&[1], true).all()[0]);
    assert_eq!(labels(&[], false).all(), [plain]);
}

#[test]
fn a_signet_seals_from_the_moment_that_it_is_told_to_and_no_longer() {
    let (signet, text) = (Signet::new(seals(&[1], false)), text(&live().into()));
    for (root, encrypts) in [(1, false), (1, true), (2, true), (2, false), (2, true)] {
        signet.renew(seals(&[root], encrypts));
        let sealed = signet.seal(&handle(1), &text).unwrap();
        assert_eq!(sealed.as_deref().is_some_and(is_sealed), encrypts);
        let value = sealed.unwrap_or_else(|| text.clone());
        assert_eq!(seals(&[root], false).open(&handle(1), value.clone()), Ok(text.clone()));
        assert_eq!(signet.open(&handle(1), value), Ok(text.clone()));
    }
    assert!(Signet::new(seals(&[1], true)).seal(&handle(1), &text).unwrap().is_some());
}
