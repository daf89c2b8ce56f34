//! The signed token as an application sees it: verified with a JWT library that is not the proxy's code, its
//! data kept as the exact text that arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exact::Exact;

/// What an upstream must know to believe a token.
#[derive(Clone)]
pub(crate) struct Trust {
    pub(super) key: Arc<Vec<u8>>,
    /// Further keys, by their id.
    pub(super) also: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    pub(super) audience: &'static str,
}

impl Trust {
    /// Of one key, whose id is `k1`.
    pub(super) fn new(key: Vec<u8>) -> Self {
        Self { key: Arc::new(key), also: Arc::default(), audience: "app" }
    }

    fn key(&self, kid: Option<&str>) -> Option<Vec<u8>> {
        match kid? {
            "k1" => Some(self.key.to_vec()),
            other => self.also.lock().expect("keys").get(other).cloned(),
        }
    }
}

/// The claims of the contract's section 4.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) sid: Option<String>,
    sub: Option<String>,
    pub(crate) ver: Option<u64>,
    pub(crate) created: Option<i64>,
    pub(crate) expires: Option<i64>,
    data_ref: Option<bool>,
}

/// A token whose signature, issuer, audience and times are right.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) claims: Claims,
    data: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    data: Option<Box<RawValue>>,
}

impl Token {
    /// Verifies `compact` as of the moment `at`.
    pub(crate) fn verify(compact: &str, trust: &Trust, at: SystemTime) -> Result<Self, String> {
        let header = decode_header(compact).map_err(|error| format!("no JOSE header: {error}"))?;
        let key = trust.key(header.kid.as_deref()).filter(|_| header.typ.as_deref() == Some("session+jwt"));
        let key = key.ok_or_else(|| format!("wrong JOSE header: {header:?}"))?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&["cloakroom"]);
        rules.set_audience(&[trust.audience]);
        rules.set_required_spec_claims(&["iss", "aud", "exp"]);
        rules.validate_exp = false; // compared with the time of arrival below
        let claims = decode::<Claims>(compact, &DecodingKey::from_secret(&key), &rules)
            .map_err(|error| format!("token does not verify: {error}"))?
            .claims;
        let at = at.duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs() as i64;
        if claims.exp - claims.iat != 60 || (claims.iat - at).abs() > 30 {
            return Err(format!("token from {} to {} arrived at {at}", claims.iat, claims.exp));
        }
        let data = Self::data_of(compact)?;
        if data.is_some() == (claims.data_ref == Some(true)) {
            return Err("a token holds either `data` or `data_ref`".to_owned());
        }
        Ok(Self { claims, data })
    }

    fn data_of(compact: &str) -> Result<Option<String>, String> {
        let payload = compact.split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|error| error.to_string())?;
        let payload: Payload = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
        Ok(payload.data.map(|data| data.get().to_owned()))
    }

    /// The session data: number text, key order and Unicode count, escapes and white space do not.
    pub(crate) fn data(&self) -> Exact {
        Exact::parse(self.text())
    }

    /// The text of `data` as it stands in the token.
    pub(crate) fn text(&self) -> &str {
        self.data.as_deref().expect("data by value")
    }

    /// Whether a session was loaded for this request.
    pub(crate) fn is_live(&self) -> bool {
        self.claims.sid.is_some()
    }

    /// The application's name for the user.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.claims.sub.as_deref()
    }

    /// The handle of the session that was loaded.
    pub(crate) fn handle(&self) -> &str {
        self.claims.sid.as_deref().expect("a live session")
    }
}
