//! `[store]`: where sessions are kept. A store URL may hold a password: no message quotes it.

use std::path::{Path, PathBuf};

use super::{
    faults::Report,
    file::Node,
    secrets::Sources,
    section::{Origin, Section, Typed, contradiction},
    tls, units,
};
use crate::{
    proxy::OnStoreFailure,
    store::{
        Kind, Settings,
        redis::{Password, Target},
    },
};

const MAX_SESSIONS: usize = 1_000_000;
pub(super) const ON_FAILURE: &[(&str, OnStoreFailure)] =
    &[("reject", OnStoreFailure::Reject), ("anonymous", OnStoreFailure::Anonymous)];

/// What `[store]` says to the store and to the line. The roots of `[keys]` are not in it yet.
pub(super) struct Store {
    pub(super) settings: Settings,
    pub(super) on_failure: OnStoreFailure,
    /// Whether it is certain that sessions outlive this process, so that its keys must too.
    pub(super) outlives_process: bool,
}

/// What `store.url` names.
#[derive(PartialEq, Eq)]
enum Url {
    Memory,
    File(PathBuf),
    Redis(Target),
}

/// Reads `[store]`; `value_bytes`: how large a session may be.
pub(super) fn store(section: Section<'_>, sources: &Sources<'_>, value_bytes: usize) -> Store {
    let default = Settings::default();
    let url = section.read("url", Url::Memory, |node, report| url(node, report, sources.folder));
    let max_sessions = section.count("max_sessions", MAX_SESSIONS, usize::MAX / 1024);
    let in_memory = url.value == Url::Memory;
    let problem = "max_sessions is for memory: only, other stores have limits of their own";
    contradiction(section.report, (&max_sessions, &url), in_memory || !max_sessions.is_given(), problem, "remove it");
    let url = with_password(&section, url, sources);
    let url = with_tls(&section, url, sources);
    let timeout = section.duration("timeout", default.timeout);
    let save_timeout = section.duration("save_timeout", default.save_timeout);
    let problem = "save_timeout is shorter than timeout, so that no save could wait for its first answer";
    let fits = save_timeout.value >= timeout.value;
    contradiction(section.report, (&save_timeout, &timeout), fits, problem, "lengthen save_timeout");
    let prefix = section.read("prefix", default.prefix, prefix).value;
    let on_failure = section.choice("on_failure", ON_FAILURE).value;
    if in_memory && url.is_sound() {
        section.report.warn("store.url is memory: (sessions are lost when this process ends)");
    }
    let outlives_process = !in_memory && url.origin == Origin::Given;
    let settings = Settings {
        kind: kind(url, max_sessions),
        prefix,
        timeout: timeout.value,
        save_timeout: save_timeout.value,
        value_bytes,
        encrypt: section.flag("encrypt", default.encrypt).value,
        roots: default.roots,
    };
    section.close();
    Store { settings, on_failure, outlives_process }
}

fn kind(url: Typed<Url>, max_sessions: Typed<usize>) -> Kind {
    match url.value {
        Url::Memory => Kind::Memory { max_sessions: max_sessions.value },
        Url::File(path) => Kind::File { path },
        Url::Redis(target) => Kind::Redis(Box::new(target)),
    }
}

fn url(node: &Node, report: &Report, folder: &Path) -> Option<Url> {
    let text = units::text(node, report)?.meant.as_str();
    if let Some(target) = Target::parse(text) {
        return match target {
            Ok(target) => Some(Url::Redis(target)),
            Err(unfit) => units::fault(node, report, unfit.problem, unfit.cure),
        };
    }
    match text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest)) {
        Some((scheme, "")) if scheme == "memory" => Some(Url::Memory),
        Some((scheme, _)) if scheme == "memory" => {
            units::fault(node, report, "has something after memory:", "write \"memory:\"")
        }
        Some((scheme, rest)) if scheme == "file" => file(rest, node, report, folder).map(Url::File),
        _ => {
            let cure = "write \"redis://[user:password@]host:port/db\", \"file:/var/lib/cloakroom/sessions.db\" or \"memory:\"";
            units::fault(node, report, "names no store that Cloakroom knows", cure)
        }
    }
}

/// `store.password`: instead of one in the URL.
fn with_password(section: &Section<'_>, url: Typed<Url>, sources: &Sources<'_>) -> Typed<Url> {
    let password = section.optional("password", |node, report| sources.password(node, "store.password", report));
    let (fits, has_password) = match &url.value {
        Url::Memory | Url::File(_) => (false, false),
        Url::Redis(target) => (true, target.has_password()),
    };
    let is_absent = !password.is_given();
    contradiction(section.report, (&password, &url), is_absent || fits, "is for Redis only", "remove it");
    let problem = "stands beside a password in store.url";
    contradiction(section.report, (&password, &url), is_absent || !has_password, problem, "leave one of them");
    match (url.value, password.value) {
        (Url::Redis(target), Some(password)) => {
            Typed { value: Url::Redis(target.with_password(Password::new(password))), ..url }
        }
        (Url::Redis(target), None) if target.lacks_password() && password.origin == Origin::Default => {
            let cure = "write user:password@, or password = { file = \"...\" } beside it";
            section.report.fault(&url.place, "names a user without a password", cure);
            Typed { value: Url::Redis(target), origin: Origin::Faulty, ..url }
        }
        (value, _) => Typed { value, ..url },
    }
}

/// `store.tls`: how TLS is spoken with a `rediss://` URL.
fn with_tls(section: &Section<'_>, url: Typed<Url>, sources: &Sources<'_>) -> Typed<Url> {
    let Some(table) = section.table("tls", "store.tls") else { return url };
    let place = table.place.clone();
    let Some(client) = tls::client(Some(table), sources) else { return url };
    let is_sound = url.is_sound();
    let value = match url.value {
        Url::Redis(target) if target.is_encrypted() => Url::Redis(target.with_tls(client)),
        value => {
            if is_sound {
                section.report.fault(&place, "is for rediss:// only", "write rediss:// in store.url, or remove tls");
            }
            value
        }
    };
    Typed { value, ..url }
}

/// The path of `file:PATH` or `file:///PATH`. What is typed on the command line begins where the command was typed.
fn file(rest: &str, node: &Node, report: &Report, folder: &Path) -> Option<PathBuf> {
    let fault = |problem: &str, cure: &str| units::fault(node, report, problem, cure);
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return fault("names a host, but the file must be on this machine", "write \"file:/PATH\""),
        None => rest,
    };
    if path.is_empty() || path.ends_with('/') {
        return fault("names no file", "write \"file:/var/lib/cloakroom/sessions.db\"");
    }
    let path = if node.place.is_flag() { PathBuf::from(path) } else { folder.join(path) };
    if path.is_dir() {
        return fault("names a folder", "add the name of a file in it; Cloakroom makes that file");
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if parent.is_some_and(|parent| !parent.is_dir()) {
        return fault("names a file in a folder that is not there", "make the folder, or name another");
    }
    Some(path)
}

fn prefix(node: &Node, report: &Report) -> Option<String> {
    let prefix = units::text(node, report)?.meant.clone();
    if prefix.is_empty() {
        return units::fault(
            node,
            report,
            "is empty, so that keys of others could be taken for ours",
            "write \"cloakroom:\"",
        );
    }
    if prefix.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return units::fault(node, report, "has white space or control characters", "write \"cloakroom:\"");
    }
    Some(prefix)
}
