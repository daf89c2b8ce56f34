//! Cloakroom: a reverse proxy that adds sessions to services that have none.
//!
//! This page is the architecture. What users can rely on is in `docs/reference.md`, and how to begin in `README.md`.
//!
//! # The idea
//!
//! *A pure core, a thin shell, one straight line.* Rooms that decide compute and touch nothing: no clock, no randomness,
//! no socket, no log. Rooms that touch the world decide nothing. One room runs a request from top to bottom, so that
//! anybody can read what happens to it.
//!
//! # The line
//!
//! ```text
//! admit → find route → take ticket → load → seal token → send upstream
//!       → open update → settle → save → put ticket → release response
//! ```
//!
//! `Shard::run` in [`proxy`] is this line in code; begin reading there. Each verb is a function in `proxy/steps.rs` that
//! asks one room one thing; those that serve applications which stay unmodified (gate, injected headers, vault) are in
//! `proxy/legacy.rs`. Any step can end the line with a [`proxy::Rejection`], which replaces the whole response.
//! [`session::settle`] is the heart: the table that decides what a response does to a session. It is pure and total, and
//! it is asked again for every time that another writer was faster.
//!
//! # The rooms, in reading order
//!
//! | room | what it does | imports |
//! |---|---|---|
//! | [`proxy`] | the line; `rejection` holds every way to say no | the pure rooms, `store`, `upstream`, `telemetry`, `clock` |
//! | [`session`] | pure: what a session is; tickets, patches, controls, records, `settle` | none |
//! | [`cookie`] | pure, the browser's side: tickets in, `Set-Cookie` out; cookies that stay in the vault | none |
//! | [`envelope`] | pure, the application's side: token and injected headers out, update, control and captures in | `session` |
//! | [`headers`] | pure: hop-by-hop and forwarding headers, spoofed names, caching | none |
//! | [`route`] | pure: host and path to route and realm | none |
//! | [`store`] | what holds for every store; memory, file and Redis; carrying a decision out | `session`, `tls`, `telemetry`, `clock` |
//! | [`upstream`] | connections to applications: which server, pool, bodies, tunnels | `headers`, `tls`, `socket`, `clock` |
//! | [`server`] | listeners, TLS, HTTP/1.1 towards browsers, one runtime per core, drain, reload | `proxy`, `store`, `admin`, `application`, `headers`, `socket`, `tls`, `telemetry`, `clock` |
//! | [`admin`] | for operators: health, metrics, sessions, status | `session`, `store`, `socket`, `upstream`, `telemetry` |
//! | [`application`] | keys and session data, for applications | `proxy`, `envelope`, `session`, `store` |
//! | [`config`] | text to every room's `Settings`, all faults at once | the rooms whose settings it fills |
//! | [`cli`] | what a person types; the demo shop | `config`, `server`, `telemetry`, `admin`, `envelope`, `store`, `session`, `upstream` |
//! | [`tls`] | certificates and keys to rustls configurations | none |
//! | [`socket`] | addresses, listeners and connections: TCP or Unix sockets; the buffer to read with | none |
//! | [`clock`] | one reading of the time for all that a task does in one turn; alarms that are kept | none |
//! | [`telemetry`] | how logs look, how numbers are counted and told | none |
//!
//! There are no cycles. Each room declares its own `Settings`; only [`cli`] knows that there is a [`config`].
//!
//! # What holds everywhere
//!
//! - A session is one key in the store. Every change of it is one compare-and-set on that key, of a record whose stamp
//!   (version and nonce) tells a retry from another writer.
//! - The response head leaves only after the store has acknowledged.
//! - A ticket exists in the browser and in memory. The store has hashes, logs have the handle.
//! - Each core has a current-thread runtime with its own upstream pool and its own connection to Redis: a *shard*. Shards
//!   share the prepared settings, the lanes that line up the writers of one session, of `memory:` the sessions, and of
//!   `file:` the one thread that writes.
//! - Bodies are streamed. Nothing that a client or an application sends makes memory grow with its size.
//!
//! # How to add
//!
//! **A store.** A variant of [`store::Kind`] and of the two enums in `store/shelf.rs`, a file below `src/store`, its URL in
//! `config/store.rs` (and its row out of `config/later.rs`). Every method of the shelf is matched without a
//! catch-all, so that the compiler names what is missing; `swap` must be atomic, and an error must never look like "not
//! there".
//!
//! **An error.** A variant of [`proxy::Rejection`]: `status`, `label` and `title` are matched without a catch-all. The room
//! that notices has an error type of its own, which becomes a rejection by `From`. Then a row in `docs/reference.md`
//! and a test in `tests/end_to_end/errors.rs`.
//!
//! **A number to watch.** A counter in the tally of the room that knows it (`proxy/tally.rs`, `store/tally.rs`,
//! `server/tally.rs`), told in its `tell`; a label is an enum, and of each counter one thread is the writer. Then its row in
//! `docs/operations.md` and a line in `tests/end_to_end/metrics.rs`.
//!
//! **A configuration key.** A field of the room's `Settings`; a line in the file of its section below `src/config`; the
//! default in `config.example.toml`; a row in `docs/reference.md`. Tests compare the example with the defaults, and the
//! reference with the example.
//!
//! **A control word.** A field of [`session::control::Control`], its right in [`session::rights`], its effect in
//! [`session::settle`], its row in `docs/reference.md`.

pub mod admin;
pub mod application;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cookie;
pub mod envelope;
pub mod headers;
pub mod proxy;
pub mod route;
pub mod server;
pub mod session;
pub mod socket;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
