//! Issue 3, "must hold" 3, and threats G-05, C-18: nothing secret is in a log at `trace`, in an error page, in a header
//! that is not our `Set-Cookie`, or (tickets, tokens and keys; with `store.encrypt` data and subjects too) in the store. Every secret of the flow holds the mark of
//! a canary or is one by itself; afterwards everything that was said is searched for all of them.

use std::sync::Arc;

use crate::support::{Answer, Ask, Browser, Proxy, Relay, Reply, Store, TICKET, World, world};

const MARK: &str = "canary";

/// Everything that others may read, and everything that nobody may.
struct Cage<'a> {
    browser: &'a Browser,
    said: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Cage<'_> {
    /// Sends a request, and keeps what its answer says and the tickets that come with it.
    fn ask(&mut self, ask: Ask, answer: Answer) -> u16 {
        let reply = self.browser.ask(ask, answer);
        self.hear(reply)
    }

    fn get(&mut self, answer: Answer) -> u16 {
        self.ask(Ask::get("/canary-path?canary-query=1").header("Authorization", "Basic canary-password"), answer)
    }

    fn hear(&mut self, reply: Reply) -> u16 {
        let issued = |name: &str, value: &str| {
            name.eq_ignore_ascii_case("set-cookie") && value.starts_with(&format!("{TICKET}="))
        };
        for (name, value) in reply.headers.iter().chain(reply.trailers.iter()) {
            if issued(name, value) {
                let ticket = value.split(['=', ';']).nth(1).unwrap_or_default();
                self.secrets.extend(Some(ticket.to_owned()).filter(|ticket| !ticket.is_empty()));
            } else {
                self.said.push((format!("the header {name} of a {}", reply.status), value.to_owned()));
            }
        }
        self.said.push((format!("the body of a {}", reply.status), reply.text()));
        reply.status
    }

    /// A page for people and a document for programs.
    fn both_forms(&mut self, ask: &Ask, answer: &Answer, status: u16) {
        for accept in ["text/html", "application/json"] {
            assert_eq!(self.ask(ask.clone().header("Accept", accept), answer.clone()), status);
        }
    }
}

/// Every verb, every kind of error, whatever is broken.
fn flow(cage: &mut Cage, store: Option<&Relay>) {
    let update = r#"{"canary-key":"canary-data","list":["canary-element"]}"#;
    let path = Ask::get("/canary-path?canary-query=1")
        .header("X-Canary", "canary-header")
        .header("X-Session", "canary-forged-token")
        .header("X-Session-Update", "{\"canary-forged\":1}");
    assert_eq!(cage.get(Answer::updating(update).control("subject=\"canary-subject\"")), 200);
    for control in [
        "rotate",
        "subject=\"canary-other\"",
        "idle=100, lifetime=1000, persistent",
        "persistent=?0, idle=default",
        "revoke-others",
        "revoke-subject=\"canary-third\"",
        "if-version=77",
        "clear",
    ] {
        let status = cage.get(Answer::updating(update).control(control));
        assert!([200, 409].contains(&status), "{status} to {control}");
    }
    cage.get(Answer::updating(r#"[{"op":"add","path":"/list/-","value":"canary-appended"}]"#));
    let ours = cage.browser.ticket().expect("a ticket");
    cage.secrets.push(ours.clone());
    for bad in
        ["{\"canary-key\":", "canary!", "[{\"op\":\"canary\"}]", "{\"canary\":1,\"canary\":2}", "{\"canary\":NaN}"]
    {
        cage.both_forms(&path, &Answer::updating(bad), 502);
    }
    for bad in ["canary", "subject=canary(", "rotate=\"canary\"", "idle=\"canary\"", "subject=(\"canary\")"] {
        cage.both_forms(&path, &Answer::ok().control(bad), 502);
    }
    let misfit = Answer::updating(r#"[{"op":"test","path":"/canary-path","value":"canary-value"}]"#);
    cage.both_forms(&path, &misfit, 409);
    cage.both_forms(&path, &Answer::updating(&format!(r#"{{"canary":"{}"}}"#, "x".repeat(70_000))), 502);
    cage.both_forms(&path, &Answer::status(500).update(update).control("canary=("), 500);
    for raw in ["", "canary\r\n\r\n", "HTTP/1.1 canary\r\nX-Session-Update: {\"canary\":1}\r\n\r\n"] {
        cage.both_forms(&Ask::post("/canary-path", "canary-body"), &Answer::raw(raw), 502);
    }
    cage.get(Answer::ok().header("Set-Cookie", &format!("{TICKET}=canary-of-the-application")));
    for cookie in [
        format!("other=canary-cookie; {TICKET}={ours}; third=\"canary-quoted\""),
        format!("{TICKET}=canary-no-ticket"),
        format!("{TICKET}={}A", &ours[..ours.len() - 1]),
        format!("{TICKET}={}", "A".repeat(107)),
        format!("{TICKET}=\u{e9}canary-bytes"),
    ] {
        cage.ask(Ask::get("/canary-path").cookie(cookie.as_bytes()), Answer::ok());
        cage.ask(Ask::get("/canary-path").cookie(cookie.as_bytes()), Answer::updating("{").control("canary"));
    }
    if let Some(store) = store {
        store.swallow();
        cage.both_forms(&path, &Answer::updating(update), 503);
        store.release();
        store.cut();
    }
    cage.ask(Ask::get("/canary-path").ticket(&ours), Answer::controlling("destroy"));
    cage.ask(Ask::get("/canary-path").ticket(&ours), Answer::updating(update));
}

/// Requests that are refused before they are requests.
fn broken(proxy: &Proxy, ticket: &str) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for head in [
        format!("GET /canary-path HTTP/1.1\r\nHost: a\r\nHost: canary\r\nCookie: {TICKET}={ticket}\r\n\r\n"),
        format!("GET /canary-path HTTP/1.1\r\nHost: a\r\nCookie : {TICKET}={ticket}\r\n\r\n"),
        format!("GET /canary-path HTTP/1.1\r\nHost: a\r\nCookie: {TICKET}={ticket}\x01canary\r\n\r\n"),
        format!("GET /canary-path HTTP/1.1\r\nHost: a\r\n{TICKET}={ticket}\r\n\r\n"),
        format!("canary canary canary {ticket}\r\n\r\n"),
        format!("TRACE /canary-path HTTP/1.1\r\nHost: localhost\r\nCookie: {TICKET}={ticket}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nCookie: {TICKET}={ticket}\r\nContent-Length: canary\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {TICKET}={ticket}\r\nX: {}\r\n\r\n", "canary".repeat(100_000)),
    ] {
        let mut connection = proxy.connect();
        let _ = connection.send(head.as_bytes()); // may be answered and closed before it is sent whole
        if let Ok(reply) = connection.reply("GET") {
            said.extend(reply.headers.iter().map(|(_, value)| ("a header of a refusal".to_owned(), value.to_owned())));
            said.push(("the body of a refusal".to_owned(), reply.text()));
        }
    }
    said
}

/// Everything that the store holds, by the place where it was found: keys and values as Redis gives them, and the file
/// that it writes. (Another store on disk would add its file here.)
fn dump(w: &World) -> Vec<(String, String)> {
    if !w.has_redis() {
        return Vec::new();
    }
    let keys: Vec<String> = w.redis().command(&["KEYS", "*"]);
    let values = keys.iter().map(|key| {
        let value: Vec<u8> = match w.redis().command::<String>(&["TYPE", key]).as_str() {
            "string" => w.redis().command(&["GET", key]),
            "zset" => w.redis().command::<Vec<String>>(&["ZRANGE", key, "0", "-1"]).join("\n").into_bytes(),
            other => panic!("{key} is a {other}"),
        };
        (key.clone(), format!("{key}\n{}\n", String::from_utf8_lossy(&value)))
    });
    values.chain([("dump.rdb".to_owned(), saved(w))]).collect()
}

fn saved(w: &World) -> String {
    let _: String = w.redis().command(&["CONFIG", "SET", "rdbcompression", "no"]);
    let _: String = w.redis().command(&["SAVE"]);
    let place: Vec<String> = w.redis().command(&["CONFIG", "GET", "dir"]);
    let bytes = std::fs::read(std::path::Path::new(&place[1]).join("dump.rdb")).expect("the file of Redis");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parts of a ticket and of a token by which one could be found again.
fn parts(secret: &str) -> Vec<String> {
    let pieces: Vec<String> = secret.split('.').map(str::to_owned).collect();
    match pieces.as_slice() {
        [_, payload, signature] => vec![payload.clone(), signature.clone()],
        // A ticket: 16 bytes that find the session and 32 that open it, in base64url.
        _ if secret.len() == 107 => vec![secret[..21].to_owned(), secret[22..63].to_owned(), secret[64..].to_owned()],
        _ => vec![secret.to_owned()],
    }
}

#[track_caller]
fn assert_secret(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret:?} is in {place}:\n{}", around(text, secret));
    }
}

fn around(text: &str, secret: &str) -> String {
    let at = text.find(secret).unwrap_or_default();
    text.char_indices().filter(|(index, _)| index.abs_diff(at) < 400).map(|(_, c)| c).collect()
}

/// Whether the store may hold data and subjects in the clear. Nobody gets in with those.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clear {
    Data,
    Nothing,
}

/// The mark of data and subjects, and what a subject is known by where nothing is hidden.
fn readable() -> [String; 2] {
    [MARK.to_owned(), subject_digest()[..LABEL].iter().map(|byte| format!("{byte:02x}")).collect()]
}

/// So many bytes of it stand in the index.
const LABEL: usize = 16;

fn subject_digest() -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"canary-last").as_ref().to_vec()
}

fn search(w: &World, proxies: &[Arc<Proxy>], cage: Cage, clear: Clear) {
    let files = ["root", "token"].map(|name| std::fs::read_to_string(w.file(name)).expect("a secret's file"));
    let tokens = w.upstream.requests().into_iter().filter_map(|r| r.headers.first("x-session").map(str::to_owned));
    let mut secrets: Vec<String> = cage.secrets.iter().cloned().chain(tokens).collect();
    secrets.extend(files.into_iter().map(|text| text.trim().to_owned()));
    secrets.sort_unstable();
    secrets.dedup();
    assert!(secrets.len() > 10, "{} secrets", secrets.len());
    let mut searched: Vec<String> = secrets.iter().flat_map(|secret| parts(secret)).collect();
    let dump = dump(w);
    for (place, text) in &dump {
        assert_secret(place, text, &searched);
    }
    for mark in readable() {
        let found = dump.iter().find(|(_, text)| text.contains(&mark)).map(|(place, _)| place);
        let wanted = !dump.is_empty() && clear == Clear::Data;
        assert_eq!(found.is_some(), wanted, "{mark} in the store: {found:?}");
    }
    for file in w.store_files() {
        let text = String::from_utf8_lossy(&file);
        assert_eq!(text.contains(MARK), clear == Clear::Data, "the mark in the file");
        let has_label = file.windows(LABEL).any(|part| part == &subject_digest()[..LABEL]);
        assert_eq!(has_label, clear == Clear::Data, "the subject in the file");
        assert_secret("the file", &text, &searched);
    }
    // In what is said and logged there is no data either.
    searched.push(MARK.to_owned());
    for (place, text) in &cage.said {
        assert_secret(place, text, &searched);
    }
    for proxy in proxies {
        // The path is logged, and is no secret; the query is.
        let log = proxy.log().replace("/canary-path", "/path");
        assert!(log.contains("\"level\":\"DEBUG\"") && log.lines().count() > 50, "there is hardly a log");
        assert_secret("the log", &log, &searched);
        assert!(!log.to_ascii_lowercase().contains("panicked"), "{log}");
    }
}

fn release_canaries(w: &World, clear: Clear) {
    let relay = w.has_redis().then(|| Relay::to(w.redis().port()));
    let mut config = r#"
        upstreams.app.may = ["rotate", "destroy", "clear", "subject", "lifetime", "revoke"]
        store.timeout = "500ms"
    "#
    .to_owned();
    config.push_str(&format!("store.encrypt = {}\n", clear == Clear::Nothing));
    if let Some(relay) = &relay {
        config.push_str(&format!("store.url = \"{}\"\n", relay.url()));
    }
    let proxy = w.proxy_with_arguments(&config, &["--log", "trace"]);
    let browser = w.browser(&proxy);
    let mut cage = Cage { browser: &browser, said: Vec::new(), secrets: Vec::new() };
    browser.visit();
    flow(&mut cage, relay.as_ref());
    let ticket = cage.secrets.last().expect("a ticket").clone();
    cage.said.extend(broken(&proxy, &ticket));
    // Something lives on, and somebody was revoked lately.
    for control in ["subject=canary-last", "revoke-others"] {
        assert_eq!(cage.get(Answer::updating(r#"{"canary-key":"canary-data"}"#).control(control)), 200);
    }
    proxy.terminate();
    search(w, &[proxy], cage, clear);
}

#[test]
fn nothing_secret_leaks_when_sessions_are_in_memory() {
    world(Store::Memory, |w| release_canaries(w, Clear::Data));
}

#[test]
fn nothing_secret_leaks_when_sessions_are_in_a_file() {
    world(Store::File, |w| release_canaries(w, Clear::Data));
}

#[test]
fn nothing_secret_leaks_when_sessions_are_in_a_file_and_nothing_at_all_when_they_are_sealed() {
    world(Store::File, |w| release_canaries(w, Clear::Nothing));
}

#[test]
fn nothing_secret_leaks_when_sessions_are_in_redis() {
    world(Store::Redis, |w| release_canaries(w, Clear::Data));
}

#[test]
fn with_encryption_the_store_holds_no_data_and_no_subject_either() {
    world(Store::Redis, |w| release_canaries(w, Clear::Nothing));
}
