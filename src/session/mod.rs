//! What a session is, and what may become of it. Pure: every function computes and touches nothing;
//! time, randomness and the stored record are arguments.
//!
//! Reading order: [`ticket`] what the browser carries, [`record`] what the store keeps, [`document`] and
//! [`patch`] the data and its changes, [`control`] the verbs, [`rights`] who may say them, [`capture`] and [`vault`]
//! what an application that stays unmodified says without knowing it, [`homes`] the servers that keep it, [`policy`] the configured rules, [`mod@settle`] the decision table; [`root`] derives keys.

pub mod capture;
pub mod change;
pub mod control;
mod digits;
pub mod document;
pub mod homes;
pub mod patch;
pub mod policy;
pub mod record;
pub mod rights;
pub mod root;
pub mod settle;
pub mod ticket;
pub mod time;
pub mod vault;

pub use digits::hexadecimal;
pub use policy::Policy;
pub use ticket::{Handle, Ticket};
pub use time::Timestamp;
