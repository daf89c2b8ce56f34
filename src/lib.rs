//! Cloakroom: a reverse proxy that adds sessions to services that have none.

pub mod envelope;
pub mod proxy;
pub mod server;
pub mod session;
pub mod store;
pub mod upstream;
