//! One session as it travels from store to store: a line of JSON that holds everything of its record.
//!
//! ```text
//! {"format":"cloakroom-sessions","version":1,"time":1767225600000}
//! {"live":{"handle":"...","version":3,"expires":...,"writes":["..."],"secret":"...","retired":[["...",...]],
//!          "created":...,"written":...,"deadline":...,"idle":...,"persistent":true,"subject":"...",
//!          "vault":[["upstream","name","path","value",end],...],"homes":{"upstream":"server"},"data":{...}}}
//! {"destroyed":{"handle":"...","version":4,"expires":...,"writes":["..."],"retired":[["...",...]]}}
//! {"end":{"sessions":2}}
//! ```
//! Times are milliseconds since the epoch by the store's clock, `idle` is a span in milliseconds; in the vault every byte
//! is the character of its number. What a line must not be
//! is refused, with a place or a reason and never with what stands there: an unknown field as well, for whoever drops
//! one changes a session in silence.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Nonce, RETIRED, Record, Retired, Stored, Tombstone, WRITES};
use crate::session::{
    Handle, Timestamp, control::is_subject, document::Document, homes::Homes, ticket::SecretHash, time::millis,
    vault::Jar,
};

/// What the first line calls the format.
const FORMAT: &str = "cloakroom-sessions";
/// Its only version so far.
const VERSION: u64 = 1;

/// A session or tombstone with its name and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its name in every store.
    pub handle: Handle,
    /// The whole record.
    pub stored: Stored,
    /// When it ends if nobody comes: the store's expiry as a point in time.
    pub expires: Timestamp,
}

/// A line behind the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A session.
    Parcel(Box<Parcel>),
    /// The last line, and how many sessions stand before it.
    End(u64),
}

/// Why a line cannot be read. Never says what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParcelError {
    /// The first line is not that of an export.
    NoExport,
    /// An export of a version that this program does not know.
    Version(u64),
    /// Not a line of this format, as far as this column.
    Form(usize),
    /// A line of this format that no store could have held.
    Content(&'static str),
}

impl fmt::Display for ParcelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExport => f.write_str("this is not the first line of an export of sessions"),
            Self::Version(version) => {
                write!(f, "the export has version {version}, and this program knows version {VERSION} only")
            }
            Self::Form(column) => write!(f, "no session of this format (column {column})"),
            Self::Content(fault) => f.write_str(fault),
        }
    }
}

impl std::error::Error for ParcelError {}

#[derive(Serialize, Deserialize)]
struct Opening<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u64,
    #[serde(default)]
    time: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form<'a> {
    #[serde(borrow)]
    Live(Live<'a>),
    #[serde(borrow)]
    Destroyed(Destroyed<'a>),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    sessions: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Live<'a> {
    #[serde(borrow)]
    handle: Cow<'a, str>,
    version: u64,
    expires: Timestamp,
    writes: Vec<Nonce>,
    secret: SecretHash,
    #[serde(default)]
    retired: Vec<Retired>,
    created: Timestamp,
    written: Timestamp,
    deadline: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
    #[serde(default)]
    persistent: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Jar::is_empty")]
    vault: Jar,
    #[serde(default, skip_serializing_if = "Homes::is_empty")]
    homes: Homes,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Destroyed<'a> {
    #[serde(borrow)]
    handle: Cow<'a, str>,
    version: u64,
    expires: Timestamp,
    writes: Vec<Nonce>,
    retired: Vec<Retired>,
}

/// The first line of an export; `time` is the store's at that moment.
pub fn opening(time: Timestamp) -> String {
    text(&Opening { format: FORMAT.into(), version: VERSION, time })
}

/// The last line of an export of so many sessions.
pub fn closing(sessions: u64) -> String {
    text(&Form::End(End { sessions }))
}

/// Reads the first line: the exporting store's time.
///
/// # Errors
/// [`ParcelError::NoExport`], [`ParcelError::Version`]
pub fn open(line: &str) -> Result<Timestamp, ParcelError> {
    let opening: Opening<'_> = serde_json::from_str(line).map_err(|_| ParcelError::NoExport)?;
    match opening.version {
        _ if opening.format != FORMAT => Err(ParcelError::NoExport),
        VERSION => Ok(opening.time),
        other => Err(ParcelError::Version(other)),
    }
}

impl Line {
    /// Reads any line but the first.
    ///
    /// # Errors
    /// [`ParcelError::Form`], [`ParcelError::Content`]
    pub fn parse(line: &str) -> Result<Self, ParcelError> {
        let form = serde_json::from_str(line).map_err(|error| ParcelError::Form(error.column()))?;
        let parcel = match form {
            Form::End(End { sessions }) => return Ok(Self::End(sessions)),
            Form::Live(live) => live.parcel()?,
            Form::Destroyed(destroyed) => destroyed.parcel()?,
        };
        Ok(Self::Parcel(Box::new(parcel)))
    }
}

impl Parcel {
    /// Its line, without the end of the line.
    ///
    /// # Errors
    /// The record holds what no proxy writes, and no import would take.
    pub fn to_line(&self) -> Result<String, ParcelError> {
        let handle = Cow::Borrowed(self.handle.as_str());
        match &self.stored {
            Stored::Live(record) => {
                check(record.version, &record.writes, &record.retired)?;
                let data = document(&record.data)?;
                let data: &RawValue = serde_json::from_str(&data).map_err(|_| NO_DOCUMENT)?;
                Ok(text(&Form::Live(Live {
                    handle,
                    version: record.version,
                    expires: self.expires,
                    writes: record.writes.to_vec(),
                    secret: record.secret,
                    retired: record.retired.clone(),
                    created: record.created,
                    written: record.written,
                    deadline: record.deadline,
                    idle: record.idle.map(millis),
                    persistent: record.persistent,
                    subject: record.subject.as_deref().map(Cow::Borrowed),
                    vault: record.vault.clone(),
                    homes: record.homes.clone(),
                    data,
                })))
            }
            Stored::Tombstone(tombstone) => {
                let Tombstone { version, writes, retired } = &**tombstone;
                check(*version, writes, retired)?;
                let (version, writes, retired) = (*version, writes.to_vec(), retired.clone());
                Ok(text(&Form::Destroyed(Destroyed { handle, version, expires: self.expires, writes, retired })))
            }
        }
    }
}

impl Live<'_> {
    fn parcel(self) -> Result<Parcel, ParcelError> {
        check(self.version, &self.writes, &self.retired)?;
        let faults = [
            (self.deadline < self.created, "its deadline lies before its creation"),
            (self.written < self.created, "it was written before its creation"),
            (self.idle == Some(0), "its idle timeout is zero"),
            (
                self.subject.as_ref().is_some_and(|subject| subject.is_empty() || !is_subject(subject)),
                "its subject is empty, too long or has control characters",
            ),
            (!self.vault.is_sound(), "its vault has a cookie that no application could have set"),
        ];
        if let Some((_, fault)) = faults.into_iter().find(|(found, _)| *found) {
            return Err(ParcelError::Content(fault));
        }
        let record = Record {
            version: self.version,
            writes: self.writes.into_iter().collect(),
            secret: self.secret,
            retired: self.retired,
            created: self.created,
            written: self.written,
            deadline: self.deadline,
            idle: self.idle.map(Duration::from_millis),
            persistent: self.persistent,
            subject: self.subject.map(Cow::into_owned),
            vault: self.vault,
            homes: self.homes,
            data: document(self.data.get())?.into(),
        };
        Ok(Parcel { handle: handle(&self.handle)?, stored: record.into(), expires: self.expires })
    }
}

impl Destroyed<'_> {
    fn parcel(self) -> Result<Parcel, ParcelError> {
        check(self.version, &self.writes, &self.retired)?;
        let writes = self.writes.into_iter().collect();
        let tombstone = Tombstone { version: self.version, writes, retired: self.retired };
        Ok(Parcel { handle: handle(&self.handle)?, stored: tombstone.into(), expires: self.expires })
    }
}

const NO_DOCUMENT: ParcelError =
    ParcelError::Content("its data is no JSON object, names a key twice or is nested too deep");

fn document(text: &str) -> Result<String, ParcelError> {
    Document::parse(text).map(|document| document.to_text()).map_err(|_| NO_DOCUMENT)
}

fn handle(text: &str) -> Result<Handle, ParcelError> {
    Handle::parse(text).ok_or(ParcelError::Content("its handle is none"))
}

fn check(version: u64, writes: &[Nonce], retired: &[Retired]) -> Result<(), ParcelError> {
    let fault = match () {
        () if version == 0 => "its version is zero",
        () if writes.is_empty() || writes.len() > WRITES => "it has no writes, or more than are remembered",
        () if retired.len() > RETIRED => "it has more retired secrets than are remembered",
        () => return Ok(()),
    };
    Err(ParcelError::Content(fault))
}

fn text(form: &impl Serialize) -> String {
    let text = serde_json::to_string(form);
    debug_assert!(text.is_ok(), "a line serialises");
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        ticket::Locator,
        vault::{Offer, Renewal},
    };

    fn vault() -> Jar {
        let mut vault = Jar::default();
        vault.take(&Offer {
            upstream: "app".into(),
            name: b"PHPSESSID"[..].into(),
            path: b"/"[..].into(),
            value: Some(b"\"\\\xe9"[..].into()),
            expires: Some(Timestamp(9)),
            renewal: Renewal::Rotates,
        });
        vault
    }

    fn homes() -> Homes {
        serde_json::from_str(r#"{"app":"unix:/run/\u00e9.sock"}"#).unwrap()
    }

    fn record() -> Record {
        Record {
            version: 3,
            writes: [Nonce(5), Nonce(u64::MAX)].into(),
            secret: SecretHash([1; 32]),
            retired: vec![Retired(SecretHash([2; 32]), Timestamp(1_000))],
            created: Timestamp(100),
            written: Timestamp(200),
            deadline: Timestamp(86_400_000),
            idle: Some(Duration::from_millis(1500)),
            persistent: true,
            subject: Some("ada \"\\ \u{1f980}".into()),
            vault: vault(),
            homes: homes(),
            data: r#"{"n":1.10,"big":12345678901234567890123,"$serde_json::private::RawValue":"1","e":1e400,"ü":"\n"}"#
                .into(),
        }
    }

    fn parcel(stored: Stored) -> Parcel {
        Parcel { handle: Locator::from_random([7; 16]).handle(), stored, expires: Timestamp(50_000) }
    }

    fn line() -> String {
        parcel(record().into()).to_line().unwrap()
    }

    #[test]
    fn a_parcel_reads_back_exactly_as_it_was_written() {
        let bare =
            Record { subject: None, idle: None, retired: vec![], vault: Jar::default(), data: "{}".into(), ..record() };
        let bare = Record { homes: Homes::default(), ..bare };
        let tombstone = Tombstone { version: 9, writes: [Nonce(1)].into(), retired: record().retired };
        for stored in [Stored::from(record()), bare.into(), tombstone.into()] {
            let parcel = parcel(stored);
            let line = parcel.to_line().unwrap();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(Line::parse(&line), Ok(Line::Parcel(Box::new(parcel))));
        }
        assert_eq!(Line::parse(&closing(17)), Ok(Line::End(17)));
        assert_eq!(open(&opening(Timestamp(99))), Ok(Timestamp(99)));
    }

    #[test]
    fn the_format_is_what_the_documentation_says() {
        assert_eq!(opening(Timestamp(99)), r#"{"format":"cloakroom-sessions","version":1,"time":99}"#);
        assert_eq!(closing(2), r#"{"end":{"sessions":2}}"#);
        let plain = Record { subject: Some("ada".into()), data: r#"{"a":1}"#.into(), ..record() };
        let line = parcel(plain.into()).to_line().unwrap();
        let handle = Locator::from_random([7; 16]).handle();
        let (secret, retired) = ("AQEB".repeat(10) + "AQE", "AgIC".repeat(10) + "AgI");
        let wanted = format!(
            "{{\"live\":{{\"handle\":\"{handle}\",\"version\":3,\"expires\":50000,\
             \"writes\":[\"0000000000000005\",\"ffffffffffffffff\"],\"secret\":\"{secret}\",\
             \"retired\":[[\"{retired}\",1000]],\"created\":100,\"written\":200,\"deadline\":86400000,\
             \"idle\":1500,\"persistent\":true,\"subject\":\"ada\",\
             \"vault\":[[\"app\",\"PHPSESSID\",\"/\",\"\\\"\\\\é\",9]],\"homes\":{{\"app\":\"unix:/run/é.sock\"}},\
             \"data\":{{\"a\":1}}}}}}"
        );
        assert_eq!(line, wanted);
    }

    #[test]
    fn data_with_line_breaks_between_its_tokens_still_is_one_line() {
        let loose = Record { data: "{\n \"a\" :\r\n 1 }".into(), ..record() };
        let line = parcel(loose.into()).to_line().unwrap();
        assert!(line.ends_with(r#""data":{"a":1}}}"#), "{line}");
    }

    #[test]
    fn the_first_line_says_whose_export_it_is() {
        for (line, wanted) in [
            ("", ParcelError::NoExport),
            ("{}", ParcelError::NoExport),
            ("not JSON", ParcelError::NoExport),
            (r#"{"format":"something-else","version":1,"time":0}"#, ParcelError::NoExport),
            (r#"{"format":"cloakroom-sessions"}"#, ParcelError::NoExport),
            (r#"{"format":"cloakroom-sessions","version":2,"new":true}"#, ParcelError::Version(2)),
            (r#"{"format":"cloakroom-sessions","version":0}"#, ParcelError::Version(0)),
        ] {
            assert_eq!(open(line), Err(wanted), "{line}");
        }
        assert!(open(&line()).is_err());
    }

    #[test]
    fn what_no_store_could_have_held_is_refused() {
        let many = |from: &str, one: &str, count: usize| (from.to_owned(), vec![one; count].join(","));
        let retired = format!("[\"{}\",1000]", "AgIC".repeat(10) + "AgI");
        for (from, to) in [
            ("\"version\":3".to_owned(), "\"version\":0".to_owned()),
            ("\"version\":3".to_owned(), "\"version\":-1".to_owned()),
            ("\"version\":3".to_owned(), "\"version\":3,\"version\":3".to_owned()),
            ("\"version\":3".to_owned(), "\"version\":3,\"luggage\":{}".to_owned()),
            ("\"version\":3,".to_owned(), String::new()),
            many("\"0000000000000005\",\"ffffffffffffffff\"", "\"0000000000000005\"", WRITES + 1),
            many("\"0000000000000005\",\"ffffffffffffffff\"", "", 1),
            many(&retired, &retired, RETIRED + 1),
            ("\"created\":100".to_owned(), "\"created\":201".to_owned()),
            ("\"deadline\":86400000".to_owned(), "\"deadline\":99".to_owned()),
            ("\"idle\":1500".to_owned(), "\"idle\":0".to_owned()),
            ("\"idle\":1500".to_owned(), "\"idle\":1.5".to_owned()),
            ("\"ada ".to_owned(), format!("\"{}", "x".repeat(300))),
            ("\"ada ".to_owned(), "\"\\u0000".to_owned()),
            ("PHPSESSID".to_owned(), "PHP;SESSID".to_owned()),
            ("PHPSESSID".to_owned(), String::new()),
            ("\"PHPSESSID\",\"/\"".to_owned(), "\"PHPSESSID\",\"\"".to_owned()),
            ("é\",9]".to_owned(), "\\r\\nX: y\",9]".to_owned()),
            ("é\",9]".to_owned(), "\u{100}\",9]".to_owned()),
            ("\",9]]".to_owned(), "\",9],[\"app\",\"PHPSESSID\",\"/\",\"\",null]]".to_owned()),
            ("{\"n\":1.10".to_owned(), "{\"n\":1,\"n\":1.10".to_owned()),
            ("\"data\":{".to_owned(), "\"data\":[{".to_owned()),
            ("\"secret\":\"AQ".to_owned(), "\"secret\":\"".to_owned()),
            ("\"handle\":\"".to_owned(), "\"handle\":\"x".to_owned()),
            ("{\"live\"".to_owned(), "{\"dead\"".to_owned()),
        ] {
            let broken = line().replacen(&from, &to, 1);
            assert_ne!(broken, line(), "{from}");
            let error = Line::parse(&broken).expect_err(&broken).to_string();
            assert!(!error.contains("ada") && !error.contains("1.10") && !error.contains("luggage"), "{error}");
        }
        let nested = Record { data: format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)).into(), ..record() };
        assert_eq!(parcel(nested.into()).to_line(), Err(NO_DOCUMENT));
    }

    #[test]
    fn a_line_that_was_cut_is_an_error_and_never_a_panic() {
        let line = line();
        for cut in (0..line.len()).filter(|cut| line.is_char_boundary(*cut)) {
            assert!(Line::parse(&line[..cut]).is_err(), "{cut}");
        }
    }
}
