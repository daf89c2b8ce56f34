//! Cloakroom: a reverse proxy that adds sessions to services that have none.

pub mod cookie;
pub mod headers;
pub mod route;
