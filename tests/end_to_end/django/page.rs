//! Holds docs/django.md against Django's names and against the tests of this suite: no name of Django is missing, every
//! row names tests that exist, and the headers and settings that a row shows are those that its tests send.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Methods, settings, engines, commands: made by names.py from an installed Django.
const NAMES: &str = include_str!("names.txt");

static PAGE: LazyLock<String> = LazyLock::new(|| read(&root().join("docs/django.md")));

/// A row of one of the tables.
struct Row {
    cells: Vec<&'static str>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Row {
    /// The rows of the tables whose last column is called `test`.
    fn all() -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        for block in PAGE.split("\n\n").filter(|block| block.starts_with('|')) {
            let mut lines = block.lines();
            let head = lines.next().unwrap_or_default();
            assert!(head.ends_with("| test |"), "a table whose rows name no test: {head}");
            rows.extend(
                lines.skip(1).map(|line| Self { cells: line.trim_matches('|').split('|').map(str::trim).collect() }),
            );
        }
        assert!(rows.len() > 50, "only {} rows in docs/django.md", rows.len());
        rows
    }

    fn django(&self) -> Vec<&'static str> {
        spans(self.cells[0])
    }

    fn tests(&self) -> Vec<&'static str> {
        spans(self.cells.last().expect("cells"))
    }

    /// Values of our headers, and settings: what can be found in a test word for word.
    fn examples(&self) -> Vec<&'static str> {
        let header = |span: &'static str| {
            ["X-Session-Update: ", "X-Session-Control: "].iter().find_map(|name| span.strip_prefix(name))
        };
        let setting = |span: &'static str| {
            let (key, _) = span.split_once(" = ")?;
            (key.contains('.') && key.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c))).then_some(span)
        };
        let own = self.cells[1..self.cells.len() - 1].iter().flat_map(|cell| spans(cell));
        let bare = |span: &'static str| (span.starts_with("{\"") || span.starts_with("[{\"")).then_some(span);
        own.filter_map(|span| header(span).or_else(|| setting(span)).or_else(|| bare(span))).collect()
    }
}

/// What stands between backticks.
fn spans(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A name without its object and its arguments: `request.session.get(key)` is `get`.
fn plain(name: &'static str) -> &'static str {
    name.split('(').next().unwrap_or(name)
}

/// Every test of this program, as it lists them itself.
fn tests() -> Vec<String> {
    let program = std::env::current_exe().expect("this program");
    let said = Command::new(program).args(["--list", "--format", "terse"]).output().expect("a list of the tests");
    let text = String::from_utf8(said.stdout).expect("text");
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The source of a test, quotes as in the text that it sends.
fn source(test: &str) -> String {
    let (module, function) = test.rsplit_once("::").expect("a module and a function");
    let path = root().join(format!("tests/end_to_end/{}.rs", module.replace("::", "/")));
    let text = read(&path);
    let start = text.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("no {function} in {}", path.display()));
    let indent = text[..start].rfind('\n').map_or(0, |line| start - line - 1);
    let end = text[start..].find(&format!("\n{}}}\n", " ".repeat(indent))).expect("the end of the function");
    text[start..start + end].replace("\\\"", "\"")
}

#[test]
fn no_name_of_django_is_missing_and_none_is_made_up() {
    let known: BTreeSet<_> = NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(known.len() > 70, "only {} names in names.txt", known.len());
    let explained: BTreeSet<_> = Row::all().iter().flat_map(Row::django).map(plain).collect();
    assert_eq!(known.difference(&explained).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in docs/django.md");
    assert_eq!(explained.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in Django");
}

#[test]
fn the_page_says_which_django_it_is_about() {
    let version = NAMES.strip_prefix("# Django ").and_then(|rest| rest.split(',').next()).expect("a version");
    assert!(PAGE.contains(&format!("Django {version}")), "{version}");
}

#[test]
fn every_row_is_whole_and_names_tests_that_exist() {
    let tests = tests();
    for row in Row::all() {
        let name = row.cells[0];
        assert!(row.cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {name}");
        assert!(!row.tests().is_empty(), "no test: {name}");
        for test in row.tests() {
            let exists =
                |known: &String| known.strip_prefix(test).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
            assert!(tests.iter().any(exists), "{name}: there is no test {test}");
        }
    }
}

#[test]
fn what_a_row_shows_is_what_its_tests_do() {
    let mut examples = 0;
    for row in Row::all() {
        let sources: Vec<_> = row.tests().into_iter().map(source).collect();
        for example in row.examples() {
            examples += 1;
            let shown = sources.iter().any(|source| source.contains(example));
            assert!(shown, "{}: none of {:?} sends {example}", row.cells[0], row.tests());
        }
    }
    assert!(examples > 30, "only {examples} examples in docs/django.md");
}

#[test]
fn every_test_of_these_modules_backs_a_row() {
    let named: BTreeSet<_> = Row::all().iter().flat_map(Row::tests).collect();
    let own = tests().into_iter().filter(|test| test.starts_with("django::") && !test.starts_with("django::page::"));
    let own: BTreeSet<_> = own.map(|test| test.split("::").take(3).collect::<Vec<_>>().join("::")).collect();
    let idle: Vec<_> = own.iter().filter(|test| !named.contains(test.as_str())).collect();
    assert_eq!(idle, Vec::<&String>::new(), "no row of docs/django.md names them");
}
