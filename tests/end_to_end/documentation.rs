//! README and reference say what is so: their configurations are loaded, their commands are run and answered as they
//! say, their keys are the example's, and the tests and files that they name exist.

pub(crate) mod blocks;
mod transcript;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cloakroom::config::{Faults, Loaded, Overrides, load};

use blocks::{Block, blocks};
use transcript::Transcript;

use crate::support::{Store, world};

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../docs/reference.md");
const DJANGO: &str = include_str!("../../docs/django.md");
const STORES: &str = include_str!("../../docs/stores.md");
const LEGACY: &str = include_str!("../../docs/legacy.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");
const SECURITY: &str = include_str!("../../docs/security.md");
const EXAMPLE: &str = include_str!("../../config.example.toml");
const PYTHON: &str = include_str!("../../examples/python/cloakroom.toml");
const NODE: &str = include_str!("../../examples/node/cloakroom.toml");
const PHP: &str = include_str!("../../examples/php/cloakroom.toml");
const HISTORY: &str = include_str!("../../examples/history/cloakroom.toml");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Loads a configuration in a folder with secrets at the places that the documentation names.
fn loaded(text: &str) -> Result<Loaded, Faults> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("keys")).expect("a folder for keys");
    for (name, secret) in [
        ("keys/root", "vJ8yq2Wn0TzL5uXcR1bE7hKdM3sGpA6f"),
        ("keys/token", "Qm4ZtY9xVb2LrN7wCk5HsJ1gDf8PuE3a"),
        ("keys/admin", "Rb6WqF3xNc8LtY1vKm9HpJ4gZs7DuE2a"),
    ] {
        fs::write(folder.path().join(name), secret).expect("a secret");
    }
    let file = folder.path().join("cloakroom.toml");
    fs::write(&file, text).expect("a configuration");
    let variable = |name: &str| match name {
        "REDIS_PASSWORD" => Some("hunter2".to_owned()),
        "CLOAKROOM_OLD_ROOT" => Some("yH3nB6tRw9KqLz1VxCf7PjSd5Gm2aE8u".to_owned()),
        _ => None,
    };
    load(Some(&file), &Overrides::default(), &variable)
}

/// The keys of a line's section, as the reference writes them.
fn section(header: &str) -> Option<String> {
    let name = header.trim_start_matches("# ").strip_prefix('[')?.split(']').next()?.trim_start_matches('[');
    Some(name.replace("upstreams.app", "upstreams.*").replace("routes", "routes.*"))
}

#[test]
fn every_configuration_of_the_readme_can_be_loaded() {
    let sound: Vec<Block<'_>> = blocks(README).filter(|block| block.kind == "toml").collect();
    assert_eq!(sound.len(), 3);
    for block in sound {
        let loaded = loaded(block.text).unwrap_or_else(|faults| panic!("README.md:{}: {faults}", block.line));
        assert_eq!(loaded.warnings, Vec::<String>::new(), "README.md:{}", block.line);
    }
    let broken = blocks(README).find(|block| block.kind == "toml broken").expect("a broken configuration");
    assert_eq!(loaded(broken.text).expect_err("faults").iter().count(), 3);
}

/// `tests/applications/run` runs them.
#[test]
fn every_configuration_for_a_legacy_application_can_be_loaded() {
    let sound: Vec<Block<'_>> = blocks(LEGACY).filter(|block| block.kind == "toml").collect();
    assert_eq!(sound.len(), 4);
    for block in sound {
        let loaded = loaded(block.text).unwrap_or_else(|faults| panic!("docs/legacy.md:{}: {faults}", block.line));
        assert_eq!(loaded.warnings, Vec::<String>::new(), "docs/legacy.md:{}", block.line);
    }
}

#[test]
fn the_configurations_of_the_examples_can_be_loaded() {
    for example in [PYTHON, NODE, PHP, HISTORY] {
        assert_eq!(loaded(example).unwrap_or_else(|faults| panic!("{faults}")).warnings, Vec::<String>::new());
    }
}

#[test]
fn the_reference_lists_exactly_the_keys_of_the_example() {
    let mut of = String::new();
    let mut example = BTreeSet::new();
    for line in EXAMPLE.lines() {
        let code = line.strip_prefix("# ").unwrap_or(line);
        if let Some((key, _)) = code.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            example.insert(format!("{of}.{key}"));
        } else {
            of = section(code).unwrap_or(of);
        }
    }
    let row = |line: &'static str| line.strip_prefix("| `")?.split_once('`').map(|(key, _)| key.to_owned());
    let tables = REFERENCE.lines().skip_while(|line| *line != "## Configuration");
    let tables = tables.take_while(|line| *line != "## The cookie");
    let reference: BTreeSet<String> = tables.filter_map(row).filter(|key| key.contains('.')).collect();
    assert!(example.len() > 50, "{example:?}");
    let apart: Vec<_> = example.symmetric_difference(&reference).collect();
    assert!(apart.is_empty(), "only in one of config.example.toml and docs/reference.md: {apart:?}");
}

#[test]
fn the_reference_has_the_defaults_of_the_example() {
    let mut of = String::new();
    for line in EXAMPLE.lines().filter(|line| !line.starts_with("# ")) {
        of = section(line).unwrap_or(of);
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.split(" #").next().unwrap_or_default().trim();
        let row = REFERENCE.lines().find(|row| row.starts_with(&format!("| `{of}.{key}` ")));
        let default = row.and_then(|row| row.split(" | ").nth(2)).expect("a row with a default");
        let in_words = ["the only one", "must be given", "all but `\"revoke\"`"].contains(&default);
        assert!(in_words || default == format!("`{value}`"), "{of}.{key} is {value} by default, not {default}");
    }
}

#[test]
fn the_tests_that_the_readme_names_exist() {
    let promised = README.lines().filter(|line| line.contains("::"));
    let names: Vec<_> = promised.flat_map(|line| line.split('`')).filter_map(|word| word.split_once("::")).collect();
    assert!(names.len() > 10, "{names:?}");
    for (room, test) in names {
        let source = Path::new(ROOT).join("tests/end_to_end").join(room).with_extension("rs");
        let source = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        assert!(source.contains(&format!("fn {test}(")), "there is no {room}::{test}");
    }
}

/// What a heading is linked to by.
fn anchor_of(line: &str) -> String {
    let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn the_files_that_are_linked_to_exist() {
    let docs = format!("{ROOT}/docs");
    for (page, folder) in [
        (README, ROOT),
        (REFERENCE, &docs),
        (DJANGO, &docs),
        (STORES, &docs),
        (LEGACY, &docs),
        (OPERATIONS, &docs),
        (TROUBLESHOOTING, &docs),
        (SECURITY, &docs),
    ] {
        let targets: Vec<&str> = page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(targets.len() > 1);
        for target in targets.into_iter().filter(|target| !target.starts_with("https:")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            assert!(file.is_empty() || Path::new(folder).join(file).exists(), "{target} leads nowhere");
            let linked = match file {
                "" => page.to_owned(),
                file if file.ends_with(".md") => fs::read_to_string(Path::new(folder).join(file)).expect("a page"),
                _ => continue,
            };
            let mut anchors = linked.lines().filter(|line| line.starts_with('#')).map(anchor_of);
            assert!(
                anchor.is_empty() || anchors.any(|heading| heading == anchor),
                "{target}: there is no such heading"
            );
        }
    }
}

#[test]
fn whoever_follows_the_guide_moves_to_another_store_with_everybody_logged_in() {
    let mut transcript = Transcript::new();
    let counter = blocks(README).find(|block| block.text.starts_with("# counter.py\n")).expect("the counter");
    transcript.follow(&counter);
    for block in blocks(STORES) {
        transcript.follow(&block);
    }
    assert_eq!(transcript.answered(), STORES.lines().filter(|line| line.starts_with("$ ")).count());
}

/// Issue 8, "must hold" 1: each way is followed to the letter, with two sessions of ada's and one of bob's.
#[test]
fn whoever_follows_the_guide_ends_all_sessions_of_a_user_and_nobody_elses() {
    const HEADING: &str = "## End all sessions of a user\n";
    let section = OPERATIONS.split(HEADING).nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    world(Store::Redis, |w| {
        let token = w.secret_file("admin");
        let proxy = w.proxy_with(&format!("admin.token = {{ file = {token:?} }}"));
        let mut transcript = Transcript::with_ports(vec![("9901", proxy.admin().port())]);
        transcript.write("cloakroom.toml", &proxy.text());
        transcript.write("keys/admin", &fs::read_to_string(token).expect("the token"));
        let log_in = |subject: &str| {
            let browser = w.browser(&proxy);
            browser.control(&format!("subject={subject}"));
            browser
        };
        let bob = log_in("bob");
        let mut ways = 0;
        for block in blocks(section).filter(|block| block.kind == "console") {
            let ada = [log_in("ada"), log_in("ada")];
            transcript.follow(&block);
            assert!(ada.iter().all(|browser| !browser.visit().is_live()), "line {} of the section", block.line);
            ways += 1;
        }
        assert!(ways > 0 && bob.visit().is_live());
    });
}

#[test]
fn the_commands_of_the_readme_answer_as_it_says() {
    let mut transcript = Transcript::new();
    for block in blocks(README) {
        transcript.follow(&block);
    }
    assert_eq!(transcript.answered(), README.lines().filter(|line| line.starts_with("$ ")).count());
}
