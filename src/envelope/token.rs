//! The signed request header: a compact JWS with the JOSE header `{"alg","kid","typ":"session+jwt"}`, no padding.

use std::{borrow::Cow, cell::RefCell, fmt};

use aws_lc_rs::error::Unspecified;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;
use serde_json::json;
use triomphe::ThinArc;

use super::{
    Settings,
    keys::{Key, NotAKey, append},
    opening::{Opening, Shared},
};
use crate::session::{
    Handle,
    document::{Document, Pointer},
    record::Record,
};

/// Whom a token is for: prepared once per upstream.
pub struct Audience {
    name: String,
    /// The name as a claim.
    claim: String,
    forward: Option<Vec<Pointer>>,
}

/// A token's header line: what it has in common with others, and the rest.
pub type Sealed = ThinArc<Shared, u8>;

/// What a token says about the visitor.
#[derive(Debug, Clone, Copy)]
pub enum Claims<'a> {
    /// Nobody that we know.
    Anonymous,
    /// A session will be made with this response (`create = "always"`).
    New,
    /// The store is away and the route goes on without it.
    Degraded,
    /// A live session.
    Session(&'a Handle, &'a Record),
}

/// Makes and verifies tokens.
pub struct Sealer {
    /// The name in every line.
    name: String,
    /// The beginning of every payload, up to the audience.
    begin: String,
    active: Key,
    accepted: Vec<Key>,
    issuer: String,
    lifetime: u64,
    max_bytes: usize,
    encoder: Encoder,
}

/// Where a token is written: every thread has one, so that only what is finished takes memory of its own.
#[derive(Default)]
struct Desk {
    payload: Vec<u8>,
    line: Vec<u8>,
}

/// A desk that is larger is given back.
const DESK_MOST: usize = 16 * 1024;

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not one of ours, or changed.
    Forged,
    /// It was one of ours.
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forged => "the token is not one of ours",
            Self::Expired => "the token has expired",
        })
    }
}

impl std::error::Error for TokenError {}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verified {
    /// The upstream that it was made for.
    #[serde(rename = "aud")]
    pub audience: String,
    /// The session's handle, if one was live.
    pub sid: Option<String>,
    iss: String,
    exp: u64,
}

impl Audience {
    /// The upstream of this name, which sees only `forward` (`None`: everything).
    pub fn new(name: &str, forward: Option<Vec<Pointer>>) -> Self {
        Self { name: name.to_owned(), claim: quoted(name), forward }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The data as this upstream may see it.
    pub fn view(&self, data: &str) -> String {
        self.seen(data).into_owned()
    }

    fn seen<'a>(&self, data: &'a str) -> Cow<'a, str> {
        let Some(forward) = &self.forward else { return Cow::Borrowed(data) };
        Document::parse(data).map_or(Cow::Borrowed("{}"), |document| document.project(forward).to_text().into())
    }
}

impl Sealer {
    /// A sealer whose first key signs; `None` if there is no key.
    ///
    /// # Errors
    /// One of them is no key of the algorithm.
    pub fn new(settings: &Settings) -> Result<Option<Self>, NotAKey> {
        let keys = settings.keys.iter().map(|key| Key::new(settings.algorithm, key));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?.into_iter();
        let begin = format!("{{\"iss\":{},\"aud\":", quoted(&settings.issuer));
        Ok(keys.next().map(|active| Self {
            name: settings.header.to_string(),
            begin,
            active,
            accepted: keys.collect(),
            issuer: settings.issuer.clone(),
            lifetime: settings.lifetime.as_secs(),
            max_bytes: settings.max_bytes,
            encoder: encoder(),
        }))
    }

    /// The public keys as a JWK set (RFC 7517 section 5): every key is known before it is used.
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = std::iter::once(&self.active).chain(&self.accepted).filter_map(Key::jwk).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The header line of a token that is made at `now` (seconds since the epoch by our clock), with its end. One that would
    /// be longer than `token.max_bytes` goes out without its data, by reference. `opening`: of the last token that this
    /// sealer made for this audience, if there was one.
    ///
    /// # Errors
    /// The system has no randomness to sign with.
    pub fn seal(
        &self,
        opening: &mut Option<Opening>,
        audience: &Audience,
        claims: Claims<'_>,
        now: u64,
    ) -> Result<Sealed, Unspecified> {
        opening.take_if(|opening| opening.second != now);
        let opening = opening.get_or_insert_with(|| self.open(audience, now));
        let data = match claims {
            Claims::Session(_, record) => audience.seen(&record.data),
            Claims::Anonymous | Claims::New | Claims::Degraded => Cow::Borrowed("{}"),
        };
        DESK.with_borrow_mut(|Desk { payload, line }| {
            write_claims(opening, claims, payload);
            for part in [",\"data\":", &data, "}"] {
                payload.extend_from_slice(part.as_bytes());
            }
            self.sign(opening, payload, line)?;
            if line.len() > opening.before() + self.max_bytes && data != "{}" {
                write_claims(opening, claims, payload);
                payload.extend_from_slice(b",\"data_ref\":true}");
                self.sign(opening, payload, line)?;
            }
            line.extend_from_slice(b"\r\n");
            let sealed = ThinArc::from_header_and_slice(opening.line.clone(), &line[opening.line.slice.len()..]);
            if payload.capacity() > DESK_MOST {
                (*payload, *line) = Default::default();
            }
            Ok(sealed)
        })
    }

    /// The claims that depend on nothing else.
    fn open(&self, audience: &Audience, now: u64) -> Opening {
        let mut claims = [self.begin.as_bytes(), audience.claim.as_bytes()].concat();
        write_number(&mut claims, ",\"iat\":", now);
        write_number(&mut claims, ",\"exp\":", now + self.lifetime);
        Opening::new(&self.name, &self.active, &claims, now)
    }

    /// Writes the line, but for its end.
    fn sign(&self, opening: &Opening, payload: &[u8], line: &mut Vec<u8>) -> Result<(), Unspecified> {
        line.clear();
        line.extend_from_slice(&opening.line.slice);
        append(&self.encoder, payload, line)?;
        self.active.sign(&opening.begun, line, opening.before())
    }

    /// What a token says, if one of our keys signed it and it has not expired at `now`.
    ///
    /// The JOSE header is compared as text with those that we write: there is no algorithm to choose.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn verify(&self, token: &str, now: u64) -> Result<Verified, TokenError> {
        let (signed, tag) = token.rsplit_once('.').ok_or(TokenError::Forged)?;
        let mut keys = std::iter::once(&self.active).chain(&self.accepted);
        let key = keys.find(|key| signed.starts_with(&key.header)).ok_or(TokenError::Forged)?;
        let tag = BASE64.decode(tag).map_err(|_| TokenError::Forged)?;
        if !key.verifies(signed.as_bytes(), &tag) {
            return Err(TokenError::Forged);
        }
        let payload = BASE64.decode(&signed[key.header.len()..]).map_err(|_| TokenError::Forged)?;
        let verified: Verified = serde_json::from_slice(&payload).map_err(|_| TokenError::Forged)?;
        match (verified.iss == self.issuer, verified.exp > now) {
            (true, true) => Ok(verified),
            (true, false) => Err(TokenError::Expired),
            (false, _) => Err(TokenError::Forged),
        }
    }
}

/// The fastest encoder that this machine has.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Encoder = base64::engine::Simd;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn encoder() -> Encoder {
    Encoder::url_safe(base64::engine::general_purpose::NO_PAD)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Encoder = base64::engine::GeneralPurpose;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn encoder() -> Encoder {
    BASE64
}

/// The claims that are not in the line yet, but for the data.
fn write_claims(opening: &Opening, claims: Claims<'_>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&opening.rest);
    match claims {
        Claims::Anonymous => {}
        Claims::New => out.extend_from_slice(b",\"new\":true"),
        Claims::Degraded => out.extend_from_slice(b",\"degraded\":true"),
        Claims::Session(handle, record) => {
            out.extend_from_slice(b",\"sid\":\"");
            out.extend_from_slice(handle.as_bytes());
            write_number(out, "\",\"ver\":", record.version);
            write_number(out, ",\"created\":", record.created.seconds());
            write_number(out, ",\"expires\":", record.deadline.seconds());
            if let Some(subject) = &record.subject {
                out.extend_from_slice(b",\"sub\":");
                out.extend_from_slice(quoted(subject).as_bytes());
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm as Jose, DecodingKey, Validation, decode};
    use proptest::{collection, option, prelude::*};
    use serde_json::Value;

    use super::*;
    use crate::envelope::{Algorithm, SigningKey, generate};
    use crate::session::{
        Timestamp,
        homes::Homes,
        record::Nonce,
        ticket::{Locator, Secret},
        vault::Jar,
    };

    const NOW: u64 = 4_000_000_000;

    fn settings() -> Settings {
        Settings {
            header: "x-session".parse().unwrap(),
            update_header: "x-session-update".parse().unwrap(),
            control_header: "x-session-control".parse().unwrap(),
            issuer: "cloak\"room".into(),
            lifetime: Duration::from_secs(60),
            max_bytes: 4096,
            algorithm: Algorithm::Hs256,
            keys: vec![
                SigningKey { id: Some("k1".into()), secret: vec![7; 32] },
                SigningKey { id: None, secret: vec![8; 32] },
            ],
        }
    }

    fn sealer() -> Sealer {
        Sealer::new(&settings()).unwrap().unwrap()
    }

    fn handle() -> Handle {
        Locator::from_random([1; 16]).handle()
    }

    fn record(data: &str) -> Record {
        Record {
            version: 3,
            writes: [Nonce(1)].into(),
            secret: Secret::from_random([1; 32]).hash(),
            retired: vec![],
            created: Timestamp(1_500),
            written: Timestamp(1_500),
            deadline: Timestamp(9_999),
            idle: None,
            persistent: false,
            subject: Some("ada\n\"".into()),
            vault: Jar::default(),
            homes: Homes::default(),
            data: data.into(),
        }
    }

    /// The token of a line.
    fn text_of(line: &Sealed) -> String {
        let line = [&line.header.header.slice, &line.slice].concat();
        String::from_utf8(line).unwrap().strip_prefix("x-session: ").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    /// The token of the first who asks.
    fn seal(sealer: &Sealer, audience: &Audience, claims: Claims<'_>) -> String {
        text_of(&sealer.seal(&mut None, audience, claims, NOW).unwrap())
    }

    /// The claims as an independent library reads them.
    fn claims(token: &str, secret: &[u8]) -> Result<Value, jsonwebtoken::errors::Error> {
        let mut validation = Validation::new(Jose::HS256);
        validation.set_audience(&["app"]);
        validation.set_issuer(&["cloak\"room"]);
        decode(token, &DecodingKey::from_secret(secret), &validation).map(|token| token.claims)
    }

    fn payload(token: &str) -> String {
        let part = token.split('.').nth(1).unwrap();
        String::from_utf8(BASE64.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn another_librarys_verifier_accepts_it_and_finds_the_promised_claims() {
        let audience = Audience::new("app", None);
        let token = seal(&sealer(), &audience, Claims::Session(&handle(), &record("{\"a\":1}")));
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.kid.as_deref(), header.typ.as_deref()), (Some("k1"), Some("session+jwt")));
        let wanted = json!({"iss": "cloak\"room", "aud": "app", "iat": NOW, "exp": NOW + 60, "sid": handle().as_str(), "ver": 3,
            "created": 1, "expires": 9, "sub": "ada\n\"", "data": {"a": 1}});
        assert_eq!(claims(&token, &[7; 32]).unwrap(), wanted);
        assert!(claims(&token, &[9; 32]).is_err());
    }

    #[test]
    fn a_visitor_without_a_session_has_no_session_claims() {
        let audience = Audience::new("app", None);
        let base = json!({"iss": "cloak\"room", "aud": "app", "iat": NOW, "exp": NOW + 60, "data": {}});
        for (given, name) in
            [(Claims::Anonymous, None), (Claims::New, Some("new")), (Claims::Degraded, Some("degraded"))]
        {
            let mut wanted = base.clone();
            if let Some(name) = name {
                wanted[name] = json!(true);
            }
            assert_eq!(claims(&seal(&sealer(), &audience, given), &[7; 32]).unwrap(), wanted);
        }
    }

    #[test]
    fn the_data_is_the_stored_text_to_the_letter() {
        let data =
            r#"{"n":1.10,"e":1e400,"big":12345678901234567890123,"__proto__":{},"$serde_json::private::Number":"1"}"#;
        let audience = Audience::new("app", None);
        let token = seal(&sealer(), &audience, Claims::Session(&handle(), &record(data)));
        assert!(payload(&token).ends_with(&format!(",\"data\":{data}}}")));
    }

    #[test]
    fn an_upstream_sees_only_what_is_forwarded_to_it() {
        let forward = Some(vec![Pointer::parse("/user").unwrap(), Pointer::parse("/cart/total").unwrap()]);
        let audience = Audience::new("app", forward);
        let data = r#"{"user":{"n":"ada"},"cart":{"total":3,"items":[1]},"secret":1}"#;
        let token = seal(&sealer(), &audience, Claims::Session(&handle(), &record(data)));
        assert_eq!(claims(&token, &[7; 32]).unwrap()["data"], json!({"user": {"n": "ada"}, "cart": {"total": 3}}));
    }

    #[test]
    fn a_long_token_goes_out_by_reference() {
        let audience = Audience::new("app", None);
        let seal = |blob: usize| {
            let data = json!({"blob": "x".repeat(blob)}).to_string();
            seal(&sealer(), &audience, Claims::Session(&handle(), &record(&data)))
        };
        assert!(claims(&seal(100), &[7; 32]).unwrap().get("data_ref").is_none());
        let long = claims(&seal(5000), &[7; 32]).unwrap();
        assert_eq!((&long["data_ref"], long.get("data")), (&json!(true), None));
        assert!(seal(5000).len() <= 4096);
        let whole = |blob: usize| claims(&seal(blob), &[7; 32]).unwrap().get("data").is_some();
        let most = (0..5000).rfind(|blob| whole(*blob)).unwrap();
        assert!((4094..=4096).contains(&seal(most).len()), "neither the name nor the line's end counts");
    }

    #[test]
    fn a_token_of_any_length_is_what_another_library_makes_of_the_same_claims() {
        let secret = vec![7; 32];
        for length in 0..100 {
            let keys = vec![SigningKey { id: Some("k".repeat(length)), secret: secret.clone() }];
            let settings = Settings { keys, ..settings() };
            let audience = Audience::new("app", None);
            let data = format!("{{\"a\":\"{}\"}}", "ä".repeat(length));
            let record = record(&data);
            let sealer = Sealer::new(&settings).unwrap().unwrap();
            let sealed = seal(&sealer, &audience, Claims::Session(&handle(), &record));
            let (signed, signature) = sealed.rsplit_once('.').unwrap();
            let (header, claims) = signed.split_once('.').unwrap();
            let header = String::from_utf8(BASE64.decode(header).unwrap()).unwrap();
            assert!(header.contains(&format!("\"{}\"", "k".repeat(length))) && !claims.contains('.'));
            assert!(payload(&sealed).ends_with(&format!(",\"data\":{data}}}")));
            let key = jsonwebtoken::EncodingKey::from_secret(&secret);
            assert_eq!(jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Jose::HS256).unwrap(), signature);
        }
    }

    #[test]
    fn every_listed_key_verifies_and_nothing_else_does() {
        let audience = Audience::new("app", None);
        let token = seal(&sealer(), &audience, Claims::Session(&handle(), &record("{}")));
        let text = &token;
        let verified = sealer().verify(text, NOW + 59).unwrap();
        assert_eq!((verified.audience.as_str(), verified.sid.as_deref()), ("app", Some(handle().as_str())));
        assert_eq!(sealer().verify(text, NOW + 60), Err(TokenError::Expired));
        let rotated = Settings { keys: settings().keys.into_iter().rev().collect(), ..settings() };
        assert!(Sealer::new(&rotated).unwrap().unwrap().verify(text, NOW).is_ok());
        for i in 0..text.len() {
            let mut forged = text.as_bytes().to_vec();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            assert!(sealer().verify(std::str::from_utf8(&forged).unwrap(), NOW).is_err(), "character {i}");
        }
        let none = format!("{}.{}.", BASE64.encode("{\"alg\":\"none\"}"), BASE64.encode(payload(&token)));
        for forged in ["", ".", "..", "a.b.c", &none] {
            assert_eq!(sealer().verify(forged, NOW), Err(TokenError::Forged), "{forged}");
        }
        let other = Settings { issuer: "else".into(), ..settings() };
        assert_eq!(Sealer::new(&other).unwrap().unwrap().verify(text, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn asymmetric_tokens_verify_with_the_published_keys_and_no_private_part_is_published() {
        for (algorithm, theirs) in [(Algorithm::Es256, Jose::ES256), (Algorithm::EdDsa, Jose::EdDSA)] {
            let key = |id: Option<&str>| SigningKey {
                id: id.map(Into::into),
                secret: generate(algorithm).unwrap().into_bytes(),
            };
            let settings = Settings { algorithm, keys: vec![key(None), key(Some("k2"))], ..settings() };
            let sealer = Sealer::new(&settings).unwrap().unwrap();
            let audience = Audience::new("app", None);
            let token = seal(&sealer, &audience, Claims::Session(&handle(), &record("{\"a\":1}")));
            let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&sealer.jwks()).unwrap();
            assert_eq!(set.keys.len(), 2);
            let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
            let jwk = set.find(&kid).unwrap();
            assert_eq!(
                jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(),
                kid,
                "the default id is the RFC 7638 thumbprint"
            );
            let mut validation = Validation::new(theirs);
            validation.set_audience(&["app"]);
            let claims: Value = decode(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims;
            assert_eq!(claims["data"], json!({"a": 1}));
            assert!(sealer.verify(&token, NOW).is_ok());
            let other = DecodingKey::from_jwk(set.find("k2").unwrap()).unwrap();
            assert!(decode::<Value>(&token, &other, &validation).is_err());
            for private in ["\"d\"", "\"k\"", "\"p\"", "\"q\""] {
                assert!(!sealer.jwks().contains(private));
            }
        }
        assert_eq!(sealer().jwks(), "{\"keys\":[]}");
    }

    #[test]
    fn what_is_no_key_of_the_algorithm_is_refused() {
        let key = |secret: String| SigningKey { id: None, secret: secret.into_bytes() };
        let (es256, eddsa) = (generate(Algorithm::Es256).unwrap(), generate(Algorithm::EdDsa).unwrap());
        assert!(
            key(es256.clone()).check(Algorithm::Es256).is_ok() && key(eddsa.clone()).check(Algorithm::EdDsa).is_ok()
        );
        assert!(key(es256.clone()).check(Algorithm::EdDsa).is_err() && key(eddsa).check(Algorithm::Es256).is_err());
        assert!(key("x".repeat(64)).check(Algorithm::Es256).is_err());
        assert!(key(es256.replace("PRIVATE", "PUBLIC")).check(Algorithm::Es256).is_err());
    }

    /// What a token must say.
    fn wanted(issuer: &str, audience: &str, session: Option<&(Handle, Record)>, now: u64) -> Value {
        let mut wanted = json!({"iss": issuer, "aud": audience, "iat": now, "exp": now + 60, "data": {}});
        if let Some((handle, record)) = session {
            wanted["sid"] = json!(handle.as_str());
            wanted["ver"] = json!(record.version);
            (wanted["created"], wanted["expires"]) = (json!(1), json!(9));
            wanted["data"] = serde_json::from_str(&record.data).unwrap();
            if let Some(subject) = &record.subject {
                wanted["sub"] = json!(subject);
            }
        }
        wanted
    }

    proptest! {
        #[test]
        fn whatever_tokens_have_in_common_each_says_its_own(
            issuer in ".{0,4}",
            names in [".{0,4}", ".{0,4}"],
            subjects in collection::vec(option::of(".{0,6}"), 4),
            data in collection::vec("[\\x00-\\x7fä🦁]{0,6}", 4),
            steps in collection::vec((0..2_usize, 0..5_usize, 0..2_u64), 1..40),
        ) {
            let sealer = Sealer::new(&Settings { issuer: issuer.clone(), ..settings() }).unwrap().unwrap();
            let audiences = names.each_ref().map(|name| Audience::new(name, None));
            let sessions: Vec<(Handle, Record)> = subjects.into_iter().zip(data).enumerate().map(|(seed, (subject, data))| {
                let record = Record { version: seed as u64, subject, ..record(&json!({ "a": data }).to_string()) };
                (Locator::from_random([seed as u8; 16]).handle(), record)
            }).collect();
            let (mut openings, mut now) = ([None, None], NOW);
            for (to, who, later) in steps {
                now += later;
                let session = sessions.get(who);
                let claims = session.map_or(Claims::Anonymous, |(handle, record)| Claims::Session(handle, record));
                let sealed = sealer.seal(&mut openings[to], &audiences[to], claims, now).unwrap();
                let opening = openings[to].as_ref().unwrap();
                prop_assert_eq!(sealed.header.header.slice.as_ptr(), opening.line.slice.as_ptr());
                let token = text_of(&sealed);
                let said: Value = serde_json::from_str(&payload(&token)).unwrap();
                prop_assert_eq!(said, wanted(&issuer, &names[to], session, now));
                let (signed, signature) = token.rsplit_once('.').unwrap();
                let key = jsonwebtoken::EncodingKey::from_secret(&[7; 32]);
                prop_assert_eq!(jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Jose::HS256).unwrap(), signature);
            }
        }
    }
}
