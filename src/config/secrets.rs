//! Secrets: `{ file = "..." }` or `{ env = "NAME" }`, never inline.
//!
//! The bytes are taken as they are, less one newline at the end. A key that is short or looks like a sample is refused.
//! Nothing here prints a secret; faults name where it should have come from.

use std::{
    collections::{BTreeMap, btree_map::Entry},
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
const MOST: u64 = 64 * 1024;
/// The authorities of a system are a quarter of that.
const MOST_PEM: u64 = 1024 * 1024;
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

/// Random secrets that took the place of what was not given. Whoever reads the configuration again hands them in again,
/// so that sessions in memory outlive a reload.
#[derive(Clone, Default)]
pub struct MadeUp(BTreeMap<(String, &'static str), Vec<u8>>);

impl MadeUp {
    fn secret(&mut self, name: &str, algorithm: Algorithm) -> Option<Vec<u8>> {
        match self.0.entry((name.to_owned(), algorithm.name())) {
            Entry::Occupied(made) => Some(made.get().clone()),
            Entry::Vacant(place) => generate(algorithm).ok().map(|secret| place.insert(secret.into_bytes()).clone()),
        }
    }
}

/// A random secret in place of a list that was not given, which is sound only if nothing outlives this process.
pub(super) fn or_random(
    keys: Typed<Vec<Key>>,
    algorithm: Algorithm,
    (outlives_process, made_up): (bool, &mut MadeUp),
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
    let Some(secret) = made_up.secret(&name, algorithm) else {
        report.fault(&keys.place, "is missing, and the system gives no random bytes", MAKE);
        return Vec::new();
    };
    report.warn(format!("{name} is not set: a random key was made ({lost})"));
    vec![Key { id: None, secret, place: keys.place }]
}

/// What a secret is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// A key of ours: long, and made by a machine.
    Key,
    /// A key of ours that is shown in a header.
    Token,
    /// A password that somebody else has chosen: of any length.
    Password,
}

impl Purpose {
    /// The bytes less one newline at the end, if they can serve.
    fn judge(self, bytes: Vec<u8>, node: &Node, report: &Report) -> Option<Vec<u8>> {
        let bytes = without_newline(bytes);
        match self {
            Self::Key => sound(bytes, node, report),
            Self::Token => visible(sound(bytes, node, report)?, node, report),
            Self::Password => password(bytes, node, report),
        }
    }

    /// What is said beside a file that cannot be read.
    fn advice(self) -> String {
        match self {
            Self::Key | Self::Token => format!("; {MAKE}"),
            Self::Password => String::new(),
        }
    }
}

impl Sources<'_> {
    fn key(&self, node: &Node, pattern: &'static str, report: &Report) -> Option<Key> {
        let section = table(node, pattern, report)?;
        let id = if pattern == super::token::KEYS { section.optional("id", key_id) } else { absent(&section) };
        let secret = self.secret(&section, Purpose::Key);
        section.close();
        Some(Key { id: id.value, secret: secret?, place: node.place.clone() })
    }

    /// A password, which is text.
    pub(super) fn password(&self, node: &Node, pattern: &'static str, report: &Report) -> Option<String> {
        self.text(node, pattern, Purpose::Password, report)
    }

    /// A token, which is visible ASCII.
    pub(super) fn token(&self, node: &Node, pattern: &'static str, report: &Report) -> Option<String> {
        self.text(node, pattern, Purpose::Token, report)
    }

    fn text(&self, node: &Node, pattern: &'static str, purpose: Purpose, report: &Report) -> Option<String> {
        let section = table(node, pattern, report)?;
        let secret = self.secret(&section, purpose);
        section.close();
        String::from_utf8(secret?).ok()
    }

    fn secret(&self, section: &Section<'_>, purpose: Purpose) -> Option<Vec<u8>> {
        let file = section.optional("file", |node, report| self.file(node, purpose, report));
        let env = section.optional("env", |node, report| self.variable(node, purpose, report));
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

    fn file(&self, node: &Node, purpose: Purpose, report: &Report) -> Option<Vec<u8>> {
        purpose.judge(self.read(node, MOST, &purpose.advice(), report)?, node, report)
    }

    /// The certificates or the key in the file that is named here.
    pub(super) fn pem(&self, node: &Node, report: &Report) -> Option<Vec<u8>> {
        let bytes = self.read(node, MOST_PEM, "", report)?;
        match bytes.len() as u64 > MOST_PEM {
            true => units::fault(node, report, "holds more than 1 MiB", "name a file in PEM"),
            false => Some(bytes),
        }
    }

    /// What is in the file that is named here: up to one byte more than `most`.
    fn read(&self, node: &Node, most: u64, advice: &str, report: &Report) -> Option<Vec<u8>> {
        let path = units::text(node, report)?;
        let wrong = |error: std::io::Error| {
            let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { self.folder };
            let folder = folder.display();
            let cure = format!("write the path of a file that this user may read (relative to \"{folder}\"){advice}");
            report.fault(&node.place, format!("cannot read \"{}\": {error}", path.typed), cure);
        };
        read(&self.folder.join(&path.meant), most).map_err(wrong).ok()
    }

    fn variable(&self, node: &Node, purpose: Purpose, report: &Report) -> Option<Vec<u8>> {
        let name = units::text(node, report)?;
        match (self.env)(&name.meant) {
            Some(value) => purpose.judge(value.into_bytes(), node, report),
            None => {
                let problem = format!("the environment variable {} is not set", name.typed);
                units::fault(node, report, &problem, "set it, or write { file = \"...\" }")
            }
        }
    }
}

/// The table that says where a secret is: it is never written in the configuration itself.
fn table<'a>(node: &'a Node, pattern: &'static str, report: &'a Report) -> Option<Section<'a>> {
    if matches!(node.value, Value::Text(_)) {
        let cure = "write { file = \"...\" } or { env = \"NAME\" }, and replace the secret: others may have read it";
        return units::fault(node, report, "is a secret inside the configuration", cure);
    }
    Some(Section::open(node, pattern, report))
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

fn read(path: &PathBuf, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_dir() {
        file.take(most + 1).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    Err(std::io::ErrorKind::IsADirectory.into())
}

fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn password(bytes: Vec<u8>, node: &Node, report: &Report) -> Option<Vec<u8>> {
    let problem = match bytes.len() {
        0 => "holds an empty password",
        long if long as u64 > MOST => "holds more than 64 KiB, which is no password",
        _ if std::str::from_utf8(&bytes).is_err() => "holds no UTF-8",
        _ => return Some(bytes),
    };
    units::fault(node, report, problem, "put the password there, and nothing else")
}

fn sound(bytes: Vec<u8>, node: &Node, report: &Report) -> Option<Vec<u8>> {
    let problem = match bytes.len() {
        0 => "holds an empty secret".to_owned(),
        short if short < LEAST => format!("holds a secret of {short} bytes; {LEAST} are the least"),
        long if long as u64 > MOST => "holds more than 64 KiB, which is no secret".to_owned(),
        _ if is_sample(&bytes) => "holds a sample, not a secret".to_owned(),
        _ => return Some(bytes),
    };
    units::fault(node, report, &problem, MAKE)
}

fn visible(bytes: Vec<u8>, node: &Node, report: &Report) -> Option<Vec<u8>> {
    if bytes.iter().all(u8::is_ascii_graphic) {
        return Some(bytes);
    }
    let problem = "holds something else than visible ASCII characters, which cannot stand in a header";
    units::fault(node, report, problem, MAKE)
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
