//! What a session is.

pub mod document;
pub mod patch;
