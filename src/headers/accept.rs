//! Whether a client asks for HTML (RFC 9110 §12.5.1). Only a `text/html` by name counts, and not one with `q=0`.

use http::{HeaderMap, header::ACCEPT};

use super::{list_of, trim};

/// Whether `Accept` names `text/html` as something that it takes. Browsers do; programs that take anything do not.
pub fn asks_for_html(headers: &HeaderMap) -> bool {
    list_of(headers, &ACCEPT).any(|range| {
        let mut parts = range.split(|&byte| byte == b';').map(trim);
        let named = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(b"text/html"));
        named && !parts.any(is_refusal)
    })
}

/// `q=0`, `q=0.0` and the like.
fn is_refusal(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', weight @ ..] = parameter else { return false };
    !weight.is_empty() && weight.iter().all(|byte| b"0.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    #[test]
    fn browsers_ask_for_html_and_programs_do_not() {
        for (lines, wanted) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["application/json"], false),
            (&["application/xhtml+xml"], false),
            (&["text/html5, x/text/html"], false),
            (&["text/html;q=0"], false),
            (&["text/html; q=0.000, */*"], false),
            (&["text/html;level=1;Q=0"], false),
            (&["text/html;q=0.1"], true),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true),
            (&["Text/HTML"], true),
            (&["application/json", "text/html"], true),
            (&["text/htm\u{e9}"], false),
            (&["\u{e9}, text/html"], true),
        ] {
            let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("accept", *line)).collect();
            assert_eq!(asks_for_html(&map(&lines)), wanted, "{lines:?}");
        }
    }
}
