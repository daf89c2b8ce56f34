//! Token keys: what signs, what verifies, and what the public may know of them (RFC 7517, RFC 7518, RFC 8037).

use std::fmt;

use aws_lc_rs::{
    digest,
    error::Unspecified,
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

/// How tokens are signed; of all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever verifies can also sign.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its name in a JOSE header (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// One token key, as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The `kid`; by default the RFC 7638 thumbprint.
    pub id: Option<String>,
    /// HS256: at least 32 bytes. Otherwise a private key in PKCS #8, PEM.
    pub secret: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A secret is no private key of the algorithm, in PKCS #8 and PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKey(pub Algorithm);

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holds no {} private key in PKCS #8 PEM", self.0.name())
    }
}

impl std::error::Error for NotAKey {}

enum Material {
    Hs256(Box<hmac::Key>),
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

/// Signatures of texts that begin alike.
pub(super) struct Begun {
    /// Has so many bytes already; `None`: such a signature is made of the whole text.
    context: Option<hmac::Context>,
    taken: usize,
}

/// A key, ready to sign and verify.
pub(super) struct Key {
    /// The first part of every token that it signs, with the dot.
    pub(super) header: String,
    id: String,
    material: Material,
}

impl SigningKey {
    /// Whether it is a key of this algorithm.
    ///
    /// # Errors
    /// [`NotAKey`]
    pub fn check(&self, algorithm: Algorithm) -> Result<(), NotAKey> {
        Material::new(algorithm, &self.secret).map(drop)
    }
}

impl Material {
    fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Self, NotAKey> {
        let refused = NotAKey(algorithm);
        if algorithm == Algorithm::Hs256 {
            return Ok(Self::Hs256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))));
        }
        let pem = pem::parse(secret).ok().filter(|pem| pem.tag() == "PRIVATE KEY").ok_or(refused)?;
        match algorithm {
            Algorithm::Hs256 | Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pem.contents());
                pair.map(|pair| Self::Es256(Box::new(pair))).map_err(|_| refused)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents());
                pair.map(|pair| Self::EdDsa(Box::new(pair))).map_err(|_| refused)
            }
        }
    }

    /// The public half as the required members of a JWK, in lexicographic order (RFC 7638 section 3.2).
    fn public(&self) -> Option<String> {
        match self {
            Self::Hs256(_) => None,
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..65]));
                Some(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
            }
            Self::EdDsa(pair) => {
                let x = BASE64.encode(pair.public_key().as_ref());
                Some(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#))
            }
        }
    }
}

impl Key {
    pub(super) fn new(algorithm: Algorithm, key: &SigningKey) -> Result<Self, NotAKey> {
        let material = Material::new(algorithm, &key.secret)?;
        let thumbprint = || {
            let jwk = material.public();
            let jwk = jwk.unwrap_or_else(|| format!(r#"{{"k":"{}","kty":"oct"}}"#, BASE64.encode(&key.secret)));
            BASE64.encode(digest::digest(&digest::SHA256, jwk.as_bytes()))
        };
        let id = key.id.clone().unwrap_or_else(thumbprint);
        let header = json!({"alg": algorithm.name(), "kid": id, "typ": "session+jwt"});
        Ok(Self { header: format!("{}.", BASE64.encode(header.to_string())), id, material })
    }

    /// Signatures of texts that begin with this one.
    pub(super) fn begin(&self, text: &[u8]) -> Begun {
        let Material::Hs256(key) = &self.material else { return Begun { context: None, taken: 0 } };
        let mut context = hmac::Context::with_key(key);
        context.update(text);
        Begun { context: Some(context), taken: text.len() }
    }

    /// Signs what stands there behind so many bytes, begun by this key, and puts the signature behind it; fails only if the
    /// system has no randomness.
    pub(super) fn sign(&self, begun: &Begun, line: &mut Vec<u8>, start: usize) -> Result<(), Unspecified> {
        let text = &line[start..];
        match &self.material {
            Material::Hs256(key) => {
                let mut context = begun.context.clone().unwrap_or_else(|| hmac::Context::with_key(key));
                context.update(&text[begun.taken..]);
                append_signature(line, context.sign().as_ref())
            }
            Material::Es256(pair) => append_signature(line, pair.sign(&SystemRandom::new(), text)?.as_ref()),
            Material::EdDsa(pair) => append_signature(line, pair.sign(text).as_ref()),
        }
    }

    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hs256(key) => hmac::verify(key, signed, signature).is_ok(),
            Material::Es256(pair) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
                key.verify(signed, signature).is_ok()
            }
            Material::EdDsa(pair) => {
                UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(signed, signature).is_ok()
            }
        }
    }

    /// Its entry in a JWK set; nothing for a key that is secret as a whole.
    pub(super) fn jwk(&self) -> Option<Value> {
        let mut jwk: Value = serde_json::from_str(&self.material.public()?).ok()?;
        let algorithm = match &self.material {
            Material::Hs256(_) => Algorithm::Hs256,
            Material::Es256(_) => Algorithm::Es256,
            Material::EdDsa(_) => Algorithm::EdDsa,
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(algorithm.name());
        Some(jwk)
    }
}

fn append_signature(text: &mut Vec<u8>, signature: &[u8]) -> Result<(), Unspecified> {
    text.push(b'.');
    append(&BASE64, signature, text)
}

/// Puts base64url of some bytes behind a text.
pub(super) fn append(engine: &impl Engine, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), Unspecified> {
    let end = text.len();
    text.resize(end + base64::encoded_len(bytes.len(), false).ok_or(Unspecified)?, 0);
    engine.encode_slice(bytes, &mut text[end..]).map(drop).map_err(|_| Unspecified)
}

/// A new private key in PKCS #8, PEM; for HS256 a new secret of 43 characters that hold 256 random bits.
///
/// # Errors
/// The system has no randomness.
pub fn generate(algorithm: Algorithm) -> Result<String, Unspecified> {
    let pem = |der: &[u8]| pem::encode(&pem::Pem::new("PRIVATE KEY", der));
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Hs256 => {
            let mut secret = [0; 32];
            aws_lc_rs::rand::fill(&mut secret)?;
            Ok(BASE64.encode(secret))
        }
        Algorithm::Es256 => {
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
            Ok(pem(der.as_ref()))
        }
        Algorithm::EdDsa => Ok(pem(Ed25519KeyPair::generate_pkcs8v1(&random)?.as_ref())),
    }
}
