//! Contract 9 and 10: every fault of a configuration at once, each with its place and its cure. Issue 2, "must
//! hold" 9.

use std::fs;

use tempfile::TempDir;

use crate::support::{Said, cloakroom};

/// A folder with a configuration and two good secrets.
struct Folder(TempDir);

impl Folder {
    fn with(config: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("cloakroom.toml"), config).expect("writing the configuration");
        let secrets = [("root", "q0Zt7vXc2JmW9sRkLb4nYf8uHe1gTd5a"), ("token", "Vb3xNq8wKz1rPc6mUj9sHd2tFy5eGa7L")];
        for (name, secret) in secrets {
            fs::write(folder.path().join(name), secret).expect("writing a secret");
        }
        Self(folder)
    }

    fn says(&self, command: &str) -> Said {
        cloakroom(self.0.path(), &[command, "--config", "cloakroom.toml"])
    }
}

const GOOD: &str = r#"
[listen]
address = "127.0.0.1:0"
[token]
keys = [{ id = "k1", file = "token" }]
[keys]
root = [{ file = "root" }]
[store]
url = "redis://127.0.0.1:6379/0"
[upstreams.app]
servers = ["http://127.0.0.1:3000"]
"#;

/// Four faults; the number of each one's line is part of the test.
const FOUR_FAULTS: &str = r#"[listen]
address = "127.0.0.1:0"

[cookie]
name = "__Host-session"
domain = "example.com"

[session]
idle_timout = "30m"
absolute_timeout = 12

[token]
keys = [{ id = "k1", file = "token" }]

[keys]
root = [{ file = "nowhere/root" }]

[store]
url = "memory:"

[upstreams.app]
servers = ["http://127.0.0.1:3000"]
"#;

/// The four keys, each with the lines that may be blamed and words of a cure, one of which must be there.
const EXPECTED: [(&str, &[&str], &[&str]); 4] = [
    ("cookie.domain", &["5", "6"], &["__Secure-", "remove", "without"]),
    ("session.idle_timout", &["9"], &["idle_timeout"]),
    ("session.absolute_timeout", &["10"], &["12h", "12s", "12m"]),
    ("keys.root", &["16"], &["nowhere/root"]),
];

/// The lines of one fault: from the one that names its key to the next one that names another's.
fn lines_about<'a>(report: &'a str, key: &str) -> Vec<&'a str> {
    let of_another = |line: &&str| EXPECTED.iter().any(|(other, ..)| *other != key && line.contains(other));
    let own = report.lines().skip_while(|line| !line.contains(key) || of_another(line));
    own.take_while(|line| line.contains(key) || !of_another(line)).collect()
}

#[test]
fn four_faults_are_reported_at_once_with_line_key_and_cure() {
    let folder = Folder::with(FOUR_FAULTS);
    for command in ["check", "run"] {
        let said = folder.says(command);
        assert_eq!(said.code, Some(78), "{command}: {}{}", said.out, said.err);
        let report = format!("{}{}", said.out, said.err);
        for (key, places, cures) in EXPECTED {
            let own = lines_about(&report, key).join("\n");
            let numbers: Vec<_> = own.split(|c: char| !c.is_ascii_digit()).collect();
            assert!(own.contains("cloakroom.toml"), "no file for {key} in:\n{report}");
            assert!(places.iter().any(|place| numbers.contains(place)), "no line for {key} in:\n{report}");
            assert!(cures.iter().any(|cure| own.contains(cure)), "no cure for {key} in:\n{report}");
        }
    }
}

#[test]
fn a_good_file_is_found_good() {
    let said = Folder::with(GOOD).says("check");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

#[test]
fn text_that_is_no_toml_is_a_fault_with_its_line() {
    let said = Folder::with("[listen]\naddress = \"127.0.0.1:0\"\nthis is not TOML\n").says("check");
    assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
    let report = format!("{}{}", said.out, said.err);
    assert!(report.split(|c: char| !c.is_ascii_digit()).any(|word| word == "3"), "{report}");
}

#[test]
fn a_missing_file_is_a_fault_that_names_it() {
    let folder = Folder::with(GOOD);
    for command in ["check", "run"] {
        let said = cloakroom(folder.0.path(), &[command, "--config", "elsewhere.toml"]);
        assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
        assert!(format!("{}{}", said.out, said.err).contains("elsewhere.toml"), "{}{}", said.out, said.err);
    }
}

#[test]
fn keys_new_prints_a_usable_secret_and_another_one_each_time() {
    let folder = Folder::with(GOOD);
    let secrets = ["root", "token"].map(|name| {
        let said = cloakroom(folder.0.path(), &["keys", "new"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.trim_end_matches('\n').len() >= 32 && said.out.lines().count() == 1, "{:?}", said.out);
        fs::write(folder.0.path().join(name), &said.out).expect("writing a secret");
        said.out
    });
    assert_ne!(secrets[0], secrets[1]);
    let said = folder.says("check");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

#[test]
fn a_secret_that_is_too_short_is_a_fault() {
    for (name, key) in [("root", "keys.root"), ("token", "token.keys")] {
        let folder = Folder::with(GOOD);
        fs::write(folder.0.path().join(name), "only thirty-one bytes, not more\n").expect("writing a secret");
        for command in ["check", "run"] {
            let said = folder.says(command);
            assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
            let report = format!("{}{}", said.out, said.err);
            assert!(report.contains(key) && report.contains("32"), "{report}");
            assert!(!report.contains("only thirty-one"), "the secret itself is shown: {report}");
        }
    }
}

#[test]
fn only_the_store_in_memory_does_without_keys() {
    let without_keys = |url: &str| {
        format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"{url}\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n"
        )
    };
    let folder = Folder::with(&without_keys("redis://127.0.0.1:6379/0"));
    for command in ["check", "run"] {
        let said = folder.says(command);
        assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
        let report = format!("{}{}", said.out, said.err);
        assert!(report.contains("keys.root") && report.contains("token.keys"), "{report}");
    }
    let said = Folder::with(&without_keys("memory:")).says("check");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

#[test]
fn what_browsers_would_refuse_is_a_fault() {
    for (cookie, key) in [
        ("path = \"/shop\"", "cookie.path"),
        ("secure = false", "cookie.secure"),
        ("name = \"__Secure-s\"\nsecure = false", "cookie.secure"),
        ("name = \"s\"\nsecure = false\nsame_site = \"none\"", "cookie.same_site"),
        ("name = \"a session\"", "cookie.name"),
    ] {
        let said = Folder::with(&format!("{GOOD}[cookie]\n{cookie}\n")).says("check");
        let report = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, Some(78), "{cookie}: {report}");
        assert!(report.contains(key) || report.contains("cookie.name"), "{cookie}: {report}");
    }
}

#[test]
fn a_store_that_cannot_exist_is_a_fault() {
    for url in ["", "mysql://127.0.0.1/0", "redis://127.0.0.1:99999/0"] {
        let said = Folder::with(&GOOD.replace("redis://127.0.0.1:6379/0", url)).says("check");
        let report = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, Some(78), "{url}: {report}");
        assert!(report.contains("store.url"), "{url}: {report}");
    }
}
