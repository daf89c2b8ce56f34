#![no_main]
#![allow(dead_code, reason = "each target uses its part")]

#[path = "../invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|input: &[u8]| invariants::check("record", input));
