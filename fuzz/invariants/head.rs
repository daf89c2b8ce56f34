//! Heads: found at the same place however they are cut, framed as a strict reader would, and stripped of what is ours.

use cloakroom::headers::{
    Framing, Guarded, HeadBounds, HeadScan, Inbound, Mark, Peer, SchemePolicy, Seen, Trust, announced_by,
    rewrite_forwarding, strip_request_hop_by_hop,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const BOUNDS: HeadBounds = HeadBounds { bytes: 4096, fields: 64 };
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "proxy-authorization"];

/// The input is what a client sends.
pub(crate) fn check(input: &[u8]) {
    let whole = HeadScan::default().end(input, &BOUNDS);
    let mut scan = HeadScan::default();
    let bytewise = (1..=input.len()).map(|end| scan.end(&input[..end], &BOUNDS)).find(|found| *found != Ok(None));
    assert_eq!(bytewise.unwrap_or(Ok(None)), whole, "the verdict depends on the segments");
    let Ok(Some(end)) = whole else { return };
    let head = &input[..end];
    assert!(end <= BOUNDS.bytes && head.ends_with(b"\r\n\r\n"));
    assert!(!head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'), "a bare LF passed");

    let Ok(announced) = announced_by(head) else { return };
    let mut fields = [httparse::EMPTY_HEADER; 80];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(parsed)) = request.parse(head) else { return };
    assert_eq!(parsed, end, "the parser sees another end");
    let values = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
    };
    let framing = match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) | ([b"0"], []) => Framing::Nothing,
        ([length], []) => Framing::Length(std::str::from_utf8(length).expect("digits").parse().expect("a number")),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && request.version == Some(1) => Framing::Chunked,
        other => panic!("framing that servers read in different ways: {other:?}"),
    };
    assert_eq!(announced.body, framing);

    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            headers.append(name, value);
        }
    }
    admitted(headers);
}

fn admitted(mut headers: HeaderMap) {
    let guarded = Guarded::new(["x-session", "x-session-update", "x-session-control"].map(HeaderName::from_static));
    let seen = Seen::of(&headers, &guarded);
    if seen.has(Mark::Ours) {
        guarded.strip(&mut headers);
    }
    strip_request_hop_by_hop(&mut headers, &guarded, seen);
    let (peer, trust) = (Peer { addr: Some([192, 0, 2, 1].into()), tls: false }, Trust::default());
    let host = HeaderValue::from_static("a");
    let inbound = Inbound { peer: &peer, trust: &trust, policy: SchemePolicy::Auto, host: &host };
    rewrite_forwarding(&mut headers, inbound);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(headers["forwarded"], "for=192.0.2.1;host=a;proto=http");
    for name in headers.keys() {
        let folded: String = name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        assert!(
            !folded.starts_with("x-session") || folded.len() > "x-session".len() && !guarded.covers(name),
            "{name}"
        );
        assert!(!HOP_BY_HOP.contains(&folded.as_str()) && folded != "proxy", "{name}");
        assert!(folded != "content-length" || name == "content-length", "{name}");
        let claims = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        assert!(!folded.starts_with("x-forwarded-") || claims.contains(&name.as_str()), "{name}");
    }
}
