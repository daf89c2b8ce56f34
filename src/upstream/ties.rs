//! Which server a session goes to (`affinity`): the one that keeps it, as long as that may be asked.
//!
//! Where nobody keeps it yet, or nobody can, the session's own name picks: each proxy picks the same server, before and
//! after a restart, without asking anybody, and a server that goes takes only its own sessions with it.

use aws_lc_rs::digest::{Context, SHA256};

/// What ties a request to a server.
#[derive(Debug, Clone, Copy)]
pub struct Ties<'a> {
    /// The session's name.
    pub session: &'a [u8],
    /// The name of the server that keeps it.
    pub home: Option<&'a str>,
}

/// The name of the server that answered; on responses of upstreams with affinity.
#[derive(Debug, Clone)]
pub struct ServedBy(pub std::sync::Arc<str>);

impl Ties<'_> {
    /// The server for this session among `candidates`.
    pub(super) fn pick<'n, I>(&self, candidates: impl Fn() -> I, name: impl Fn(usize) -> &'n str) -> Option<usize>
    where
        I: Iterator<Item = usize>,
    {
        let home = self.home.and_then(|home| candidates().find(|&index| name(index) == home));
        home.or_else(|| candidates().max_by_key(|&index| self.weight(name(index))))
    }

    /// How much this session is drawn to a server (rendezvous hashing).
    fn weight(&self, server: &str) -> [u8; 8] {
        let mut context = Context::new(&SHA256);
        context.update(self.session);
        context.update(server.as_bytes());
        let digest = context.finish();
        digest.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn pick(session: u8, home: Option<&str>, candidates: &[usize]) -> Option<usize> {
        let (session, ties) = ([session], |session| Ties { session, home });
        ties(&session).pick(|| candidates.iter().copied(), |index| NAMES[index])
    }

    #[test]
    fn who_keeps_a_session_gets_it_while_it_may_be_asked() {
        for session in 0..50 {
            assert_eq!(pick(session, Some("c"), &[3, 2, 1, 0]), Some(2));
            let stranger = pick(session, None, &[0, 1, 3]);
            assert_eq!(pick(session, Some("c"), &[3, 0, 1]), stranger, "the order of candidates means nothing");
            assert_eq!(pick(session, Some("gone"), &[0, 1, 3]), stranger);
            assert_eq!(pick(session, Some("c"), &[]), None);
        }
    }

    #[test]
    fn sessions_that_nobody_keeps_are_spread_and_only_those_of_a_lost_server_move() {
        let mut counts = [0; 4];
        for session in 0..=255 {
            let found = pick(session, None, &[0, 1, 2, 3]).unwrap();
            counts[found] += 1;
            let without_d = pick(session, None, &[0, 1, 2]).unwrap();
            assert!(found == 3 || without_d == found);
        }
        assert!(counts.iter().all(|&count| (40..90).contains(&count)), "{counts:?}");
    }
}
