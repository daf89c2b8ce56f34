use std::{fs, path::PathBuf, sync::OnceLock};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::socket::Address;

const EXAMPLE: &str = include_str!("../../config.example.toml");
/// The shortest sound file; what tests add comes after line 2.
const APP: &str = "[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n";
const SECRET: &str = "4f1c0d7be52a9836";

static CERTIFICATE: OnceLock<(String, String)> = OnceLock::new();

/// A folder with a configuration file, some keys and a certificate.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("root.key", "vJ8yq2Wn0TzL5uXcR1bE7hKdM3sGpA6f\n");
        folder.write("token.key", "Qm4ZtY9xVb2LrN7wCk5HsJ1gDf8PuE3a\r\n");
        folder.write("short.key", "Qm4ZtY9xVb\n");
        folder.write("sample.key", "changemechangemechangemechangeme");
        folder.write("empty.key", "\n");
        let (certificate, key) = CERTIFICATE.get_or_init(|| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        });
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Loaded, Faults> {
        self.load_with(text, &Overrides::default())
    }

    fn load_with(&self, text: &str, overrides: &Overrides) -> Result<Loaded, Faults> {
        load(Some(&self.write("cloakroom.toml", text)), overrides, &env)
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(SECRET.repeat(2)[..31].to_owned() + "xyzw\n"),
        "PASSWORD" => Some("hunter2".to_owned()),
        "REDIS" => Some("redis://127.0.0.1/0".to_owned()),
        _ => None,
    }
}

fn redis(url: &str) -> crate::store::Kind {
    crate::store::Kind::Redis(Box::new(crate::store::redis::Target::parse(url).unwrap().unwrap()))
}

/// As [`ROWS`], beside keys.
const REDIS: &[Row] = &[
    ("[store]\nurl = \"redis://h/0#insecure\"", &[(4, "store.url", "remove what begins with ? or #")]),
    ("[store]\nurl = \"rediss://h/0?protocol=3\"", &[(4, "store.url", "remove what begins with ? or #")]),
    ("[store]\nurl = \"redis://h/-1\"", &[(4, "store.url", "names a database below 0")]),
    ("[store]\nurl = \"redis+unix://run/redis.sock\"", &[(4, "store.url", "no path that begins with a slash")]),
    ("[store]\nurl = \"redis+unix:///run/redis.sock?x=1\"", &[(4, "store.url", "behind the path")]),
    ("[store]\nurl = \"redis://ada@h/0\"", &[(4, "store.url", "names a user without a password")]),
    ("[store]\nurl = \"redis://ada@h/0\"\npassword = {}", &[(5, "store.password", "names neither a file nor")]),
    ("[store]\nurl = \"redis://h/0\"\npassword = \"x\"", &[(5, "store.password", "inside the configuration")]),
    (
        "[store]\nurl = \"redis://:x@h/0\"\npassword = { env = \"PASSWORD\" }",
        &[(5, "store.password", "stands beside a password in store.url")],
    ),
    (
        "[store]\nurl = \"redis://h/0\"\npassword = { file = \"empty.key\" }",
        &[(5, "store.password.file", "holds an empty password")],
    ),
    (
        "[store]\nurl = \"redis://h/0\"\npassword = { file = \"none.key\" }",
        &[(5, "store.password.file", "cannot read \"none.key\"")],
    ),
    ("[store]\npassword = { env = \"PASSWORD\" }", &[(4, "store.password", "is for Redis only")]),
    ("[store]\ntls = {}", &[(4, "store.tls", "is for rediss:// only")]),
    ("[store]\nurl = \"redis://h/0\"\ntls = {}", &[(5, "store.tls", "is for rediss:// only")]),
    (
        "[store]\nurl = \"rediss://h/0\"\ntls = { ca = \"none.pem\" }",
        &[(5, "store.tls.ca", "cannot read \"none.pem\"")],
    ),
];

fn places(faults: &Faults) -> Vec<(Option<usize>, &str)> {
    faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect()
}

/// The text of line 3 onwards, and what it is a fault of: line, key, a part of the problem or cure.
type Row = (&'static str, &'static [(usize, &'static str, &'static str)]);

const ROWS: &[Row] = &[
    // keys, tables, types
    ("[cookie]\nnme = \"x\"", &[(4, "cookie.nme", "did you mean name?")]),
    ("[cokie]\n", &[(3, "cokie", "did you mean cookie?")]),
    ("[session]\nqwertyuiop = 1", &[(4, "session.qwertyuiop", "the keys here are absolute_timeout, create")]),
    ("[[routes]]\npaht = \"/\"", &[(4, "routes[0].paht", "did you mean path?")]),
    ("[[routes]]\n[[routes]]\npath = 3", &[(5, "routes[1].path", "not a string")]),
    ("server = 1", &[(3, "upstreams.app.server", "did you mean servers?")]),
    (
        "[keys]\nroot = [{ fil = \"root.key\" }]",
        &[(4, "keys.root[0]", "names neither a file nor"), (4, "keys.root[0].fil", "did you mean file?")],
    ),
    ("[keys]\nroot = [{ id = \"a\", file = \"root.key\" }]", &[(4, "keys.root[0].id", "unknown key")]),
    ("[drain]\ndelay = true", &[(4, "drain.delay", "not a string with a unit")]),
    ("[cookie]\nsecure = \"yes\"", &[(4, "cookie.secure", "is a string, not true or false")]),
    ("[limits]\nheaders = \"100\"", &[(4, "limits.headers", "not a whole number")]),
    ("[listen]\ntrusted_proxies = \"10.0.0.0/8\"", &[(4, "listen.trusted_proxies", "write it in brackets")]),
    ("[store]\nprefix = 1.5", &[(4, "store.prefix", "fraction")]),
    ("[routes]\npath = \"/\"", &[(3, "routes", "[[routes]]")]),
    ("[upstreams.b]\nservers = 3\n[[routes]]\nupstream = \"b\"", &[(4, "upstreams.b.servers", "not a list")]),
    // units and bounds
    ("[session]\nidle_timeout = 30", &[(4, "session.idle_timeout", "missing unit")]),
    ("[session]\nidle_timeout = \"30\"", &[(4, "session.idle_timeout", "\"30s\"?")]),
    ("[session]\nidle_timeout = \"30 parsecs\"", &[(4, "session.idle_timeout", "is not a duration")]),
    ("[session]\nidle_timeout = \"0s\"", &[(4, "session.idle_timeout", "too short")]),
    ("[session]\nidle_timeout = -1", &[(4, "session.idle_timeout", "missing unit")]),
    ("[session]\nretire_grace = \"0s\"", &[(4, "session.retire_grace", "too short")]),
    ("[session]\nmax_absolute_timeout = \"401d\"", &[(4, "session.max_absolute_timeout", "to \"400d\"")]),
    ("[session]\nmax_bytes = 65536", &[(4, "session.max_bytes", "missing unit")]),
    ("[session]\nmax_bytes = \"65536\"", &[(4, "session.max_bytes", "\"65536B\"?")]),
    ("[session]\nmax_bytes = \"big\"", &[(4, "session.max_bytes", "is not a size")]),
    ("[session]\nmax_bytes = \"0B\"", &[(4, "session.max_bytes", "too small")]),
    ("[limits]\nheader_bytes = \"99EiB\"", &[(4, "limits.header_bytes", "too large")]),
    ("[limits]\nheader_bytes = \"1KiB\"", &[(4, "limits.header_bytes", "from \"8KiB\"")]),
    ("[limits]\nconnections = 0", &[(4, "limits.connections", "out of bounds")]),
    ("max_connections = 99999999999999999999", &[(3, "upstreams.app.max_connections", "out of bounds")]),
    ("[token]\nlifetime = \"500ms\"", &[(4, "token.lifetime", "too short")]),
    ("[token]\nmax_bytes = \"100B\"", &[(4, "token.max_bytes", "from \"1KiB\"")]),
    // words and interpolation
    ("[token]\nalgorithm = \"${UNSET}\"", &[(4, "token.algorithm", "UNSET is not set")]),
    ("[token]\nissuer = \"a\\u001b[31m\\n${b}\"", &[(4, "token.issuer", "b is not set")]),
    ("[listen]\nscheme = \"\\u001b[31m\"", &[(4, "listen.scheme", "\"\\u{1b}[31m\" is not a value")]),
    ("[session]\ncreate = \"never\"", &[(4, "session.create", "write \"on-write\" or \"always\"")]),
    ("[session]\nslide = \"read\"", &[(4, "session.slide", "write \"request\" or \"write\"")]),
    ("[store]\non_failure = \"ignore\"", &[(4, "store.on_failure", "write \"reject\" or \"anonymous\"")]),
    ("[token]\nissuer = \"${UNSET}\"", &[(4, "token.issuer", "UNSET is not set")]),
    ("[token]\nissuer = \"${PASSWORD\"", &[(4, "token.issuer", "not closed")]),
    ("[token]\nissuer = \"\"", &[(4, "token.issuer", "is not a name")]),
    // addresses
    ("[listen]\naddress = \"localhost:80\"", &[(4, "listen.address", "write \"127.0.0.1:80\"")]),
    ("[listen]\naddress = \":80\"", &[(4, "listen.address", "write \"0.0.0.0:80\"")]),
    ("[listen]\naddress = []", &[(4, "listen.address", "is empty")]),
    ("[listen]\naddress = [\"127.0.0.1:80\",\n\"nonsense\"]", &[(5, "listen.address[1]", "is not an address")]),
    ("[listen]\naddress = [\"127.0.0.1:80\", \"127.0.0.1:80\"]", &[(4, "listen.address", "used by listen.address")]),
    ("[listen]\ntrusted_proxies = [\"10.0.0.0/40\"]", &[(4, "listen.trusted_proxies[0]", "is not a network")]),
    ("[listen]\ntrusted_proxies = [\"unix:/run/x\"]", &[(4, "listen.trusted_proxies[0]", "or \"unix:\" for Unix")]),
    ("[listen]\naddress = \"unix:run/c.sock\"", &[(4, "listen.address", "write the whole path")]),
    ("[listen]\naddress = [\"127.0.0.1:1\", \"unix:\"]", &[(4, "listen.address[1]", "write the whole path")]),
    ("[admin]\naddress = \"unix:/run/\"", &[(4, "admin.address", "write the whole path")]),
    (
        "[application]\naddress = \"unix:/a/quite/long/path/that/no/system/takes/for/a/socket/0123456789012345678901234567890123456789012345678901234\"",
        &[(4, "application.address", "at most 107")],
    ),
    (
        "[listen]\naddress = \"unix:/run/c.sock\"\n[admin]\naddress = \"unix:/run/c.sock\"",
        &[(6, "admin.address", "is used by listen.address already")],
    ),
    ("[listen]\nproxy_protocol = \"v2\"", &[(4, "listen.proxy_protocol", "write true or false")]),
    ("[listen]\ntls = true", &[(4, "listen.tls", "not a table")]),
    (
        "[listen.tls]\ncertificat = \"cert.pem\"",
        &[
            (3, "listen.tls.certificate", "write certificate = \"certificate.pem\""),
            (3, "listen.tls.key", "write key = \"key.pem\""),
            (4, "listen.tls.certificat", "did you mean certificate?"),
        ],
    ),
    (
        "[listen.tls]\ncertificate = \"none.pem\"\nkey = 3",
        &[(4, "listen.tls.certificate", "cannot read \"none.pem\""), (5, "listen.tls.key", "not a string")],
    ),
    (
        "[listen.tls]\ncertificate = \"root.key\"\nkey = \"token.key\"",
        &[(3, "listen.tls", "holds no certificate in PEM; name the certificate chain")],
    ),
    ("[limits]\nstreams = 0", &[(4, "limits.streams", "write a number from 1 to 10000")]),
    ("[application]\n", &[(3, "application.address", "is missing")]),
    ("[admin]\naddress = \"127.0.0.1:8080\"", &[(4, "admin.address", "used by listen.address")]),
    (
        "[application]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"127.0.0.1:1\"",
        &[(6, "admin.address", "used by application.address")],
    ),
    // contradictions of timers
    ("[session]\nabsolute_timeout = \"10m\"", &[(4, "session.absolute_timeout", "is longer than absolute_timeout")]),
    ("[session]\nidle_timeout = \"13h\"", &[(4, "session.idle_timeout", "is longer than absolute_timeout")]),
    ("[session]\nmax_idle_timeout = \"1m\"", &[(4, "session.max_idle_timeout", "is longer than max_idle_timeout")]),
    ("[session]\nmax_absolute_timeout = \"1h\"", &[(4, "session.max_absolute_timeout", "is longer than")]),
    ("[session]\nfresh_timeout = \"31m\"", &[(4, "session.fresh_timeout", "would never count")]),
    ("[session]\nidle_timeout = 5\nabsolute_timeout = \"1m\"", &[(4, "session.idle_timeout", "missing unit")]),
    ("[store]\nsave_timeout = \"100ms\"", &[(4, "store.save_timeout", "shorter than timeout")]),
    ("[store]\ntimeout = \"3s\"", &[(4, "store.timeout", "shorter than timeout")]),
    // the store
    ("[store]\nprefix = \"\"", &[(4, "store.prefix", "is empty")]),
    ("[store]\nurl = \"postgres://x\"", &[(4, "store.url", "names no store")]),
    ("[store]\nurl = \"redis://:${PASSWORD}@h:x/0\"", &[(4, "store.url", "is not a Redis URL")]),
    ("[store]\nurl = \"memory:x\"", &[(4, "store.url", "write \"memory:\"")]),
    (
        "[store]\nurl = \"${REDIS}\"",
        &[(0, "keys.root", "only memory: can do without"), (0, "token.keys", "only memory: can do without")],
    ),
    (
        "[store]\nurl = \"redis://h/0\"\nmax_sessions = 5\n[keys]\nroot = [{ file = \"root.key\" }]\n[token]\nkeys = []",
        &[(5, "store.max_sessions", "memory: only"), (9, "token.keys", "cloakroom keys new")],
    ),
    // headers of the token
    ("[token]\nheader = \"Cookie\"", &[(4, "token.header", "has a meaning already")]),
    ("[token]\nheader = \"Content_Type\"", &[(4, "token.header", "has a meaning already")]),
    ("[token]\nupdate_header = \"x_session\"", &[(4, "token.update_header", "another of the three")]),
    ("[token]\nheader = \"X_Session-Update\"", &[(4, "token.header", "another of the three")]),
    ("[token]\nheader = \"a b\"", &[(4, "token.header", "is not a header name")]),
    // secrets
    ("[keys]\nroot = [{ file = \"none.key\" }]", &[(4, "keys.root[0].file", "cannot read \"none.key\"")]),
    ("[keys]\nroot = [{ file = \".\" }]", &[(4, "keys.root[0].file", "cannot read")]),
    ("[keys]\nroot = [{ file = \"short.key\" }]", &[(4, "keys.root[0].file", "10 bytes; 32 are the least")]),
    ("[keys]\nroot = [{ file = \"empty.key\" }]", &[(4, "keys.root[0].file", "empty")]),
    ("[keys]\nroot = [{ file = \"sample.key\" }]", &[(4, "keys.root[0].file", "a sample")]),
    ("[keys]\nroot = [{ env = \"UNSET\" }]", &[(4, "keys.root[0].env", "UNSET is not set")]),
    ("[keys]\nroot = [{ env = \"PASSWORD\" }]", &[(4, "keys.root[0].env", "7 bytes")]),
    ("[keys]\nroot = [\"hunter2\"]", &[(4, "keys.root[0]", "is a secret inside the configuration")]),
    ("[keys]\nroot = [{ file = \"root.key\", env = \"SECRET\" }]", &[(4, "keys.root[0].env", "leave either")]),
    ("[keys]\nroot = [{ file = \"root.key\" }, { file = \"root.key\" }]", &[(4, "keys.root[1]", "same secret")]),
    (
        "[token]\nkeys = [{ id = \"a\", file = \"root.key\" },\n{ id = \"a\", file = \"token.key\" }]",
        &[(5, "token.keys[1]", "has the id of")],
    ),
    ("[token]\nkeys = [{ id = \"a b\", file = \"root.key\" }]", &[(4, "token.keys[0].id", "is not a key id")]),
    (
        "[token]\nkeys = [{ file = \"root.key\" }]\n[keys]\nroot = [{ file = \"root.key\" }]",
        &[(4, "token.keys[0]", "could forge tickets")],
    ),
    // upstreams and routes
    ("[upstreams.b]", &[(0, "routes", "several upstreams"), (3, "upstreams.b.servers", "is missing")]),
    (
        "[upstreams.\"a b\"]\nservers = [\"http://h\"]\n[[routes]]\nupstream = \"app\"",
        &[(3, "upstreams.a b", "is not a name")],
    ),
    (
        "tls = { ca = \"ca.pem\" }",
        &[(3, "upstreams.app.tls", "no server begins with https:"), (3, "upstreams.app.tls.ca", "cannot read")],
    ),
    ("balance = \"random\"", &[(3, "upstreams.app.balance", "write \"round-robin\" or \"least-connections\"")]),
    ("protocol = \"http3\"", &[(3, "upstreams.app.protocol", "write \"http1\" or \"h2\"")]),
    ("health = {}", &[(3, "upstreams.app.health.path", "write path = \"/healthz\"")]),
    ("health = \"/healthz\"", &[(3, "upstreams.app.health", "is a string, not a table")]),
    ("health = { path = \"healthz\" }", &[(3, "upstreams.app.health.path", "is not a path")]),
    ("health = { path = \"/a b\" }", &[(3, "upstreams.app.health.path", "is not a path")]),
    ("health = { path = \"/\", interval = 5 }", &[(3, "upstreams.app.health.interval", "missing unit")]),
    ("health = { path = \"/\", timeout = \"6s\" }", &[(3, "upstreams.app.health.timeout", "longer than interval")]),
    ("health = { path = \"/\", healthy_after = 0 }", &[(3, "upstreams.app.health.healthy_after", "out of bounds")]),
    (
        "[upstreams.b]\nservers = [\"http://h\", \"http://h:80\"]\n[[routes]]\nupstream = \"b\"",
        &[(4, "upstreams.b.servers", "has http://h:80 twice")],
    ),
    ("may = [\"rotate\", \"fly\"]", &[(3, "upstreams.app.may[1]", "write some of rotate")]),
    ("forward = [\"user\"]", &[(3, "upstreams.app.forward[0]", "is not a JSON Pointer")]),
    ("may_write = \"/user\"", &[(3, "upstreams.app.may_write", "not a list")]),
    ("[[routes]]\nupstream = \"api\"", &[(4, "routes[0].upstream", "write \"app\"")]),
    ("[[routes]]\npath = \"static\"", &[(4, "routes[0].path", "write \"/static\"")]),
    ("[[routes]]\nhost = \"a:80\"", &[(4, "routes[0].host", "has a port")]),
    ("[[routes]]\npath = \"/\"\n[[routes]]\nupstream = \"app\"", &[(5, "routes[1]", "host and path of routes[0]")]),
    (
        "[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/a/\"\n[[routes]]\nhost = \"*\"",
        &[(5, "routes[1]", "never be reached"), (8, "routes[2].host", "every host")],
    ),
    ("[[routes]]\nsession = false\non_store_failure = \"reject\"", &[(5, "routes[0].on_store_failure", "no meaning")]),
    ("[cookie]\ndomain = \"example.com\"", &[(4, "cookie.domain", "__Host-")]),
];

#[test]
fn every_rule_has_its_fault_line_key_and_cure() {
    ROWS.iter().for_each(|row| complains(row, ""));
}

#[test]
fn every_rule_for_redis_has_its_fault_line_key_and_cure() {
    let keys = "[keys]\nroot = [{ file = \"root.key\" }]\n[token]\nkeys = [{ file = \"token.key\" }]";
    REDIS.iter().for_each(|row| complains(row, keys));
}

fn complains((text, expected): &Row, beside: &str) {
    let faults = Folder::new().load(&format!("{APP}{text}\n{beside}\n")).expect_err(text);
    let lines = expected.iter().map(|(line, key, _)| ((*line > 0).then_some(*line), *key));
    assert_eq!(places(&faults), lines.collect::<Vec<_>>(), "{text}\n{faults}");
    for (fault, (_, _, part)) in faults.iter().zip(*expected) {
        let shown = fault.to_string();
        assert!(shown.contains(part), "{text}\n{shown}\nhas no {part}");
        assert!(!shown.contains("hunter2") && !fault.cure.is_empty(), "{shown}");
    }
}

#[test]
fn servers_are_origins_or_sockets() {
    let folder = Folder::new();
    let faulty = [
        "",
        "ftp://h",
        "http://",
        "http://h/app",
        "https://h/app?x",
        "http://u:p@h",
        "http://h:0",
        "http://h:99999",
        "http://[::1",
        "h:1",
        "unix:",
        "unix:/run/",
        &format!("unix:/{}", "x".repeat(107)),
    ];
    for server in faulty {
        let faults = folder.load(&format!("[upstreams.app]\nservers = [\"{server}\"]")).expect_err(server);
        assert_eq!(places(&faults), [(Some(2), "upstreams.app.servers[0]")], "{server}");
    }
    for (server, name) in [
        ("http://h", "http://h:80"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("HTTP://a-b.c:1", "http://a-b.c:1"),
        ("https://h", "https://h:443"),
        ("https://h:8443/", "https://h:8443"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:///run/app.sock", "unix:/run/app.sock"),
    ] {
        let loaded = folder.load(&format!("[upstreams.app]\nservers = [\"{server}\"]")).unwrap();
        assert_eq!(loaded.proxy.upstreams[0].connections.servers[0].to_string(), name);
    }
    let faults = folder.load("[upstreams.app]\nservers = [\"h:1\"]").unwrap_err();
    assert!(faults.to_string().ends_with("write \"http://h:1\""), "{faults}");
    let many = (0..65).map(|port| format!("\"http://h:{}\"", port + 1)).collect::<Vec<_>>().join(", ");
    let faults = folder.load(&format!("[upstreams.app]\nservers = [{many}]")).unwrap_err();
    assert!(faults.to_string().contains("has 65 servers; 64 are the most"), "{faults}");
}

#[test]
fn a_server_behind_tls_is_met_as_the_files_say() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    folder.write("ca.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    let tls = |table: &str| {
        let loaded = folder.load(&format!("[upstreams.app]\nservers = [\"https://h\"]\n{table}"));
        loaded.unwrap().proxy.upstreams[0].connections.tls.clone()
    };
    assert_eq!((tls("").trust, tls("tls = {}").identity), (crate::tls::Trust::System, None));
    let own = tls("tls = { ca = \"ca.pem\", certificate = \"ca.pem\", key = \"key.pem\" }");
    assert_eq!(own.trust, crate::tls::Trust::own(made.cert.pem().as_bytes()).unwrap());
    assert!(own.identity.is_some());
    let other = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    folder.write("other.pem", &other.signing_key.serialize_pem());
    for (table, place, part) in [
        ("{ ca = \"none.pem\" }", "upstreams.app.tls.ca", "cannot read \"none.pem\""),
        ("{ ca = \"key.pem\" }", "upstreams.app.tls.ca", "holds no certificate in PEM; name a file"),
        ("{ cert = \"ca.pem\" }", "upstreams.app.tls.cert", "unknown key"),
        ("{ certificate = \"ca.pem\" }", "upstreams.app.tls.certificate", "of no use alone; add key"),
        ("{ key = \"key.pem\" }", "upstreams.app.tls.key", "of no use alone; add certificate"),
        ("{ certificate = \"ca.pem\", key = \"ca.pem\" }", "upstreams.app.tls.key", "holds no private key"),
        ("{ certificate = \"ca.pem\", key = \"other.pem\" }", "upstreams.app.tls.key", "cannot be used"),
        ("\"ca.pem\"", "upstreams.app.tls", "is a string, not a table"),
    ] {
        let text = format!("[upstreams.app]\nservers = [\"https://h\"]\ntls = {table}");
        let faults = folder.load(&text).expect_err(table);
        assert_eq!(places(&faults), [(Some(3), place)], "{faults}");
        assert!(faults.to_string().contains(part), "{faults}");
    }
}

#[test]
fn what_a_later_version_brings_is_a_fault_that_says_so() {
    let later = [
        "[store]\nurl = \"redis+sentinel://h/m/0\"",
        "[store]\nurl = \"redis+cluster://h\"",
        "[store]\nnear_cache = true",
        "[store]\nwait_replicas = 1",
    ];
    let folder = Folder::new();
    for text in later {
        let faults = folder.load(&format!("{APP}{text}\n")).expect_err(text);
        assert_eq!(faults.iter().count(), 1, "{text}\n{faults}");
        assert!(faults.to_string().contains("is not in this version of Cloakroom; "), "{faults}");
    }
}

#[test]
fn the_admin_token_is_a_secret_that_can_stand_in_a_header() {
    let folder = Folder::new();
    folder.write("admin", "Kq8vR2nWz5TbX9cLmJ4hPsY7dFg3aE6u\n");
    folder.write("spaced", "Kq8vR2nWz5TbX9cL mJ4hPsY7dFg3aE6u");
    folder.write("short", "Kq8vR2nWz5TbX9cL");
    let load =
        |address: &str, token: &str| folder.load(&format!("{APP}[admin]\naddress = \"{address}\"\ntoken = {token}"));
    let loaded = load("127.0.0.1:1", "{ file = \"admin\" }").unwrap();
    let token = loaded.server.admin.as_ref().and_then(|admin| admin.token.as_ref()).unwrap();
    assert_eq!(token.reveal(), "Kq8vR2nWz5TbX9cLmJ4hPsY7dFg3aE6u");
    assert!(!format!("{:?}", loaded.server).contains("Kq8v"));
    assert!(!loaded.warnings.iter().any(|warning| warning.contains("admin")));
    let warnings = load("unix:/a", "{ file = \"admin\" }").unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("admin.token is not asked for on a Unix socket")));
    for (token, key, problem) in [
        ("{ file = \"spaced\" }", "admin.token.file", "cannot stand in a header"),
        ("{ file = \"short\" }", "admin.token.file", "a secret of 16 bytes"),
        ("{ file = \"none\" }", "admin.token.file", "cannot read"),
        ("{}", "admin.token", "names neither a file nor"),
        ("\"Kq8vR2nWz5TbX9cLmJ4hPsY7dFg3aE6u\"", "admin.token", "is a secret inside the configuration"),
    ] {
        let faults = load("127.0.0.1:1", token).unwrap_err();
        assert_eq!(places(&faults), [(Some(5), key)], "{faults}");
        assert!(faults.to_string().contains(problem) && !faults.to_string().contains("Kq8v"), "{faults}");
    }
}

#[test]
fn the_store_gets_the_roots_in_their_order_and_whether_to_encrypt() {
    let folder = Folder::new();
    let roots = ["4fK9-first-root-7Qx2-mW8z-Lp3v-Yt6n", "8dH1-other-root-5Rb4-jN0c-Xg7s-Ue2k"];
    for (name, root) in ["first", "other"].iter().zip(roots) {
        folder.write(name, root);
    }
    let keys = "[keys]\nroot = [{ file = \"first\" }, { file = \"other\" }]\n[store]\nencrypt = true\n";
    let store = folder.load(&format!("{APP}{keys}")).unwrap().proxy.store;
    assert!(store.encrypt);
    assert_eq!(store.roots.0, roots.map(|root| root.as_bytes().to_vec()));
    assert!(!format!("{store:?}").contains("root-7Qx2"), "{store:?}");
}

#[test]
fn later_keys_may_say_what_holds_today() {
    let harmless = "[store]\nnear_cache = false\n[token]\nalgorithm = \"HS256\"\n[[routes]]\nkeep_captured = false\n";
    assert!(Folder::new().load(&format!("{APP}{harmless}")).is_ok());
    let wrong = Folder::new().load(&format!("{APP}[store]\nnear_cache = 1\n")).unwrap_err();
    assert_eq!(places(&wrong), [(Some(4), "store.near_cache")]);
}

#[test]
fn four_faults_of_four_kinds_are_reported_at_once() {
    let text = "[cookie]\nname = \"__Host-session\"\ndomain = \"example.com\"\n\n[session]\nidle_timeout = 30\n\n\
        [keys]\nroot = [{ file = \"missing.key\" }]\n\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n\
        conect_timeout = \"2s\"\n";
    let faults = Folder::new().load(text).unwrap_err();
    assert_eq!(
        places(&faults),
        [
            (Some(3), "cookie.domain"),
            (Some(6), "session.idle_timeout"),
            (Some(9), "keys.root[0].file"),
            (Some(13), "upstreams.app.conect_timeout"),
        ]
    );
    let shown = faults.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[1].ends_with(
        "cloakroom.toml:6: session.idle_timeout: missing unit; write a duration with its unit, such as \"500ms\", \
         \"30s\", \"15m\" or \"12h\" (\"30s\"?)"
    ));
    assert!(
        lines[3]
            .ends_with("cloakroom.toml:13: upstreams.app.conect_timeout: unknown key; did you mean connect_timeout?")
    );
}

#[test]
fn a_syntax_error_and_an_unreadable_file_are_one_fault() {
    let folder = Folder::new();
    for text in ["[cookie]\nname = \n", "[cookie]\nname = \"a\nb = 1\nc =", "[cookie]\nname = \"a\"\nname = \"b\""] {
        let faults = folder.load(text).unwrap_err();
        assert_eq!(faults.iter().count(), 1);
        assert!(places(&faults)[0].0.is_some_and(|line| line >= 2), "{faults}");
    }
    let faults = load(Some(&folder.0.path().join("none.toml")), &Overrides::default(), &env).unwrap_err();
    assert_eq!(places(&faults), [(None, "")]);
    assert!(faults.to_string().contains("none.toml: cannot be read: "), "{faults}");
}

#[test]
fn flags_need_no_file_and_override_one() {
    let overrides = |upstream: &str| Overrides {
        upstream: Some(upstream.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        store: Some("memory:".to_owned()),
    };
    let listen = vec![Address::Tcp("127.0.0.1:0".parse().unwrap())];
    let alone = load(None, &overrides("http://h:1"), &env).unwrap();
    assert_eq!(&*alone.proxy.upstreams[0].connections.name, "app");
    assert_eq!(alone.server.listen, listen);
    let file =
        "[listen]\naddress = 3\n[store]\nurl = \"redis://h\"\n[upstreams.shop]\nservers = 3\npreserve_host = false";
    let both = Folder::new().load_with(file, &overrides("http://h:1")).unwrap();
    assert_eq!(&*both.proxy.upstreams[0].connections.name, "shop");
    assert!(!both.proxy.upstreams[0].connections.preserve_host);
    assert_eq!(both.server.listen, listen);
}

#[test]
fn faults_of_flags_name_the_flag() {
    let overrides = Overrides {
        upstream: Some("ftp://h".to_owned()),
        listen: Some("unix:run/c.sock".to_owned()),
        store: Some("redis+sentinel://h/m/0".to_owned()),
    };
    let faults = load(None, &overrides, &env).unwrap_err();
    assert_eq!(places(&faults), [(None, "--listen"), (None, "--store"), (None, "--upstream")]);
    assert!(faults.to_string().starts_with("--listen: is not the path of a Unix socket; write the whole"));
    let two = format!("{APP}[upstreams.b]\nservers = [\"http://b\"]\n[[routes]]\nupstream = \"app\"");
    let faults = Folder::new().load_with(&two, &Overrides { upstream: overrides.upstream, ..Overrides::default() });
    assert_eq!(places(&faults.unwrap_err()), [(None, "--upstream")]);
}

#[test]
fn without_an_upstream_the_cure_names_both_ways() {
    let faults = load(None, &Overrides::default(), &env).unwrap_err();
    assert_eq!(places(&faults), [(None, "upstreams")]);
    assert!(faults.to_string().contains("[upstreams.app]") && faults.to_string().contains("--upstream URL"));
}

#[test]
fn secrets_lose_one_newline_and_nothing_else() {
    let text = format!(
        "{APP}[keys]\nroot = [{{ file = \"root.key\" }}, {{ env = \"SECRET\" }}]\n\
         [token]\nkeys = [{{ file = \"token.key\" }}]\n[store]\nurl = \"redis://:${{PASSWORD}}@h/0\"\n"
    );
    let loaded = Folder::new().load(&text).unwrap();
    assert_eq!(loaded.proxy.roots[0], b"vJ8yq2Wn0TzL5uXcR1bE7hKdM3sGpA6f");
    assert_eq!(loaded.proxy.roots[1], env("SECRET").unwrap().trim_end().as_bytes());
    assert_eq!(loaded.proxy.envelope.keys[0].secret, b"Qm4ZtY9xVb2LrN7wCk5HsJ1gDf8PuE3a");
    assert_eq!(loaded.proxy.store.kind, redis("redis://:hunter2@h/0"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn random_keys_stay_when_the_configuration_is_read_again() {
    let folder = Folder::new();
    let first = folder.load(APP).unwrap();
    let path = folder.0.path().join("cloakroom.toml");
    let again = |made_up| load_again(Some(&path), &Overrides::default(), &env, made_up).unwrap();
    let second = again(first.made_up.clone());
    assert_eq!(first.proxy.roots, second.proxy.roots);
    assert_eq!(first.proxy.envelope.keys[0].secret, second.proxy.envelope.keys[0].secret);
    fs::write(&path, format!("{APP}[token]\nalgorithm = \"ES256\"\n")).unwrap();
    let third = again(second.made_up);
    assert_eq!(first.proxy.roots, third.proxy.roots);
    assert!(first.proxy.envelope.keys[0].secret != third.proxy.envelope.keys[0].secret);
}

#[test]
fn a_file_is_found_from_the_folder_of_the_configuration_or_from_where_a_flag_was_typed() {
    let kind = |path: &Path| crate::store::Kind::File { path: path.to_owned() };
    let folder = Folder::new();
    fs::create_dir(folder.0.path().join("kept")).unwrap();
    let keys = "[keys]\nroot = [{ file = \"root.key\" }]\n[token]\nkeys = [{ file = \"token.key\" }]\n";
    let absolute = folder.0.path().join("kept/a.db");
    for (typed, wanted) in [
        ("file:a.db".to_owned(), folder.0.path().join("a.db")),
        ("FILE:kept/a.db".to_owned(), absolute.clone()),
        (format!("file:{}", absolute.display()), absolute.clone()),
        (format!("file://{}", absolute.display()), absolute.clone()),
    ] {
        let loaded = folder.load(&format!("{APP}{keys}[store]\nurl = {typed:?}\n")).unwrap();
        assert_eq!(loaded.proxy.store.kind, kind(&wanted), "{typed}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
    let flag = Overrides { store: Some("file:a.db".to_owned()), ..Overrides::default() };
    let loaded = folder.load_with(&format!("{APP}{keys}"), &flag).unwrap();
    assert_eq!(loaded.proxy.store.kind, kind(Path::new("a.db")));
}

#[test]
fn a_file_that_cannot_be_is_a_fault_and_not_quoted() {
    let folder = Folder::new();
    for (typed, problem) in [
        ("file:", "names no file"),
        ("file:///", "names no file"),
        ("file:kept/", "names no file"),
        ("file://host/a.db", "names a host"),
        ("file:.", "names a folder"),
        ("file:missing/a.db", "names a file in a folder that is not there"),
    ] {
        let faults = folder.load(&format!("{APP}[store]\nurl = {typed:?}\n")).unwrap_err().to_string();
        assert!(faults.contains(problem) && !faults.contains("a.db"), "{typed}: {faults}");
    }
}

#[test]
fn memory_and_random_keys_are_warned_of_and_differ_each_time() {
    let folder = Folder::new();
    let (one, two) = (folder.load(APP).unwrap(), folder.load(APP).unwrap());
    assert_eq!(one.warnings.len(), 3, "{:?}", one.warnings);
    assert!(one.proxy.roots[0].len() == 43 && one.proxy.roots != two.proxy.roots);
    assert!(one.proxy.roots[0] != one.proxy.envelope.keys[0].secret);
    let shared = format!("{APP}[upstreams.b]\nservers = [\"http://b\"]\n[[routes]]\nupstream = \"app\"");
    let warnings = folder.load(&shared).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("HS256")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("upstreams.b")), "{warnings:?}");
}

/// What can be compared of two configurations: all but the keys, which are random here.
fn comparable(loaded: &Loaded) -> String {
    let proxy = &loaded.proxy;
    let envelope = &proxy.envelope;
    let token = (&envelope.header, &envelope.update_header, &envelope.control_header, &envelope.issuer);
    let line = (&proxy.cookie, &proxy.policy, token, envelope.lifetime, envelope.max_bytes, &proxy.trust);
    format!("{line:#?}{:#?}{:#?}", (proxy.scheme, &proxy.upstreams, &proxy.routes, &proxy.store), loaded.server)
}

#[test]
fn the_example_is_the_defaults() {
    let example = Folder::new().load(EXAMPLE).unwrap();
    let upstream = Some("http://127.0.0.1:3000".to_owned());
    let minimal = load(None, &Overrides { upstream, ..Overrides::default() }, &env).unwrap();
    assert_eq!(comparable(&example), comparable(&minimal));
    assert_eq!(minimal.proxy.policy, crate::session::Policy::default());
    let default = crate::store::Settings { roots: minimal.proxy.store.roots.clone(), ..Default::default() };
    assert_eq!(minimal.proxy.store, default);
    assert_eq!(minimal.proxy.upstreams[0].rights, crate::session::rights::Rights::default());
}

#[test]
fn the_example_has_every_key_and_no_other() {
    let probes = "[listen]\nzzzzzzzzzz = 1\n[application]\nzzzzzzzzzz = 1\n[admin]\nzzzzzzzzzz = 1\ntoken = { zzzzzzzzzz = 1 }\n[cookie]\nzzzzzzzzzz = 1\n\
        [session]\nzzzzzzzzzz = 1\n[token]\nzzzzzzzzzz = 1\nkeys = [{ zzzzzzzzzz = 1 }]\n[keys]\nzzzzzzzzzz = 1\n\
        [store]\nzzzzzzzzzz = 1\n[upstreams.app]\nzzzzzzzzzz = 1\n\
        tls = { zzzzzzzzzz = 1 }\nhealth = { zzzzzzzzzz = 1 }\n[[routes]]\nzzzzzzzzzz = 1\n\
        [limits]\nzzzzzzzzzz = 1\n[drain]\nzzzzzzzzzz = 1\n";
    let faults = Folder::new().load(probes).unwrap_err();
    let unknown = faults.iter().filter(|fault| fault.problem == "unknown key");
    let mut sections = 0;
    for fault in unknown {
        sections += 1;
        let names = fault.cure.strip_prefix("remove it; the keys here are ").unwrap();
        for name in names.split(", ") {
            let shown = EXAMPLE.contains(&format!("\n{name} = ")) || EXAMPLE.contains(&format!("# {name} = "));
            let inner = [format!("{{ {name} = "), format!(", {name} = ")].iter().any(|text| EXAMPLE.contains(text));
            assert!(shown || inner, "{} has no {name} in the example", fault.key);
        }
    }
    assert_eq!(sections, 16);
}

#[test]
fn what_the_example_comments_out_is_sound_too() {
    let folder = Folder::new();
    let code = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let is_code = line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        is_code.then(|| line.to_owned())
    };
    let all = EXAMPLE.lines().filter_map(code).collect::<Vec<_>>().join("\n");
    let all = all.replace("/run/secrets/token-k1", "token.key").replace("/run/secrets/root", "root.key");
    let all = all.replace("/run/secrets/admin", "token.key");
    let all = all.replace("TOKEN_KEY", "SECRET").replace("__Host-session", "session");
    let all = all
        .replace("session = false ", "session = true ")
        .replace("/run/secrets/redis", "token.key")
        .replace("http://127", "https://127");
    // What is for one kind of store only stands beside one of that kind.
    let all = all.replace("url = \"memory:\"", "url = \"rediss://h/0\"").replace("max_sessions = 1000000", "");
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    for (name, text) in
        [("ca.pem", made.cert.pem()), ("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())]
    {
        folder.write(name, &text);
    }
    let loaded = folder.load(&all).unwrap();
    assert_eq!(loaded.proxy.routes.len(), 2);
    assert!(loaded.server.admin.is_some() && loaded.server.application.is_some() && loaded.server.identity.is_some());
}

#[test]
fn nothing_prints_a_secret() {
    let loaded = Folder::new().load(&format!("{APP}[keys]\nroot = [{{ file = \"root.key\" }}]")).unwrap();
    assert!(!format!("{loaded:?}").contains("vJ8yq2Wn"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = Folder::new().load(&text);
    }

    #[test]
    fn no_change_of_the_example_makes_it_panic(
        at in 0..EXAMPLE.len(),
        cut in 0..40_usize,
        put in "[-a-z0-9\"'\\[\\]{}=.,#\n ${}é]{0,12}",
    ) {
        let floor = |mut index: usize| { while !EXAMPLE.is_char_boundary(index) { index -= 1 } index };
        let (from, to) = (floor(at), floor((at + cut).min(EXAMPLE.len())));
        let _ = Folder::new().load(&format!("{}{put}{}", &EXAMPLE[..from], &EXAMPLE[to.max(from)..]));
    }

    #[test]
    fn any_value_at_any_key_is_understood_or_reported(
        section in prop::sample::select(vec!["session", "token", "store", "cookie", "limits", "listen", "keys", "drain"]),
        key in prop::sample::select(vec!["idle_timeout", "max_bytes", "url", "root", "keys", "address", "headers", "secure", "timeout"]),
        value in prop::sample::select(vec!["0", "-9223372036854775808", "inf", "\"\"", "\"${}\"", "[[]]", "[{}]", "{}", "1979-05-27", "\"1e400s\"", "\"99999999999999999999h\"", "\"18446744073709551616EiB\"", "\"-1s\"", "\"0.1.2KB\"", "\"\u{2000}\""]),
    ) {
        let text = format!("{APP}[{section}]\n{key} = {value}");
        prop_assert!(Folder::new().load(&text).is_err());
    }
}
