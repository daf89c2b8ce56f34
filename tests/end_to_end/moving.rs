//! Issue 4: sessions move from store to store without logging anybody out, and everything about an import that could go
//! wrong is told without a word of what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::support::{Answer, Ask, Browser, Proxy, Said, Store, World, cloakroom, world};

const RULES: &str = "session.retire_grace = \"10m\"\nsession.idle_timeout = \"2h\"\n\
                     upstreams.app.may = [\"rotate\", \"destroy\", \"clear\", \"subject\", \"lifetime\", \"revoke\"]\n";

/// The stores that sessions are moved through, one after the other; each as it is configured.
fn stores(w: &World) -> Vec<String> {
    let redis = w.redis().url();
    vec![
        String::new(),
        format!("store.url = \"{}/1\"", redis.trim_end_matches("/0")),
        "store.url = \"file:sessions.db\"\nstore.encrypt = true".to_owned(),
        "store.prefix = \"[moved]*:\"".to_owned(),
    ]
}

/// A proxy with a folder of its own, in which commands with its configuration can be run.
struct Site {
    proxy: Arc<Proxy>,
}

impl Site {
    fn of(w: &World, config: &str) -> Self {
        Self { proxy: w.proxy_with(&format!("{RULES}{config}")) }
    }

    fn says(&self, arguments: &[&str]) -> Said {
        cloakroom(self.proxy.folder(), &[&["sessions"], arguments, &["--config", "cloakroom.toml"]].concat())
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> Said {
        let said = self.says(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.err);
        said
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let said = self.says(arguments);
        assert_eq!(said.code, Some(1), "{arguments:?}: {}{}", said.out, said.err);
        said.err
    }

    fn path(&self, name: &str) -> PathBuf {
        self.proxy.folder().join(name)
    }

    fn export(&self) -> String {
        self.succeeds(&["export"]).out
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file to import");
    }
}

/// What the application is told about a browser, but for the times of the token itself.
fn told(browser: &Browser) -> impl PartialEq + std::fmt::Debug + use<> {
    let token = browser.visit();
    let claims = &token.claims;
    let of_session = (claims.sid.clone(), claims.ver, claims.created, claims.expires);
    (of_session, token.subject().map(str::to_owned), token.text().to_owned())
}

#[test]
fn sessions_move_through_all_stores_and_nobody_is_logged_out() {
    world(Store::Redis, |w| {
        let mut stores = stores(w).into_iter();
        let mut from = Site::of(w, &stores.next().expect("a first store"));
        let [ada, bob, rotated, gone] = [(); 4].map(|()| w.browser(&from.proxy));
        let log_in = Answer::updating(r#"{"n":1.10,"big":12345678901234567890123,"ü":"\n"}"#);
        ada.get("/", log_in.control("subject=ada, persistent, idle=3000, lifetime=86400")).passed(200);
        bob.update(r#"{"cart":["hat"]}"#);
        rotated.update(r#"{"at":"desk"}"#);
        let retired = rotated.ticket().expect("a ticket");
        rotated.control("rotate");
        gone.update(r#"{"gone":true}"#);
        let destroyed = gone.ticket().expect("a ticket");
        gone.control("destroy");
        let before = [&ada, &bob, &rotated].map(told);

        for store in stores {
            let to = Site::of(w, &store);
            to.proxy.terminate();
            from.proxy.terminate();
            let said = from.succeeds(&["export", "--output", "sessions.jsonl"]);
            assert!(said.err.contains("exported 3 sessions and 1 tombstone"), "{}", said.err);
            let file = from.path("sessions.jsonl");
            let said = to.succeeds(&["import", file.to_str().expect("UTF-8")]);
            assert_eq!(said.err.trim(), "imported 4 sessions");
            to.proxy.restart();

            let there = [&ada, &bob, &rotated].map(|browser| browser.through(&to.proxy));
            assert_eq!(there.each_ref().map(told), before, "{store}");
            let late = |ticket: &str| {
                let answer = Answer::updating(r#"{"back":true}"#);
                there[0].ask(Ask::get("/").ticket(ticket), answer).refused(409, "session-ended").without_cookie()
            };
            for ticket in [&retired, &destroyed] {
                assert!(!there[0].visit_with(ticket).is_live());
                assert!(late(ticket).header("retry-after").is_some());
            }
            from = to;
        }
        let desk = w.browser(&from.proxy);
        desk.ask(Ask::get("/").without_cookies(), Answer::controlling("revoke-subject=ada")).passed(200);
        let [ada, bob] = [&ada, &bob].map(|browser| browser.through(&from.proxy));
        assert!(!ada.visit().is_live());
        bob.update(r#"{"cart":["hat","coat"]}"#);
        assert_eq!(bob.data(), r#"{"cart":["hat","coat"]}"#);
    });
}

#[test]
fn an_end_is_a_point_in_time_and_moves_with_its_session() {
    world(Store::Redis, |w| {
        let (from, to) = (Site::of(w, ""), Site::of(w, "store.prefix = \"moved:\""));
        let browser = w.browser(&from.proxy);
        browser.get("/", Answer::updating(r#"{"a":1}"#).control("idle=1000")).passed(200);
        let handle = browser.visit().handle().to_owned();
        let left = |prefix: &str| w.redis().command::<i64>(&["PTTL", &format!("{prefix}s:{handle}")]);
        let _: i64 = w.redis().command(&["PEXPIRE", &format!("cloakroom:s:{handle}"), "500000"]);
        to.write("in", from.export());
        to.succeeds(&["import", "in"]);
        let (was, is) = (left("cloakroom:"), left("moved:"));
        assert!(is.abs_diff(was) < 5_000 && is <= 500_000, "{is} instead of {was}");
        assert_eq!(browser.through(&to.proxy).visit().claims.expires, browser.visit().claims.expires);
    });
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking_at_it() {
    world(Store::File, |w| {
        let site = Site::of(w, "store.url = \"file:sessions.db\"");
        site.proxy.terminate();
        fs::remove_file(site.path("sessions.db")).expect("the store's file");
        assert!(site.fails(&["export"]).contains("there is no such file"));
        let said = cloakroom(site.proxy.folder(), &["check", "--connect", "--config", "cloakroom.toml"]);
        assert!(said.out.contains("note: store.url: file: it is not there yet"), "{}{}", said.out, said.err);
        assert!(!site.path("sessions.db").exists());
    });
}

#[test]
fn a_file_is_private_and_never_overwritten_unless_that_was_said() {
    world(Store::Redis, |w| {
        let site = Site::of(w, "");
        w.browser(&site.proxy).update(r#"{"a":1}"#);
        site.succeeds(&["export", "--output", "out"]);
        let text = || fs::read_to_string(site.path("out")).expect("an export");
        let mode = fs::metadata(site.path("out")).expect("an export").permissions().mode();
        assert_eq!((mode & 0o777, text().lines().count()), (0o600, 3));
        w.browser(&site.proxy).update(r#"{"a":2}"#);
        assert!(site.fails(&["export", "--output", "out"]).contains("--force"));
        assert_eq!(text().lines().count(), 3);
        fs::set_permissions(site.path("out"), fs::Permissions::from_mode(0o644)).expect("a mode");
        site.succeeds(&["export", "--output", "out", "--force"]);
        let mode = fs::metadata(site.path("out")).expect("an export").permissions().mode();
        assert_eq!((mode & 0o777, text().lines().count()), (0o600, 4));
        assert!(!site.path("out.partial").exists());
        for (target, reason) in [("/dev/null", "not a file"), ("nowhere/out", "cannot be written"), (".", "not a file")]
        {
            assert!(site.fails(&["export", "--output", target, "--force"]).contains(reason), "{target}");
        }
    });
}

#[test]
fn an_import_twice_is_like_once_and_what_is_newer_stays() {
    world(Store::Redis, |w| {
        let (from, to) = (Site::of(w, ""), Site::of(w, "store.prefix = \"moved:\""));
        let browser = w.browser(&from.proxy);
        browser.update(r#"{"a":1}"#);
        let there = browser.through(&to.proxy);
        to.write("old", from.export());
        to.succeeds(&["import", "old"]);
        assert_eq!(to.succeeds(&["import", "old"]).err.trim(), "imported 0 sessions, 1 there already");
        there.update(r#"{"a":2}"#);
        assert!(to.succeeds(&["import", "--replace", "old"]).err.contains("1 there already"));
        assert_eq!(there.data(), r#"{"a":2}"#);
        browser.update(r#"{"b":1}"#);
        browser.update(r#"{"b":2}"#);
        to.write("new", from.export());
        assert!(to.fails(&["import", "new"]).contains("new:2: the store has an older version"));
        assert_eq!(there.data(), r#"{"a":2}"#);
        assert!(to.succeeds(&["import", "--replace", "new"]).err.contains("1 took the place of an older version"));
        assert_eq!(there.data(), r#"{"a":1,"b":2}"#);
    });
}

/// A file that is not an export, or no whole one; what is said of it, with what line; how many sessions come in.
#[test]
fn every_fault_of_a_file_is_told_with_its_line_and_without_its_content() {
    world(Store::Redis, |w| {
        let (from, to) = (Site::of(w, ""), Site::of(w, "store.prefix = \"moved:\""));
        let moved = || w.redis().command::<Vec<String>>(&["KEYS", "moved:s:*"]).len();
        for data in ["one", "two"] {
            w.browser(&from.proxy).update(&format!(r#"{{"canary-{data}":1}}"#));
        }
        let good = from.export();
        let [head, one, two, end] = good.lines().collect::<Vec<_>>()[..] else { panic!("{good}") };
        let lines = |lines: &[&str]| lines.join("\n").into_bytes();
        let mutilated = one.replacen("\"version\":1", "\"version\":\"canary-x\"", 1);
        let unknown = one.replacen("\"version\":1", "\"canary-field\":1,\"version\":1", 1);
        let reading = one.replacen("\"data\":{", "\"data\":[\"canary\",{", 1);
        let doubled = one.replacen("\"data\":{", "\"data\":{\"canary\":1,\"canary\":2,", 1);
        let endless = format!(
            "{}18446744073709551615,{}",
            one.split("\"deadline\":").next().expect("a start").to_owned() + "\"deadline\":",
            one.split("\"deadline\":").nth(1).and_then(|rest| rest.split_once(',')).expect("more").1
        );
        let cut = &two[..two.len() / 2];
        let long = format!("{{\"live\":\"{}", "x".repeat((64 << 20) + 1));
        let later = head.replacen("\"version\":1", "\"version\":2,\"canary\":1", 1);
        for (file, reasons, come) in [
            (vec![], vec![":1: this is not the first line"], 0),
            (lines(&[one, two, end]), vec![":1: this is not the first line"], 0),
            (lines(&[&later, one, two, end]), vec![":1: the export has version 2"], 0),
            (b"\x1f\x8b\x08canary".to_vec(), vec![":1: this is not the first line"], 0),
            (lines(&[head, one]), vec!["the last line is missing"], 1),
            (lines(&[head, one, cut]), vec![":3: no session", "the last line is missing"], 1),
            (lines(&[head, one, end]), vec![":3: this speaks of 2 sessions, but there were 1"], 1),
            (lines(&[head, one, two, end, one]), vec![":5: the export ended before"], 2),
            (lines(&[head, &mutilated, two, end]), vec![":2: no session of this format (column"], 1),
            (lines(&[head, &unknown, two, end]), vec![":2: no session of this format (column"], 1),
            (lines(&[head, &reading, two, end]), vec![":2: "], 1),
            (lines(&[head, &doubled, two, end]), vec![":2: its data is no JSON object"], 1),
            (lines(&[head, &endless, two, end]), vec![":2: it would end later than any session may"], 1),
            (lines(&[head, &long, two, end]), vec![":2: it is too long"], 1),
            (
                [head.as_bytes(), b"\ncanary\xff\n", two.as_bytes(), b"\n", end.as_bytes()].concat(),
                vec![":2: it is not UTF-8"],
                1,
            ),
            (
                lines(&[head, "canary", &mutilated, "[]", end]),
                vec![":2: ", ":3: ", ":4: ", "speaks of 2 sessions, but there were 3"],
                0,
            ),
        ] {
            to.write("in", &file);
            let said = to.fails(&["import", "in"]);
            for reason in &reasons {
                assert!(said.contains(reason), "{reason}: {said}");
            }
            assert!(!said.contains("canary") && !said.contains("panicked"), "{said}");
            assert_eq!(moved(), come, "{reasons:?}: {said}");
            for key in w.redis().command::<Vec<String>>(&["KEYS", "moved:*"]) {
                let _: i64 = w.redis().command(&["DEL", &key]);
            }
        }
    });
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_exported_whole() {
    world(Store::Redis, |w| {
        let site = Site::of(w, "");
        let browser = w.browser(&site.proxy);
        browser.update(r#"{"a":1}"#);
        let broken = "A".repeat(43);
        let _: String = w.redis().command(&["SET", &format!("cloakroom:s:{broken}"), "canary"]);
        let _: String = w.redis().command(&["SET", "cloakroom:s:stranger", "canary"]);
        let said = site.says(&["export", "--output", "out"]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains(&format!("session {broken} is left out")), "{}", said.err);
        assert!(said.err.contains("1 key below the prefix") && said.err.contains("1 record could not be read"));
        let text = fs::read_to_string(site.path("out")).expect("an export");
        assert!(text.lines().count() == 3 && !format!("{text}{}", said.err).contains("canary"), "{text}");
        assert_eq!(text.lines().next_back(), Some(r#"{"end":{"sessions":1}}"#));
    });
}

#[test]
fn a_store_that_cannot_be_reached_or_is_memory_is_a_clear_error() {
    world(Store::Memory, |w| {
        let memory = Site::of(w, "");
        memory.write("in", "");
        for arguments in [&["export"][..], &["import", "in"]] {
            let said = memory.fails(arguments);
            assert!(said.contains("store.url is memory:") && said.contains("in the process of the proxy"), "{said}");
        }
    });
    world(Store::Redis, |w| {
        let site = Site::of(w, "");
        w.browser(&site.proxy).update(r#"{"a":1}"#);
        site.write("in", site.export());
        site.proxy.terminate();
        let _: String = w.redis().command(&["CONFIG", "SET", "requirepass", "hunter2"]);
        assert!(site.fails(&["export"]).contains("the store cannot be reached: "));
        w.redis().kill();
        for arguments in [&["export", "--output", "out"][..], &["import", "in"]] {
            let said = site.fails(arguments);
            assert!(said.contains("the store cannot be reached: cannot connect: Connection refused"), "{said}");
        }
        assert!(!site.path("out").exists() && !site.path("out.partial").exists());
    });
}

#[test]
fn a_store_that_is_full_stops_the_import_and_says_where() {
    world(Store::Redis, |w| {
        let (from, to) = (Site::of(w, ""), Site::of(w, "store.prefix = \"moved:\""));
        w.browser(&from.proxy).update(r#"{"canary":1}"#);
        to.write("in", from.export());
        let _: String = w.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
        let said = to.fails(&["import", "in"]);
        assert!(said.contains("in:2: the store refused with OOM") && said.contains("import the file again"), "{said}");
        assert!(!said.contains("canary"));
        let _: String = w.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(to.succeeds(&["import", "in"]).err.trim(), "imported 1 session");
    });
}

#[test]
fn an_export_can_be_piped_into_an_import() {
    world(Store::Redis, |w| {
        let (from, to) = (Site::of(w, ""), Site::of(w, "store.prefix = \"moved:\""));
        let browser = w.browser(&from.proxy);
        browser.update(r#"{"a":1}"#);
        let program = env!("CARGO_BIN_EXE_cloakroom");
        let configs = [&from, &to].map(|site| site.path("cloakroom.toml").display().to_string());
        let command = format!(
            "set -o pipefail; {program} sessions export --config {} | {program} sessions import --config {}",
            configs[0], configs[1]
        );
        let said = std::process::Command::new("bash").args(["-c", &command]).output().expect("bash");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(browser.through(&to.proxy).data(), r#"{"a":1}"#);
    });
}
