//! The `SESSION_*` settings: what the browser sees of them.

use std::fs;

use tempfile::TempDir;

use crate::support::{Answer, Said, Store, World, cloakroom, let_pass, until, world};

/// The `Set-Cookie` line of a new session, without the ticket.
fn cookie(w: &World, config: &str) -> String {
    let proxy = w.proxy_with(&format!("listen.scheme = \"https\"\n{config}"));
    let browser = w.browser_at(&proxy, "https", "www.example.com");
    let reply = browser.get("/shop/", Answer::updating(r#"{"user":"ada"}"#)).passed(200);
    let lines = reply.set_cookies();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (pair, attributes) = lines[0].split_once("; ").expect("attributes");
    let (name, _) = pair.split_once('=').expect("a name and a value");
    format!("{name}; {attributes}")
}

fn attributes(line: &str) -> Vec<&str> {
    line.split("; ").collect()
}

/// What `cloakroom check` says of a configuration that works but for this.
pub(super) fn check(config: &str) -> Said {
    let folder = TempDir::new().expect("a folder");
    let whole = format!("{config}\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n");
    fs::write(folder.path().join("cloakroom.toml"), whole).expect("writing the configuration");
    cloakroom(folder.path(), &["check", "--config", "cloakroom.toml"])
}

#[test]
fn the_cookie_is_called_as_the_setting_says() {
    world(Store::Memory, |w| {
        assert_eq!(attributes(&cookie(w, ""))[0], "__Host-session");
        assert_eq!(attributes(&cookie(w, r#"cookie.name = "sessionid""#))[0], "sessionid");
    });
}

#[test]
fn the_cookie_reaches_the_hosts_of_its_domain() {
    world(Store::Memory, |w| {
        let config = r#"
            cookie.name = "__Secure-session"
            cookie.domain = "example.com"
            "#;
        assert!(!cookie(w, "").contains("Domain"));
        assert!(attributes(&cookie(w, config)).contains(&"Domain=example.com"));
        let proxy = w.proxy_with(&format!("listen.scheme = \"https\"\n{config}"));
        let browser = w.browser_at(&proxy, "https", "www.example.com");
        browser.update(r#"{"user":"ada"}"#);
        assert_eq!(browser.at("shop.example.com").data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn the_cookie_is_sent_below_its_path_only() {
    world(Store::Memory, |w| {
        let config = r#"
            cookie.name = "__Secure-session"
            cookie.path = "/shop/"
            "#;
        assert!(attributes(&cookie(w, config)).contains(&"Path=/shop/"));
        let browser = w.browser(&w.proxy_with(config));
        browser.get("/shop/", Answer::updating(r#"{"user":"ada"}"#)).passed(200);
        assert!(browser.get("/shop/cart", Answer::ok()).token().is_live());
        assert!(!browser.get("/", Answer::ok()).token().is_live());
    });
}

#[test]
fn scripts_see_the_cookie_only_if_the_setting_says_so() {
    world(Store::Memory, |w| {
        assert!(attributes(&cookie(w, "")).contains(&"HttpOnly"));
        assert!(!attributes(&cookie(w, "cookie.http_only = false")).contains(&"HttpOnly"));
    });
}

#[test]
fn other_sites_send_the_cookie_as_the_setting_says() {
    world(Store::Memory, |w| {
        assert!(attributes(&cookie(w, "")).contains(&"SameSite=Lax"));
        assert!(attributes(&cookie(w, r#"cookie.same_site = "strict""#)).contains(&"SameSite=Strict"));
        assert!(attributes(&cookie(w, r#"cookie.same_site = "none""#)).contains(&"SameSite=None"));
    });
    assert_eq!(check("cookie.same_site = false").code, Some(78));
}

#[test]
fn the_cookie_is_secure_unless_the_setting_says_otherwise() {
    world(Store::Memory, |w| {
        assert!(attributes(&cookie(w, "")).contains(&"Secure"));
        let config = r#"
            cookie.name = "sessionid"
            cookie.secure = false
            "#;
        assert!(!attributes(&cookie(w, config)).contains(&"Secure"));
        // Over plain HTTP a browser throws a secure cookie away: better an error than a visitor who is new each time.
        let write = || Answer::updating(r#"{"user":"ada"}"#);
        let plain = |proxy| w.browser_at(&proxy, "http", "www.example.com");
        plain(w.proxy()).get("/", write()).refused(502, "insecure-transport");
        let browser = plain(w.proxy_with(config));
        browser.get("/", write()).passed(200);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn two_weeks_since_the_last_visit_are_two_settings() {
    world(Store::Redis, |w| {
        let config = r#"
            cookie.persistent = true
            session.idle_timeout = "14d"
            session.absolute_timeout = "400d"
            "#;
        let browser = w.browser(&w.proxy_with(config));
        let reply = browser.update(r#"{"user":"ada"}"#);
        assert!(reply.set_cookies()[0].contains("Max-Age=34560000"), "{:?}", reply.set_cookies());
        let left: i64 = w.redis().command(&["PTTL", &w.redis().sessions()[0]]);
        let days = left / 1000 / 86_400;
        assert_eq!(days, 14);
    });
}

#[test]
fn the_age_of_a_cookie_is_an_absolute_timeout_and_an_idle_one() {
    world(Store::Memory, |w| {
        let config = r#"
            cookie.persistent = true
            session.idle_timeout = "14d"
            session.absolute_timeout = "14d"
            "#;
        assert!(attributes(&cookie(w, config)).contains(&"Max-Age=1209600"));
    });
}

#[test]
fn the_cookie_ends_with_the_browser_unless_it_is_persistent() {
    world(Store::Memory, |w| {
        assert!(!cookie(w, "").contains("Max-Age") && !cookie(w, "cookie.persistent = false").contains("Max-Age"));
        assert!(cookie(w, "cookie.persistent = true").contains("Max-Age=43200"));
    });
}

#[test]
fn a_visit_counts_as_use_unless_only_changes_do() {
    world(Store::Memory, |w| {
        let [visits, changes] = [r#"session.slide = "request""#, r#"session.slide = "write""#].map(|slide| {
            let browser = w.browser(&w.proxy_with(&format!("session.idle_timeout = \"2s\"\n{slide}")));
            browser.update(r#"{"user":"ada"}"#);
            browser
        });
        until("the session that nobody changed to end", || {
            assert!(visits.visit().is_live());
            (!changes.visit().is_live()).then_some(())
        });
        let_pass(std::time::Duration::from_millis(500));
        assert!(visits.visit().is_live());
    });
}

#[test]
fn two_sites_share_a_redis_under_two_prefixes() {
    world(Store::Redis, |w| {
        let [shop, blog] =
            [r#"store.prefix = "shop:""#, r#"store.prefix = "blog:""#].map(|prefix| w.browser(&w.proxy_with(prefix)));
        shop.update(r#"{"user":"ada"}"#);
        let keys: Vec<String> = w.redis().command(&["KEYS", "*"]);
        assert_eq!(keys, [format!("shop:s:{}", shop.visit().handle())]);
        assert!(!blog.visit_with(&shop.ticket().expect("a ticket")).is_live());
    });
}
