//! `[cookie]`: read here, judged by the cookie's own room, which knows what browsers refuse.

use super::{
    section::{Section, Typed},
    units,
};
use crate::cookie::{Parts, SameSite, Settings};

/// What `[cookie]` says to the cookie and to the policy.
pub(super) struct Cookie {
    /// `None`: faulty, and reported.
    pub(super) settings: Option<Settings>,
    /// Whether new sessions' cookies outlive the browser.
    pub(super) persistent: bool,
}

/// Reads `[cookie]`.
pub(super) fn cookie(section: Section<'_>) -> Cookie {
    let same_site = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
    let typed = Fields {
        name: section.text("name", "__Host-session"),
        path: section.text("path", "/"),
        domain: section.optional("domain", |node, report| units::text(node, report).map(|text| text.meant.clone())),
        secure: section.flag("secure", true),
        http_only: section.flag("http_only", true),
        same_site: section.choice("same_site", &same_site),
        partitioned: section.flag("partitioned", false),
        strip: section.flag("strip", true),
    };
    let persistent = section.flag("persistent", false).value;
    let settings = typed.judge(&section);
    section.close();
    Cookie { settings, persistent }
}

struct Fields {
    name: Typed<String>,
    path: Typed<String>,
    domain: Typed<Option<String>>,
    secure: Typed<bool>,
    http_only: Typed<bool>,
    same_site: Typed<SameSite>,
    partitioned: Typed<bool>,
    strip: Typed<bool>,
}

impl Fields {
    fn judge(&self, section: &Section<'_>) -> Option<Settings> {
        // Prefixes have rules of their own: a name that is wrong already must not bring them in.
        let name = if self.name.is_sound() { self.name.value.clone() } else { "session".to_owned() };
        let parts = Parts {
            name,
            path: self.path.value.clone(),
            domain: self.domain.value.clone(),
            secure: self.secure.value,
            http_only: self.http_only.value,
            same_site: self.same_site.value,
            partitioned: self.partitioned.value,
            strip: self.strip.value,
        };
        match Settings::new(parts) {
            Ok(settings) => Some(settings),
            Err(faults) => {
                for fault in faults {
                    section.report.fault(&section.place_of(fault.field), fault.problem, fault.cure);
                }
                None
            }
        }
    }
}
