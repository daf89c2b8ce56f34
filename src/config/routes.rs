//! `[[routes]]`: which requests go to which upstream, and whether they have sessions.
//!
//! With one upstream a route need not name it, and without routes everything goes to it.

use super::{
    faults::{Place, Report},
    file::{Node, Value},
    legacy::Claimed,
    section::{Origin, Section, Typed, contradiction},
    store::ON_FAILURE,
    units,
};
use crate::{
    proxy::{Legacy, OnStoreFailure, RouteSettings, SessionUse, UpstreamSettings},
    route::{Duplicate, HostPattern, PathPrefix, PatternFault, Table},
};

const PATTERN: &str = "routes.*";

/// What routes are read against.
pub(super) struct Surroundings<'a> {
    pub(super) upstreams: &'a [UpstreamSettings],
    /// `store.on_failure`
    pub(super) on_failure: OnStoreFailure,
    pub(super) claimed: Claimed<'a>,
}

/// A route and where it was typed.
struct Placed {
    route: RouteSettings,
    place: Place,
}

impl Surroundings<'_> {
    /// Reads every `[[routes]]` of the document.
    pub(super) fn routes(&self, root: &Section<'_>) -> Vec<RouteSettings> {
        let routes = root.read("routes", Vec::new(), |node, report| {
            if matches!(node.value, Value::Table(_)) {
                let cure = "write [[routes]] in double brackets";
                return units::fault(node, report, "is one table, not a list of tables", cure);
            }
            let list = units::list(node, report)?;
            let sound: Vec<Placed> = list.iter().filter_map(|node| self.route(node, report)).collect();
            duplicates(&sound, report);
            (sound.len() == list.len()).then_some(sound)
        });
        if routes.is_sound() && routes.value.is_empty() {
            return self.everything(root, &routes.place);
        }
        self.unused(&routes, root.report);
        routes.value.into_iter().map(|placed| placed.route).collect()
    }

    /// The route of a file without routes.
    fn everything(&self, root: &Section<'_>, place: &Place) -> Vec<RouteSettings> {
        if self.upstreams.len() > 1 {
            let cure = "add [[routes]] with path and upstream for each";
            root.report.fault(place, "is missing, and there are several upstreams", cure);
        }
        let session = SessionUse::On(self.on_failure);
        let route = |path| RouteSettings { host: None, path, upstream: 0, session, legacy: Legacy::default() };
        PathPrefix::parse("/").map(route).into_iter().collect()
    }

    fn route(&self, node: &Node, report: &Report) -> Option<Placed> {
        let section = Section::open(node, PATTERN, report);
        let host = section.optional("host", host);
        let path = section.read("path", PathPrefix::parse("/").ok(), |node, report| path(node, report).map(Some));
        let upstream = self.upstream(&section);
        let (session, legacy) = self.session_use(&section);
        let sound = host.is_sound() && path.is_sound() && !section.is_broken();
        section.close();
        let route = RouteSettings { host: host.value, path: path.value?, upstream: upstream?, session, legacy };
        sound.then(|| Placed { route, place: node.place.clone() })
    }

    fn upstream(&self, section: &Section<'_>) -> Option<usize> {
        let names = || self.upstreams.iter().map(|upstream| &*upstream.connections.name);
        let known = || names().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        let upstream = section.optional("upstream", |node, report| {
            let text = units::text(node, report)?;
            let index = names().position(|name| name == text.meant);
            let cure = if self.upstreams.is_empty() { "add it".to_owned() } else { format!("write {}", known()) };
            index.or_else(|| units::fault(node, report, &format!("there is no [upstreams.{}]", text.typed), &cure))
        });
        match (upstream.origin, self.upstreams) {
            (Origin::Default, [_]) => Some(0),
            (Origin::Default, [_, ..]) => {
                let problem = "is missing, and there are several upstreams";
                section.report.fault(&upstream.place, problem, format!("write {}", known()));
                None
            }
            _ => upstream.value,
        }
    }

    fn session_use(&self, section: &Section<'_>) -> (SessionUse, Legacy) {
        let session = section.flag("session", true);
        let on_failure =
            section.read("on_store_failure", self.on_failure, |node, report| units::choice(node, report, ON_FAILURE));
        let problem = "has no meaning on a route with session = false";
        let holds = session.value || !on_failure.is_given();
        contradiction(section.report, (&on_failure, &session), holds, problem, "remove one of the two");
        let legacy = self.claimed.legacy(section, &session);
        (if session.value { SessionUse::On(on_failure.value) } else { SessionUse::Off }, legacy)
    }

    fn unused(&self, routes: &Typed<Vec<Placed>>, report: &Report) {
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if routes.is_sound() && routes.value.iter().all(|placed| placed.route.upstream != index) {
                report.warn(format!("no route leads to upstreams.{}", upstream.connections.name));
            }
        }
    }
}

/// Log-in pages that only who has signed in already reaches.
fn circles(routes: &[Placed], table: &Table<&RouteSettings>, report: &Report) {
    for Placed { route, place } in routes {
        let redirect = route.legacy.require.as_ref().and_then(|gate| gate.redirect.as_ref());
        let Some(path) = redirect.and_then(|redirect| redirect.local_path()) else { continue };
        let host = route.host.as_ref().map(|host| host.to_string().replace('*', "any")).unwrap_or_default();
        if let Ok(Some(target)) = table.find(&host, path)
            && target.legacy.require.is_some()
        {
            let key = place.key();
            report.warn(format!(
                "{key}.require.redirect leads to {path}, which has a require too (add a route without one)"
            ));
        }
    }
}

/// Routes that could never be reached.
fn duplicates(routes: &[Placed], report: &Report) {
    let entries = routes.iter().map(|Placed { route, .. }| (route.host.clone(), route.path.clone(), route));
    let table = Table::new(entries.collect());
    if let Ok(table) = &table {
        circles(routes, table, report);
    }
    for Duplicate { first, second } in table.err().unwrap_or_default() {
        let problem = format!("has the host and path of {}, and would never be reached", routes[first].place.key());
        report.fault(&routes[second].place, problem, "remove one of them, or give it another host or path");
    }
}

fn host(node: &Node, report: &Report) -> Option<HostPattern> {
    judged(node, report, HostPattern::parse(&units::text(node, report)?.meant))
}

fn path(node: &Node, report: &Report) -> Option<PathPrefix> {
    judged(node, report, PathPrefix::parse(&units::text(node, report)?.meant))
}

fn judged<T>(node: &Node, report: &Report, pattern: Result<T, PatternFault>) -> Option<T> {
    pattern.map_err(|fault| report.fault(&node.place, fault.problem, fault.cure)).ok()
}
