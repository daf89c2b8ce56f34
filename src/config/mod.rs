//! Configuration: text → every room's `Settings`, all faults at once.
//!
//! What was typed and what it means are two things. `file.rs` reads TOML into a tree that knows lines and key
//! paths and nothing of Cloakroom; each section of the contract's section 9 has a file here that turns its part of
//! the tree into the `Settings` that a room declares. Nothing stops at the first fault, and no value that was not
//! understood is ever replaced by a default in silence: a key that nobody asked for is a fault, and so is one that
//! this version does not have yet (`later.rs` lists them).
//!
//! This room touches the world in two ways only: it reads the files and asks for the variables that were named.

use std::{fmt, path::Path, sync::Arc};

mod admin;
mod cookie;
mod faults;
mod file;
mod interpolate;
mod later;
mod legacy;
mod listen;
mod names;
mod routes;
mod secrets;
mod section;
mod server;
mod session;
mod store;
mod tls;
mod token;
mod units;
mod upstreams;

pub use faults::{Fault, Faults};
pub use secrets::MadeUp;

use faults::{Place, Report};
use file::Node;
use legacy::Claimed;
use routes::Surroundings;
use secrets::Sources;
use section::Section;

use crate::store::seal::Roots;

/// Command-line flags: each takes the place of what the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--upstream URL`: the server of the only upstream, or of an upstream `app` if there is none.
    pub upstream: Option<String>,
    /// `--listen ADDR`: `listen.address`
    pub listen: Option<String>,
    /// `--store URL`: `store.url`
    pub store: Option<String>,
}

/// A configuration without faults. It holds keys, so it prints its warnings only.
#[derive(Clone)]
pub struct Loaded {
    /// Everything that shapes the line.
    pub proxy: crate::proxy::Settings,
    /// Where the process listens and what it allows.
    pub server: crate::server::Settings,
    /// What is allowed but worth knowing, one sentence each.
    pub warnings: Vec<String>,
    /// Random keys, for the next time that it is read.
    pub made_up: MadeUp,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// Reads a configuration file, if there is one, and the flags, for the first time.
///
/// # Errors
/// As [`load_again`].
pub fn load(
    path: Option<&Path>,
    overrides: &Overrides,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Faults> {
    load_again(path, overrides, env, MadeUp::default())
}

/// Reads a configuration file, if there is one, and the flags. `made_up` are the random keys of [`Loaded`] before it.
///
/// `env` answers for `${NAME}` and for secrets of the form `{ env = "NAME" }`. Relative paths begin at the file's
/// folder.
///
/// # Errors
/// Every [`Fault`] of the file and the flags. A file that cannot be read or is not TOML is a single one.
pub fn load_again(
    path: Option<&Path>,
    overrides: &Overrides,
    env: &dyn Fn(&str) -> Option<String>,
    mut made_up: MadeUp,
) -> Result<Loaded, Faults> {
    let report = Report::default();
    let name: Arc<str> = path.map_or_else(String::new, |path| path.display().to_string()).into();
    let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let place = Place::file(&name, None, "");
    let settings = text(path, &place, &report).and_then(|text| {
        let mut root = file::parse(&text, &name, env, &report)?;
        apply(overrides, &mut root, &report);
        settings(&root, &Sources { folder, env }, &mut made_up, &report)
    });
    let warnings = report.close()?;
    match settings {
        Some((proxy, server)) => Ok(Loaded { proxy, server, warnings, made_up }),
        None => Err(Faults::unexplained(&name)),
    }
}

fn text(path: Option<&Path>, place: &Place, report: &Report) -> Option<String> {
    let Some(path) = path else { return Some(String::new()) };
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let cure = "name a file in UTF-8 that this user may read";
            report.fault(place, format!("cannot be read: {error}"), cure);
            None
        }
    }
}

/// Puts the flags into the tree.
fn apply(overrides: &Overrides, root: &mut Node, report: &Report) {
    if let Some(listen) = &overrides.listen {
        root.put(&["listen", "address"], Node::flag("--listen", listen));
    }
    if let Some(store) = &overrides.store {
        root.put(&["store", "url"], Node::flag("--store", store));
    }
    let Some(upstream) = &overrides.upstream else { return };
    let names = root.keys_of("upstreams");
    match names.as_slice() {
        [] => root.put(&["upstreams", "app", "servers"], Node::flag_list("--upstream", upstream)),
        [name] => root.put(&["upstreams", name, "servers"], Node::flag_list("--upstream", upstream)),
        _ => {
            let cure = "leave out --upstream and change servers in the file";
            report.fault(&Place::flag("--upstream"), "could mean any of several upstreams", cure);
        }
    }
}

/// What the tree means.
fn settings(
    root: &Node,
    sources: &Sources<'_>,
    made_up: &mut MadeUp,
    report: &Report,
) -> Option<(crate::proxy::Settings, crate::server::Settings)> {
    let root = Section::open(root, "", report);
    let (server, listen, uploads, response_header_bytes) = server_settings(&root, sources);
    let cookie = cookie::cookie(root.required("cookie"));
    let policy = session::policy(root.required("session"), cookie.persistent);
    let store = store::store(root.required("store"), sources, policy.max_bytes);
    let keys = root.required("keys");
    let roots = token::roots(&keys, sources);
    keys.close();
    let token = token::token(root.required("token"), sources);
    let (envelope, roots) = token::with_keys(token, roots, (store.outlives_process, made_up), report);
    let applications = root.required("upstreams");
    let upstreams = upstreams::upstreams(&applications, response_header_bytes, sources);
    complain_of_number(&upstreams, &applications);
    let headers = [&envelope.header, &envelope.update_header, &envelope.control_header];
    let claimed = Claimed { headers, cookie: cookie.settings.as_ref().map(crate::cookie::Settings::name) };
    let routes = Surroundings { upstreams: &upstreams, on_failure: store.on_failure, claimed }.routes(&root);
    root.close();
    let (trust, scheme) = (listen.trust, listen.scheme);
    let cookie = cookie.settings?;
    let store = crate::store::Settings { roots: Roots(roots.clone()), ..store.settings };
    let proxy =
        crate::proxy::Settings { cookie, policy, envelope, roots, trust, scheme, upstreams, routes, store, uploads };
    Some((proxy, server))
}

fn server_settings(
    root: &Section<'_>,
    sources: &Sources<'_>,
) -> (crate::server::Settings, listen::Listen, crate::proxy::UploadLimits, usize) {
    let listen = listen::listen(root.required("listen"), sources);
    let application = listen::application(root.table("application", "application"));
    let admin = admin::admin(root.table("admin", "admin"), sources);
    listen::distinct(
        root.report,
        &listen.addresses,
        [application.as_ref(), admin.as_ref().map(|admin| &admin.address)],
    );
    let (limits, uploads, response_header_bytes) = server::limits(root.required("limits"));
    let settings = crate::server::Settings {
        listen: listen.addresses.value.clone(),
        identity: listen.identity.clone(),
        preamble: listen.preamble,
        application: application.and_then(|address| address.value),
        admin: admin.and_then(|admin| admin.settings(root.report)),
        limits,
        drain: server::drain(root.required("drain")),
    };
    (settings, listen, uploads, response_header_bytes)
}

/// No upstream is a fault; several that share the key of their tokens are worth a warning.
fn complain_of_number(upstreams: &[crate::proxy::UpstreamSettings], section: &Section<'_>) {
    match upstreams {
        [] if section.is_broken() => {}
        [] => {
            let cure = "add [upstreams.app] with servers = [\"http://127.0.0.1:3000\"], or --upstream URL";
            section.report.fault(&section.place, "there is no upstream to send requests to", cure);
        }
        [_] => {}
        [..] => section
            .report
            .warn("several upstreams share an HS256 key (each of them can make tokens that the others believe)"),
    }
}

#[cfg(test)]
mod tests;
