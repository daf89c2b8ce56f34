//! `[admin]`: where operators ask, and what they show.

use super::{
    faults::Report,
    listen,
    secrets::Sources,
    section::{Section, Typed},
};
use crate::{
    admin::{Settings, Token},
    socket::Address,
};

/// What was typed.
pub(super) struct Admin {
    pub(super) address: Typed<Option<Address>>,
    token: Typed<Option<Token>>,
}

/// Reads `[admin]`: absent is not served.
pub(super) fn admin(section: Option<Section<'_>>, sources: &Sources<'_>) -> Option<Admin> {
    let section = section?;
    let address = listen::private_address(&section);
    let token =
        section.optional("token", |node, report| sources.token(node, "admin.token", report).and_then(Token::new));
    section.close();
    Some(Admin { address, token })
}

impl Admin {
    pub(super) fn settings(self, report: &Report) -> Option<Settings> {
        let (address, token) = (self.address.value?, self.token.value);
        if token.is_some() && matches!(address, Address::Unix(_)) {
            report.warn("admin.token is not asked for on a Unix socket (only this user and root may open it)");
        }
        Some(Settings { address, token })
    }
}
