//! `cloakroom check --connect`: what the configuration names is tried, and every trouble is one line with its cure. The
//! servers are real, with real settings and real users. R-10: the dangers are told at start as well.

use std::net::TcpListener;
use std::path::Path;

use crate::support::{Answer, Ask, Redis, Said, Store, cloakroom, free_port, until, world};

/// The documentation's line for the user of a proxy, with the rights of that user only.
fn documented_rights() -> Vec<String> {
    let page = include_str!("../../docs/stores.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER cloakroom ")).expect("a line for Redis");
    let words = line.split(' ').skip(3).filter(|word| !["on", ">PASSWORD"].contains(word));
    words.map(str::to_owned).collect()
}

/// Makes the user `cloakroom` with these rights only.
fn permit<'a>(server: &Redis, rights: impl IntoIterator<Item = &'a String>) {
    let words: Vec<&str> = rights.into_iter().map(String::as_str).collect();
    let _: String = server.command(&[&["ACL", "SETUSER", "cloakroom", "reset", "on", ">pass"], &words[..]].concat());
}

fn configured(folder: &Path, store: &str, upstream: &str) {
    let secrets = [("root", "q0Zt7vXc2JmW9sRkLb4nYf8uHe1gTd5a"), ("token", "Vb3xNq8wKz1rPc6mUj9sHd2tFy5eGa7L")];
    for (name, secret) in secrets {
        std::fs::write(folder.join(name), secret).expect("a secret");
    }
    let text = format!(
        "token.keys = [{{ file = \"token\" }}]\nkeys.root = [{{ file = \"root\" }}]\nstore.url = \"{store}\"\n\
         [upstreams.app]\nservers = [\"{upstream}\"]\n"
    );
    std::fs::write(folder.join("cloakroom.toml"), text).expect("a configuration");
}

/// What the check says of this store, with an upstream that is there.
fn check(store: &str) -> Said {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("an upstream");
    let address = upstream.local_addr().expect("its address");
    let folder = tempfile::tempdir().expect("a folder");
    configured(folder.path(), store, &format!("http://{address}"));
    let said = cloakroom(folder.path(), &["check", "--connect", "--config", "cloakroom.toml"]);
    assert!(said.out.contains(&format!("ok: upstreams.app.servers: http://{address} accepts")), "{}", said.out);
    said
}

#[track_caller]
fn works(store: &str) -> String {
    let said = check(store);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(!said.out.contains("error: "), "{}", said.out);
    said.out
}

/// The lines of its faults.
#[track_caller]
fn fails(store: &str) -> Vec<String> {
    let said = check(store);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let faults: Vec<_> = said.out.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect();
    let told =
        if faults.len() == 1 { "1 thing does not".to_owned() } else { format!("{} things do not", faults.len()) };
    assert_eq!(said.err.trim(), format!("{told} work"), "{}", said.out);
    assert!(faults.iter().all(|fault| fault.contains("; ")), "a fault without a cure: {faults:?}");
    faults
}

fn set(server: &Redis, key: &str, value: &str) {
    let _: String = server.command(&["CONFIG", "SET", key, value]);
}

#[test]
fn what_works_is_said_and_nothing_is_left_behind_for_long() {
    let server = Redis::durable();
    set(&server, "maxmemory", "100mb");
    let said = works(&server.url());
    assert!(said.starts_with("the configuration is good\nok: store.url: it answers in "), "{said}");
    assert!(said.contains("it is Redis ") && said.contains("made, found by its subject, used, changed and ended"));
    assert!(!said.contains("note: ") && !said.contains("warning: "), "{said}");
    for key in server.command::<Vec<String>>(&["KEYS", "*"]) {
        let left: i64 = server.command(&["PTTL", &key]);
        assert!(key.starts_with("cloakroom:") && left > 0 && left <= 10_000, "{key} {left}");
    }
}

#[test]
fn without_the_flag_nothing_is_connected_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = free_port();
    configured(folder.path(), &format!("redis://127.0.0.1:{nowhere}/0"), &format!("http://127.0.0.1:{nowhere}"));
    let said = cloakroom(folder.path(), &["check", "--config", "cloakroom.toml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "the configuration is good\n"));
}

#[test]
fn a_broken_file_is_a_configuration_fault_and_nothing_is_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    configured(folder.path(), "redis://127.0.0.1:1/0", "ftp://127.0.0.1");
    let said = cloakroom(folder.path(), &["check", "--connect", "--config", "cloakroom.toml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""), "{}", said.err);
}

#[test]
fn settings_that_will_lose_sessions_are_warnings_and_no_faults() {
    let server = Redis::durable();
    for (settings, word) in [
        (&[][..], "note: store.url: maxmemory is not set"),
        (
            &[("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")],
            "warning: store.url: maxmemory-policy is allkeys-lru",
        ),
        (&[("maxmemory-policy", "volatile-ttl")], "warning: store.url: maxmemory-policy is volatile-ttl"),
        (&[("maxmemory-policy", "noeviction"), ("appendonly", "no")], "warning: store.url: it keeps nothing on disk"),
        (&[("save", "3600 1")], "note: store.url: it writes snapshots only"),
    ] {
        settings.iter().for_each(|(key, value)| set(&server, key, value));
        let said = works(&server.url());
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_store_that_cannot_be_reached_is_a_fault_that_says_why() {
    let nowhere = free_port();
    let server = Redis::start();
    let port = server.port();
    permit(&server, &documented_rights());
    for (url, reason, cure) in [
        (format!("redis://127.0.0.1:{nowhere}/0"), "Connection refused", "is it running, and does store.url name it"),
        (
            format!("redis://cloakroom:wrong@127.0.0.1:{port}/0"),
            "it does not let us in (WRONGPASS)",
            "the password there",
        ),
        (
            format!("redis://nobody:pass@127.0.0.1:{port}/0"),
            "it does not let us in (WRONGPASS)",
            "the user in store.url",
        ),
        (format!("redis://127.0.0.1:{port}/99"), "does not give us this database", "see the number"),
        ("redis://no-such-host.invalid/0".to_owned(), "cannot be looked up", "see store.url"),
    ] {
        let faults = fails(&url);
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.contains(reason) && fault.contains(cure), "{fault}");
        assert!(!fault.contains("wrong") && !fault.contains("pass@"), "{fault}");
    }
    set(&server, "requirepass", "secret");
    let fault = fails(&server.url()).concat();
    assert!(fault.contains("NOAUTH") && fault.contains("see store.password"), "{fault}");
    server.freeze();
    let fault = fails(&server.url()).concat();
    assert!(fault.contains("no answer within store.timeout"), "{fault}");
    server.thaw();
}

#[test]
fn a_server_that_refuses_writes_is_a_fault_with_its_cure() {
    let server = Redis::start();
    set(&server, "maxmemory", "1");
    let fault = fails(&server.url()).concat();
    assert!(fault.contains("OOM") && fault.contains("raise maxmemory"), "{fault}");
    set(&server, "maxmemory", "0");
    let _: String = server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let fault = fails(&server.url()).concat();
    assert!(fault.contains("READONLY") && fault.contains("name the primary"), "{fault}");
}

#[test]
fn the_documented_user_may_do_all_that_is_needed_and_each_right_that_it_lacks_is_named() {
    let server = Redis::durable();
    let url = server.url().replace("redis://", "redis://cloakroom:pass@");
    let rights = documented_rights();
    permit(&server, &rights);
    let said = works(&url);
    assert!(!said.contains("permitted") && !said.contains("warning: "), "{said}");
    for lacking in rights.iter().filter(|right| right.starts_with('+')) {
        permit(&server, rights.iter().filter(|right| *right != lacking));
        match lacking.as_str() {
            "+info" => assert!(works(&url).contains("note: store.url: INFO is not permitted")),
            "+scan" => assert!(works(&url).contains("note: store.url: its user may not use SCAN")),
            "+config|get" => {
                set(&server, "appendonly", "no");
                assert!(works(&url).contains("CONFIG is not permitted"));
            }
            "+client|setname" => drop(works(&url)),
            "+ping" => assert!(fails(&url).concat().contains("permit +ping")),
            "+select" => {
                assert!(fails(&format!("{}1", url.trim_end_matches('0'))).concat().contains("this database (NOPERM)"))
            }
            right => {
                let faults = fails(&url).concat();
                assert!(faults.contains(&format!("permit {right} in its ACL")), "{right}: {faults}");
            }
        }
    }
    for lacking in ["s", "u", "e"] {
        let others = ["s", "u", "e"].into_iter().filter(|keys| *keys != lacking);
        let keys = others.map(|keys| format!("~cloakroom:{keys}:*")).collect::<Vec<_>>();
        permit(&server, rights.iter().filter(|right| !right.starts_with('~')).chain(&keys));
        let faults = fails(&url).concat();
        assert!(faults.contains(&format!("may not use the keys cloakroom:{lacking}:*;")), "{faults}");
    }
}

#[test]
fn with_the_documented_user_a_proxy_and_the_moving_of_sessions_work() {
    world(Store::Redis, |w| {
        permit(w.redis(), &documented_rights());
        let url = w.redis().url().replace("redis://", "redis://cloakroom:pass@");
        let rights = r#"upstreams.app.may = ["rotate", "destroy", "clear", "subject", "lifetime", "revoke"]"#;
        let proxy = w.proxy_with(&format!("{rights}\nstore.url = \"{url}\"\nsession.touch_interval = \"1s\""));
        let [browser, other] = [(); 2].map(|()| w.browser(&proxy));
        browser.get("/", Answer::updating(r#"{"a":1}"#).control("subject=ada")).passed(200);
        other.get("/", Answer::updating(r#"{"a":1}"#).control("subject=ada")).passed(200);
        browser.control("rotate");
        for arguments in [&["export", "--output", "out"][..], &["import", "out"]] {
            let said = cloakroom(proxy.folder(), &[&["sessions"], arguments, &["--config", "cloakroom.toml"]].concat());
            assert_eq!(said.code, Some(0), "{}", said.err);
        }
        browser.control("revoke-others");
        assert!(!other.visit().is_live());
        browser.ask(Ask::get("/"), Answer::controlling("revoke-subject=ada")).passed(200);
        assert!(!browser.visit().is_live());
        other.update("{}");
        let log = proxy.log();
        assert!(!log.contains("NOPERM"), "{log}");
    });
}

#[test]
fn an_upstream_that_is_not_there_is_a_fault() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = free_port();
    configured(folder.path(), &server.url(), &format!("http://127.0.0.1:{nowhere}"));
    let said = cloakroom(folder.path(), &["check", "--connect", "--config", "cloakroom.toml"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let fault =
        format!("error: upstreams.app.servers: http://127.0.0.1:{nowhere} cannot be reached: Connection refused");
    assert!(said.out.contains(&fault) && said.out.contains("; start it, or correct servers"), "{}", said.out);
}

#[test]
fn memory_needs_nothing() {
    assert!(works("memory:").contains("ok: store.url: memory: needs nothing"));
}

#[test]
fn a_proxy_says_at_its_start_what_will_lose_sessions() {
    world(Store::DurableRedis, |w| {
        set(w.redis(), "maxmemory", "100mb");
        set(w.redis(), "maxmemory-policy", "allkeys-lru");
        let proxy = w.proxy();
        until("a warning", || proxy.log().contains("maxmemory-policy is allkeys-lru").then_some(()));
        w.browser(&proxy).update(r#"{"a":1}"#);
        let log = proxy.log();
        assert_eq!(log.matches("maxmemory-policy is allkeys-lru").count(), 1);
        assert!(!log.contains("nothing on disk"), "{log}");
        set(w.redis(), "appendonly", "no");
        proxy.terminate();
        proxy.restart();
        until("another warning", || proxy.log().contains("nothing on disk").then_some(()));
    });
}
