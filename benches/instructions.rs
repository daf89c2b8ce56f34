//! What single steps of the line cost, in instructions: `bench/instructions` runs each case under callgrind and compares
//! with its table. This program only does the work: `instructions CASE TIMES`; without arguments it names the cases.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is a test, and it names its cases")]

use std::{
    hint::black_box,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cloakroom::{
    cookie,
    envelope::{Algorithm, Audience, Claims, Sealer, Settings, SigningKey},
    headers::{self, Guarded, HeadBounds, HeadScan, Inbound, Mark, Peer, SchemePolicy, Seen, Trust},
    proxy::{Tallies, Tokens},
    session::{
        Handle, Policy, Ticket, Timestamp,
        change::Change,
        control::Control,
        document::Document,
        homes::Homes,
        patch::Patch,
        policy::Create,
        record::{Nonce, Record, Stored},
        settle::{Before, Context, Fresh, Loaded, Reach, settle},
        ticket::{Keyring, Locator, Secret},
        vault::Jar,
    },
    upstream::Postscript,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

type Case = (&'static str, fn(usize));

const CASES: &[Case] = &[
    ("cookie-scan", cookie_scan),
    ("ticket-open", ticket_open),
    ("head-scan", head_scan),
    ("header-clone", header_clone),
    ("header-admission", header_admission),
    ("token-signed", token_signed),
    ("token-opened", token_opened),
    ("token-cached", token_cached),
    ("settle", settle_update),
    ("patch", patch),
];

const NAME: &str = "__Host-session";
const NAME_OF_TOKENS: HeaderName = HeaderName::from_static("x-session");
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DATA: &str = r#"{"user":{"name":"ada.lovelace","roles":["buyer","reviewer"]},"cart":[{"sku":"A-1000","count":2}],"theme":"dark"}"#;
const PATCH: &str = r#"{"cart":[{"sku":"A-1000","count":3},{"sku":"B-2","count":1}],"theme":null}"#;

/// What a browser sends.
const HEAD: &str = "GET /shop/items?page=2 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/\r\n\
    Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Priority: u=0, i\r\n\
    \r\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [name, times] => {
            let (_, run) = CASES.iter().find(|(known, _)| known == name).expect("a case");
            run(times.parse().expect("how often"));
        }
        _ => CASES.iter().for_each(|(name, _)| println!("{name}")),
    }
}

fn headers_of(head: &str) -> HeaderMap {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let pair =
        |(name, value): (&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    lines.map(pair).collect()
}

fn ticket() -> Ticket {
    Ticket { locator: Locator::from_random([1; 16]), secret: Secret::from_random([2; 32]) }
}

fn cookies() -> HeaderMap {
    let ours = Keyring::new(&[7; 32], &[]).seal(&ticket(), "");
    let line = format!(
        "_ga=GA1.1.1234567890.1700000000; theme=dark; consent=a%3D1%26b%3D0; {NAME}={ours}; lang=en-GB; cart_hint=2"
    );
    HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::try_from(line).unwrap())])
}

fn cookie_scan(times: usize) {
    let headers = cookies();
    for _ in 0..times {
        assert_eq!(cookie::tickets(black_box(&headers), NAME).count(), 1);
    }
}

fn ticket_open(times: usize) {
    let (headers, keyring) = (cookies(), Keyring::new(&[7; 32], &[]));
    let value = cookie::tickets(&headers, NAME).next().unwrap();
    for _ in 0..times {
        assert!(keyring.open(black_box(value), "").is_ok());
    }
}

fn head_scan(times: usize) {
    let bounds = HeadBounds { bytes: 32 * 1024, fields: 100 };
    for _ in 0..times {
        let head = black_box(HEAD.as_bytes());
        assert_eq!(HeadScan::default().end(head, &bounds), Ok(Some(HEAD.len())));
        assert!(headers::announced_by(head).is_ok());
    }
}

/// What `header-admission` begins with, and what is to be taken off its count.
fn header_clone(times: usize) {
    let headers = headers_of(HEAD);
    for _ in 0..times {
        black_box(headers.clone());
    }
}

fn header_admission(times: usize) {
    let (sent, uri) = (headers_of(HEAD), Uri::from_static("/shop/items?page=2"));
    let ours = ["x-session", "x-session-update", "x-session-control"].map(HeaderName::from_static);
    let (guarded, trust) = (Guarded::new(ours), Trust::default());
    let peer = Peer { addr: Some([192, 0, 2, 17].into()), tls: true };
    for _ in 0..times {
        let mut lines = black_box(&sent).clone();
        let seen = Seen::of(&lines, &guarded);
        let authority = headers::authority_of(&uri, Version::HTTP_11, &lines).unwrap();
        assert!(![Mark::Ours, Mark::Via, Mark::Trailer].iter().any(|mark| seen.has(*mark)));
        headers::strip_request_hop_by_hop(&mut lines, &guarded, seen);
        headers::RequestId::fresh(b"7f3c12e08a5b4d6c9e1f203948576a6b").put_into(&mut lines);
        let inbound = Inbound { peer: &peer, trust: &trust, policy: SchemePolicy::Auto, host: authority.header() };
        headers::rewrite_forwarding(&mut lines, inbound);
        headers::append_via(&mut lines, Version::HTTP_11);
        black_box(lines);
    }
}

fn record() -> Record {
    Record {
        version: 7,
        writes: [Nonce(3), Nonce(2)].into(),
        secret: ticket().secret.hash(),
        retired: vec![],
        created: NOW,
        written: NOW,
        deadline: NOW.after(Duration::from_secs(12 * 3600)),
        idle: None,
        persistent: false,
        subject: Some("ada.lovelace".to_owned()),
        vault: Jar::default(),
        homes: Homes::default(),
        data: DATA.into(),
    }
}

fn sealer() -> (Sealer, Audience) {
    let settings = Settings {
        header: NAME_OF_TOKENS,
        update_header: HeaderName::from_static("x-session-update"),
        control_header: HeaderName::from_static("x-session-control"),
        issuer: "cloakroom".to_owned(),
        lifetime: Duration::from_secs(60),
        max_bytes: 4096,
        algorithm: Algorithm::Hs256,
        keys: vec![SigningKey { id: Some("k1".to_owned()), secret: vec![1; 32] }],
    };
    let audience = Audience::new("app", None);
    (Sealer::new(&settings).unwrap().unwrap(), audience)
}

/// Tokens of one second: of many visitors, or of one whose session changes.
fn token_signed(times: usize) {
    sign_tokens(times, |_| 0);
}

/// The first tokens of many seconds.
fn token_opened(times: usize) {
    sign_tokens(times, |turn| turn);
}

fn sign_tokens(times: usize, second: impl Fn(u64) -> u64) {
    let ((sealer, audience), record, mut opening) = (sealer(), record(), None);
    let handle: Handle = ticket().locator.handle();
    for turn in 0..times as u64 {
        let claims = Claims::Session(&handle, black_box(&record));
        black_box(sealer.seal(&mut opening, &audience, claims, 1_800_000_000 + second(turn)).unwrap());
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for a moment of the clock, not for somebody else")]
fn token_cached(times: usize) {
    let ((sealer, audience), tokens) = (sealer(), Tokens::new(1, Tallies::default().open()));
    let ask = || {
        let seal = |opening: &mut _, claims: Claims<'_>, _| {
            sealer.seal(opening, &audience, claims, 1_800_000_000).map(Postscript::new)
        };
        black_box(tokens.of_nobody(black_box(0), seal).unwrap());
    };
    // Under callgrind whatever runs first is slow. All the rest fits into a second that has just begun: one more is signed.
    ask();
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_millis();
    std::thread::sleep(Duration::from_millis(u64::from(1_001 - passed)));
    (0..times).for_each(|_| ask());
}

fn settle_update(times: usize) {
    let (record, ticket, policy) = (record(), ticket(), Policy::default());
    let stored = Stored::from(record.clone());
    let fresh = Fresh::new(Nonce(9), || (Locator::from_random([3; 16]), Secret::from_random([4; 32])));
    let secret = ticket.secret.hash();
    let update = Some(vec![Patch::parse(PATCH.as_bytes()).unwrap()]);
    let change = Change { update, control: Control::parse([&b"rotate"[..]]).unwrap(), ..Change::default() };
    let context = Context { now: NOW, policy: &policy, create: Create::OnWrite, reach: Reach::Browser, fresh: &fresh };
    for _ in 0..times {
        let before =
            Before::Loaded(Loaded { ticket: &ticket, secret: &secret, given: &record, stored: Some(stored.content()) });
        assert!(settle(black_box(&before), &change, &context).is_ok());
    }
}

fn patch(times: usize) {
    for _ in 0..times {
        let patch = Patch::parse(black_box(PATCH.as_bytes())).unwrap();
        let mut document = Document::parse(black_box(DATA)).unwrap();
        patch.apply(&mut document, 1_000).unwrap();
        black_box(document.to_text());
    }
}
