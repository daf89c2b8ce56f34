//! Secrets: `{ file = "..." }` or `{ env = "NAME" }`, never inline.
//!
//! The bytes are taken as they are, less one newline at the end. What is short or looks like a sample is refused.
//! Files of certificates are read here as well. Nothing here prints a secret; faults name where it should have come from.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    faults::{Place, Report},
    file::{Node, Value},
    section::{Origin, Section, Typed},
    units,
};
use crate::envelope::{Algorithm, generate};

const LEAST: usize = 32;
const LONGEST: usize = 64 * 1024;
/// Of any file: a bundle of all public authorities has a quarter of it.
const MOST: u64 = 1024 * 1024;
const MAKE: &str = "make one with: cloakroom keys new";

/// Where secrets are looked for.
pub(super) struct Sources<'a> {
    /// Relative paths begin here: the folder of the configuration file.
    pub(super) folder: &'a Path,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

/// One secret of a list, and its name if it has one.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) secret: Vec<u8>,
    pub(super) place: Place,
}

/// Reads a list of secrets.
pub(super) fn keys(
    section: &Section<'_>,
    key: &'static str,
    pattern: &'static str,
    sources: &Sources<'_>,
) -> Typed<Vec<Key>> {
    let keys = section
        .read(key, Vec::new(), |node, report| units::each(node, report, |node| sources.key(node, pattern, report)));
    for (index, later) in keys.value.iter().enumerate() {
        if keys.value[..index].iter().any(|first| first.secret == later.secret) {
            section.report.fault(&later.place, "is the same secret as an entry before it", "remove one of them");
        } else if later.id.is_some() && keys.value[..index].iter().any(|first| first.id == later.id) {
            section.report.fault(&later.place, "has the id of an entry before it", "give every key an id of its own");
        }
    }
    keys
}

/// A random secret in place of a list that was not given, which is sound only if nothing outlives this process.
pub(super) fn or_random(
    keys: Typed<Vec<Key>>,
    algorithm: Algorithm,
    outlives_process: bool,
    lost: &str,
    report: &Report,
) -> Vec<Key> {
    if !keys.is_sound() || !keys.value.is_empty() {
        return keys.value;
    }
    let name = keys.place.key().to_owned();
    if outlives_process {
        let cure = format!("write {} = [{{ file = \"...\" }}] and {MAKE}", name.rsplit('.').next().unwrap_or(&name));
        report.fault(&keys.place, "is missing, and only memory: can do without", cure);
        return Vec::new();
    }
    let Ok(secret) = generate(algorithm) else {
        report.fault(&keys.place, "is missing, and the system gives no random bytes", MAKE);
        return Vec::new();
    };
    report.warn(format!("{name} is not set: a random key was made ({lost})"));
    vec![Key { id: None, secret: secret.into_bytes(), place: keys.place }]
}

impl Sources<'_> {
    fn key(&self, node: &Node, pattern: &'static str, report: &Report) -> Option<Key> {
        if matches!(node.value, Value::Text(_)) {
            let cure =
                "write { file = \"...\" } or { env = \"NAME\" }, and replace the secret: others may have read it";
            return units::fault(node, report, "is a secret inside the configuration", cure);
        }
        let section = Section::open(node, pattern, report);
        let id = if pattern == super::token::KEYS { section.optional("id", key_id) } else { absent(&section) };
        let secret = self.secret(&section);
        section.close();
        Some(Key { id: id.value, secret: secret?, place: node.place.clone() })
    }

    fn secret(&self, section: &Section<'_>) -> Option<Vec<u8>> {
        let file = section.optional("file", |node, report| self.file(node, report));
        let env = section.optional("env", |node, report| self.variable(node, report));
        match (file.origin, env.origin) {
            (Origin::Default, Origin::Default) if !section.is_broken() => {
                let cure = "write { file = \"...\" } or { env = \"NAME\" }";
                section.report.fault(&section.place, "names neither a file nor an environment variable", cure);
                None
            }
            (Origin::Default, _) => env.value,
            (_, Origin::Default) => file.value,
            _ => {
                section.report.fault(&env.place, "stands beside a file", "leave either file or env");
                None
            }
        }
    }

    fn file(&self, node: &Node, report: &Report) -> Option<Vec<u8>> {
        sound(self.read(node, &format!("; {MAKE}"), report)?, node, report)
    }

    /// What a file in PEM holds: certificates, or a key to one.
    pub(super) fn pem(&self, node: &Node, report: &Report) -> Option<Vec<u8>> {
        let bytes = self.read(node, "", report)?;
        let fits = bytes.len() as u64 <= MOST;
        fits.then_some(bytes).or_else(|| {
            let cure = "name a file in PEM with what belongs there and nothing else";
            units::fault(node, report, "holds more than 1 MiB", cure)
        })
    }

    fn read(&self, node: &Node, more: &str, report: &Report) -> Option<Vec<u8>> {
        let path = units::text(node, report)?;
        match read(&self.path(&path.meant)) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let problem = format!("cannot read \"{}\": {error}", path.typed);
                let folder = match self.folder.as_os_str().is_empty() {
                    true => Path::new("."),
                    false => self.folder,
                };
                let folder = folder.display();
                let cure = format!("write the path of a file that this user may read (relative to \"{folder}\"){more}");
                units::fault(node, report, &problem, &cure)
            }
        }
    }

    /// A path as the configuration means it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn variable(&self, node: &Node, report: &Report) -> Option<Vec<u8>> {
        let name = units::text(node, report)?;
        match (self.env)(&name.meant) {
            Some(value) => sound(value.into_bytes(), node, report),
            None => {
                let problem = format!("the environment variable {} is not set", name.typed);
                units::fault(node, report, &problem, "set it, or write { file = \"...\" }")
            }
        }
    }
}

fn absent(section: &Section<'_>) -> Typed<Option<String>> {
    Typed { value: None, place: section.place.clone(), origin: Origin::Default }
}

fn key_id(node: &Node, report: &Report) -> Option<String> {
    let id = units::text(node, report)?.meant.clone();
    let fits = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Some(id)
    } else {
        units::fault(node, report, "is not a key id", "write 1 to 128 visible ASCII characters")
    }
}

fn read(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_dir() {
        file.take(MOST + 1).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    Err(std::io::ErrorKind::IsADirectory.into())
}

fn sound(mut bytes: Vec<u8>, node: &Node, report: &Report) -> Option<Vec<u8>> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let problem = match bytes.len() {
        0 => "holds an empty secret".to_owned(),
        short if short < LEAST => format!("holds a secret of {short} bytes; {LEAST} are the least"),
        long if long > LONGEST => "holds more than 64 KiB, which is no secret".to_owned(),
        _ if is_sample(&bytes) => "holds a sample, not a secret".to_owned(),
        _ => return Some(bytes),
    };
    units::fault(node, report, &problem, MAKE)
}

/// Whether this is what people write to get started. A random secret looks like that once in ten million times.
fn is_sample(bytes: &[u8]) -> bool {
    const WORDS: [&str; 6] = ["changeme", "secret", "password", "example", "placeholder", "insecure"];
    let lower: String = bytes.iter().filter(|b| !b"-_ ".contains(b)).map(|b| b.to_ascii_lowercase() as char).collect();
    let distinct = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
    let repeats = (1..=LEAST / 2).any(|period| bytes[period..].iter().zip(bytes).all(|(later, first)| later == first));
    let step = bytes[1].wrapping_sub(bytes[0]);
    let counts = bytes.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    distinct < 8 || repeats || counts || WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_from_secrets() {
        let counting: Vec<u8> = (0..32).collect();
        for sample in [
            &[7; 32][..],
            b"changemechangemechangemechangeme",
            b"0123456789abcdef0123456789abcdef",
            b"This-is-a-very-Secret-key-for-us",
            b"please-CHANGE-ME-before-you-start-this",
            &counting,
        ] {
            assert!(is_sample(sample), "{sample:?}");
        }
        for _ in 0..1000 {
            let mut random = [0; 32];
            aws_lc_rs::rand::fill(&mut random).unwrap();
            assert!(!is_sample(&random));
        }
    }
}
