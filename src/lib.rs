//! Cloakroom: a reverse proxy that adds sessions to services that have none.

pub mod cli;
