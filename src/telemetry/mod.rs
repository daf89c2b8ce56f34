//! What an operator sees of the process from outside: how logs look, how numbers are counted, and how they are told.
//!
//! Rooms count what is theirs to know with the [`meter`]'s counters and tell it in their own words when somebody asks
//! ([`Source`]). This room knows none of their words. Counting is one relaxed addition to an atomic that only one shard
//! writes: no lock, no look-up, no allocation.

mod log;
pub mod meter;
mod page;
mod process;

pub use log::{Format, start};
pub use page::{Page, Source};
pub use process::Process;
