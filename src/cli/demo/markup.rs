//! Text into HTML and into headers: escaping, one template syntax, and JSON in colours.
//!
//! Whatever comes from outside goes through `escape` once. A template is filled in a single pass, so that braces in a
//! visitor's name are braces.

use std::fmt::Write;

use serde_json::Value;

/// Makes text safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// Fills each `{{name}}` of a template, which is our own text, with the HTML of that name.
pub(super) fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut html = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        if let Some((_, value)) = slots.iter().find(|(slot, _)| *slot == name) {
            html.push_str(value);
        }
        html.push_str(rest);
    }
    html
}

/// JSON in visible ASCII: everything else in its strings becomes `\uXXXX`.
pub(super) fn ascii_json(value: &Value) -> String {
    let mut ascii = String::new();
    for character in value.to_string().chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

/// JSON over several lines, as HTML, in colours: `b` for keys, `span` for strings, `i` for the rest.
pub(super) fn paint(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let lines = map.iter().map(|(key, value)| format!("{}: {}", key_html(key), paint(value, depth + 1)));
            block('{', &lines.collect::<Vec<_>>(), '}', depth)
        }
        Value::Array(items) if !items.is_empty() => {
            let lines = items.iter().map(|item| paint(item, depth + 1));
            block('[', &lines.collect::<Vec<_>>(), ']', depth)
        }
        Value::String(_) => format!("<span>{}</span>", escape(&value.to_string())),
        other => format!("<i>{other}</i>"),
    }
}

/// A JSON key, as HTML.
pub(super) fn key_html(key: &str) -> String {
    format!("<b>{}</b>", escape(&Value::from(key).to_string()))
}

fn block(open: char, lines: &[String], close: char, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let lines = lines.join(&format!(",\n{indent}  "));
    format!("{open}\n{indent}  {lines}\n{indent}{close}")
}
