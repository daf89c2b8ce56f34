//! What was typed: the TOML document as a tree in which every value knows its line and dotted key path.
//!
//! It knows no key of Cloakroom's. Command-line flags are put into the tree in place of what the file says, so that
//! the sections read one thing only. Strings keep what was typed beside what they mean after `${NAME}`: messages
//! quote the former.

use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    faults::{Place, Report},
    interpolate::interpolate,
};

/// A value and where it was typed.
pub(super) struct Node {
    pub(super) place: Place,
    /// Where its key begins in the file, for what depends on the order.
    pub(super) offset: usize,
    pub(super) value: Value,
}

/// What was typed.
pub(super) enum Value {
    Text(Text),
    /// `None`: outside of 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// A number with a fraction, or a date: Cloakroom wants neither anywhere.
    Foreign,
    /// Reported already.
    Faulty,
}

/// The keys of a table.
pub(super) type Table = BTreeMap<String, Node>;

/// A string.
pub(super) struct Text {
    /// As in the file: may be quoted in messages.
    pub(super) typed: String,
    /// With `${NAME}` replaced: may be secret.
    pub(super) meant: String,
}

impl Node {
    /// A table without keys.
    pub(super) fn empty(place: Place) -> Self {
        Self { place, offset: 0, value: Value::Table(Table::new()) }
    }

    /// What a command-line flag says.
    pub(super) fn flag(name: &str, text: &str) -> Self {
        let text = Text { typed: text.to_owned(), meant: text.to_owned() };
        Self { place: Place::flag(name), offset: 0, value: Value::Text(text) }
    }

    /// A list of one flag.
    pub(super) fn flag_list(name: &str, text: &str) -> Self {
        Self { place: Place::flag(name), offset: 0, value: Value::List(vec![Self::flag(name, text)]) }
    }

    /// Puts a value into a table, making the table if there is none. What is no table stays, to be reported.
    pub(super) fn put(&mut self, path: &[&str], node: Node) {
        let Value::Table(table) = &mut self.value else { return };
        match path {
            [] => {}
            [key] => drop(table.insert((*key).to_owned(), node)),
            [key, rest @ ..] => {
                let place = self.place.missing(key);
                table.entry((*key).to_owned()).or_insert_with(|| Self::empty(place)).put(rest, node);
            }
        }
    }

    /// The keys of a table of this table.
    pub(super) fn keys_of(&self, key: &str) -> Vec<String> {
        match self.entry(key).map(|node| &node.value) {
            Some(Value::Table(table)) => table.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn entry(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// How TOML calls what was typed.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a bare number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Foreign | Value::Faulty => "a number with a fraction or a date",
        }
    }
}

/// Reads a document. A syntax error is one fault, and nothing of the document is used.
pub(super) fn parse(
    text: &str,
    file: &Arc<str>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &Report,
) -> Option<Node> {
    match DeTable::parse(text) {
        Ok(table) => Some(Reader { text, env, report }.table(table.get_ref(), Place::file(file, None, ""))),
        Err(error) => {
            let line = error.span().map(|span| line_of(text, span.start));
            let problem = format!("is not TOML: {}", error.message().replace('\n', ", "));
            report.fault(&Place::file(file, line, ""), problem, "correct the syntax; nothing else was examined");
            None
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

struct Reader<'a> {
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    report: &'a Report,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, place: Place) -> Node {
        let keys = table.iter().map(|(key, value)| {
            let line = line_of(self.text, key.span().start);
            let name = key.get_ref().to_string();
            let node = self.value(value, place.of_key(&name, Some(line)));
            (name, Node { offset: key.span().start, ..node })
        });
        let keys = keys.collect();
        Node { place, offset: 0, value: Value::Table(keys) }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, place: Place) -> Node {
        let value = match value.get_ref() {
            DeValue::String(typed) => self.string(typed, &place),
            DeValue::Integer(number) => Value::Integer(integer(number)),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Foreign,
            DeValue::Table(table) => return self.table(table, place),
            DeValue::Array(list) => Value::List(
                list.iter()
                    .enumerate()
                    .map(|(index, element)| {
                        let line = line_of(self.text, element.span().start);
                        self.value(element, place.of_element(index, Some(line)))
                    })
                    .collect(),
            ),
        };
        Node { place, offset: 0, value }
    }

    fn string(&self, typed: &str, place: &Place) -> Value {
        match interpolate(typed, self.env) {
            Ok(meant) => Value::Text(Text { typed: typed.to_owned(), meant }),
            Err((problem, cure)) => {
                self.report.fault(place, problem, cure);
                Value::Faulty
            }
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
