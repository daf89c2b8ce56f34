//! `[[routes]]`: which requests go to which upstream, and whether they have sessions.
//!
//! With one upstream a route need not name it, and without routes everything goes to it.

use super::{
    faults::{Place, Report},
    file::Node,
    section::{Origin, Section, Typed, contradiction},
    store::ON_FAILURE,
    units,
};
use crate::{
    proxy::{OnStoreFailure, RouteSettings, SessionUse, UpstreamSettings},
    route::{HostPattern, PathPrefix},
};

const PATTERN: &str = "routes.*";

/// What routes are read against.
pub(super) struct Surroundings<'a> {
    pub(super) upstreams: &'a [UpstreamSettings],
    /// `store.on_failure`
    pub(super) on_failure: OnStoreFailure,
}

/// A route and where it was typed.
struct Placed {
    route: RouteSettings,
    place: Place,
}

impl Surroundings<'_> {
    /// Reads every `[[routes]]` of the document.
    pub(super) fn routes(&self, root: &Section<'_>) -> Vec<RouteSettings> {
        let routes = root.read("routes", Vec::new(), |node, report| match &node.value {
            super::file::Value::Table(_) => {
                units::fault(node, report, "is one table, not a list of tables", "write [[routes]] in double brackets")
            }
            _ => units::each(node, report, |node| self.route(node, report)),
        });
        duplicates(&routes.value, root.report);
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
        vec![RouteSettings { host: None, path: root_path(), upstream: 0, session }]
    }

    fn route(&self, node: &Node, report: &Report) -> Option<Placed> {
        let section = Section::open(node, PATTERN, report);
        let host = section.optional("host", host);
        let path = section.read("path", root_path(), path);
        let upstream = self.upstream(&section);
        let session = self.session_use(&section);
        let sound = host.is_sound() && path.is_sound() && !section.is_broken();
        section.close();
        let route = RouteSettings { host: host.value, path: path.value, upstream: upstream?, session };
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

    fn session_use(&self, section: &Section<'_>) -> SessionUse {
        let session = section.flag("session", true);
        let on_failure =
            section.read("on_store_failure", self.on_failure, |node, report| units::choice(node, report, ON_FAILURE));
        let problem = "has no meaning on a route with session = false";
        let holds = session.value || !on_failure.is_given();
        contradiction(section.report, (&on_failure, &session), holds, problem, "remove one of the two");
        if session.value { SessionUse::On(on_failure.value) } else { SessionUse::Off }
    }

    fn unused(&self, routes: &Typed<Vec<Placed>>, report: &Report) {
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if routes.is_sound() && routes.value.iter().all(|placed| placed.route.upstream != index) {
                report.warn(format!("no route leads to upstreams.{}", upstream.connections.name));
            }
        }
    }
}

fn duplicates(routes: &[Placed], report: &Report) {
    for (index, later) in routes.iter().enumerate() {
        let same = |first: &&Placed| first.route.host == later.route.host && first.route.path == later.route.path;
        if let Some(first) = routes[..index].iter().find(same) {
            let problem = format!("has the host and path of {}, and would never be reached", first.place.key());
            report.fault(&later.place, problem, "remove one of them, or give it another host or path");
        }
    }
}

fn root_path() -> PathPrefix {
    PathPrefix::root()
}

fn host(node: &Node, report: &Report) -> Option<HostPattern> {
    let text = units::text(node, report)?;
    HostPattern::parse(&text.meant).ok().or_else(|| {
        let problem = format!("\"{}\" is not a host pattern", text.typed);
        units::fault(
            node,
            report,
            &problem,
            "write a host without port, such as \"shop.example.com\" or \"*.example.com\"",
        )
    })
}

fn path(node: &Node, report: &Report) -> Option<PathPrefix> {
    let text = units::text(node, report)?;
    PathPrefix::parse(&text.meant).ok().or_else(|| {
        let problem = format!("\"{}\" is not a path prefix", text.typed);
        units::fault(node, report, &problem, "write a path that begins with \"/\", such as \"/static/\"")
    })
}
