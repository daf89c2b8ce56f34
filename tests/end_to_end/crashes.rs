//! Issue 4, "must hold" 1: the proxy is killed again and again under load, and whatever a client was told is there when
//! it is back; nothing is half there, and in Redis nothing lives for ever.
//!
//! `CLOAKROOM_KILLS` says how often it is killed (60), `CLOAKROOM_KILLS_SEED` replays the clients' choices.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::crowd::number;
use crate::support::{Connection, Proxy, Reply, Store, TICKET, World, let_pass, mirror, world};

const CLIENTS: u64 = 4;
/// Sessions of each client.
const SESSIONS: usize = 3;

/// What was asked for and not answered when the proxy was killed: it may have been carried out or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    Write,
    Rotation,
    End,
}

/// A session as its client knows it.
struct Known {
    ticket: String,
    /// The number that was saved last, under two keys at once.
    number: u64,
    doubt: Doubt,
}

/// A client and what it was told.
#[derive(Default)]
struct Client {
    sessions: Vec<Known>,
    /// Tickets that were rotated away or whose session was ended.
    ended: Vec<String>,
}

fn ask(connection: &mut Connection, ticket: Option<&str>, change: &str) -> io::Result<Reply> {
    let cookie = ticket.map(|ticket| format!("Cookie: {TICKET}={ticket}\r\n")).unwrap_or_default();
    connection.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{cookie}{change}\r\n").as_bytes())?;
    let reply = connection.reply("GET")?;
    if !reply.complete {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(reply.passed(200))
}

fn issued(reply: &Reply) -> String {
    let line = reply.set_cookies().into_iter().find(|line| line.starts_with(TICKET)).expect("a ticket").to_owned();
    line.split(['=', ';']).nth(1).expect("a value").to_owned()
}

fn write(number: u64) -> String {
    format!(
        "X-Write: {{\"one\":{number},\"two\":{number},\"filling\":\"{}\"}}\r\n",
        "x".repeat((number % 7) as usize * 50)
    )
}

impl Client {
    /// Changes one of its sessions; fails when the proxy is gone.
    fn turn(&mut self, connection: &mut Connection, rng: &mut StdRng, done: &AtomicU64) -> io::Result<()> {
        if self.sessions.len() < SESSIONS {
            let reply = ask(connection, None, &write(1))?;
            self.sessions.push(Known { ticket: issued(&reply), number: 1, doubt: Doubt::None });
        } else {
            let index = rng.random_range(0..SESSIONS);
            let known = &mut self.sessions[index];
            let (doubt, change) = match rng.random_range(0..10) {
                0 => (Doubt::Rotation, "X-Order: rotate\r\n".to_owned()),
                1 => (Doubt::End, "X-Order: destroy\r\n".to_owned()),
                _ => (Doubt::Write, write(known.number + 1)),
            };
            known.doubt = doubt;
            let reply = ask(connection, Some(&known.ticket), &change)?;
            known.doubt = Doubt::None;
            match doubt {
                Doubt::Rotation => self.ended.push(std::mem::replace(&mut known.ticket, issued(&reply))),
                Doubt::End => self.ended.push(self.sessions.remove(index).ticket),
                Doubt::Write | Doubt::None => known.number += 1,
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn work(&mut self, mut connection: Connection, seed: u64, done: &AtomicU64) {
        let mut rng = StdRng::seed_from_u64(seed);
        while self.turn(&mut connection, &mut rng, done).is_ok() {}
    }

    /// Holds what it was told against what is there.
    fn check(&mut self, proxy: &Proxy, name: &str) {
        let mut connection = proxy.connect();
        let mut data = |ticket: &str| -> serde_json::Value {
            let reply = ask(&mut connection, Some(ticket), "").expect("an answer").without_cookie();
            serde_json::from_slice(&reply.body).expect("the data")
        };
        self.sessions.retain_mut(|known| {
            let found = data(&known.ticket);
            let doubt = std::mem::replace(&mut known.doubt, Doubt::None);
            let Some(number) = found["one"].as_u64() else {
                assert!(
                    [Doubt::Rotation, Doubt::End].contains(&doubt),
                    "{name}: a session is lost, {doubt:?}: {found}"
                );
                return false;
            };
            let filling = found["filling"].as_str().map(|filling| filling.len() as u64 / 50);
            assert!(found["two"] == number && filling == Some(number % 7), "{name}: half an update: {found}");
            let in_doubt = doubt == Doubt::Write && number == known.number + 1;
            assert!(number == known.number || in_doubt, "{name}: {} was saved: {found}", known.number);
            known.number = number;
            true
        });
        for ticket in self.ended.drain(..) {
            assert_eq!(data(&ticket), serde_json::json!({}), "{name}: an ending was forgotten");
        }
    }
}

/// Every key has an expiry.
fn assert_mortal(w: &World) {
    let script = "local e = {} for _, k in ipairs(redis.call('KEYS', '*')) do \
                  if redis.call('PTTL', k) < 0 then e[#e + 1] = k end end return e";
    assert_eq!(w.redis().command::<Vec<String>>(&["EVAL", script, "0"]), Vec::<String>::new(), "these live for ever");
}

fn kill_again_and_again(w: &World) {
    let (kills, seed) = (number("CLOAKROOM_KILLS", || 60), number("CLOAKROOM_KILLS_SEED", rand::random));
    let mut rng = StdRng::seed_from_u64(seed);
    let config = format!("upstreams.app.servers = [\"{}\"]", mirror());
    let proxy: Arc<Proxy> = w.proxy_with_arguments(&config, &["--log", "warn"]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::default()).collect();
    let (done, begun) = (AtomicU64::new(0), std::time::Instant::now());
    for kill in 0..kills {
        thread::scope(|scope| {
            for client in &mut clients {
                let (connection, done, seed) = (proxy.connect(), &done, rng.random());
                scope.spawn(move || client.work(connection, seed, done));
            }
            let_pass(Duration::from_millis(rng.random_range(20..200)));
            proxy.kill();
        });
        if w.has_redis() {
            assert_mortal(w);
        }
        proxy.restart();
        clients.iter_mut().for_each(|client| client.check(&proxy, &format!("CLOAKROOM_KILLS_SEED={seed} kill {kill}")));
    }
    let log = proxy.log();
    assert!(!log.contains("cannot be read") && !log.contains("panicked"), "{log}");
    assert!(done.load(Ordering::Relaxed) > 3 * kills, "{done:?} changes for {kills} kills");
    eprintln!("{kills} kills, {done:?} changes acknowledged, in {:?}; seed {seed}", begun.elapsed());
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_in_a_file() {
    world(Store::File, kill_again_and_again);
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_in_redis() {
    world(Store::Redis, kill_again_and_again);
}
