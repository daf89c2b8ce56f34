//! Reads update and control from an application's response head and holds them against its rights.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Settings;
use crate::session::{
    change::Change,
    control::{Control, ControlError},
    patch::{Patch, PatchError},
    rights::{Beyond, Rights},
};

/// Why a response's headers are refused: step 1 of the order of errors. Never carries what they said.
#[derive(Debug)]
pub enum OpenError {
    /// An update line is no patch.
    Update(PatchError),
    /// The control header is no such dictionary.
    Control(ControlError),
    /// A captured header is not UTF-8.
    Capture(HeaderName),
    /// The upstream may not say this.
    Beyond(Beyond),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Update(error) => write!(f, "the update header: {error}"),
            Self::Control(error) => error.fmt(f),
            Self::Capture(name) => write!(f, "the captured header {name} is not UTF-8"),
            Self::Beyond(beyond) => beyond.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Update(error) => Some(error),
            Self::Control(error) => Some(error),
            Self::Capture(_) => None,
            Self::Beyond(beyond) => Some(beyond),
        }
    }
}

/// The update and control lines of a response: all in the map of its head, or all kept beside it.
pub struct Told<'a> {
    headers: Option<&'a HeaderMap>,
    beside: [Option<&'a [u8]>; 2],
    settings: &'a Settings,
}

impl<'a> Told<'a> {
    /// The one update line and the one control line beside this map, or else those in it.
    pub fn new(headers: &'a HeaderMap, beside: [Option<&'a [u8]>; 2], settings: &'a Settings) -> Self {
        let headers = beside.iter().all(Option::is_none).then_some(headers);
        Self { headers, beside, settings }
    }

    /// Whether there is an update line.
    pub fn has_update(&self) -> bool {
        self.updates().next().is_some()
    }

    /// Whether there is a control line.
    pub fn has_control(&self) -> bool {
        self.controls().next().is_some()
    }

    fn updates(&self) -> impl Iterator<Item = &'a [u8]> {
        self.lines(&self.settings.update_header, self.beside[0])
    }

    fn controls(&self) -> impl Iterator<Item = &'a [u8]> {
        self.lines(&self.settings.control_header, self.beside[1])
    }

    fn lines(&self, name: &'a HeaderName, beside: Option<&'a [u8]>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.headers.into_iter().flat_map(move |headers| headers.get_all(name));
        beside.into_iter().chain(lines.map(HeaderValue::as_bytes))
    }

    fn control(&self) -> Result<Control, OpenError> {
        if !self.has_control() {
            return Ok(Control::default());
        }
        Control::parse(self.controls()).map_err(OpenError::Control)
    }
}

/// The endings that a `5xx` answer asks for; what else it says is not even read (contract section 5).
///
/// # Errors
/// [`OpenError`]: the control header is no dictionary, or the upstream may not end what it wants to end.
pub fn open_endings(told: &Told<'_>, rights: &Rights) -> Result<Change, OpenError> {
    let said = Change { control: told.control()?, ..Change::default() };
    let endings = said.endings();
    rights.allow(Vec::new(), &endings.control).map_err(OpenError::Beyond)?;
    Ok(endings)
}

/// What the response asks for. Each update line is one patch, in order; control lines are one dictionary.
///
/// # Errors
/// [`OpenError`]: then nothing of it may be carried out.
pub fn open(told: &Told<'_>, rights: &Rights) -> Result<Change, OpenError> {
    let patches = told.updates().map(Patch::parse).collect::<Result<Vec<_>, _>>();
    let control = told.control()?;
    let patches = patches.map_err(OpenError::Update)?;
    let patches = rights.allow(patches, &control).map_err(OpenError::Beyond)?;
    let update = (!patches.is_empty()).then_some(patches);
    Ok(Change { update, control, ..Change::default() })
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, time::Duration};

    use super::*;
    use crate::{
        envelope::Algorithm,
        session::{change::Intent, document::Document, document::Pointer, rights::Verbs},
    };

    fn settings() -> Settings {
        Settings {
            header: "x-session".parse().unwrap(),
            update_header: "x-session-update".parse().unwrap(),
            control_header: "x-session-control".parse().unwrap(),
            issuer: String::new(),
            lifetime: Duration::ZERO,
            max_bytes: 0,
            algorithm: Algorithm::Hs256,
            keys: vec![],
        }
    }

    fn opened(lines: &[(&str, &[u8])], rights: &Rights) -> Result<Change, OpenError> {
        let (mut headers, settings) = (HeaderMap::new(), settings());
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let opened = open(&Told::new(&headers, [None; 2], &settings), rights);
        // It makes no difference where the lines are.
        let beside = [&settings.update_header, &settings.control_header].map(|name| headers.get(name).cloned());
        if lines.len() <= beside.iter().flatten().count() {
            let beside = beside.each_ref().map(|line| line.as_ref().map(HeaderValue::as_bytes));
            let again = open(&Told::new(&HeaderMap::new(), beside, &settings), rights);
            assert_eq!(format!("{opened:?}"), format!("{again:?}"));
        }
        opened
    }

    fn after(change: &Change, data: &str) -> String {
        let mut document = Document::parse(data).unwrap();
        change.patches().iter().for_each(|patch| patch.apply(&mut document, 1_000).unwrap());
        document.to_text()
    }

    const UPDATE: &str = "X-Session-Update";
    const CONTROL: &str = "x-session-CONTROL";

    #[test]
    fn a_response_that_says_nothing_asks_for_nothing() {
        let change = opened(&[("x-other", b"{}"), ("x-session", b"{}")], &Rights::default()).unwrap();
        assert!(change.update.is_none() && change.control == Control::default());
        assert_eq!(change.intent(), Intent::Nothing);
    }

    #[test]
    fn update_lines_are_patches_in_their_order() {
        let lines: [(&str, &[u8]); 4] = [
            (UPDATE, br#"{"a":1,"b":1}"#),
            (UPDATE, br#"[{"op":"move","from":"/a","path":"/c"}]"#),
            (UPDATE, b"eyJiIjpudWxsfQ"),
            (UPDATE, " {\"ü\":\"ü\"} ".as_bytes()),
        ];
        let change = opened(&lines, &Rights::default()).unwrap();
        assert_eq!(after(&change, "{}"), r#"{"c":1,"ü":"ü"}"#);
    }

    #[test]
    fn control_lines_are_one_dictionary_in_which_the_last_of_two_counts() {
        let lines: [(&str, &[u8]); 2] = [(CONTROL, b"rotate, subject=ada"), (CONTROL, b"subject=bob, idle=9")];
        let control = opened(&lines, &Rights::default()).unwrap().control;
        assert_eq!(control, Control::parse([&b"rotate, subject=bob, idle=9"[..]]).unwrap());
    }

    #[test]
    fn an_empty_update_is_there_which_matters_beside_destroy() {
        for (lines, wanted) in [
            (&[(CONTROL, &b"destroy"[..])][..], Intent::End),
            (&[(CONTROL, b"destroy"), (UPDATE, b"{}")], Intent::Replace),
            (&[(UPDATE, b"{}")], Intent::Nothing),
            (&[(CONTROL, b"")], Intent::Nothing),
        ] {
            assert_eq!(opened(lines, &Rights::default()).unwrap().intent(), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_whole() {
        for value in [
            &b""[..],
            b"null",
            b"\"a\"",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":NaN}",
            b"{\"a\":1",
            b"{\"a\":1} {}",
            b"{\"a\":\"\xff\"}",
            b"[{\"op\":\"none\"}]",
            b"e30=e30=",
            b"MQ",
        ] {
            for lines in [[(UPDATE, value), (CONTROL, b"rotate")], [(UPDATE, b"{}"), (UPDATE, value)]] {
                let error = opened(&lines, &Rights::default()).unwrap_err();
                assert!(matches!(error, OpenError::Update(_)) && error.source().is_some(), "{value:?}: {error:?}");
            }
        }
        for value in [&b"none"[..], b"destroy=1", b"idle=0", b"rotate;;", b"subject=(a b)", b"\xff"] {
            let error = opened(&[(UPDATE, b"{}"), (CONTROL, value)], &Rights::default()).unwrap_err();
            assert!(matches!(error, OpenError::Control(_)), "{value:?}: {error:?}");
        }
    }

    #[test]
    fn a_change_beyond_the_rights_is_refused_whole() {
        let places = |text: &str| Some(vec![Pointer::parse(text).unwrap()]);
        let rights = Rights {
            verbs: Verbs { rotate: false, ..Verbs::default() },
            may_write: places("/cart"),
            forward: places("/user"),
        };
        for (lines, wanted) in [
            (&[(CONTROL, &b"rotate"[..]), (UPDATE, b"{\"cart\":1}")][..], Beyond::Verb("rotate")),
            (&[(CONTROL, b"revoke-subject=bob")], Beyond::Verb("revoke")),
            (&[(UPDATE, b"{\"cart\":1}"), (UPDATE, b"{\"a\":1}")], Beyond::Write),
            (&[(UPDATE, b"[{\"op\":\"test\",\"path\":\"/cart\",\"value\":1}]")], Beyond::Read),
        ] {
            let error = opened(lines, &rights).unwrap_err();
            assert!(matches!(error, OpenError::Beyond(beyond) if beyond == wanted), "{lines:?}: {error:?}");
        }
        assert!(opened(&[(UPDATE, b"{\"cart\":1}"), (CONTROL, b"destroy")], &rights).is_ok());
    }

    #[test]
    fn an_error_says_nothing_of_what_the_headers_said() {
        for lines in [[(UPDATE, &b"{\"canary\":canary}"[..])], [(CONTROL, b"canary")], [(CONTROL, b"idle=\"canary\"")]]
        {
            let error = opened(&lines, &Rights::default()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error} {error:?}");
        }
    }
}
