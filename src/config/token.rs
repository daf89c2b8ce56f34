//! `[token]` and `[keys]`: how tokens are made, and the secrets of tokens and tickets.

use std::time::Duration;

use http::HeaderName;

use super::{
    faults::Report,
    file::Node,
    names::{self, Bearing, fold},
    secrets::{self, Key, MadeUp, Sources},
    section::{Section, Typed},
    units::{self, LONGEST},
};
use crate::envelope::{Algorithm, Settings, SigningKey};

/// The pattern of one token key.
pub(super) const KEYS: &str = "token.keys.*";
const ROOTS: &str = "keys.root.*";
/// A token without data: header, claims with a subject of 256 bytes, signature.
const LEAST_BYTES: usize = 1024;
const ALGORITHMS: [(&str, Algorithm); 3] =
    [("HS256", Algorithm::Hs256), ("ES256", Algorithm::Es256), ("EdDSA", Algorithm::EdDsa)];
/// NumericDate counts seconds.
const SECOND: Duration = Duration::from_secs(1);

/// The secrets of `[keys]`.
pub(super) fn roots(section: &Section<'_>, sources: &Sources<'_>) -> Typed<Vec<Key>> {
    secrets::keys(section, "root", ROOTS, sources)
}

/// What `[token]` says, before random keys fill what is missing.
pub(super) struct Token {
    settings: Settings,
    keys: Typed<Vec<Key>>,
}

/// Reads `[token]`.
pub(super) fn token(section: Section<'_>, sources: &Sources<'_>) -> Token {
    let [header, update_header, control_header] = headers(&section);
    let settings = Settings {
        header,
        update_header,
        control_header,
        issuer: section.read("issuer", "cloakroom".to_owned(), issuer).value,
        lifetime: section
            .read("lifetime", Duration::from_secs(60), |node, report| units::duration(node, report, SECOND..=LONGEST))
            .value,
        max_bytes: section.size("max_bytes", 4 * 1024, LEAST_BYTES).value,
        algorithm: section.choice("algorithm", &ALGORITHMS).value,
        keys: Vec::new(),
    };
    let keys = secrets::keys(&section, "keys", KEYS, sources);
    section.close();
    Token { settings, keys }
}

/// The token's settings and the roots, both with keys.
pub(super) fn with_keys(
    token: Token,
    roots: Typed<Vec<Key>>,
    (outlives_process, made_up): (bool, &mut MadeUp),
    report: &Report,
) -> (Settings, Vec<Vec<u8>>) {
    for key in &token.keys.value {
        if roots.value.iter().any(|root| root.secret == key.secret) {
            let problem = "is a root as well, and whoever verifies tokens could forge tickets";
            report.fault(&key.place, problem, "make another secret with: cloakroom keys new");
        }
    }
    let algorithm = token.settings.algorithm;
    let lost = "no application can verify tokens";
    let keys = secrets::or_random(token.keys, algorithm, (outlives_process, made_up), lost, report);
    let lost = "cookies end with this process";
    let roots = secrets::or_random(roots, Algorithm::Hs256, (outlives_process, made_up), lost, report);
    let keys = keys.into_iter().filter_map(|key| signing_key(key, algorithm, report)).collect();
    (Settings { keys, ..token.settings }, roots.into_iter().map(|key| key.secret).collect())
}

fn signing_key(key: Key, algorithm: Algorithm, report: &Report) -> Option<SigningKey> {
    let signing = SigningKey { id: key.id, secret: key.secret };
    match signing.check(algorithm) {
        Ok(()) => Some(signing),
        Err(fault) => {
            let cure = format!("make one with: cloakroom keys new --algorithm {}", algorithm.name());
            report.fault(&key.place, fault.to_string(), cure);
            None
        }
    }
}

fn headers(section: &Section<'_>) -> [HeaderName; 3] {
    let read = |key, default| section.read(key, HeaderName::from_static(default), header_name);
    let headers = [
        read("header", "x-session"),
        read("update_header", "x-session-update"),
        read("control_header", "x-session-control"),
    ];
    for (index, header) in headers.iter().enumerate().filter(|(_, header)| header.is_sound()) {
        let same = |other: &&Typed<HeaderName>| other.is_sound() && fold(&other.value) == fold(&header.value);
        if let Some(other) = headers[..index].iter().find(same) {
            let place = if header.is_given() { &header.place } else { &other.place };
            let problem = "is the name of another of the three headers (case and punctuation do not count)";
            section.report.fault(place, problem, "give each a name of its own");
        }
    }
    headers.map(|header| header.value)
}

fn header_name(node: &Node, report: &Report) -> Option<HeaderName> {
    names::header_name(&units::text(node, report)?.meant, node, report, Bearing::Ours)
}

fn issuer(node: &Node, report: &Report) -> Option<String> {
    let issuer = units::text(node, report)?.meant.clone();
    if issuer.is_empty() || issuer.len() > 256 || issuer.chars().any(char::is_control) {
        return units::fault(node, report, "is not a name", "write 1 to 256 bytes, such as \"cloakroom\"");
    }
    Some(issuer)
}
