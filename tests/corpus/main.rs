//! Malformed and hostile requests (threats.md sections 1 to 4), each named by the rule or the flaw that it stands for.
//!
//! A row says what is sent, what is answered, whether the connection goes on, and what the application sees: nothing, at
//! most a request that breaks off, or exactly this. Every row runs whole, cut in two at every byte, and byte by byte, and
//! the verdict must be the same. That a connection goes on is proven by one more request on it.

mod application;
mod client;
mod row;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use client::{Cut, run};
use rows::rows;

/// Of a long row, the cuts are all within this distance of its ends, and some between.
const EDGE: usize = 150;
const STRIDE: usize = 1_009;

fn cuts(length: usize) -> impl Iterator<Item = Cut> {
    let at_edge = move |at: usize| at <= EDGE || at + EDGE >= length;
    (1..length).filter(move |&at| length <= 4 * EDGE || at_edge(at) || at % STRIDE == 0).map(Cut::At)
}

#[test]
fn the_corpus_is_large_and_every_row_stands_for_something() {
    let rows = rows();
    let mut distinct = BTreeSet::new();
    assert!(rows.len() >= 700, "{} rows", rows.len());
    for row in &rows {
        assert!(distinct.insert(&row.send), "{} sends what another row sends", row.name);
    }
    assert_eq!(rows.iter().map(|row| &row.name).collect::<BTreeSet<_>>().len(), rows.len(), "two rows have one name");
    for row in &rows {
        assert!(["RFC ", "CVE-", "contract "].iter().any(|source| row.cites.starts_with(source)), "{}", row.name);
    }
}

#[test]
fn every_row_has_its_outcome_in_one_piece() {
    run(rows().into_iter().map(|row| (row, Cut::Nowhere)).collect());
}

#[test]
fn every_row_has_its_outcome_cut_in_two_at_every_byte() {
    let cases = rows().into_iter().flat_map(|row| cuts(row.send.len()).map(move |cut| (row.clone(), cut)));
    run(cases.collect());
}

#[test]
fn every_row_has_its_outcome_byte_by_byte() {
    run(rows().into_iter().filter(|row| row.send.len() < 10_000).map(|row| (row, Cut::Everywhere)).collect());
}
