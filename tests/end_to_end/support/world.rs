//! The world of one test: an upstream, perhaps a Redis, proxies with common keys, browsers. A test is a function
//! of its world, so that nobody can forget the invariants that are checked at its end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use toml::Table;

use super::answer::Answer;
use super::browser::Browser;
use super::ledger::Ledger;
use super::proxy::{Proxy, merge};
use super::shared::Redis;
use super::token::Trust;
use super::upstream::Upstream;

/// Where the sessions are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    Memory,
    /// A file in the folder of each proxy: two proxies cannot share one.
    File,
    Redis,
    /// A Redis that keeps what it acknowledged when it is killed.
    DurableRedis,
}

/// Everything that a test has around it.
pub(crate) struct World {
    proxies: Mutex<Vec<Arc<Proxy>>>,
    pub(crate) upstream: Upstream,
    trust: Trust,
    redis: Option<Redis>,
    /// `store.url`
    url: String,
    ledger: Arc<Ledger>,
    sessionless: Mutex<Vec<&'static str>>,
    folder: TempDir,
}

/// Runs a test in a world of its own, then checks the invariants and that every proxy ends in order.
pub(crate) fn world(store: Store, test: impl FnOnce(&World)) {
    let world = World::new(store);
    test(&world);
    world.finish();
}

/// Makes a test for each store of a function that takes a world.
macro_rules! every_store {
    ($($(#[$note:meta])* fn $name:ident($world:ident) $body:block)+) => {$(
        $(#[$note])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use crate::support::{Store, World, world};

            fn test($world: &World) $body

            #[test]
            fn in_memory() {
                world(Store::Memory, test);
            }

            #[test]
            fn in_a_file() {
                world(Store::File, test);
            }

            #[test]
            fn in_redis() {
                world(Store::Redis, test);
            }
        }
    )+};
}
pub(crate) use every_store;

impl World {
    fn new(store: Store) -> Self {
        let folder = TempDir::new().expect("a folder for the test");
        // Secrets are the bytes of a file less one newline at its end.
        let secret = |name: &str| write_secret(&folder.path().join(name)).into_bytes();
        secret("root");
        let trust = Trust::new(secret("token"));
        let redis = match store {
            Store::Memory | Store::File => None,
            Store::Redis => Some(Redis::start()),
            Store::DurableRedis => Some(Redis::durable()),
        };
        let url = match (store, &redis) {
            (Store::File, _) => "file:sessions.db".to_owned(),
            (_, Some(redis)) => redis.url(),
            (_, None) => "memory:".to_owned(),
        };
        Self {
            url,
            proxies: Mutex::default(),
            upstream: Upstream::start(trust.clone()),
            trust,
            redis,
            ledger: Arc::default(),
            sessionless: Mutex::default(),
            folder,
        }
    }

    /// What is in the files of all proxies.
    pub(crate) fn store_files(&self) -> Vec<Vec<u8>> {
        let proxies = 0..self.proxies.lock().expect("proxies").len();
        proxies.filter_map(|index| std::fs::read(self.file(&format!("proxy-{index}/sessions.db"))).ok()).collect()
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    pub(crate) fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("a world with Redis")
    }

    /// A file in the test's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has the application believe tokens that this key signs as well.
    pub(crate) fn trust(&self, kid: &str, key: Vec<u8>) {
        self.trust.also.lock().expect("keys").insert(kid.to_owned(), key);
    }

    /// A file with a new secret.
    pub(crate) fn secret_file(&self, name: &str) -> PathBuf {
        write_secret(&self.file(name));
        self.file(name)
    }

    /// A proxy with the defaults.
    pub(crate) fn proxy(&self) -> Arc<Proxy> {
        self.proxy_with("")
    }

    /// A proxy whose configuration is this text, put over the defaults. All proxies of a test share their keys.
    pub(crate) fn proxy_with(&self, config: &str) -> Arc<Proxy> {
        self.proxy_with_arguments(config, &[])
    }

    pub(crate) fn proxy_with_arguments(&self, config: &str, arguments: &[&str]) -> Arc<Proxy> {
        let mut whole = self.defaults();
        merge(&mut whole, config.parse().unwrap_or_else(|error| panic!("{error}\n{config}")));
        let mut proxies = self.proxies.lock().expect("proxies");
        let folder = self.file(&format!("proxy-{}", proxies.len()));
        std::fs::create_dir(&folder).expect("a folder for the proxy");
        let proxy = Proxy::start(&folder, whole, arguments, &self.ledger);
        proxies.push(proxy.clone());
        proxy
    }

    /// Store timeouts are generous: a busy machine is no failure of the store. Tests of outages set their own.
    fn defaults(&self) -> Table {
        let text = format!(
            r#"
            [token]
            keys = [{{ id = "k1", file = {token:?} }}]
            [keys]
            root = [{{ file = {root:?} }}]
            [store]
            url = "{store}"
            timeout = "5s"
            save_timeout = "20s"
            [upstreams.app]
            servers = ["{upstream}"]
            [drain]
            timeout = "20s"
            "#,
            token = self.file("token"),
            root = self.file("root"),
            store = self.url,
            upstream = self.upstream.url(),
        );
        text.parse().expect("the default configuration")
    }

    /// Lays down the answer to a request that no [`Browser`] sends, and names it: the value of its `X-Script`.
    pub(crate) fn expect(&self, answer: Answer) -> String {
        let key = self.ledger.name(&answer);
        self.upstream.script(&key, answer);
        key
    }

    /// A certificate for `localhost` and its key, as `listen.tls` wants them, and the certificate itself.
    pub(crate) fn certificate(&self, name: &str) -> (String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let [chain, key] = ["chain", "key"].map(|part| self.file(&format!("{name}-{part}.pem")));
        std::fs::write(&chain, made.cert.pem()).expect("writing a certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("writing a key");
        (format!("listen.tls = {{ certificate = {chain:?}, key = {key:?} }}"), made.cert.der().clone())
    }

    /// A new browser at `http://localhost`.
    pub(crate) fn browser(&self, proxy: &Arc<Proxy>) -> Browser {
        self.browser_at(proxy, "http", "localhost")
    }

    /// A new browser at a site whose name leads to the proxy.
    pub(crate) fn browser_at(&self, proxy: &Arc<Proxy>, scheme: &'static str, host: &str) -> Browser {
        Browser::new(proxy, &self.upstream, scheme, host)
    }

    /// Says that requests on this prefix go to a route with `session = false`.
    pub(crate) fn without_session(&self, prefix: &'static str) {
        self.sessionless.lock().expect("world").push(prefix);
    }

    fn finish(self) {
        let proxies = self.proxies.lock().expect("proxies").clone();
        for proxy in proxies.iter().filter(|proxy| proxy.is_running()) {
            proxy.terminate();
        }
        self.upstream.close();
        let mut faults = self.ledger.audit(&self.upstream, &self.sessionless.lock().expect("world"));
        faults.extend(proxies.iter().flat_map(|proxy| self.ledger.leaks(&self.upstream, &proxy.log())));
        assert!(faults.is_empty(), "invariants of threats.md broken:\n{}", faults.join("\n"));
    }
}

fn write_secret(path: &Path) -> String {
    let text = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    std::fs::write(path, format!("{text}\n")).expect("writing a secret");
    text
}

impl Drop for World {
    /// After a failure the proxies' logs are the first thing that one wants to see.
    fn drop(&mut self) {
        self.upstream.close();
        if std::thread::panicking() {
            for proxy in self.proxies.lock().map(|proxies| proxies.clone()).unwrap_or_default() {
                let log = proxy.log();
                let start = log.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
                eprintln!("--- the end of a proxy's log ---\n{}", &log[start..]);
            }
        }
    }
}
