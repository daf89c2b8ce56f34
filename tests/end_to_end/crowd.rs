//! Issue 3, "must hold" 5: two hundred sessions over kept-alive connections that everybody shares, clients that hang up
//! at random, and never an answer with somebody else's data.
//!
//! `CLOAKROOM_CROWD_REQUESTS` says how many requests (20,000), `CLOAKROOM_CROWD_SEED` replays the clients' choices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::{Connection, Proxy, Reply, TICKET, World, every_store, mirror};

const SESSIONS: usize = 200;
const CLIENTS: u64 = 8;
/// Kept-alive connections of each client.
const CONNECTIONS: usize = 6;

/// What a client asks with this ticket, and whether something is to be saved.
pub(crate) fn request(ticket: Option<&str>, write: Option<&str>) -> Vec<u8> {
    let cookie = ticket.map(|ticket| format!("Cookie: a=b; {TICKET}={ticket}\r\n")).unwrap_or_default();
    let write = write.map(|update| format!("X-Write: {update}\r\n")).unwrap_or_default();
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{cookie}{write}\r\n").into_bytes()
}

fn ask(connection: &mut Connection, ticket: Option<&str>, write: Option<&str>) -> Reply {
    connection.send(&request(ticket, write)).expect("sending");
    connection.reply("GET").expect("an answer").passed(200)
}

/// A session that knows its number, and its ticket.
pub(crate) fn sign_in(proxy: &Proxy, number: usize) -> String {
    let reply = ask(&mut proxy.connect(), None, Some(&format!(r#"{{"who":{number},"n":0}}"#)));
    let line = reply.set_cookies().into_iter().find(|line| line.starts_with(TICKET)).expect("a ticket").to_owned();
    line.split(['=', ';']).nth(1).expect("a value").to_owned()
}

/// One client: any session on any of its connections; now and then it hangs up in the middle.
fn client(proxy: &Proxy, tickets: &[String], requests: u64, seed: u64, hung_up: &AtomicU64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| proxy.connect()).collect();
    for turn in 0..requests {
        let (who, which) = (rng.random_range(0..tickets.len()), rng.random_range(0..CONNECTIONS));
        let update = format!(r#"{{"n":{turn},"by":"{who} {seed}"}}"#);
        let write = rng.random_bool(0.1).then_some(update.as_str());
        if rng.random_bool(0.03) {
            let mut left = std::mem::replace(&mut connections[which], proxy.connect());
            let bytes = request(Some(&tickets[who]), write);
            let sent = if rng.random() { bytes.len() } else { rng.random_range(1..bytes.len()) };
            left.send(&bytes[..sent]).expect("sending");
            if rng.random() {
                left.reset();
            }
            hung_up.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let reply = ask(&mut connections[which], Some(&tickets[who]), write).without_cookie();
        let data: serde_json::Value = serde_json::from_slice(&reply.body).expect("the data");
        let whose = data["by"].as_str().is_none_or(|by| by.starts_with(&format!("{who} ")));
        assert!(data["who"] == who && whose, "{who} was shown {data}; CLOAKROOM_CROWD_SEED={seed} turn {turn}");
    }
}

pub(crate) fn number(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).ok().map_or_else(otherwise, |text| text.parse().expect("a number in the environment"))
}

fn crowd(w: &World) {
    let requests = number("CLOAKROOM_CROWD_REQUESTS", || 20_000);
    let seed = number("CLOAKROOM_CROWD_SEED", rand::random) % (1 << 48);
    let config = format!("upstreams.app.servers = [\"{}\"]", mirror());
    let arguments = ["--log", "warn"];
    let proxies: Vec<Arc<Proxy>> = match w.has_redis() {
        true => (0..2).map(|_| w.proxy_with_arguments(&config, &arguments)).collect(),
        false => vec![w.proxy_with_arguments(&config, &arguments)],
    };
    let tickets: Vec<String> = (0..SESSIONS).map(|number| sign_in(&proxies[0], number)).collect();
    let hung_up = AtomicU64::new(0);
    let begun = std::time::Instant::now();
    thread::scope(|scope| {
        for (index, proxy) in (0..CLIENTS).zip(proxies.iter().cycle()) {
            let (tickets, hung_up) = (&tickets, &hung_up);
            scope.spawn(move || client(proxy, tickets, requests / CLIENTS, seed + index, hung_up));
        }
    });
    eprintln!("{requests} requests, {hung_up:?} hung up on, in {:?}; seed {seed}", begun.elapsed());
}

every_store! {
    fn nobody_is_ever_shown_the_data_of_another_session(w) {
        crowd(w);
    }
}
