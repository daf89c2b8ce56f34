//! What the end-to-end tests are made of: real processes, real sockets, exact bytes.
//!
//! [`world`] runs a test with a [`World`]: a scripted [`Upstream`], a private [`Redis`] or none, any number of
//! [`Proxy`] processes and [`Browser`]s. When the test is over its [`Ledger`](ledger) holds what happened against the
//! global invariants. Nothing here sleeps to synchronise: conditions are polled and [`Gate`]s are passed.

mod answer;
mod backend;
mod browser;
mod connection;
mod exact;
mod frames;
mod http2;
mod jar;
mod ledger;
mod mirror;
mod proxy;
mod scrape;
#[path = "../../support/mod.rs"]
mod shared;
mod token;
mod upstream;
mod wire;
mod world;

pub(crate) use answer::{Answer, Piece};
pub(crate) use backend::Backend;
pub(crate) use browser::{Ask, Browser, OurCookie, Pending, TICKET};
pub(crate) use connection::{Connection, Reply};
pub(crate) use exact::Exact;
pub(crate) use frames::{Frame, Frames};
pub(crate) use http2::{Http2, tls_client};
pub(crate) use mirror::mirror;
pub(crate) use proxy::{Proxy, Said, binary, cloakroom, cloakroom_with};
pub(crate) use shared::{Authority, Gate, Redis, Relay, Stop, Turnstile, free_port, let_pass, until};
pub(crate) use upstream::SCRIPT;
pub(crate) use wire::{Framing, Headers, Wire, folded, latin1, parse_head};
pub(crate) use world::{Store, World, every_store, world};
