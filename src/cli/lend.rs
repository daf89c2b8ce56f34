//! A token for operators of a process that was given none and runs at a terminal: made at random, shown there once, and
//! never in the log. Elsewhere nobody would see it, or everybody who reads the log would.

use std::io::{IsTerminal, stderr};

use tracing::info;

use super::{Failure, complain};
use crate::{
    admin::Token,
    config::Loaded,
    envelope::{Algorithm, generate},
    socket::Address,
};

/// The token that was made, for as long as the process lives.
#[derive(Default)]
pub(super) struct Lent(Option<Token>);

impl Lent {
    /// Puts the token where the configuration has none and needs one.
    pub(super) fn to(&mut self, loaded: &mut Loaded) -> Result<(), Failure> {
        let Some(admin) = &mut loaded.server.admin else { return Ok(()) };
        if admin.token.is_some() || matches!(admin.address, Address::Unix(_)) {
            return Ok(());
        }
        if !stderr().is_terminal() {
            info!(target: "cloakroom::admin", "admin.token is not set: of the admin listener only health is served");
            return Ok(());
        }
        if self.0.is_none() {
            let token = generate(Algorithm::Hs256).ok().and_then(Token::new);
            let token = token.ok_or_else(|| Failure::Run("the system has no randomness".to_owned()))?;
            complain(format_args!("admin.token is not set; the token of this run: {}", token.reveal()));
            self.0 = Some(token);
        }
        admin.token.clone_from(&self.0);
        Ok(())
    }
}
