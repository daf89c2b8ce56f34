//! Whether a person is looking at what comes back: a page that is opened, rather than a script or an image that asks.
//!
//! Browsers of today say so (Fetch Metadata). Without `Sec-Fetch-Mode`, whoever accepts HTML by name counts.

use http::{HeaderMap, Method};

use super::asks_for_html;

/// Whether the request opens a page: a `GET` or `HEAD` with `Sec-Fetch-Mode: navigate` or, without that header, with
/// `text/html` in `Accept`.
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    if ![Method::GET, Method::HEAD].contains(method) {
        return false;
    }
    let mut modes = headers.get_all("sec-fetch-mode").into_iter().peekable();
    if modes.peek().is_some() {
        return modes.all(|mode| mode == "navigate");
    }
    asks_for_html(headers)
}

#[cfg(test)]
mod tests {
    use super::super::testing::map;
    use super::*;

    #[test]
    fn a_page_that_is_opened_is_told_from_everything_else() {
        const PAGE: (&str, &str) = ("accept", "application/xhtml+xml, Text/HTML;q=0.9, */*;q=0.8");
        const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
        for (method, lines, wanted) in [
            (Method::GET, &[NAVIGATE][..], true),
            (Method::HEAD, &[NAVIGATE], true),
            (Method::POST, &[NAVIGATE, PAGE], false),
            (Method::OPTIONS, &[PAGE], false),
            (Method::GET, &[PAGE], true),
            (Method::GET, &[("accept", "*/*"), ("accept", "text/html")], true),
            (Method::GET, &[PAGE, ("sec-fetch-mode", "cors")], false),
            (Method::GET, &[PAGE, ("sec-fetch-mode", "no-cors")], false),
            (Method::GET, &[PAGE, ("sec-fetch-mode", "websocket")], false),
            (Method::GET, &[NAVIGATE, ("sec-fetch-mode", "cors")], false),
            (Method::GET, &[("accept", "*/*")], false),
            (Method::GET, &[("accept", "text/*, text/htmlx, application/json")], false),
            (Method::GET, &[], false),
        ] {
            assert_eq!(is_navigation(&method, &map(lines)), wanted, "{method} {lines:?}");
        }
    }
}
