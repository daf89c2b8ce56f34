//! `tls = { ca, certificate, key }` of a client: whom it believes and what it shows of itself. PEM files.

use super::{
    faults::Report,
    file::Node,
    secrets::Sources,
    section::{Section, Typed, contradiction},
    units,
};
use crate::tls::{Client, Identity, TlsError, Trust};

/// Reads the `tls` of a client, if it was typed. What is missing in it is the system's authorities, and no certificate.
pub(super) fn client(section: Option<Section<'_>>, sources: &Sources<'_>) -> Option<Client> {
    let section = section?;
    let trust = section.read("ca", Trust::System, |node, report| {
        understood(Trust::own(&sources.pem(node, report)?), node, report, "certificates of authorities")
    });
    let identity = identity(&section, sources);
    section.close();
    Some(Client { trust: trust.value, identity })
}

fn identity(section: &Section<'_>, sources: &Sources<'_>) -> Option<Identity> {
    let bytes = |key: &'static str| section.optional(key, |node, report| sources.pem(node, report));
    let (chain, key) = (bytes("certificate"), bytes("key"));
    let alone = |here: &Typed<_>, there: &Typed<_>, other: &str| {
        let both = there.is_given() || !here.is_given();
        let problem = format!("is of no use without {other}");
        contradiction(section.report, (here, there), both, &problem, &format!("write {other} = \"FILE\" beside it"));
    };
    alone(&chain, &key, "key");
    alone(&key, &chain, "certificate");
    let made = Identity::new(chain.value.as_ref()?, key.value.as_ref()?);
    let blamed = match &made {
        Err(TlsError::NoKey) => section.node("key"),
        _ => section.node("certificate"),
    };
    understood(made, blamed?, section.report, "a certificate, the chain to its authority, and its key")
}

fn understood<T>(found: Result<T, TlsError>, node: &Node, report: &Report, wanted: &str) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            units::fault(node, report, &error.to_string(), &format!("write the path of a PEM file with {wanted}"))
        }
    }
}
