//! The token that arrives: a compact JWS in `X-Session`, verified before anything in it is believed.
//!
//! Order matters: the algorithm is ours to choose, not the token's (RFC 8725, section 3.1), the signature comes before
//! the claims, and a token for another application or from yesterday is as bad as a forged one.

use std::fmt;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Value};

/// What a shop needs to trust a token: the key that it shares with the proxy, and its own name.
pub struct TokenKey {
    key: hmac::Key,
    audience: String,
}

/// A token whose signature, audience and expiry have been checked.
#[derive(Debug, PartialEq)]
pub(super) struct Token {
    /// As it was sent.
    pub(super) compact: String,
    /// The JOSE header.
    pub(super) header: Value,
    /// The payload.
    pub(super) claims: Map<String, Value>,
}

/// Why a token was not believed.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// Not three parts of base64url with JSON objects in the first two.
    Malformed,
    /// Signed in a way that we did not agree on.
    Algorithm,
    /// The signature does not belong to this key and text.
    Signature,
    /// Made for another application.
    Audience,
    /// Too old, or without an end.
    Expired,
}

impl TokenKey {
    /// A key for HS256 (the bytes of the file, at least 32) and the name under which the proxy knows this application:
    /// that of the upstream in its configuration, `aud` in the token.
    pub fn new(secret: &[u8], audience: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), audience: audience.to_owned() }
    }

    /// Verifies a compact JWS at `now`, in seconds since the epoch.
    pub(super) fn verify(&self, compact: &str, now: u64) -> Result<Token, Refusal> {
        let (signed, signature) = compact.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = Value::Object(object(header)?);
        if header["alg"] != "HS256" {
            return Err(Refusal::Algorithm);
        }
        let tag = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        hmac::verify(&self.key, signed.as_bytes(), &tag).map_err(|_| Refusal::Signature)?;

        let claims = object(claims)?;
        if claims.get("aud").and_then(Value::as_str) != Some(self.audience.as_str()) {
            return Err(Refusal::Audience);
        }
        if claims.get("exp").and_then(Value::as_u64).is_none_or(|exp| exp <= now) {
            return Err(Refusal::Expired);
        }
        Ok(Token { compact: compact.to_owned(), header, claims })
    }
}

/// The key itself stays out of sight.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl Token {
    /// What the visitor's session holds; `null` inside if there is none.
    pub(super) fn data(&self) -> &Value {
        self.claims.get("data").unwrap_or(&Value::Null)
    }

    /// The session's public name, if there is a session.
    pub(super) fn handle(&self) -> Option<&str> {
        self.claims.get("sid")?.as_str()
    }

    /// How often the session has changed; 0 if there is none.
    pub(super) fn version(&self) -> u64 {
        self.claims.get("ver").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The number on the visitor's ticket: four digits made from the handle, so that people can tell tickets apart.
    pub(super) fn number(&self) -> Option<u16> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(self.handle()?).ok()?;
        Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]) % 9000 + 1000)
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}
