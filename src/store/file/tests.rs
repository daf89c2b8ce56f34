//! The file store on disks that misbehave. What it shares with every store is in `tests/stores`.

mod commits;
mod drum;
mod expiry;
mod faults;
mod files;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::session::ticket::Locator;
use drum::{Drum, Trouble};

const HOUR: Duration = Duration::from_secs(3600);

fn settings() -> Settings {
    let patience = Duration::from_secs(20);
    Settings { timeout: Duration::from_millis(100), save_timeout: patience, ..Settings::default() }
}

fn on(drum: &Drum) -> File {
    File::start(Box::new(drum.clone()), &settings()).expect("a file")
}

fn handle(number: u64) -> Handle {
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&number.to_le_bytes());
    Locator::from_random(raw).handle()
}

/// A live session's value: its version is its stamp.
fn value(version: u64) -> Bytes {
    Bytes::from(format!("1L{version:016x}{version:016x}={{\"filling\":\"{}\"}}", "x".repeat(300)))
}

fn stamp(version: u64) -> Stamp {
    Stamp::of(&value(version)).unwrap()
}

async fn put(file: &File, number: u64, ttl: Duration) {
    assert_eq!(file.swap(&handle(number), None, value(1), ttl).await, Ok(Swap::Done));
}

/// The version that is stored.
fn version(file: &File, number: u64) -> Option<u64> {
    let entry = file.load(&[handle(number)]).expect("a read").remove(0)?;
    let text = std::str::from_utf8(&entry.bytes).expect("text");
    let version = u64::from_str_radix(&text[2..18], 16).expect("a version");
    assert_eq!(entry.bytes, value(version), "half a value");
    Some(version)
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
