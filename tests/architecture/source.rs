//! Reads source files as far as the layers need: words without comments and literals, and the rooms that are named in
//! them. Not a parser of Rust: it errs on the side of seeing too much.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One source file.
pub(crate) struct Source {
    /// Below `src`.
    pub(crate) path: String,
    pub(crate) room: String,
    /// Identifiers and punctuation, without comments and strings.
    pub(crate) words: Vec<String>,
}

/// Every source of the library and the program, but for the list of modules.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    gather(&root, &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let path = file.strip_prefix(&root).expect("a path below src").to_str().expect("a path in UTF-8").to_owned();
        Source::new(path, &fs::read_to_string(file).expect("a source file"))
    };
    files.iter().map(read).filter(|source| source.room != "lib").collect()
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The words of a source text: identifiers, `::`, and single characters of punctuation. No comments, no literals.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

fn raw_string(text: &str) -> Option<usize> {
    let marks = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = marks.len() - marks.trim_start_matches('#').len();
    let body = marks[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - body.len() + body.find(&close)? + close.len())
}

fn string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('"')?;
    let mut escaped = false;
    let end = body.char_indices().find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    })?;
    Some(text.len() - body.len() + end.0 + 1)
}

/// A character, as opposed to a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('\'')?;
    let skipped = if body.starts_with('\\') { 2 } else { body.chars().next()?.len_utf8() };
    let end = body[skipped..].find('\'').filter(|end| *end == 0 || body.starts_with('\\'))?;
    Some(text.len() - body.len() + skipped + end + 1)
}

impl Source {
    pub(crate) fn new(path: String, text: &str) -> Self {
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        Self { path, room, words: words(text) }
    }

    /// The rooms that are named in paths from the crate's root: `crate::room`, `crate::{room::x, room}`, and `super`
    /// repeated until it is the root.
    pub(crate) fn rooms_used(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for (at, word) in self.words.iter().enumerate() {
            let is_root = word == "crate" || (word == "cloakroom" && self.room == "main") || self.climbs_out(at);
            let follows = self.words.get(at + 1).is_some_and(|next| next == "::");
            if is_root && follows {
                used.extend(heads(&self.words[at + 2..]));
            }
        }
        used.remove(&self.room);
        used.retain(|name| name != "self");
        used
    }

    /// Whether the word is the last `super` of a row of them that leads out of the room, inline modules included.
    fn climbs_out(&self, at: usize) -> bool {
        if self.words[at] != "super" || self.words.get(at + 2).is_some_and(|next| next == "super") {
            return false;
        }
        let row = (0..=at).rev().step_by(2).take_while(|at| self.words[*at] == "super").count();
        row >= self.depth() + self.inline_depth(at)
    }

    /// How deep the file's module lies: 1 for a room.
    fn depth(&self) -> usize {
        self.path.trim_end_matches("/mod.rs").split('/').count()
    }

    /// In how many inline modules the word stands.
    fn inline_depth(&self, at: usize) -> usize {
        let mut braces = Vec::new();
        for (n, word) in self.words[..at].iter().enumerate() {
            match word.as_str() {
                "{" => braces.push(n >= 2 && self.words[n - 2] == "mod"),
                "}" => drop(braces.pop()),
                _ => {}
            }
        }
        braces.into_iter().filter(|is_module| *is_module).count()
    }

    /// The words outside of tests.
    pub(crate) fn production(&self) -> Vec<&str> {
        let is_test_file = self.path.ends_with("tests.rs") || self.path.contains("/tests/");
        let words = if is_test_file { &[][..] } else { &self.words[..] };
        let (mut kept, mut at) = (Vec::new(), 0);
        while let Some(word) = words.get(at) {
            if starts_test_module(&words[at..]) {
                at += skip_block(&words[at..]);
            } else {
                kept.push(word.as_str());
                at += 1;
            }
        }
        kept
    }
}

/// The first names of a use tree or path that follows the root.
fn heads(words: &[String]) -> Vec<String> {
    if words.first().is_none_or(|word| word != "{") {
        return words.first().cloned().into_iter().collect();
    }
    let (mut heads, mut depth, mut expected) = (Vec::new(), 0, false);
    for word in words {
        match word.as_str() {
            "{" => {
                depth += 1;
                expected |= depth == 1;
            }
            "}" => depth -= 1,
            "," => expected |= depth == 1,
            name if expected => {
                heads.push(name.to_owned());
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn starts_test_module(words: &[String]) -> bool {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    words.len() > attribute.len() + 1
        && words.iter().zip(attribute).all(|(word, wanted)| word == wanted)
        && words[attribute.len() + 1] == "{"
}

/// How many words there are to the end of the first block.
fn skip_block(words: &[String]) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    words.len()
}
