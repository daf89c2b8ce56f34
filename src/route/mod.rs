//! Host and path → route: a table that knows nothing of what a route does.
//!
//! The most specific host that has a matching prefix wins, then the longest prefix on segment boundaries. Paths are
//! *read* here, never rewritten: what goes upstream is the path as it came. Where servers could read a path in a way
//! that leads to another route, there is no answer but [`Ambiguous`], so that nobody walks around a `require`.

mod host;
mod path;
mod realm;
mod redirect;
mod table;

use std::fmt;

pub use host::HostPattern;
pub use path::PathPrefix;
pub use realm::realm;
pub use redirect::Redirect;
pub use table::{Ambiguous, Duplicate, Table};

/// A host pattern or path prefix that cannot be one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PatternFault {
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub cure: String,
}

impl PatternFault {
    fn new(problem: impl Into<String>, cure: impl Into<String>) -> PatternFault {
        PatternFault { problem: problem.into(), cure: cure.into() }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.problem, self.cure)
    }
}

impl std::error::Error for PatternFault {}
