//! Reads update and control from an application's response head and holds them against its rights.

use std::fmt;

use http::HeaderMap;

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
    /// The upstream may not say this.
    Beyond(Beyond),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Update(error) => write!(f, "the update header: {error}"),
            Self::Control(error) => error.fmt(f),
            Self::Beyond(beyond) => beyond.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Update(error) => Some(error),
            Self::Control(error) => Some(error),
            Self::Beyond(beyond) => Some(beyond),
        }
    }
}

/// What the response asks for. Each update line is one patch, in order; control lines are one dictionary.
///
/// # Errors
/// [`OpenError`]: then nothing of it may be carried out.
pub fn open(headers: &HeaderMap, settings: &Settings, rights: &Rights) -> Result<Change, OpenError> {
    let updates = headers.get_all(&settings.update_header).iter();
    let patches = updates.map(|line| Patch::parse(line.as_bytes())).collect::<Result<Vec<_>, _>>();
    let control = match headers.contains_key(&settings.control_header) {
        true => {
            let lines = headers.get_all(&settings.control_header).iter();
            Control::parse(lines.map(http::HeaderValue::as_bytes)).map_err(OpenError::Control)?
        }
        false => Control::default(),
    };
    let patches = patches.map_err(OpenError::Update)?;
    rights.allow(&patches, &control).map_err(OpenError::Beyond)?;
    let update = headers.contains_key(&settings.update_header).then_some(patches);
    Ok(Change { update, control })
}
