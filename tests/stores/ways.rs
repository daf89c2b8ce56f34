//! The ways to a real server: TLS, users, a Unix socket, a database, a prefix; and what each of them does not let pass.

use std::{fs, path::Path, time::Duration};

use cloakroom::{
    store::{
        StoreError, index,
        redis::{Password, Target},
    },
    tls::{Client, Identity, Trust},
};

use crate::{
    bench::{PREFIX, Process, handle_of, stamp_of, target},
    support::{Authority, Redis, free_port},
};

/// Long enough for TLS on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long somebody waits for what never comes.
const BRIEF: Duration = Duration::from_millis(500);

/// A server behind TLS on a port of its own, with a certificate for `localhost`.
struct Guarded {
    server: Redis,
    port: u16,
    authority: Authority,
}

impl Guarded {
    /// `clients`: what the server wants of theirs (`yes`: a certificate of the same authority).
    fn start(clients: &str) -> Self {
        let (authority, port) = (Authority::new(), free_port());
        let certificate = authority.issue(&["localhost"]);
        let server = Redis::with(|folder| {
            let file = |name: &str, text: &str| {
                fs::write(folder.join(name), text).expect("a file");
                folder.join(name).display().to_string()
            };
            let words = [
                ("--tls-port", port.to_string()),
                ("--tls-cert-file", file("cert.pem", &certificate.chain)),
                ("--tls-key-file", file("key.pem", &certificate.key)),
                ("--tls-ca-cert-file", file("ca.pem", &authority.certificate())),
                ("--tls-auth-clients", clients.to_owned()),
            ];
            words.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect()
        });
        Self { server, port, authority }
    }

    fn trusting(&self) -> Client {
        Client { trust: Trust::own(self.authority.certificate().as_bytes()).expect("an authority"), identity: None }
    }

    fn target(&self, scheme: &str, host: &str) -> Target {
        target(&format!("{scheme}://{host}:{}/0", self.port))
    }
}

/// A session is made, changed, found by its subject and ended.
async fn works(process: &Process) -> Result<(), StoreError> {
    let visitor = process.visit(r#"{"a":1}"#).await;
    process.save(&visitor, r#"{"b":2}"#, "subject=ada").await.expect("saved");
    let data = process.data(&handle_of(&visitor)).await;
    assert_eq!(data, r#"{"a":1,"b":2}"#);
    assert_eq!(index::revoke(&process.store, "ada", None).await?, 1);
    assert_eq!(process.stored(&handle_of(&visitor)).await, None);
    process.store.ping().await
}

async fn reached(target: Target) {
    works(&Process::to(target, TIMEOUT)).await.expect("a store");
}

async fn not_reached(target: Target) {
    let process = Process::to(target.clone(), BRIEF);
    assert_eq!(process.store.ping().await, Err(StoreError::Disconnected), "{target:?}");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_an_authority_that_we_know_is_reached() {
    let guarded = Guarded::start("no");
    reached(guarded.target("rediss", "localhost").with_tls(guarded.trusting())).await;
    let keys: usize = guarded.server.command(&["DBSIZE"]);
    assert!(keys > 0, "the epoch of the revocation is there");
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_believed_hears_nothing_of_us() {
    let guarded = Guarded::start("no");
    let watch = guarded.server.watch();
    let password = || Password::new("s3cret".to_owned());
    // Nobody's authority, another one, another name, and no TLS at all on either side.
    not_reached(guarded.target("rediss", "localhost").with_password(password())).await;
    let other = Client { trust: Trust::own(Authority::new().certificate().as_bytes()).expect("one"), identity: None };
    not_reached(guarded.target("rediss", "localhost").with_tls(other).with_password(password())).await;
    let by_address = guarded.target("rediss", "127.0.0.1").with_tls(guarded.trusting());
    not_reached(by_address.with_password(password())).await;
    not_reached(guarded.target("redis", "localhost").with_password(password())).await;
    let plain = target(&format!("rediss://localhost:{}", guarded.server.port())).with_tls(guarded.trusting());
    not_reached(plain).await;
    assert_eq!(watch.commands(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_wants_to_see_our_certificate_sees_it() {
    let guarded = Guarded::start("yes");
    let identity = |authority: &Authority| {
        let ours = authority.issue(&["cloakroom.test"]);
        Some(Identity::new(ours.chain.as_bytes(), ours.key.as_bytes()).expect("an identity"))
    };
    let shown = |identity| guarded.target("rediss", "localhost").with_tls(Client { identity, ..guarded.trusting() });
    not_reached(shown(None)).await;
    not_reached(shown(identity(&Authority::new()))).await;
    reached(shown(identity(&guarded.authority))).await;
}

fn with_socket(folder: &Path) -> Vec<String> {
    ["--unixsocket".to_owned(), folder.join("redis.sock").display().to_string()].into()
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_is_reached_in_the_database_and_as_the_user_that_the_url_names() {
    let server = Redis::with(with_socket);
    let path = server.folder().join("redis.sock").display().to_string();
    reached(target(&format!("redis+unix://{path}"))).await;
    let _: String = server.command(&["ACL", "SETUSER", "ada", "on", ">s%&?t", "~*", "+@all"]);
    let process = Process::to(target(&format!("redis+unix://{path}?db=3&user=ada&pass=s%25%26%3Ft")), TIMEOUT);
    process.visit(r#"{"a":1}"#).await;
    let keyspace: String = server.command(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db3:keys=1"), "{keyspace}");
    let clients: String = server.command(&["CLIENT", "LIST"]);
    assert!(clients.contains("name=cloakroom") && clients.contains("user=ada"), "{clients}");
    not_reached(target(&format!("redis+unix://{path}.gone"))).await;
    server.restart();
    reached(target(&format!("redis+unix://{path}"))).await;
}

#[tokio::test]
async fn the_database_and_the_prefix_keep_sites_apart() {
    let server = Redis::start();
    let at = |database: u8| target(&format!("redis://127.0.0.1:{}/{database}", server.port()));
    let (first, second) = (Process::to(at(0), TIMEOUT), Process::to(at(9), TIMEOUT));
    let visitor = first.visit(r#"{"a":1}"#).await;
    assert_eq!(second.stored(&handle_of(&visitor)).await, None);
    second.visit(r#"{"a":1}"#).await;
    let keyspace: String = server.command(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db0:keys=1") && keyspace.contains("db9:keys=1"), "{keyspace}");
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    assert_eq!(keys, [format!("{PREFIX}s:{}", handle_of(&visitor))]);
    not_reached(at(99)).await;
}

#[tokio::test]
async fn a_password_of_any_characters_opens_and_another_does_not() {
    let server = Redis::start();
    let at = |login: &str| target(&format!("redis://{login}127.0.0.1:{}/0", server.port()));
    let password = "p@ss:w/o#r?d%20 \u{e9}\"\u{1f9e5}";
    let _: String = server.command(&["ACL", "SETUSER", "ad@", "on", &format!(">{password}"), "~*", "+@all"]);
    let _: String = server.command(&["ACL", "SETUSER", "nobody", "on", ">right", "~*", "+@all"]);
    reached(at("ad%40@").with_password(Password::new(password.to_owned()))).await;
    reached(at("ad%40:p%40ss%3Aw%2Fo%23r%3Fd%2520%20%C3%A9%22%F0%9F%A7%A5@")).await;
    not_reached(at("ad%40@").with_password(Password::new("p@ss".to_owned()))).await;
    not_reached(at("nobody:wrong@")).await;
    // A server without a password does not take one: whoever typed it believes in a protection that is not there.
    not_reached(at(":anything@")).await;
    // It is lifted while somebody waits: nobody restarts anything.
    let process = Process::to(at("late:right@"), TIMEOUT);
    let _: String = server.command(&["ACL", "SETUSER", "late", "on", ">right", "~*", "+@all"]);
    works(&process).await.expect("let in");
}

/// The rule that the reference tells people to use, for a user with this password.
fn rule(user: &str, password: &str) -> Vec<String> {
    let reference = include_str!("../../docs/reference.md");
    let line = reference.lines().find(|line| line.starts_with("user cloakroom on ")).expect("a rule");
    let line = line.replace(">PASSWORD", &format!(">{password}")).replace("~cloakroom:*", &format!("~{PREFIX}*"));
    let words = line.split(' ').skip(2).map(str::to_owned);
    ["ACL", "SETUSER", user].map(str::to_owned).into_iter().chain(words).collect()
}

fn set(server: &Redis, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _: String = server.command(&words);
}

/// Everything that is done to a store in a life, on a new connection to a server that has forgotten the scripts.
async fn live(server: &Redis, target: &Target) -> Result<(), String> {
    let said = |error: StoreError| error.to_string();
    let _: String = server.command(&["SCRIPT", "FLUSH"]);
    let process = Process::to(target.clone(), BRIEF);
    process.store.ping().await.map_err(said)?;
    let create = |update: &'static str| {
        let process = &process;
        async move { process.try_visit(update).await.map_err(|error| format!("{error:?}")) }
    };
    let visitor = create(r#"{"a":1}"#).await?;
    let save = process.save(&visitor, r#"{"b":2}"#, "subject=ada").await.map_err(|error| format!("{error:?}"));
    save?;
    process.store.touch(&handle_of(&visitor), &stamp_of(&visitor), TIMEOUT).await.map_err(said)?;
    let loaded = process.store.load(&[handle_of(&visitor)]).await.map_err(said)?;
    let stored = loaded[0].as_ref().and_then(|entry| entry.decode(&handle_of(&visitor))).ok_or("nothing is there")?;
    process.store.touch(&handle_of(&visitor), &stored.stamp(), 1000 * TIMEOUT).await.map_err(said)?;
    let ended = index::revoke(&process.store, "ada", None).await.map_err(said)?;
    (ended > 0).then_some(()).ok_or("nobody was revoked".to_owned())
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_reference_can_do_everything_and_one_with_fewer_gets_errors() {
    let server = Redis::start();
    let target = target(&format!("redis://cloakroom:s3cret@127.0.0.1:{}/1", server.port()));
    let rule = rule("cloakroom", "s3cret");
    set(&server, &rule);
    live(&server, &target).await.expect("everything");
    let rights: Vec<&str> = rule.iter().filter_map(|word| word.strip_prefix('+')).collect();
    assert!(rights.len() > 10, "{rights:?}");
    // A name in CLIENT LIST is a courtesy.
    for right in rights.into_iter().filter(|right| *right != "client|setname") {
        let fewer: Vec<String> = rule.iter().filter(|word| word.strip_prefix('+') != Some(right)).cloned().collect();
        set(&server, &fewer);
        let refused = live(&server, &target).await.expect_err(right);
        assert!(
            !refused.contains("nothing is there"),
            "without {right} it looked as if there were no session: {refused}"
        );
    }
    set(&server, &rule);
    live(&server, &target).await.expect("everything again");
    let foreign = PREFIX.replace(':', "-");
    set(&server, &rule.iter().map(|word| word.replace(PREFIX, &foreign)).collect::<Vec<_>>());
    let refused = live(&server, &target).await.expect_err("keys of others");
    assert!(refused.contains("NOPERM"), "{refused}");
}
