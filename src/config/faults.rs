//! What is wrong with a configuration, and the list that every reader writes to.
//!
//! Nothing stops at the first fault: readers report to a [`Report`] and go on, so that one run tells all.
//! This room quotes what was typed, not what `${NAME}` stood for, and never a secret or a store URL. (The rooms that
//! judge cookie names, domains, hosts and paths quote what they were given: these are no secrets.)

use std::{cell::RefCell, fmt, sync::Arc};

/// One thing that is wrong, where it was typed, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file; empty for command-line flags and where there is no file.
    pub file: String,
    /// Line in the file, counted from 1; `None` for what was not typed in it.
    pub line: Option<usize>,
    /// Dotted path (`routes[1].path`) or the flag (`--listen`).
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub cure: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => {}
            (file, None) => write!(f, "{file}: ")?,
            (file, Some(line)) => write!(f, "{file}:{line}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.cure)
    }
}

/// Every fault of one configuration, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults in the order of their lines; those without a line come first.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl Faults {
    /// The whole file is faulty for a reason that no reader told: a bug, but no reason to start.
    pub(super) fn unexplained(file: &str) -> Self {
        let problem = "cannot be used".to_owned();
        let cure = "please report this as a bug of Cloakroom".to_owned();
        Self(vec![Fault { file: file.to_owned(), line: None, key: String::new(), problem, cure }])
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where something was typed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Empty for flags.
    file: Arc<str>,
    line: Option<usize>,
    key: String,
}

impl Place {
    pub(super) fn file(file: &Arc<str>, line: Option<usize>, key: &str) -> Self {
        Self { file: Arc::clone(file), line, key: key.to_owned() }
    }

    pub(super) fn flag(name: &str) -> Self {
        Self { file: Arc::from(""), line: None, key: name.to_owned() }
    }

    /// The place of a key of the table that is here.
    pub(super) fn of_key(&self, key: &str, line: Option<usize>) -> Self {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Self { file: Arc::clone(&self.file), line, key }
    }

    /// The place of an element of the list that is here.
    pub(super) fn of_element(&self, index: usize, line: Option<usize>) -> Self {
        Self { file: Arc::clone(&self.file), line, key: format!("{}[{index}]", self.key) }
    }

    /// The place where a key of this table would have been typed.
    pub(super) fn missing(&self, key: &str) -> Self {
        self.of_key(key, self.line)
    }

    /// Whether it was typed on the command line.
    pub(super) fn is_flag(&self) -> bool {
        self.key.starts_with("--")
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

/// What the readers found so far.
#[derive(Default)]
pub(super) struct Report {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<String>>,
}

impl Report {
    /// Something is wrong.
    pub(super) fn fault(&self, place: &Place, problem: impl Into<String>, cure: impl Into<String>) {
        let Place { file, line, key } = place.clone();
        let (key, problem, cure) = (printable(&key), printable(&problem.into()), printable(&cure.into()));
        let fault = Fault { file: file.to_string(), line, key, problem, cure };
        self.faults.borrow_mut().push(fault);
    }

    /// Something is allowed but worth knowing.
    pub(super) fn warn(&self, warning: impl Into<String>) {
        self.warnings.borrow_mut().push(warning.into());
    }

    /// The warnings, or the faults if there is one.
    pub(super) fn close(self) -> Result<Vec<String>, Faults> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            return Ok(self.warnings.into_inner());
        }
        faults.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        faults.dedup();
        Err(Faults(faults))
    }
}

/// A fault is one line, and what was typed must not move the cursor of whoever reads it.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}
