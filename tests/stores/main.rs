//! What must hold for every store (contract sections 3, 5 and 8), through the public API: one suite, run over `memory:`,
//! over `file:` and over `redis://` against a private redis-server; then what a link to Redis has to endure. Each test is one
//! sentence. Interleavings are forced by calling the steps in that order or by holding the server's answer back; nothing
//! is left to luck and nothing sleeps to synchronise.

mod acknowledgements;
mod bench;
mod census;
mod clock;
mod commits;
mod double;
mod endings;
mod keys;
mod loads;
mod million;
mod moves;
mod outages;
mod pacing;
mod refusals;
mod scans;
mod seals;
#[path = "../support/mod.rs"]
mod support;
mod swaps;
mod touches;
#[path = "../support/visitor.rs"]
mod visitor;
mod ways;
