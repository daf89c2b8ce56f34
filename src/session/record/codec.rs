//! How a record is written down and read back. What cannot be read is an error that names a place and never the content.

use std::{fmt, iter, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use super::{Nonce, PLAIN, Record, Retired, SEALED, STAMP_LEN, Stamp, Stored, Tombstone, Writes};
use crate::session::{Timestamp, digits::sixteen, homes::Homes, ticket::SecretHash, time::millis, vault::Jar};

const FORMAT: u8 = b'1';
pub(super) const LIVE: u8 = b'L';
pub(super) const TOMBSTONE: u8 = b'T';

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&sixteen(self.0)).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        u64::from_str_radix(text, 16).map(Nonce).map_err(D::Error::custom)
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = URL_SAFE_NO_PAD.decode(<&str>::deserialize(deserializer)?).map_err(D::Error::custom)?;
        raw.try_into().map(SecretHash).map_err(|_| D::Error::custom("a secret hash has 32 bytes"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Timestamp)
    }
}

/// Why a stored value is no record.
#[derive(Debug)]
pub enum RecordError {
    /// The fixed part is not one of ours, or of a later format.
    Stamp,
    /// The body is still sealed, although whoever reads records opens them first: its seal is broken.
    Sealed,
    /// The body is of a kind that this version does not know.
    Mark(u8),
    /// The body is not what it should be. The position only: never the content.
    Body {
        /// Line and column in the body.
        position: (usize, usize),
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stamp => f.write_str("it does not begin like a record"),
            Self::Sealed => f.write_str("its seal is broken: it was damaged, changed, or sealed for another session"),
            Self::Mark(mark) => write!(f, "its body is of an unknown kind (0x{mark:02x})"),
            Self::Body { position: (line, column) } => write!(f, "its body cannot be read at {line}:{column}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<serde_json::Error> for RecordError {
    fn from(error: serde_json::Error) -> Self {
        Self::Body { position: (error.line(), error.column()) }
    }
}

#[derive(Deserialize)]
struct LiveBody<'a> {
    secret: SecretHash,
    #[serde(default)]
    retired: Vec<Retired>,
    #[serde(default)]
    writes: Vec<Nonce>,
    created: Timestamp,
    written: Timestamp,
    deadline: Timestamp,
    #[serde(default)]
    idle: Option<u64>,
    #[serde(default)]
    persistent: bool,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    vault: Jar,
    #[serde(default)]
    homes: Homes,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TombstoneBody {
    retired: Vec<Retired>,
    #[serde(default)]
    writes: Vec<Nonce>,
}

impl Stored {
    /// Reads a stored value.
    ///
    /// # Errors
    /// [`RecordError`] if it is anything but a record of this format.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let stamp = Stamp::of(bytes).ok_or(RecordError::Stamp)?;
        let (version, nonce) = (hex(&stamp.0[2..18])?, Nonce(hex(&stamp.0[18..])?));
        if stamp.0[0] != FORMAT {
            return Err(RecordError::Stamp);
        }
        let body = match bytes.get(STAMP_LEN) {
            Some(&PLAIN) => &bytes[STAMP_LEN + 1..],
            Some(&SEALED) => return Err(RecordError::Sealed),
            Some(&mark) => return Err(RecordError::Mark(mark)),
            None => return Err(RecordError::Stamp),
        };
        match stamp.0[1] {
            LIVE => Record::from_body(version, nonce, serde_json::from_slice(body)?).map(Self::from),
            TOMBSTONE => Ok(Tombstone::from_body(version, nonce, serde_json::from_slice(body)?).into()),
            _ => Err(RecordError::Stamp),
        }
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Live(record) => record.encode(),
            Self::Tombstone(tombstone) => tombstone.encode(),
        }
    }
}

impl Record {
    fn from_body(version: u64, nonce: Nonce, body: LiveBody<'_>) -> Result<Self, RecordError> {
        let data = body.data.map(RawValue::get).filter(|data| data.starts_with('{'));
        let data = data.ok_or(RecordError::Body { position: (1, 0) })?;
        Ok(Self {
            version,
            writes: writes(nonce, body.writes),
            secret: body.secret,
            retired: body.retired,
            created: body.created,
            written: body.written,
            deadline: body.deadline,
            idle: body.idle.map(Duration::from_millis),
            persistent: body.persistent,
            subject: body.subject,
            vault: body.vault,
            homes: body.homes,
            data: data.into(),
        })
    }

    /// Written by hand, for this happens with every save: names and order are those of [`LiveBody`]. What an application
    /// can say goes through a serializer, but for the data, which is the exact text.
    fn encode(&self) -> Vec<u8> {
        let mut out = begun(&self.stamp(), 512 + self.data.len());
        out.extend_from_slice(b"{\"secret\":");
        write_secret(&mut out, &self.secret);
        write_lists(&mut out, &self.retired, &self.writes);
        write_number(&mut out, b",\"created\":", self.created.0);
        write_number(&mut out, b",\"written\":", self.written.0);
        write_number(&mut out, b",\"deadline\":", self.deadline.0);
        if let Some(idle) = self.idle {
            write_number(&mut out, b",\"idle\":", millis(idle));
        }
        if self.persistent {
            out.extend_from_slice(b",\"persistent\":true");
        }
        if let Some(subject) = &self.subject {
            write_json(&mut out, b",\"subject\":", subject);
        }
        if !self.vault.is_empty() {
            write_json(&mut out, b",\"vault\":", &self.vault);
        }
        if !self.homes.is_empty() {
            write_json(&mut out, b",\"homes\":", &self.homes);
        }
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(self.data.as_bytes());
        out.push(b'}');
        out
    }
}

impl Tombstone {
    fn from_body(version: u64, nonce: Nonce, body: TombstoneBody) -> Self {
        Self { version, writes: writes(nonce, body.writes), retired: body.retired }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = begun(&stamp(TOMBSTONE, self.version, &self.writes), 512);
        out.extend_from_slice(b"{\"retired\":");
        write_retired(&mut out, &self.retired);
        write_lists(&mut out, &[], &self.writes);
        out.push(b'}');
        out
    }
}

fn writes(nonce: Nonce, older: Vec<Nonce>) -> Writes {
    iter::once(nonce).chain(older).collect()
}

fn begun(stamp: &Stamp, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room);
    out.extend_from_slice(&stamp.0);
    out.push(PLAIN);
    out
}

fn write_number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_json(out: &mut Vec<u8>, name: &[u8], value: &impl Serialize) {
    out.extend_from_slice(name);
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "it serialises");
}

/// Both only if there is something in them; the last write's nonce is in the stamp.
fn write_lists(out: &mut Vec<u8>, retired: &[Retired], writes: &[Nonce]) {
    if !retired.is_empty() {
        out.extend_from_slice(b",\"retired\":");
        write_retired(out, retired);
    }
    if let Some((_, older @ [_, ..])) = writes.split_first() {
        out.extend_from_slice(b",\"writes\":");
        let mut text = *b"[\"................\"";
        for nonce in older {
            place(&mut text, 2, sixteen(nonce.0));
            out.extend_from_slice(&text);
            text[0] = b',';
        }
        out.push(b']');
    }
}

fn write_retired(out: &mut Vec<u8>, retired: &[Retired]) {
    out.push(b'[');
    for (at, Retired(secret, until)) in retired.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",[" } else { b"[" });
        write_secret(out, secret);
        write_number(out, b",", until.0);
        out.push(b']');
    }
    out.push(b']');
}

fn write_secret(out: &mut Vec<u8>, secret: &SecretHash) {
    let mut text = [b'"'; 45];
    let written = URL_SAFE_NO_PAD.encode_slice(secret.0, &mut text[1..44]);
    debug_assert!(written == Ok(43), "32 bytes are 43 characters");
    out.extend_from_slice(&text);
}

pub(super) fn stamp(state: u8, version: u64, writes: &[Nonce]) -> Stamp {
    let nonce = writes.first().map_or(0, |nonce| nonce.0);
    let mut bytes = [0; STAMP_LEN];
    place(&mut bytes, 0, [FORMAT, state]);
    place(&mut bytes, 2, sixteen(version));
    place(&mut bytes, 18, sixteen(nonce));
    Stamp(bytes)
}

/// Puts as many bytes somewhere: their number is known when this is compiled.
fn place<const COUNT: usize>(text: &mut [u8], at: usize, bytes: [u8; COUNT]) {
    if let Some(there) = text[at..].first_chunk_mut() {
        *there = bytes;
    }
}

fn hex(digits: &[u8]) -> Result<u64, RecordError> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(RecordError::Stamp),
        };
        Ok(number << 4 | u64::from(value))
    })
}
