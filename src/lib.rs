//! Cloakroom: a reverse proxy that adds sessions to services that have none.

pub mod admin;
pub mod application;
pub mod cli;
pub mod config;
pub mod cookie;
pub mod envelope;
pub mod headers;
pub mod proxy;
pub mod route;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod upstream;
