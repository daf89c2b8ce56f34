//! What more than one test binary is made of: a private Redis, a network that fails, free ports and waiting.
//!
//! Each binary takes this folder in as a module of its own. It knows nothing of proxies, browsers or stores.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod authority;
mod patience;
mod ports;
mod redis;
mod relay;
mod resp;
mod turnstile;

pub(crate) use authority::Authority;
pub(crate) use patience::{Gate, PATIENCE, let_pass, until};
pub(crate) use ports::free_port;
pub(crate) use redis::{Redis, Watch};
pub(crate) use relay::Relay;
pub(crate) use resp::{Command, read_answer, read_command};
pub(crate) use turnstile::{Stop, Turnstile};
