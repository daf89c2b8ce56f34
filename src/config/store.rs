//! `[store]`: where sessions are kept. A store URL may hold a password: no message quotes it.

use redis::IntoConnectionInfo;

use super::{
    faults::Report,
    file::Node,
    section::{Origin, Section, Typed, contradiction},
    units,
};
use crate::{
    proxy::OnStoreFailure,
    store::{Kind, Settings},
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
    Redis(String),
}

/// Reads `[store]`.
pub(super) fn store(section: Section<'_>) -> Store {
    let default = Settings::default();
    let url = section.read("url", Url::Memory, url);
    let max_sessions = section.count("max_sessions", MAX_SESSIONS, usize::MAX / 1024);
    let in_memory = url.value == Url::Memory;
    let problem = "max_sessions is for memory: only, other stores have limits of their own";
    contradiction(section.report, (&max_sessions, &url), in_memory || !max_sessions.is_given(), problem, "remove it");
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
        encrypt: section.flag("encrypt", default.encrypt).value,
        roots: default.roots,
    };
    section.close();
    Store { settings, on_failure, outlives_process }
}

fn kind(url: Typed<Url>, max_sessions: Typed<usize>) -> Kind {
    match url.value {
        Url::Memory => Kind::Memory { max_sessions: max_sessions.value },
        Url::Redis(url) => Kind::Redis { url },
    }
}

fn url(node: &Node, report: &Report) -> Option<Url> {
    let text = units::text(node, report)?.meant.as_str();
    let cure = "write \"redis://[user:password@]host:port/db\", or \"memory:\"";
    match text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest)) {
        Some((scheme, "")) if scheme == "memory" => Some(Url::Memory),
        Some((scheme, _)) if scheme == "memory" => {
            units::fault(node, report, "has something after memory:", "write \"memory:\"")
        }
        Some((scheme, rest)) if scheme == "redis" && rest.starts_with("//") => {
            let sound = text.into_connection_info().is_ok();
            sound
                .then(|| Url::Redis(text.to_owned()))
                .or_else(|| units::fault(node, report, "is not a Redis URL", cure))
        }
        _ => units::fault(node, report, "names no store that Cloakroom knows", cure),
    }
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
