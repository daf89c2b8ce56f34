//! `cloakroom keys`: secrets and private keys from the system's randomness, and the public half of those in use.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Failure, environment, say};
use crate::{
    config::{self, Overrides},
    envelope::{Algorithm, Sealer, generate},
};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyAlgorithm {
    /// A secret of 43 characters that hold 256 random bits, for keys.root too
    #[value(name = "HS256", alias = "hs256")]
    Hs256,
    /// A P-256 private key in PKCS #8, PEM
    #[value(name = "ES256", alias = "es256")]
    Es256,
    /// An Ed25519 private key in PKCS #8, PEM
    #[value(name = "EdDSA", alias = "eddsa")]
    EdDsa,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Print a new secret or private key
    New {
        /// What it is for
        #[arg(long, value_enum, default_value = "HS256", value_name = "ALGORITHM")]
        algorithm: KeyAlgorithm,
    },
    /// Print the public token keys of a configuration as a JWK set
    Jwks {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(super) fn keys(command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::New { algorithm } => {
            let algorithm = match algorithm {
                KeyAlgorithm::Hs256 => Algorithm::Hs256,
                KeyAlgorithm::Es256 => Algorithm::Es256,
                KeyAlgorithm::EdDsa => Algorithm::EdDsa,
            };
            let key = generate(algorithm).map_err(|_| Failure::Run("the system has no randomness".to_owned()))?;
            say(key.trim_end());
        }
        KeysCommand::Jwks { config } => {
            let loaded = config::load(config.as_deref(), &Overrides::default(), &environment)?;
            let sealer = Sealer::new(&loaded.proxy.envelope).map_err(|error| Failure::Argument(error.to_string()))?;
            say(sealer.map_or_else(|| "{\"keys\":[]}".to_owned(), |sealer| sealer.jwks()));
        }
    }
    Ok(())
}
