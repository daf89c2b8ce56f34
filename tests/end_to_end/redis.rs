//! Contract 8: `rediss://` and `redis+unix://` from the configuration on, and what the operator reads when the server
//! does not let us in.

use std::fs;
use std::path::PathBuf;

use crate::support::{Answer, Authority, Redis, Store, World, free_port, until, world};

/// A file of the test's, and its path as TOML writes it.
fn file(w: &World, name: &str, text: &str) -> String {
    let path: PathBuf = w.file(name);
    fs::write(&path, text).expect("a file");
    format!("{path:?}")
}

/// What a browser was told is there when it comes back, and the log has nothing to say.
fn works(w: &World, config: &str) {
    let browser = w.browser(&w.proxy_with(config));
    browser.update(r#"{"user":"ada"}"#);
    assert_eq!(browser.data(), r#"{"user":"ada"}"#);
}

#[test]
fn sessions_are_kept_over_tls_with_a_certificate_of_ours_and_a_password_from_a_file() {
    world(Store::Memory, |w| {
        let (authority, port) = (Authority::new(), free_port());
        let (theirs, ours) = (authority.issue(&["localhost"]), authority.issue(&["cloakroom.test"]));
        let names = [("ca", authority.certificate()), ("cert", theirs.chain), ("key", theirs.key)];
        let [ca, cert, key] = names.map(|(name, text)| file(w, name, &text));
        let redis = Redis::with(|_| {
            let plain = |path: &str| path.trim_matches('"').to_owned();
            let words = [
                ("--tls-port", port.to_string()),
                ("--tls-ca-cert-file", plain(&ca)),
                ("--tls-cert-file", plain(&cert)),
                ("--tls-key-file", plain(&key)),
                ("--tls-auth-clients", "yes".to_owned()),
            ];
            words.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect()
        });
        let password = "p@ss: w/rd#1";
        let _: String = redis.command(&["ACL", "SETUSER", "ada", "on", &format!(">{password}"), "~*", "+@all"]);
        let _: String = redis.command(&["ACL", "SETUSER", "default", "-@all", "+keys", "+client"]);
        let (our_cert, our_key) = (file(w, "our-cert", &ours.chain), file(w, "our-key", &ours.key));
        let secret = file(w, "password", &format!("{password}\n"));
        let config = format!(
            "[store]\nurl = \"rediss://ada@localhost:{port}/0\"\npassword = {{ file = {secret} }}\n\
             tls = {{ ca = {ca}, certificate = {our_cert}, key = {our_key} }}"
        );
        works(w, &config);
        assert_eq!(redis.sessions().len(), 1);
        // Without a certificate of ours, the server lets nobody in; the log says where to look.
        let proxy = w.proxy_with(&config.replace(&format!(", certificate = {our_cert}, key = {our_key}"), ""));
        until("the log to name the setting", || proxy.log().contains("store.tls").then_some(()));
        w.browser(&proxy).get("/", Answer::updating(r#"{"a":1}"#)).refused(503, "store-unavailable");
        assert!(!proxy.log().contains("p@ss"));
    });
}

#[test]
fn sessions_are_kept_behind_a_unix_socket() {
    world(Store::Memory, |w| {
        let path = w.file("redis.sock").display().to_string();
        let redis = Redis::with(|_| ["--unixsocket".to_owned(), path.clone()].into());
        works(w, &format!("store.url = \"redis+unix://{path}?db=0\""));
        assert_eq!(redis.sessions().len(), 1);
    });
}

/// Asserts that the log says once, in these words, what to change, and that requests meanwhile are errors.
fn complains(w: &World, config: &str, words: &str) {
    let proxy = w.proxy_with(config);
    until(words, || proxy.log().contains(words).then_some(()));
    for _ in 0..3 {
        let reply = w.browser(&proxy).get("/", Answer::updating(r#"{"a":1}"#)).refused(503, "store-unavailable");
        assert!(reply.without_cookie().header("retry-after").is_some());
    }
    let log = proxy.log();
    let warned: Vec<_> =
        log.lines().filter(|line| line.contains("WARN") && line.contains("cloakroom::store")).collect();
    let said = warned.iter().filter(|line| line.contains(words)).count();
    assert_eq!(said, 1, "{words}:\n{}", warned.join("\n"));
    assert!(!log.contains("s3cret"), "the log has the password");
}

#[test]
fn a_server_that_does_not_let_us_in_is_complained_of_once_with_the_setting_to_change() {
    world(Store::Redis, |w| {
        let port = w.redis().port();
        let other = w.file("nothing.sock").display().to_string();
        let config = |url: &str| format!("[store]\nurl = \"{url}\"\ntimeout = \"300ms\"\n");
        for (url, words) in [
            (format!("redis://:s3cret@127.0.0.1:{port}/0"), "leave the password out if it has none"),
            (format!("redis://ada:s3cret@127.0.0.1:{port}/0"), "does not let us in (WRONGPASS)"),
            (format!("redis://127.0.0.1:{port}/77"), "see the number at the end of store.url"),
            (format!("rediss://localhost:{port}/0"), "store.tls"),
            (format!("redis://127.0.0.1:{}/0", free_port()), "is it running, and does store.url name it?"),
            (format!("redis+unix://{other}"), "is it running, and does store.url name it?"),
        ] {
            complains(w, &config(&url), words);
        }
        let _: String = w.redis().command(&["CONFIG", "SET", "requirepass", "s3cret"]);
        complains(
            w,
            &config(&format!("redis://127.0.0.1:{port}/0")),
            "it wants a password (NOAUTH); see store.password",
        );
    });
}

#[test]
fn a_command_that_is_not_allowed_is_an_error_with_advice_and_nobodys_log_out() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with("");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        for (less, more) in [("-get", "+get"), ("-evalsha", "+evalsha")] {
            let _: String = w.redis().command(&["ACL", "SETUSER", "default", less]);
            browser.get("/", Answer::updating(r#"{"lost":1}"#)).refused(503, "store-unavailable").without_cookie();
            until("advice in the log", || proxy.log().contains("docs/reference.md has the ACL rule").then_some(()));
            let _: String = w.redis().command(&["ACL", "SETUSER", "default", more]);
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
    });
}

/// Contract 3: what is no record is logged and counts as unknown; nobody is stuck with it.
#[test]
fn a_visitor_whose_key_holds_something_else_starts_anew() {
    world(Store::Redis, |w| {
        let proxy = w.proxy_with("");
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let [key] = w.redis().sessions().try_into().expect("one session");
        let _: i64 = w.redis().command(&["DEL", &key]);
        let _: i64 = w.redis().command(&["RPUSH", &key, "something else"]);
        assert!(!browser.visit().is_live());
        browser.update(r#"{"user":"again"}"#);
        assert_eq!(browser.data(), r#"{"user":"again"}"#);
        let log = proxy.log();
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("cannot be read")), "{log}");
        assert_eq!(w.redis().command::<Vec<String>>(&["LRANGE", &key, "0", "-1"]), ["something else"]);
    });
}
