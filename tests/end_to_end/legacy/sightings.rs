//! What the log says at `debug` about an application's cookies: names and ways, never a value.

use crate::support::{Answer, Ask, Store, until, world};

const CONFIG: &str = r#"
    routes = [
        { path = "/", upstream = "app", vault = { cookies = ["PHPSESSID"] } },
        { path = "/static/", upstream = "app", session = false },
    ]
"#;

fn seen(log: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains("cloakroom::cookies"));
    let event = |line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    let word = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or("-").to_owned();
    let said = |event| ["name", "to", "path", "until", "route"].map(|key| word(&event, key)).join(" ");
    lines.map(event).map(said).collect()
}

#[test]
fn a_day_of_logs_tells_who_sets_which_cookie_and_who_sends_it() {
    world(Store::Memory, |w| {
        w.without_session("/static/");
        let proxy = w.proxy_with(CONFIG);
        let browser = w.browser(&proxy);
        let answer = Answer::ok()
            .header("Set-Cookie", "PHPSESSID=canary-1; Path=/shop")
            .header("Set-Cookie", "theme=canary-2; Max-Age=60")
            .header("Set-Cookie", "old=canary-3; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/")
            .header("Set-Cookie", "__Host-session=canary-4; Path=/; Secure");
        browser.get("/", answer).passed(200);
        let sent = "PHPSESSID=canary-5; t%4=canary-6; =canary-7; canary-8";
        browser.ask(Ask::get("/").cookie(sent), Answer::ok()).passed(200);
        browser.ask(Ask::get("/static/a").cookie("phpsessid=canary-9"), Answer::ok()).passed(200);
        proxy.terminate();
        let wanted = [
            "PHPSESSID vault /shop closing /",
            "theme browser (of the request) date /",
            "old browser / now /",
            "PHPSESSID nobody - - /",
            "t%4 application - - /",
            "phpsessid nobody - - /static",
        ];
        assert_eq!(seen(&proxy.log()), wanted);
        assert!(!proxy.log().contains("canary"), "{}", proxy.log());
    });
}

#[test]
fn nothing_is_said_unless_it_is_asked_for() {
    world(Store::Memory, |w| {
        let proxy = w.proxy_with_arguments(CONFIG, &["--log", "info"]);
        let browser = w.browser(&proxy);
        browser.get("/", Answer::ok().header("Set-Cookie", "theme=dark")).passed(200);
        until("the line of the request", || proxy.log().contains("cloakroom::access").then_some(()));
        assert_eq!(seen(&proxy.log()), [""; 0]);
    });
}
