//! `cloakroom check`: every fault of a configuration at once.

use std::path::Path;

use super::{Failure, complain, environment, say};
use crate::config::{self, Overrides};

pub(super) fn check(file: Option<&Path>) -> Result<(), Failure> {
    let loaded = config::load(file, &Overrides::default(), &environment)?;
    for warning in &loaded.warnings {
        complain(format_args!("warning: {warning}"));
    }
    say("the configuration is good");
    Ok(())
}
