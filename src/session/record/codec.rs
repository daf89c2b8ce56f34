//! How a record is written down and read back. What cannot be read is an error that names a place and never the content.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use super::{Nonce, PLAIN, Record, Retired, SEALED, STAMP_LEN, Stamp, Stored, Tombstone, joined};
use crate::session::{Timestamp, homes::Homes, ticket::SecretHash, time::millis, vault::Jar};

const FORMAT: u8 = b'1';
pub(super) const LIVE: u8 = b'L';
pub(super) const TOMBSTONE: u8 = b'T';

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&digits(self.0)).unwrap_or_default())
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

#[derive(Serialize, Deserialize)]
struct LiveBody<'a> {
    secret: SecretHash,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<Retired>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    writes: Vec<Nonce>,
    created: Timestamp,
    written: Timestamp,
    deadline: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    persistent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Jar::is_empty")]
    vault: Jar,
    #[serde(default, skip_serializing_if = "Homes::is_empty")]
    homes: Homes,
    #[serde(borrow, default, skip_serializing)]
    data: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct TombstoneBody {
    retired: Vec<Retired>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
            LIVE => Record::from_body(version, nonce, serde_json::from_slice(body)?).map(Self::Live),
            TOMBSTONE => Ok(Self::Tombstone(Tombstone::from_body(version, nonce, serde_json::from_slice(body)?))),
            _ => Err(RecordError::Stamp),
        }
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_behind(&[PLAIN])
    }

    /// The stamp, then `mark`, then the plain body: for whoever is about to seal it where it stands.
    pub fn encode_behind(&self, mark: &[u8]) -> Vec<u8> {
        match self {
            Self::Live(record) => record.encode(mark),
            Self::Tombstone(tombstone) => {
                let body = TombstoneBody { retired: tombstone.retired.clone(), writes: older(&tombstone.writes) };
                encode(&stamp(TOMBSTONE, tombstone.version, &tombstone.writes), mark, &body, 0)
            }
        }
    }
}

impl Record {
    fn from_body(version: u64, nonce: Nonce, body: LiveBody<'_>) -> Result<Self, RecordError> {
        let data = body.data.map(RawValue::get).filter(|data| data.starts_with('{'));
        let data = data.ok_or(RecordError::Body { position: (1, 0) })?;
        Ok(Self {
            version,
            writes: joined(nonce, body.writes),
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

    /// The data is the exact text, so it is written behind the rest and not through a serializer.
    fn encode(&self, mark: &[u8]) -> Vec<u8> {
        let body = LiveBody {
            secret: self.secret,
            retired: self.retired.clone(),
            writes: older(&self.writes),
            created: self.created,
            written: self.written,
            deadline: self.deadline,
            idle: self.idle.map(millis),
            persistent: self.persistent,
            subject: self.subject.clone(),
            vault: self.vault.clone(),
            homes: self.homes.clone(),
            data: None,
        };
        let mut out = encode(&self.stamp(), mark, &body, self.data.len());
        out.pop();
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(self.data.as_bytes());
        out.push(b'}');
        out
    }
}

impl Tombstone {
    fn from_body(version: u64, nonce: Nonce, body: TombstoneBody) -> Self {
        Self { version, writes: joined(nonce, body.writes), retired: body.retired }
    }
}

fn older(writes: &[Nonce]) -> Vec<Nonce> {
    writes.iter().skip(1).copied().collect()
}

/// `more`: how many bytes will follow.
fn encode(stamp: &Stamp, mark: &[u8], body: &impl Serialize, more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + more);
    out.extend_from_slice(&stamp.0);
    out.extend_from_slice(mark);
    let written = serde_json::to_writer(&mut out, body);
    debug_assert!(written.is_ok(), "a record serialises");
    out
}

pub(super) fn stamp(state: u8, version: u64, writes: &[Nonce]) -> Stamp {
    let nonce = writes.first().map_or(0, |nonce| nonce.0);
    let mut bytes = [0; STAMP_LEN];
    bytes[..2].copy_from_slice(&[FORMAT, state]);
    bytes[2..18].copy_from_slice(&digits(version));
    bytes[18..].copy_from_slice(&digits(nonce));
    Stamp(bytes)
}

/// Sixteen lower-case hexadecimal digits. Every request has some, so they go without the formatter.
fn digits(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15])
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
