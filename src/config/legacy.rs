//! What a route does for an application that stays unmodified: `inject` and its like (contract section 6).

use http::{HeaderName, StatusCode};

use super::{
    faults::Report,
    file::{Node, Value},
    names::{self, Bearing, fold},
    section::{Origin, Section, Typed, contradiction},
    units,
};
use crate::{
    envelope::{Captured, Injection, Template},
    proxy::{Gate, Legacy, Shown},
    route::{PathPrefix, Redirect},
    session::{
        document::{MAX_DEPTH, Pointer},
        vault::{Glob, Names},
    },
};

const REQUIRE: &str = "routes.*.require";
const VAULT: &str = "routes.*.vault";

/// What the keys are read against.
pub(super) struct Claimed<'a> {
    /// The names of token, update and control.
    pub(super) headers: [&'a HeaderName; 3],
    /// The name of our cookie.
    pub(super) cookie: Option<&'a str>,
}

impl Claimed<'_> {
    /// Reads the keys of one route. `session`: whether it has sessions, without which none of them means anything.
    pub(super) fn legacy(&self, section: &Section<'_>, session: &Typed<bool>) -> Legacy {
        let end_on =
            section.read("end_on", Vec::new(), |node, report| units::each(node, report, |node| path(node, report)));
        let inject = section.read("inject", Vec::new(), |node, report| self.inject(node, report));
        let capture = section.read("capture", Vec::new(), |node, report| self.capture(node, report));
        let keep = section.flag("keep_captured", false);
        let require = section.optional("require", gate);
        let vault = section.optional("vault", |node, report| self.vault(node, report));
        let report = section.report;
        needs_sessions(&end_on, session, report);
        needs_sessions(&inject, session, report);
        needs_sessions(&capture, session, report);
        needs_sessions(&require, session, report);
        needs_sessions(&vault, session, report);
        let problem = "has no meaning without capture";
        contradiction(
            report,
            (&keep, &capture),
            !keep.value || capture.is_given(),
            problem,
            "remove it, or add capture",
        );
        let captured = if keep.value { Shown::Still } else { Shown::Never };
        let (end_on, inject, capture, require) = (end_on.value, inject.value, capture.value, require.value);
        Legacy { end_on, inject, capture, captured, require, vault: vault.value }
    }

    fn vault(&self, node: &Node, report: &Report) -> Option<Names> {
        let section = Section::open(node, VAULT, report);
        let globs = |node: &Node, report: &Report| units::each(node, report, |node| self.cookie(node, report));
        let cookies = section.read("cookies", Vec::new(), globs);
        let volatile = section.read("volatile", Vec::new(), globs);
        if cookies.is_sound() && cookies.value.is_empty() {
            let cure = "write the names of the application's cookies, such as cookies = [\"PHPSESSID\", \"legacy_*\"]";
            report.fault(&cookies.place, "is missing or empty", cure);
            section.close();
            return None;
        }
        let session_only = section.read("session_only", Vec::new(), globs);
        let kept = |name: &Glob| cookies.value.iter().any(|glob| glob.contains(name));
        let mut sound = cookies.is_sound();
        for some in [&volatile, &session_only] {
            let known = some.value.iter().all(kept);
            let problem = "has a name that is not among cookies";
            contradiction(report, (some, &cookies), known, problem, "remove it, or add it to cookies as well");
            sound &= known && some.is_sound();
        }
        section.close();
        let (volatile, session_only) = (volatile.value, session_only.value);
        sound.then_some(Names { cookies: cookies.value, volatile, session_only })
    }

    fn cookie(&self, node: &Node, report: &Report) -> Option<Glob> {
        let text = units::text(node, report)?;
        let Ok(glob) = Glob::parse(&text.meant) else {
            let cure = "write a name, with * for any characters, such as \"PHPSESSID\" or \"legacy_*\"";
            return units::fault(node, report, &format!("\"{}\" is not the name of a cookie", text.typed), cure);
        };
        if glob.name().is_some() && glob.name() == self.cookie {
            let cure = "remove it, or give Cloakroom's cookie another name (cookie.name)";
            return units::fault(node, report, "is the name of Cloakroom's own cookie", cure);
        }
        Some(glob)
    }

    fn capture(&self, node: &Node, report: &Report) -> Option<Vec<Captured>> {
        let entries = entries(node, report)?;
        let captured = entries.iter().map(|(key, node)| {
            let name = self.header_name(key, node, report, Bearing::Captured);
            let place = place(node, report);
            Some(Captured { name: name?, place: place? })
        });
        captured.collect::<Vec<_>>().into_iter().collect()
    }

    fn inject(&self, node: &Node, report: &Report) -> Option<Vec<Injection>> {
        let entries = entries(node, report)?;
        let mut injections: Vec<Injection> = Vec::new();
        for (key, node) in &entries {
            let Some(name) = self.header_name(key, node, report, Bearing::Injected) else { continue };
            if let Some(twin) = injections.iter().find(|other| fold(&other.name) == fold(&name)) {
                let problem = format!("is the same header as {} (case and punctuation do not count)", twin.name);
                units::fault::<()>(node, report, &problem, "remove one of the two");
            } else if let Some(template) = template(node, report) {
                injections.push(Injection { name, template });
            }
        }
        (injections.len() == entries.len()).then_some(injections)
    }

    fn header_name(&self, key: &str, node: &Node, report: &Report, bearing: Bearing) -> Option<HeaderName> {
        let name = names::header_name(key, node, report, bearing)?;
        if self.headers.iter().any(|ours| fold(ours) == fold(&name)) {
            let cure = "write another name, or change that of [token]";
            return units::fault(node, report, &format!("{name} is a header of Cloakroom's own"), cure);
        }
        Some(name)
    }
}

fn needs_sessions<T>(key: &Typed<T>, session: &Typed<bool>, report: &Report) {
    let problem = "has no meaning on a route with session = false";
    contradiction(report, (key, session), session.value || !key.is_given(), problem, "remove one of the two");
}

/// The pairs of a table of which Cloakroom does not know the names, in the order of the file.
fn entries<'a>(node: &'a Node, report: &Report) -> Option<Vec<(&'a String, &'a Node)>> {
    let table = match &node.value {
        Value::Table(table) => table,
        Value::Faulty => return None,
        _ => {
            return units::wrong_type(
                node,
                report,
                "a table",
                "write header = \"pointer\" pairs, in braces or below a [header]",
            );
        }
    };
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(_, node)| node.offset);
    Some(entries)
}

/// A pointer to a part of the data, not to the whole of it.
fn place(node: &Node, report: &Report) -> Option<Pointer> {
    let place = units::pointer(node, report)?;
    let cure = "write a path from the top of the data, such as \"/user\"";
    match place.tokens().len() {
        0 => units::fault(node, report, "is the whole data", cure),
        1..=MAX_DEPTH => Some(place),
        _ => units::fault(node, report, &format!("is deeper than data may be ({MAX_DEPTH})"), cure),
    }
}

fn path(node: &Node, report: &Report) -> Option<PathPrefix> {
    let path = PathPrefix::parse(&units::text(node, report)?.meant);
    path.map_err(|fault| report.fault(&node.place, fault.problem, fault.cure)).ok()
}

fn gate(node: &Node, report: &Report) -> Option<Gate> {
    let section = Section::open(node, REQUIRE, report);
    let pointer = section.optional("pointer", place);
    let redirect = section.optional("redirect", redirect);
    let status = section.read("status", StatusCode::UNAUTHORIZED, status);
    if pointer.origin == Origin::Default {
        report.fault(&pointer.place, "is missing", "write what a session must have, such as pointer = \"/user\"");
    }
    let sound = pointer.is_sound() && redirect.is_sound() && status.is_sound();
    section.close();
    let gate = Gate { pointer: pointer.value?, redirect: redirect.value, status: status.value };
    sound.then_some(gate)
}

fn redirect(node: &Node, report: &Report) -> Option<Redirect> {
    let redirect = Redirect::parse(&units::text(node, report)?.meant);
    redirect.map_err(|fault| report.fault(&node.place, fault.problem, fault.cure)).ok()
}

fn status(node: &Node, report: &Report) -> Option<StatusCode> {
    let status = match node.value {
        Value::Integer(Some(401)) => Some(StatusCode::UNAUTHORIZED),
        Value::Integer(Some(403)) => Some(StatusCode::FORBIDDEN),
        Value::Integer(Some(404)) => Some(StatusCode::NOT_FOUND),
        Value::Faulty => return None,
        _ => None,
    };
    status.or_else(|| units::fault(node, report, "is no status for a closed gate", "write 401, 403 or 404"))
}

fn template(node: &Node, report: &Report) -> Option<Template> {
    let text = units::text(node, report)?;
    Template::parse(&text.meant)
        .map_err(|fault| {
            let cure = "write a JSON Pointer such as \"/user/name\", or text with pointers in braces such as \
                        \"{/user/first} {/user/last}\"";
            report.fault(&node.place, format!("\"{}\" {fault}", text.typed), cure);
        })
        .ok()
}

#[cfg(test)]
mod tests;
