//! The application side: the token out, update and control in. Pure.
//!
//! The token is a compact JWS (RFC 7515) whose payload is written around the session's data as it is stored, so that
//! every digit arrives. Whoever asks for a token gives the time; nothing here reads a clock.

mod open;
mod token;

use std::time::Duration;

use http::HeaderName;

pub use open::{OpenError, open};
pub use token::{Audience, Claims, Sealer, TokenError, Verified};

/// One HS256 token key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The `kid`; by default the RFC 7638 thumbprint.
    pub id: Option<String>,
    /// At least 32 bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How tokens are made (`[token]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Request header that carries the token.
    pub header: HeaderName,
    /// Response header that carries updates.
    pub update_header: HeaderName,
    /// Response header that carries the control dictionary.
    pub control_header: HeaderName,
    /// `iss`
    pub issuer: String,
    /// `exp - iat`
    pub lifetime: Duration,
    /// Longer tokens go out by reference.
    pub max_bytes: usize,
    /// The first signs, all verify. Never empty.
    pub keys: Vec<SigningKey>,
}
