//! `cloakroom sessions`: what is found and ended with it, what scripts get, and what is said when it cannot be done. Exit
//! codes: 1 no such session, 69 not reachable, 77 not allowed, 78 the configuration.

use std::fs;

use serde_json::Value;

use super::operator::{Operator, operator};
use crate::support::{Answer, Browser, Said, Store, World, cloakroom, cloakroom_with, world};

const HERE: [&str; 2] = ["--config", "cloakroom.toml"];

fn says(operator: &Operator, arguments: &[&str]) -> Said {
    cloakroom(operator.proxy.folder(), &[&["sessions"], arguments, &HERE].concat())
}

#[track_caller]
fn out(operator: &Operator, arguments: &[&str]) -> String {
    let said = says(operator, arguments);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{arguments:?}: {}", said.out);
    said.out
}

fn log_in(w: &World, operator: &Operator, control: &str) -> (Browser, String) {
    let browser = w.browser(&operator.proxy);
    browser.get("/", Answer::updating(r#"{"n":1.10}"#).control(control)).passed(200);
    let handle = browser.visit().handle().to_owned();
    (browser, handle)
}

#[test]
fn people_read_tables_and_sentences() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let none = says(&operator, &["list"]);
        assert_eq!((none.code, none.out.as_str(), none.err.trim()), (Some(0), "", "there are no such sessions"));
        let [(ada, one), (_, two), (bob, three)] =
            ["ada", "ada", "bob"].map(|name| log_in(w, &operator, &format!("subject={name}")));
        let list = out(&operator, &["list"]);
        assert!(list.starts_with("HANDLE ") && list.lines().count() == 4, "{list}");
        let of_ada = out(&operator, &["list", "--subject", "ada"]);
        assert!(of_ada.contains(&one) && of_ada.contains(&two) && !of_ada.contains(&three), "{of_ada}");
        assert_eq!(out(&operator, &["list", "--limit", "2"]).lines().count(), 3);
        assert_eq!(
            (out(&operator, &["count"]).trim(), out(&operator, &["count", "--subject", "ada"]).trim()),
            ("3", "2")
        );
        let shown = out(&operator, &["show", &one]);
        assert!(shown.contains("subject   ada\n") && shown.contains("not shown; --data shows it"), "{shown}");
        assert!(out(&operator, &["show", &one, "--data"]).contains(r#"{"n":1.10}"#));
        assert_eq!(out(&operator, &["revoke", &one]).trim(), "the session has ended");
        assert!(!ada.visit().is_live());
        assert_eq!(out(&operator, &["revoke-subject", "ada"]).trim(), "1 session has ended");
        assert_eq!(out(&operator, &["revoke-subject", "ada"]).trim(), "0 sessions have ended");
        assert!(bob.visit().is_live());
    });
}

#[test]
fn scripts_get_one_object_a_line() {
    world(Store::Redis, |w| {
        let operator = operator(w, "");
        let [(_, one), (_, two)] = ["ada", "bob"].map(|name| log_in(w, &operator, &format!("subject={name}")));
        let json = |arguments: &[&str]| -> Vec<Value> {
            let text = out(&operator, &[arguments, &["--json"]].concat());
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        assert_eq!(json(&["list", "--subject", "nobody"]), Vec::<Value>::new());
        let mut listed: Vec<_> =
            json(&["list"]).iter().map(|session| session["handle"].as_str().map(str::to_owned)).collect();
        listed.sort_unstable();
        let mut handles = [Some(one.clone()), Some(two.clone())];
        handles.sort_unstable();
        assert_eq!(listed, handles);
        assert_eq!(json(&["show", &one])[0], operator.json("GET", &format!("/v1/sessions/{one}")));
        assert!(out(&operator, &["show", &one, "--data", "--json"]).contains(r#""data":{"n":1.10}"#));
        assert_eq!(json(&["count"]), [serde_json::json!({ "count": 2 })]);
        assert_eq!(json(&["revoke", &one]), [serde_json::json!({ "revoked": 1 })]);
        assert_eq!(json(&["revoke-subject", "bob"]), [serde_json::json!({ "revoked": 1 })]);
    });
}

#[test]
fn a_list_goes_on_over_many_pages() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let browser = w.browser(&operator.proxy);
        for _ in 0..502 {
            let ask = crate::support::Ask::get("/").without_cookies();
            browser.ask(ask, Answer::controlling("subject=ada")).passed(200);
        }
        assert_eq!(out(&operator, &["list", "--json", "--subject", "ada"]).lines().count(), 502);
        assert_eq!(out(&operator, &["list", "--json", "--limit", "501"]).lines().count(), 501);
        let cut = "set -o pipefail; cloakroom sessions list --config cloakroom.toml | head -1";
        let program = std::path::PathBuf::from(crate::support::binary());
        let path =
            format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").expect("PATH"));
        let mut bash = std::process::Command::new("bash");
        let said =
            bash.args(["-c", cut]).env("PATH", path).current_dir(operator.proxy.folder()).output().expect("bash");
        assert_eq!((said.status.code(), said.stderr.as_slice()), (Some(0), &b""[..]));
    });
}

#[test]
fn whatever_cannot_be_done_has_its_code_and_says_what_to_do() {
    world(Store::Redis, |w| {
        let operator = operator(w, "store.timeout = \"500ms\"");
        let folder = operator.proxy.folder();
        let nobody = "A".repeat(43);
        let dashes = [format!("-{}", "A".repeat(42)), format!("--{}", "A".repeat(41))];
        for handle in [nobody.as_str(), "nonsense", "../count", "", &dashes[0], &dashes[1]] {
            for verb in ["show", "revoke"] {
                let said = says(&operator, &[verb, handle]);
                assert_eq!(said.code, Some(1), "{verb} {handle}: {}{}", said.out, said.err);
            }
        }
        assert!(says(&operator, &["show", &nobody]).err.starts_with("No such session lives: "));
        fs::write(folder.join("wrong"), "another-token\n").expect("a file");
        fs::write(folder.join("odd"), "two words\n").expect("a file");
        fs::copy(w.file("admin-token"), folder.join("right")).expect("a file");
        let (admin, variable) = (operator.proxy.admin().to_string(), "CLOAKROOM_ADMIN_TOKEN");
        let no_admin = operator.proxy.text().replace("[admin]", "[application]").replace(&admin, "127.0.0.1:1");
        let no_admin = no_admin.split("[application]").next().expect("a beginning").to_owned()
            + "[upstreams.app]\nservers=[\"http://a\"]";
        fs::write(folder.join("none.toml"), no_admin).expect("a file");
        fs::write(folder.join("faulty.toml"), "[admin]\nadress = 1").expect("a file");
        let right = operator.token();
        for (code, arguments, token, part) in [
            (77, &["--admin", &admin][..], "", "The admin token is needed"),
            (77, &["--admin", &admin, "--token-file", "wrong"], right, "The admin token is needed"),
            (77, &HERE, "wrong", "The admin token is needed"),
            (0, &["--admin", &admin], right, ""),
            (0, &["--admin", &admin, "--token-file", "right"], "wrong", ""),
            (78, &["--admin", &admin, "--token-file", "none"], "", "--token-file none: "),
            (78, &["--admin", &admin, "--token-file", "odd"], "", "holds no token"),
            (78, &["--admin", "localhost:1"], "", "write an IP address and a port"),
            (69, &["--admin", "127.0.0.1:1"], "", "does the proxy run, and has it an [admin]?"),
            (69, &["--admin", "unix:/nowhere"], "", "cannot be reached"),
            (1, &["--admin", &operator.proxy.application().to_string()], "", "which no admin listener does"),
            (78, &["--config", "faulty.toml"], "", "did you mean address?"),
            (78, &["--config", "missing.toml"], "", "cannot be read"),
            (78, &["--config", "none.toml"], "", "has no [admin]"),
        ] {
            let environment: &[_] = if token.is_empty() { &[] } else { &[(variable, token)] };
            let said = cloakroom_with(folder, &[&["sessions", "count"], arguments].concat(), environment);
            assert_eq!(said.code, Some(code), "{arguments:?}: {}{}", said.out, said.err);
            assert!(said.err.contains(part) && !said.err.contains(right), "{arguments:?}: {}", said.err);
        }
        w.redis().kill();
        let said = says(&operator, &["revoke-subject", "ada"]);
        assert_eq!(said.code, Some(69));
        assert!(said.err.contains("The store could not do it: ") && said.err.contains("do it again"), "{}", said.err);
    });
}

#[test]
fn over_the_unix_socket_and_on_all_addresses_it_works_as_well() {
    world(Store::Memory, |w| {
        let socket = w.file("admin.sock");
        let mut operator = operator(w, "");
        operator.proxy = w.proxy_with(&format!("admin.address = \"unix:{}\"", socket.display()));
        log_in(w, &operator, "subject=ada");
        assert_eq!(out(&operator, &["count"]).trim(), "1");
        let address = format!("unix:{}", socket.display());
        let said =
            cloakroom(operator.proxy.folder(), &["sessions", "revoke-subject", "ada", "--json", "--admin", &address]);
        assert_eq!((said.code, said.out.trim()), (Some(0), r#"{"revoked":1}"#), "{}", said.err);
    });
}

/// A user may be called anything, and an application may store anything: a terminal must not obey it.
#[test]
fn what_is_in_a_session_cannot_steer_the_terminal() {
    world(Store::Memory, |w| {
        let operator = operator(w, "");
        let browser = w.browser(&operator.proxy);
        let update = "{\"a\":\"\\u001b]0;title\\u0007 \u{9b}31m \u{202e}evil\"}";
        let answer = Answer::ok().raw_header("X-Session-Update", update.as_bytes());
        browser.get("/", answer.control("subject=%\"ada%e2%80%aeevil\"")).passed(200);
        let handle = browser.visit().handle().to_owned();
        for arguments in
            [&["list"][..], &["list", "--json"], &["show", &handle, "--data"], &["show", &handle, "--data", "--json"]]
        {
            let text = out(&operator, arguments);
            assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains('\u{202e}'), "{text:?}");
            assert!(text.contains("evil"), "{text}");
        }
    });
}

#[test]
fn shells_and_man_get_what_they_need() {
    world(Store::Memory, |w| {
        let folder = w.file("");
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let said = cloakroom(&folder, &["completions", shell]);
            assert!(said.code == Some(0) && said.out.contains("revoke-subject") && said.err.is_empty(), "{shell}");
        }
        assert_eq!(cloakroom(&folder, &["completions", "tcsh"]).code, Some(2));
        let page = cloakroom(&folder, &["man"]);
        assert!(page.code == Some(0) && page.out.contains(".TH cloakroom 1"), "{}{}", page.out, page.err);
        for command in ["run", "demo", "check", "sessions list", r"sessions revoke\-subject", "keys jwks", "man"] {
            assert!(page.out.contains(&format!(".SS cloakroom {command}\n")), "{command}: {}", page.out);
        }
        for part in [r"\-\-config", ".SH EXIT STATUS", "CLOAKROOM_ADMIN_TOKEN"] {
            assert!(page.out.contains(part), "{part}");
        }
    });
}
