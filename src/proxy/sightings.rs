//! What the log says at `debug` about the cookies of applications (target `cloakroom::cookies`): their names, and where
//! they go. From a day of it whoever runs an application learns what to vault (docs/legacy.md). Values are never said,
//! and neither is a cookie without a name, which is all value.
//!
//! Costs nothing unless it is listened to.

use http::{HeaderMap, header::SET_COOKIE};
use tracing::{Level, debug, enabled};

use super::line::Route;
use crate::{
    cookie::{self, Life, SetCookie},
    session::time::Timestamp,
};

const TARGET: &str = "cloakroom::cookies";

/// The cookies with which a browser comes; `own` is the name of ours, and what is `vaulted` gets no further.
pub(super) fn sent(headers: &HeaderMap, route: &Route, own: &str, vaulted: impl Fn(&[u8]) -> bool) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    for name in cookie::names(headers).filter(|name| *name != own.as_bytes()) {
        let to = if vaulted(name) { "nobody" } else { "application" };
        debug!(target: TARGET, name = %name.escape_ascii(), to, route = route.name, "a browser sent a cookie");
    }
}

/// The cookies that an application sets; what is `vaulted` gets no further than the session.
pub(super) fn set(
    lines: &HeaderMap,
    route: &Route,
    own: &str,
    vaulted: impl Fn(&[u8]) -> bool,
    now: impl FnOnce() -> Timestamp,
) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let now = now();
    let cookies = lines.get_all(SET_COOKIE).iter().filter_map(|line| SetCookie::parse(line.as_bytes()));
    for SetCookie { name, path, life, .. } in cookies.filter(|cookie| cookie.name != own.as_bytes()) {
        let to = if vaulted(name) { "vault" } else { "browser" };
        let path = path.unwrap_or(b"(of the request)").escape_ascii();
        let until = match life {
            Life::Session => "closing",
            Life::Over => "now",
            Life::Until(at) if at <= now.0 => "now",
            Life::Span(_) | Life::Until(_) => "date",
        };
        debug!(target: TARGET, name = %name.escape_ascii(), to, %path, until, route = route.name, "an application set a cookie");
    }
}
