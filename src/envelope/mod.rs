//! The application side: the token or plain headers out, update and control in. Pure.
//!
//! The token is a compact JWS (RFC 7515) whose payload is written around the session's data as it is stored, so that
//! every digit arrives. Whoever asks for a token gives the time; nothing here reads a clock.

mod capture;
mod inject;
mod keys;
mod open;
mod opening;
mod token;

use std::time::Duration;

use http::HeaderName;

pub use capture::{Captured, captured};
pub use inject::{Injection, Template, TemplateFault, Unfit};
pub use keys::{Algorithm, NotAKey, SigningKey, generate};
pub use open::{OpenError, Told, open, open_endings};
pub use opening::Opening;
pub use token::{Audience, Claims, Sealed, Sealer, TokenError, Verified};

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
    /// How tokens are signed.
    pub algorithm: Algorithm,
    /// The first signs, all verify. Never empty.
    pub keys: Vec<SigningKey>,
}
