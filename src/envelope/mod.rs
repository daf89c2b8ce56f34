//! The application side: the token out, update and control in. Pure.

use std::time::Duration;

use http::HeaderName;

/// One HS256 token key.
#[derive(Clone)]
pub struct SigningKey {
    /// The `kid`; by default the RFC 7638 thumbprint.
    pub id: Option<String>,
    /// At least 32 bytes.
    pub secret: Vec<u8>,
}

/// How tokens are made (`[token]`).
#[derive(Clone)]
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
