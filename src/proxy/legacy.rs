//! What a route does for an application that stays unmodified (contract section 6): its settings, and the steps of the
//! line that carry them out. What the values are is decided in `envelope`; here the request's head is dressed.

use http::HeaderMap;
use tracing::{debug, warn};

use super::{Shard, line::Route, steps::Visitor};
use crate::{
    envelope::{Injection, Unfit},
    session::document::Document,
};

/// What one route does beside token, update and control. Means nothing on a route without sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Request headers made of session data.
    pub inject: Vec<Injection>,
}

impl Legacy {
    /// Whether any of it looks at the session's data before the application is asked.
    fn reads_data(&self) -> bool {
        !self.inject.is_empty()
    }
}

impl Shard {
    /// The session's data, where the route makes something of it. A visitor without a session has none.
    pub(super) fn read_data(&self, route: &Route, visitor: &Visitor) -> Option<Document> {
        let record = visitor.record().filter(|_| route.legacy.reads_data())?;
        Document::parse(&record.data).ok()
    }

    /// Puts in the headers that the route makes of the data. Every client's own copies are gone by now, on every route.
    pub(super) fn inject(&self, headers: &mut HeaderMap, route: &Route, data: Option<&Document>) {
        let Some(data) = data else { return };
        for Injection { name, template } in &route.legacy.inject {
            match template.fill(data) {
                Ok(value) => drop(headers.insert(name, value)),
                Err(Unfit::Missing) => debug!(target: "cloakroom::proxy", route = route.name, %name, "not injected"),
                Err(unfit) => {
                    warn!(target: "cloakroom::proxy", route = route.name, %name, %unfit, "a header is not injected");
                }
            }
        }
    }
}
