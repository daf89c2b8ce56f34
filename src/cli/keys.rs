//! `cloakroom keys`: secrets from the system's randomness.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;

use super::{Failure, say};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Print a new secret, for keys.root or an HS256 token key: 43 characters that hold 256 random bits
    New,
}

pub(super) fn keys(command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::New => {
            let mut secret = [0; 32];
            aws_lc_rs::rand::fill(&mut secret).map_err(|_| Failure::Run("the system has no randomness".to_owned()))?;
            say(URL_SAFE_NO_PAD.encode(secret));
            Ok(())
        }
    }
}
