//! `/`: the page for operators, one document without a build step. It holds nothing of a session; what it shows it asks for
//! as anybody else does, with the token that is typed into it.
//!
//! Its policy lets in the one script and the one style sheet that are in it, by their digests, and nothing else: no other
//! origin, no inline handlers, no markup made of text.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderName},
};

use super::answer::{Kind, answer};

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The document and its policy.
struct Document {
    text: String,
    policy: HeaderValue,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document {
    text: FRAME.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT),
    policy: HeaderValue::try_from(policy()).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
});

fn policy() -> String {
    let [style, script] = [STYLE, SCRIPT].map(|part| {
        let digest = digest::digest(&digest::SHA256, part.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(digest))
    });
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

/// The page.
pub(super) fn page() -> Response<String> {
    let mut response = answer(StatusCode::OK, Kind::Html, DOCUMENT.text.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, DOCUMENT.policy.clone());
    let alone = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(alone, HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_lets_in_is_what_is_in_the_document() {
        let inside = |tag: &str| {
            let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
            let parts: Vec<_> =
                DOCUMENT.text.split(&open).skip(1).filter_map(|part| part.split(&close).next()).collect();
            assert_eq!(parts.len(), 1, "{tag}");
            let digest = digest::digest(&digest::SHA256, parts[0].as_bytes());
            format!("{tag}-src 'sha256-{}';", STANDARD.encode(digest))
        };
        let policy = DOCUMENT.policy.to_str().unwrap();
        for part in [inside("script"), inside("style")] {
            assert!(policy.contains(&part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    }

    #[test]
    fn it_makes_no_markup_of_text_and_loads_nothing_from_elsewhere() {
        for way in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "import "] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        for (at, _) in DOCUMENT.text.match_indices("http") {
            let rest = &DOCUMENT.text[at..];
            assert!(rest.starts_with("http://www.w3.org/2000/svg"), "{}", rest.lines().next().unwrap_or_default());
        }
        assert!(!FRAME.contains(" style=") && !FRAME.contains(" onclick="));
    }
}
