//! Single values: what was typed at one key, turned into what it means, or a fault.
//!
//! Durations and sizes are strings with a unit, so that nobody has to know whether `30` were seconds. A value that
//! an unlimited reader would accept and a program could not bear (zero, centuries, exabytes) is outside the bounds.

use std::{ops::RangeInclusive, time::Duration};

use bytesize::ByteSize;
use humantime::format_duration;

use super::{
    faults::Report,
    file::{Node, Text, Value},
};
use crate::session::document::Pointer;

const DAY: u64 = 24 * 60 * 60;
/// Nothing lasts longer: browsers keep no cookie beyond it.
pub(super) const LONGEST: Duration = Duration::from_secs(400 * DAY);
/// What a timeout that cannot be zero is at least: stores and timers count milliseconds.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
const LARGEST: u64 = 1 << 30;

/// A string.
pub(super) fn text<'a>(node: &'a Node, report: &Report) -> Option<&'a Text> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Faulty => None,
        _ => wrong_type(node, report, "a string", "write it in quotes"),
    }
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, report: &Report) -> Option<bool> {
    match node.value {
        Value::Boolean(flag) => Some(flag),
        Value::Faulty => None,
        _ => wrong_type(node, report, "true or false", "write true or false without quotes"),
    }
}

/// A whole number from 1.
pub(super) fn count(node: &Node, report: &Report, most: usize) -> Option<usize> {
    let number = match node.value {
        Value::Integer(number) => number.and_then(|number| usize::try_from(number).ok()),
        Value::Faulty => return None,
        _ => return wrong_type(node, report, "a whole number", &format!("write a number from 1 to {most}")),
    };
    let number = number.filter(|number| (1..=most).contains(number));
    number.or_else(|| fault(node, report, "is out of bounds", &format!("write a number from 1 to {most}")))
}

/// The elements of a list.
pub(super) fn list<'a>(node: &'a Node, report: &Report) -> Option<&'a [Node]> {
    match &node.value {
        Value::List(list) => Some(list),
        Value::Faulty => None,
        _ => wrong_type(node, report, "a list", "write it in brackets: [...]"),
    }
}

/// A list of which every element means something.
pub(super) fn each<T>(node: &Node, report: &Report, mut read: impl FnMut(&Node) -> Option<T>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = list(node, report)?.iter().map(&mut read).collect();
    read.into_iter().collect()
}

/// A duration such as `"30m"`.
pub(super) fn duration(node: &Node, report: &Report, bounds: RangeInclusive<Duration>) -> Option<Duration> {
    let text =
        unit_text(node, report, "s", "write a duration with its unit, such as \"500ms\", \"30s\", \"15m\" or \"12h\"")?;
    let Ok(duration) = humantime::parse_duration(text.meant.trim()) else {
        let problem = format!("\"{}\" is not a duration", text.typed);
        return fault(
            node,
            report,
            &problem,
            "write a number and a unit, such as \"500ms\", \"30s\", \"15m\" or \"12h\"",
        );
    };
    if bounds.contains(&duration) {
        return Some(duration);
    }
    let (least, most) = (format_duration(*bounds.start()), format_duration(*bounds.end()));
    let problem = if duration < *bounds.start() { "is too short" } else { "is too long" };
    let most = if *bounds.end() == LONGEST { "400d".to_owned() } else { most.to_string() };
    fault(node, report, problem, &format!("write a duration from \"{least}\" to \"{most}\""))
}

/// A size in bytes such as `"64KiB"`.
pub(super) fn size(node: &Node, report: &Report, least: usize) -> Option<usize> {
    let text = unit_text(node, report, "B", "write a size with its unit, such as \"512B\", \"64KiB\" or \"1MiB\"")?;
    let Ok(ByteSize(bytes)) = text.meant.trim().parse::<ByteSize>() else {
        let problem = format!("\"{}\" is not a size", text.typed);
        return fault(node, report, &problem, "write a number and a unit, such as \"512B\", \"64KiB\" or \"1MiB\"");
    };
    let size = usize::try_from(bytes).ok().filter(|size| *size >= least && bytes <= LARGEST);
    size.or_else(|| {
        let least = ByteSize(least as u64).display().iec().to_string().replace(".0", "").replace(' ', "");
        let problem = if bytes > LARGEST { "is too large" } else { "is too small" };
        fault(node, report, problem, &format!("write a size from \"{least}\" to \"1GiB\""))
    })
}

/// The text of a quantity, which is not a bare number.
fn unit_text<'a>(node: &'a Node, report: &Report, unit: &str, cure: &str) -> Option<&'a Text> {
    let bare = match &node.value {
        Value::Text(text) if text.meant.trim().parse::<f64>().is_err() => return Some(text),
        Value::Text(text) => text.typed.clone(),
        Value::Integer(Some(number)) => number.to_string(),
        Value::Faulty => return None,
        Value::Integer(None) | Value::Foreign => return fault(node, report, "missing unit", cure),
        _ => return wrong_type(node, report, "a string with a unit", cure),
    };
    let cure = format!("{cure} (\"{bare}{unit}\"?)");
    fault(node, report, "missing unit", &cure)
}

/// A JSON Pointer (RFC 6901).
pub(super) fn pointer(node: &Node, report: &Report) -> Option<Pointer> {
    let text = text(node, report)?;
    Pointer::parse(&text.meant).ok().or_else(|| {
        let problem = format!("\"{}\" is not a JSON Pointer", text.typed);
        fault(node, report, &problem, "write a path from the top of the data, such as \"/cart\"")
    })
}

/// One of several words.
pub(super) fn choice<T: Copy>(node: &Node, report: &Report, words: &[(&str, T)]) -> Option<T> {
    let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
    let cure = format!("write {all}");
    let Value::Text(text) = &node.value else {
        return match node.value {
            Value::Faulty => None,
            _ => wrong_type(node, report, "a string", &cure),
        };
    };
    let chosen = words.iter().find(|(word, _)| *word == text.meant).map(|(_, meaning)| *meaning);
    chosen.or_else(|| fault(node, report, &format!("\"{}\" is not a value of this key", text.typed), &cure))
}

/// Reports that a value has the wrong type.
pub(super) fn wrong_type<T>(node: &Node, report: &Report, wanted: &str, cure: &str) -> Option<T> {
    fault(node, report, &format!("is {}, not {wanted}", node.kind()), cure)
}

/// Reports that a value is wrong.
pub(super) fn fault<T>(node: &Node, report: &Report, problem: &str, cure: &str) -> Option<T> {
    report.fault(&node.place, problem, cure);
    None
}
