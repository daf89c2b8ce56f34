//! A token for operators of a process that was given none and runs at a terminal: made at random, shown there once, and
//! never in the log. Elsewhere nobody would see it, or everybody who reads the log would.

use std::io::{IsTerminal, stderr};

use tracing::info;

use super::complain;
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
    pub(super) fn to(&mut self, loaded: &mut Loaded) {
        let Some(admin) = &mut loaded.server.admin else { return };
        if admin.token.is_some() || matches!(admin.address, Address::Unix(_)) {
            return;
        }
        if self.0.is_none() && stderr().is_terminal() {
            self.0 = generate(Algorithm::Hs256).ok().and_then(Token::new);
            if let Some(token) = &self.0 {
                complain(format_args!("admin.token is not set; the token of this run: {}", token.reveal()));
            }
        }
        admin.token.clone_from(&self.0);
        if admin.token.is_none() {
            info!(target: "cloakroom::admin", "admin.token is not set: of the admin listener only health and metrics are served");
        }
    }
}
