//! What a route does for an application that stays unmodified: `inject` and its like (contract section 6).

use http::HeaderName;

use super::{
    faults::Report,
    file::{Node, Value},
    names::{self, Bearing, fold},
    section::{Section, Typed, contradiction},
    units,
};
use crate::{
    envelope::{Injection, Template},
    proxy::Legacy,
};

/// What the keys are read against.
pub(super) struct Claimed<'a> {
    /// The names of token, update and control.
    pub(super) headers: [&'a HeaderName; 3],
}

impl Claimed<'_> {
    /// Reads the keys of one route. `session`: whether it has sessions, without which none of them means anything.
    pub(super) fn legacy(&self, section: &Section<'_>, session: &Typed<bool>) -> Legacy {
        let inject = section.read("inject", Vec::new(), |node, report| self.inject(node, report));
        needs_sessions(&inject, session, section.report);
        Legacy { inject: inject.value }
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
