//! The browser side: our cookie in a request, and the `Set-Cookie` line that the browser learns it from; and the
//! application's cookies that shall not reach a browser.
//!
//! Bytes in, bytes out: what a ticket means, and whether one is set at all, is decided elsewhere. Settings that browsers
//! refuse have no type: a [`Scope::Host`] *is* secure, on path `/`, without domain. Reading is strict (exact name, value
//! as sent) and touches no cookies but ours and those that it is told.

mod own;
mod read;
mod scan;
mod set;
mod settings;

pub use own::Own;
pub use read::{Life, SetCookie};
pub use scan::{covers_set_cookie, hand_out, join_crumbs, keep_back, names, strip, take_back, tickets};
pub use set::{LONGEST_MAX_AGE, delete, issue};
pub use settings::{Fault, Parts, SameSite, Scope, Settings};
