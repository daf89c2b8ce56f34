//! Replays what the fuzz targets (`fuzz/run`) began with and what once broke an invariant.

#[path = "../fuzz/invariants/mod.rs"]
mod invariants;

use std::{fs, path::Path};

#[test]
fn no_seed_and_no_finding_breaks_an_invariant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (target, _) in invariants::ALL {
        let mut inputs = 0;
        for kind in ["seeds", "findings"] {
            let Ok(files) = fs::read_dir(folder.join(kind).join(target)) else { continue };
            for file in files {
                invariants::check(target, &fs::read(file.expect("a file").path()).expect("its bytes"));
                inputs += 1;
            }
        }
        assert!(inputs >= 3, "{target} has {inputs} inputs");
    }
}

#[test]
fn every_target_is_built_and_run() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (target, _) in invariants::ALL {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}
