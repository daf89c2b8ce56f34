//! The layers: which room may use which, and what pure rooms do without. Reads the sources and holds the table.
//!
//! The first column of the table is the house (`house.md`); what the house does not say is in the second column, with
//! the reason. An entry that nothing needs any more is a fault as well, so that the table says what is.

#[path = "architecture/source.rs"]
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use source::{Source, sources};

/// A room, what the house lets it use, and what it uses beyond that.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    beyond: &'static [(&'static str, &'static str)],
}

const fn room(
    name: &'static str,
    uses: &'static [&'static str],
    beyond: &'static [(&'static str, &'static str)],
) -> Room {
    Room { name, uses, beyond }
}

/// In the order in which they build on each other: a room uses only rooms that stand above it here.
const ROOMS: &[Room] = &[
    room("session", &[], &[]),
    room("headers", &[], &[]),
    room("route", &[], &[]),
    room("telemetry", &[], &[]),
    room("tls", &[], &[]),
    room("clock", &[], &[]),
    room("socket", &[], &[]),
    room("cookie", &[], &[]),
    room("envelope", &["session"], &[]),
    room(
        "store",
        &["session"],
        &[
            ("tls", "Redis may be reached over it"),
            ("telemetry", "counts what it is asked"),
            ("clock", "one reading a turn"),
        ],
    ),
    room(
        "upstream",
        &["headers"],
        &[
            ("tls", "servers behind https://"),
            ("socket", "reads and writes with the buffers of its thread"),
            ("clock", "one reading a turn"),
        ],
    ),
    room(
        "proxy",
        &["route", "session", "cookie", "envelope", "headers", "store", "upstream"],
        &[("telemetry", "counts requests and what becomes of sessions"), ("clock", "one reading a turn")],
    ),
    room(
        "admin",
        &[],
        &[
            ("session", "what operators look at"),
            ("store", "/readyz asks it; the sessions are there"),
            ("socket", "what it listens on"),
            ("upstream", "/readyz asks it"),
            ("telemetry", "/metrics tells it"),
        ],
    ),
    room(
        "application",
        &[],
        &[
            ("session", "what it changes"),
            ("envelope", "the bearer is a token"),
            ("store", "where it changes it"),
            ("proxy", "the line's keys, rights and views"),
        ],
    ),
    room(
        "server",
        &["proxy"],
        &[
            ("headers", "tells the line who the peer is"),
            ("store", "opens it once per shard and sweeps it"),
            ("admin", "serves its listener"),
            ("application", "serves its listener"),
            ("socket", "what it listens on"),
            ("tls", "what browsers are shown"),
            ("clock", "says what a turn is"),
            ("telemetry", "counts connections"),
        ],
    ),
    room(
        "config",
        // It fills every room's `Settings`.
        &[
            "admin", "cookie", "envelope", "headers", "proxy", "route", "server", "session", "socket", "store", "tls",
            "upstream",
        ],
        &[],
    ),
    room(
        "cli",
        &["config", "server"],
        &[
            ("telemetry", "starts the log"),
            ("admin", "lends a token where there is none"),
            ("envelope", "`keys new` makes token keys"),
            ("store", "`sessions export` and `import` go to it directly, `check --connect` tries it"),
            ("upstream", "`check --connect` tries it"),
            ("session", "what they write and read"),
            ("socket", "says where the process listens"),
        ],
    ),
    room("main", &["cli"], &[]),
];

/// Rooms that compute and touch nothing.
const PURE: &[&str] = &["session", "cookie", "envelope", "headers", "route"];

/// What would make a room impure: the clock, randomness, the runtime, sockets and files, the log, the environment.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "rand",
    "getrandom",
    "SystemRandom",
    "tokio",
    "hyper",
    "tracing",
    "thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "fs",
    "env",
    "process",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "stdin",
    "stdout",
    "stderr",
];

/// Where a pure room is not, with the reason.
const IMPURITIES: &[(&str, &str, &str)] = &[
    ("envelope/keys.rs", "rand", "the way to `SystemRandom`, and `keys new`"),
    ("envelope/keys.rs", "SystemRandom", "ES256 signatures need randomness, and the library takes no other source"),
];

/// What each room uses, and where.
fn uses(sources: &[Source]) -> BTreeMap<(String, String), Vec<String>> {
    let mut uses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        for used in source.rooms_used() {
            uses.entry((source.room.clone(), used)).or_default().push(source.path.clone());
        }
    }
    uses
}

#[test]
fn every_room_stands_in_the_table_and_every_room_of_the_table_stands() {
    let sources = sources();
    assert!(sources.len() > 80, "only {} source files were found", sources.len());
    let found: BTreeSet<_> = sources.iter().map(|source| source.room.as_str()).collect();
    let listed: BTreeSet<_> = ROOMS.iter().map(|room| room.name).collect();
    assert_eq!(found, listed);
    assert_eq!(listed.len(), ROOMS.len(), "a room stands in the table twice");
    assert!(PURE.iter().all(|room| listed.contains(room)));
    assert!(sources.iter().all(|source| !source.words.is_empty()));
}

#[test]
fn a_room_uses_only_what_the_table_allows() {
    for ((room, used), places) in uses(&sources()) {
        let entry = ROOMS.iter().find(|entry| entry.name == room).expect("a room of the table");
        let allowed = entry.uses.contains(&used.as_str()) || entry.beyond.iter().any(|(name, _)| *name == used);
        assert!(allowed, "`{room}` must not use `{used}`: {places:?}");
    }
}

#[test]
fn the_table_allows_only_what_is_used() {
    let uses = uses(&sources());
    for room in ROOMS {
        let named = room.uses.iter().chain(room.beyond.iter().map(|(name, _)| name));
        for used in named {
            assert!(
                uses.contains_key(&(room.name.to_owned(), (*used).to_owned())),
                "`{}` does not use `{used}`",
                room.name
            );
        }
        assert!(room.beyond.iter().all(|(_, reason)| !reason.is_empty()));
    }
}

#[test]
fn there_are_no_cycles() {
    for (at, room) in ROOMS.iter().enumerate() {
        for used in room.uses.iter().chain(room.beyond.iter().map(|(name, _)| name)) {
            assert!(
                ROOMS[..at].iter().any(|earlier| earlier.name == *used),
                "`{}` stands before `{used}`, which it uses: the table would allow a cycle",
                room.name
            );
        }
    }
}

#[test]
fn nobody_but_the_command_line_uses_the_configuration() {
    for ((room, used), places) in uses(&sources()) {
        assert!(used != "config" || room == "cli", "`{room}` uses `config`: {places:?}");
        assert!(used != "cli" || room == "main", "`{room}` uses `cli`: {places:?}");
    }
}

#[test]
fn pure_rooms_name_no_clock_randomness_socket_runtime_or_log() {
    let mut needed = BTreeSet::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.room.as_str())) {
        let words = source.production();
        for word in words.into_iter().filter(|word| IMPURE.contains(word)) {
            let excused = IMPURITIES.iter().find(|(path, name, _)| (*path, *name) == (source.path.as_str(), word));
            assert!(excused.is_some(), "`{}` is pure and names `{word}` in src/{}", source.room, source.path);
            needed.insert((source.path.clone(), word.to_owned()));
        }
    }
    assert_eq!(needed.len(), IMPURITIES.len(), "an exception that nobody needs: only {needed:?}");
}

#[test]
fn unsafe_code_is_forbidden_for_the_whole_package() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for source in sources() {
        assert!(!source.words.iter().any(|word| word == "unsafe"), "src/{}", source.path);
    }
}

/// The reader of sources itself, so that none of the tests above passes because it saw nothing.
#[test]
fn every_way_to_name_a_room_is_seen() {
    for (path, text, wanted) in [
        ("proxy/line.rs", "use crate::store;", "store"),
        (
            "proxy/line.rs",
            "use crate::{cookie, store::{lane::Lanes, Store}, session::{Policy}};",
            "cookie session store",
        ),
        ("proxy/line.rs", "fn f() -> crate::upstream::Pool { crate::headers::strip() }", "headers upstream"),
        ("proxy/line.rs", "pub(crate) fn f() {} pub(in crate::proxy) fn g() {} use crate::proxy::x;", ""),
        ("proxy/line.rs", "// crate::store\n/* crate::store */ \"crate::store\" r#\"\"crate::store\"\"# 'c'", ""),
        ("proxy/line.rs", "let c = '\"'; use crate::store; let d = b'\\''; let e: &'a str = \"\\\"\";", "store"),
        ("proxy/mod.rs", "use super::store::Store;", "store"),
        ("proxy/line.rs", "use super::settings::X; use super::super::store;", "store"),
        ("proxy/line.rs", "mod tests { use super::super::settings; use super::super::super::store; }", "store"),
        ("telemetry.rs", "use super::config;", "config"),
        ("main.rs", "cloakroom::cli::run(); cloakroom::config::x();", "cli config"),
    ] {
        let source = Source::new(path.to_owned(), text);
        let used = source.rooms_used().into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(used, wanted, "{text}");
    }
    let text = "use a::tokio; #[cfg(test)] mod tests { fn f() { rand(); } } fn g() { Instant::now() }";
    let source = Source::new("session/x.rs".to_owned(), text);
    let named: Vec<_> = source.production().into_iter().filter(|word| IMPURE.contains(word)).collect();
    assert_eq!(named, ["tokio", "Instant"]);
}
