//! The global invariants of `threats.md`, held in every test:
//!
//! (a) the upstream parses exactly the requests that the proxy accepted: none twice, none that nobody sent, none
//!     that the proxy said it refused, and every answer that is passed on belongs to the request that it answers;
//! (b) every request on a session route has exactly one header that anybody could read as `X-Session`, and it
//!     verifies; on other routes there is none;
//! (c) no byte of an update or a control reaches a client;
//! (d) no ticket, token, update or control stands in a log, though every proxy logs at `trace` (contract section 10).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::Answer;
use super::connection::Reply;
use super::upstream::{ANSWERED, Request, Upstream};
use super::wire::{latin1, parse_head};

/// The names that belong to the proxy, folded.
const OURS: [&str; 3] = ["x-session", "x-session-update", "x-session-control"];

/// What the clients sent and what they got.
#[derive(Default)]
pub(crate) struct Ledger {
    last: AtomicU64,
    sent: Mutex<HashMap<String, Sent>>,
    tickets: Mutex<Vec<String>>,
    breaches: Mutex<Vec<String>>,
}

/// So many secrets of each kind are looked for in the logs of one test, and only those that nothing else looks like.
const CANARIES: usize = 50;
const TELLING: usize = 12;

/// So often may an idempotent request without a body be sent whose connections close without an answer.
const REPEATED: u32 = 3;

struct Sent {
    secrets: Vec<Vec<u8>>,
    /// Whether the answer is none, so that the request may be sent again.
    unanswered: bool,
    outcome: Outcome,
}

/// Who answered a request, as far as the client can know.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Unknown,
    PassedOn,
    /// By a status that says that the request was not acceptable.
    Refused,
}

impl Ledger {
    /// A name for one request, never given twice in a test.
    pub(super) fn name(&self, answer: &Answer) -> String {
        let key = format!("s{}", self.last.fetch_add(1, Ordering::Relaxed));
        let (secrets, unanswered) = (answer.secrets.clone(), answer.is_none());
        let sent = Sent { secrets, unanswered, outcome: Outcome::Unknown };
        self.sent.lock().expect("ledger").insert(key.clone(), sent);
        key
    }

    /// Notes a finished exchange. `heads` is everything received but the body.
    pub(super) fn answered(&self, key: &str, reply: &Reply, heads: &str) {
        let own_error = reply.is_own_error();
        let marked = reply.header(ANSWERED);
        let outcome = match marked {
            Some(other) if other != key => return self.breach(format!("{key} was given the answer to {other}")),
            Some(_) if own_error => return self.breach(format!("{key}: an error kept headers of the answer")),
            Some(_) => Outcome::PassedOn,
            None if own_error && [400, 404, 405, 413, 431].contains(&reply.status) => Outcome::Refused,
            None => Outcome::Unknown,
        };
        let mut sent = self.sent.lock().expect("ledger");
        let sent = sent.get_mut(key).expect("a request that was named");
        sent.outcome = outcome;
        let body = if own_error { latin1(&reply.body) } else { String::new() };
        for secret in sent.secrets.iter().map(|secret| latin1(secret)) {
            if heads.contains(&secret) || body.contains(&secret) {
                self.breach(format!("{key}: the client was shown {secret}"));
            }
        }
    }

    /// Looks at a head or a trailer section that a client received.
    pub(super) fn shown_to_client(&self, raw: &[u8]) {
        let with_first_line = [b"\r\n", raw].concat();
        for line in parse_head(&with_first_line).1.all("set-cookie") {
            let value = line.split(';').next().and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value);
            self.tickets.lock().expect("ledger").push(value.to_owned());
        }
        for ours in OURS {
            for (name, value) in parse_head(&with_first_line).1.like(ours) {
                self.breach(format!("a client was shown {name}: {value}"));
            }
        }
    }

    /// Which secrets of this test a proxy wrote into its log.
    pub(super) fn leaks(&self, upstream: &Upstream, log: &str) -> Vec<String> {
        let tickets = self.tickets.lock().expect("ledger").clone();
        let requests = upstream.requests();
        let tokens = requests.iter().filter_map(|request| request.headers.first("x-session")).map(str::to_owned);
        let signatures = tokens.filter_map(|token| token.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
        let sent = self.sent.lock().expect("ledger");
        let said = sent.values().flat_map(|sent| &sent.secrets).map(|secret| latin1(secret));
        let telling = |secret: &String| secret.len() >= TELLING;
        let canaries = tickets.into_iter().filter(telling).take(CANARIES);
        let canaries = canaries.chain(signatures.filter(telling).take(CANARIES));
        let canaries = canaries.chain(said.filter(telling).take(CANARIES));
        canaries.filter(|secret| log.contains(secret)).map(|secret| format!("a log holds {secret}")).collect()
    }

    fn is_unanswered(&self, key: &str) -> bool {
        self.sent.lock().expect("ledger").get(key).is_some_and(|sent| sent.unanswered)
    }

    fn breach(&self, what: String) {
        self.breaches.lock().expect("ledger").push(what);
    }

    /// Everything that was wrong in this test.
    pub(super) fn audit(&self, upstream: &Upstream, sessionless: &[&str]) -> Vec<String> {
        let mut faults = self.breaches.lock().expect("ledger").clone();
        let requests = upstream.requests();
        let mut arrivals: HashMap<&str, u32> = HashMap::new();
        for request in &requests {
            // A body that broke off is a request that the upstream did not get; refusing it is right.
            faults.extend(fault_of(request, sessionless));
            if !request.complete {
                continue;
            }
            let key = request.script().unwrap_or("");
            let count = arrivals.entry(key).or_default();
            let repeatable = request.length == 0 && ["GET", "HEAD"].contains(&request.method.as_str());
            if *count > 0 && !(repeatable && *count < REPEATED && self.is_unanswered(key)) {
                faults.push(format!("{key} arrived {} times", *count + 1));
            }
            *count += 1;
        }
        let sent = self.sent.lock().expect("ledger");
        for (key, count) in &arrivals {
            match sent.get(*key).map(|sent| sent.outcome) {
                None => faults.push(format!("{count} requests that nobody sent (X-Script: {key:?})")),
                Some(Outcome::Refused) => faults.push(format!("{key} was refused and forwarded all the same")),
                Some(_) => {}
            }
        }
        let lost =
            sent.iter().filter(|(key, sent)| sent.outcome == Outcome::PassedOn && !arrivals.contains_key(key.as_str()));
        faults.extend(lost.map(|(key, _)| format!("{key} was answered but never arrived")));
        faults
    }
}

fn fault_of(request: &Request, sessionless: &[&str]) -> Option<String> {
    let fault = if sessionless.iter().any(|prefix| request.path().starts_with(prefix)) {
        let found = request.headers.like("x-session");
        (!found.is_empty()).then(|| format!("a route without session was sent {found:?}"))
    } else {
        request.verified().err()
    };
    fault.map(|fault| format!("{} {}: {fault}", request.method, request.target))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::answer::Piece;
    use super::super::connection::Connection;
    use super::super::shared::{Gate, until};
    use super::super::token::Trust;
    use super::*;

    /// A client that talks to the upstream directly, as through a proxy that does nothing right.
    fn without_proxy(answer: Answer, request: &str) -> (Vec<String>, Reply) {
        let upstream = Upstream::start(Trust::new(b"secret".to_vec()));
        let ledger = Arc::new(Ledger::default());
        let key = ledger.name(&answer);
        upstream.script(&key, answer);
        let address = upstream.url().trim_start_matches("http://").parse().expect("an address");
        let mut connection = Connection::open(address, ledger.clone()).expect("a connection");
        connection.send(request.replace("KEY", &key).as_bytes()).expect("sending");
        let reply = connection.reply(request.split(' ').next().unwrap_or_default()).expect("a response");
        ledger.answered(&key, &reply, &connection.heads());
        let arrived = || (!upstream.requests().is_empty()).then(|| ledger.audit(&upstream, &["/static/"]));
        (until("the request to be noted", arrived), reply)
    }

    fn noticed(faults: &[String], what: &str) -> bool {
        faults.iter().any(|fault| fault.contains(what))
    }

    #[test]
    fn a_route_without_session_passes_when_nothing_is_wrong() {
        let answer = Answer::ok().interim(103, &[("Link", "</a>")]).trailer("X-Sum", "1").generated(100_000);
        let (faults, reply) = without_proxy(answer, "GET /static/ HTTP/1.1\r\nX-Script: KEY\r\n\r\n");
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!((reply.status, reply.body.len(), reply.complete, reply.interim), (200, 100_000, true, vec![103]));
        assert_eq!(reply.trailers.first("x-sum"), Some("1"));
    }

    #[test]
    fn a_head_request_has_no_body() {
        let (_, reply) = without_proxy(Answer::ok(), "HEAD /static/ HTTP/1.1\r\nX-Script: KEY\r\n\r\n");
        assert_eq!((reply.header("content-length"), reply.body.len()), (Some("2"), 0));
    }

    #[test]
    fn a_token_that_is_missing_forged_or_doubled_is_noticed() {
        for headers in ["", "X-Session: forged\r\n", "X-Session: a.b.c\r\nx_session: a.b.c\r\n"] {
            let (faults, _) = without_proxy(Answer::ok(), &format!("GET / HTTP/1.1\r\nX-Script: KEY\r\n{headers}\r\n"));
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
        let (faults, _) = without_proxy(Answer::ok(), "GET /static/ HTTP/1.1\r\nX-Script: KEY\r\nx.session: 1\r\n\r\n");
        assert!(noticed(&faults, "without session"), "{faults:?}");
    }

    #[test]
    fn an_update_that_reaches_the_client_is_noticed() {
        let update = r#"{"canary":1}"#;
        for answer in [
            Answer::updating(update),
            Answer::ok().interim(103, &[("x_session_update", update)]),
            Answer::ok().pieces([]).trailer("X.Session.Update", update),
        ] {
            let (faults, _) = without_proxy(answer, "GET /static/ HTTP/1.1\r\nX-Script: KEY\r\n\r\n");
            assert!(noticed(&faults, "a client was shown") && noticed(&faults, "the client was shown"), "{faults:?}");
        }
    }

    #[test]
    fn a_request_that_nobody_sent_is_noticed() {
        let (faults, _) = without_proxy(Answer::ok(), "GET /static/ HTTP/1.1\r\n\r\n");
        assert!(noticed(&faults, "nobody sent"), "{faults:?}");
        let (faults, _) = without_proxy(Answer::ok(), "GET /static/ HTTP/1.1\r\nX-Script: other\r\n\r\n");
        assert!(noticed(&faults, "the answer to other"), "{faults:?}");
    }

    #[test]
    fn a_body_that_is_broken_off_is_told_from_a_whole_one() {
        let gate = Gate::new();
        gate.release();
        let broken = [Piece::Data("half"), Piece::Abort];
        let (faults, reply) =
            without_proxy(Answer::ok().pieces(broken).after(&gate), "GET /static/ HTTP/1.1\r\nX-Script: KEY\r\n\r\n");
        assert_eq!(faults, Vec::<String>::new());
        assert!(!reply.complete && !reply.body.is_empty());
    }
}
