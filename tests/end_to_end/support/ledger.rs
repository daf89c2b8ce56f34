//! The global invariants of `threats.md`, held in every test:
//!
//! (a) the upstream parses exactly the requests that the proxy accepted: none twice, none that nobody sent, none
//!     that the proxy said it refused, and every answer that is passed on belongs to the request that it answers;
//! (b) every request on a session route has exactly one header that anybody could read as `X-Session`, and it
//!     verifies; on other routes there is none;
//! (c) no byte of an update or a control reaches a client.

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
    breaches: Mutex<Vec<String>>,
}

struct Sent {
    secrets: Vec<Vec<u8>>,
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
        let sent = Sent { secrets: answer.secrets.clone(), outcome: Outcome::Unknown };
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
        for ours in OURS {
            for (name, value) in parse_head(&with_first_line).1.like(ours) {
                self.breach(format!("a client was shown {name}: {value}"));
            }
        }
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
            *arrivals.entry(request.script().unwrap_or("")).or_default() += 1;
        }
        let sent = self.sent.lock().expect("ledger");
        for (key, count) in &arrivals {
            match sent.get(*key).map(|sent| sent.outcome) {
                None => faults.push(format!("{count} requests that nobody sent (X-Script: {key:?})")),
                Some(_) if *count > 1 => faults.push(format!("{key} arrived {count} times")),
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
