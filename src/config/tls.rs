//! `tls = { ... }` of whoever connects to somebody: whom to believe, and what to show of oneself.
//!
//! The files are read here; what they mean is the business of the room `tls`. There is no key that switches the
//! verification off. Nothing here prints a key; faults name the file and the line where it was named.

use super::{
    faults::Place,
    secrets::Sources,
    section::{Section, Typed},
};
use crate::tls::{Client, Identity, TlsError, Trust};

/// Reads a client's `tls`; without one it believes the authorities of the system and shows nothing of itself.
/// `None`: what was typed cannot be used, and was reported.
pub(super) fn client(section: Option<Section<'_>>, sources: &Sources<'_>) -> Option<Client> {
    let Some(section) = section else { return Some(Client { trust: Trust::System, identity: None }) };
    let pem = |key| section.optional(key, |node, report| sources.pem(node, report));
    let (ca, certificate, key) = (pem("ca"), pem("certificate"), pem("key"));
    let trust = trust(&section, ca);
    let identity = identity(&section, certificate, key);
    let is_table = !section.is_broken();
    section.close();
    let (trust, identity) = (trust?, identity?);
    is_table.then_some(Client { trust, identity })
}

fn trust(section: &Section<'_>, ca: Typed<Option<Vec<u8>>>) -> Option<Trust> {
    let Some(pem) = &ca.value else { return ca.is_sound().then_some(Trust::System) };
    let cure = "name a file with the certificates of the authorities, in PEM";
    Trust::own(pem).map_err(|error| section.report.fault(&ca.place, error.to_string(), cure)).ok()
}

fn identity(
    section: &Section<'_>,
    certificate: Typed<Option<Vec<u8>>>,
    key: Typed<Option<Vec<u8>>>,
) -> Option<Option<Identity>> {
    let alone = |place: &Place, cure: &str| {
        section.report.fault(place, "is of no use alone", cure);
        None
    };
    match (&certificate.value, &key.value) {
        (Some(chain), Some(secret)) => {
            let wrong = |error: TlsError| complain(section, &error, &certificate.place, &key.place);
            Identity::new(chain, secret).map_err(wrong).ok().map(Some)
        }
        _ if !certificate.is_sound() || !key.is_sound() => None,
        (None, None) => Some(None),
        (Some(_), None) => alone(&certificate.place, "add key = \"...\", the private key to this certificate"),
        (None, Some(_)) => alone(&key.place, "add certificate = \"...\", the certificate to this key"),
    }
}

fn complain(section: &Section<'_>, error: &TlsError, certificate: &Place, key: &Place) {
    let (place, cure) = match error {
        TlsError::NoCertificate => (certificate, "name a file with a certificate in PEM, and its chain after it"),
        TlsError::NoKey => (key, "name a file with a private key in PEM (PKCS #8, PKCS #1 or SEC 1)"),
        TlsError::NoRoots | TlsError::Refused(_) => (key, "name the private key that belongs to the certificate"),
    };
    section.report.fault(place, error.to_string(), cure);
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::config::{faults::Report, file};

    /// Reads `tls = ...` beside a folder with the files that the rows name; says what is wrong, fault by fault.
    fn read(tls: &str) -> Result<Option<Client>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, other) = (made("one.test"), made("other.test"));
        for (name, text) in [
            ("ca.pem", one.cert.pem()),
            ("c.pem", one.cert.pem()),
            ("k.pem", one.signing_key.serialize_pem()),
            ("other.pem", other.signing_key.serialize_pem()),
            ("empty.pem", String::new()),
            ("huge.pem", one.cert.pem().repeat(4096)),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let report = Report::default();
        let env = |_: &str| None;
        let text = format!("[store]\n{tls}\n");
        let root = file::parse(&text, &Arc::from("a.toml"), &env, &report).expect("TOML");
        let root = Section::open(&root, "", &report);
        let client =
            client(root.required("store").table("tls", "store.tls"), &Sources { folder: folder.path(), env: &env });
        match report.close() {
            Ok(_) => Ok(client),
            Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn what_is_not_said_is_the_systems_and_nothing() {
        let (trust, identity) = (Trust::System, None);
        assert_eq!(read(""), Ok(Some(Client { trust, identity })));
        assert_eq!(read("tls = {}"), read(""));
    }

    #[test]
    fn authorities_certificate_and_key_come_from_files() {
        let own = read("tls = { ca = \"ca.pem\", certificate = \"c.pem\", key = \"k.pem\" }").unwrap().unwrap();
        assert!(matches!(&own.trust, Trust::Own(authorities) if authorities.len() == 1));
        assert!(own.identity.is_some() && own.configuration(&[]).is_ok());
        assert!(read("tls = { certificate = \"c.pem\", key = \"k.pem\" }").unwrap().unwrap().trust == Trust::System);
    }

    #[test]
    fn every_fault_has_its_place_and_its_cure() {
        for (tls, expected) in [
            ("tls = true", &["store.tls: is true or false, not a table"][..]),
            ("tls = { ca = 1 }", &["store.tls.ca: is a bare number, not a string"]),
            ("tls = { ca = \"none.pem\" }", &["store.tls.ca: cannot read \"none.pem\""]),
            ("tls = { ca = \"empty.pem\" }", &["store.tls.ca: holds no certificate in PEM; name a file"]),
            ("tls = { ca = \"k.pem\" }", &["store.tls.ca: holds no certificate in PEM"]),
            ("tls = { ca = \"huge.pem\" }", &["store.tls.ca: holds more than 1 MiB"]),
            ("tls = { certificate = \"c.pem\" }", &["store.tls.certificate: is of no use alone; add key"]),
            ("tls = { key = \"k.pem\" }", &["store.tls.key: is of no use alone; add certificate"]),
            ("tls = { certificate = \"k.pem\", key = \"k.pem\" }", &["store.tls.certificate: holds no certificate"]),
            ("tls = { certificate = \"c.pem\", key = \"c.pem\" }", &["store.tls.key: holds no private key"]),
            ("tls = { certificate = \"c.pem\", key = \"other.pem\" }", &["store.tls.key: cannot be used"]),
            ("tls = { insecure = true }", &["store.tls.insecure: unknown key"]),
            (
                "tls = { ca = \"none.pem\", certificate = \"empty.pem\", key = \"k.pem\", x = 1 }",
                &["store.tls.ca: cannot read", "store.tls.certificate: holds no", "store.tls.x: unknown key"],
            ),
        ] {
            let faults = read(tls).expect_err(tls);
            assert_eq!(faults.len(), expected.len(), "{tls}: {faults:?}");
            for (fault, part) in faults.iter().zip(expected) {
                assert!(fault.starts_with("a.toml:2: ") && fault.contains(part), "{tls}: {fault}");
            }
        }
    }
}
