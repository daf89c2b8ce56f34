//! Who is at the other end of a connection, and which host its last request named: most name the same again, and then
//! nothing of what follows from it is worked out anew.
//!
//! Kept while the connection is busy, in memory of its own: nothing of a request's bytes. What all requests for one host
//! have in common is one thing with one owner more for each of them.

use std::sync::Arc;

use http::{HeaderMap, Request, Version};

use super::line::Line;
use crate::{
    headers::{Authority, HostFault, Peer, Scheme, append_via, authority_of, introduce, is_loopback_host},
    upstream::Preface,
};

/// The other end of a connection.
pub struct Caller {
    peer: Peer,
    last: Option<Arc<Named>>,
}

/// A host that a request names, by whose rules, and how the request is introduced to applications.
pub(super) struct Named {
    pub(super) line: Arc<Line>,
    pub(super) authority: Authority,
    /// Whether it is the browser's own machine.
    pub(super) is_loopback: bool,
    /// `None`: somebody vouches for the client, and it is introduced by what that one says.
    introduction: Option<(Scheme, Version, Preface)>,
}

impl Caller {
    /// This one, which has asked for nothing yet.
    pub fn new(peer: Peer) -> Self {
        Self { peer, last: None }
    }

    /// Keeps nothing while the connection rests.
    pub fn rests(&mut self) {
        self.last = None;
    }

    /// Its address.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The host that a request names, which is served by this line. `scheme`: what the request is introduced with, if it is.
    ///
    /// # Errors
    /// It names none that all servers would agree on.
    pub(super) fn named<B>(
        &mut self,
        line: &Arc<Line>,
        request: &Request<B>,
        scheme: Option<Scheme>,
    ) -> Result<Arc<Named>, HostFault> {
        if let Some(last) = self.last.as_ref().filter(|last| last.is_of(line, request, scheme)) {
            return Ok(Arc::clone(last));
        }
        let authority = authority_of(request.uri(), request.version(), request.headers())?.detached();
        let introduction = scheme.map(|scheme| {
            let mut fields = HeaderMap::new();
            introduce(&mut fields, &self.peer, authority.header(), scheme);
            append_via(&mut fields, request.version());
            (scheme, request.version(), Preface::new(fields))
        });
        let is_loopback = is_loopback_host(authority.host());
        let named = Arc::new(Named { line: Arc::clone(line), authority, is_loopback, introduction });
        self.last = Some(Arc::clone(&named));
        Ok(named)
    }
}

impl Named {
    /// How the client is introduced, if nobody vouches for it: its scheme, and the header lines that say so. `Via` is one
    /// of them.
    pub(super) fn introduction(&self) -> Option<(Scheme, &Preface)> {
        self.introduction.as_ref().map(|(scheme, _, preface)| (*scheme, preface))
    }

    fn is_of<B>(&self, line: &Arc<Line>, request: &Request<B>, scheme: Option<Scheme>) -> bool {
        Arc::ptr_eq(&self.line, line)
            && self.introduction.as_ref().map(|(scheme, version, _)| (*scheme, *version))
                == scheme.zip(Some(request.version()))
            && self.authority.is_of(request.uri(), request.version(), request.headers())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::line::tests, *};
    use crate::cookie;

    fn line() -> Arc<Line> {
        Arc::new(tests::line(cookie::Parts::default(), None))
    }

    fn head(target: &str, hosts: &[&str]) -> Request<()> {
        let request = hosts.iter().fold(Request::get(target), |request, host| request.header("host", *host));
        request.body(()).unwrap()
    }

    #[test]
    fn each_request_is_for_the_host_that_it_names_whatever_came_before() {
        let (mut caller, line) = (Caller::new(Peer { addr: None, tls: false }), line());
        for scheme in [None, Some(Scheme::Http), Some(Scheme::Https)] {
            for (target, hosts, wanted) in [
                ("/", &["a.test"][..], Some("a.test")),
                ("/", &["a.test"], Some("a.test")),
                ("/", &["b.test"], Some("b.test")),
                ("/", &["b.test", "a.test"], None),
                ("/", &["b.test:81"], Some("b.test")),
                ("http://c.test/", &["c.test"], Some("c.test")),
                ("/", &["c.test"], Some("c.test")),
                ("http://d.test/", &["c.test"], Some("d.test")),
                ("/", &[], None),
                ("/", &["a b"], None),
            ] {
                let named = caller.named(&line, &head(target, hosts), scheme).ok();
                let found = named.as_ref().map(|named| named.authority.host());
                assert_eq!(found, wanted, "{target} {hosts:?}");
                let introduced = named.and_then(|named| named.introduction().map(|(scheme, _)| scheme));
                assert_eq!(introduced, scheme.filter(|_| wanted.is_some()), "{target} {hosts:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_host_is_for_the_line_that_the_request_began_with() {
        let (mut caller, lines) = (Caller::new(Peer { addr: None, tls: false }), [line(), line()]);
        let mut last = None;
        for (at, is_kept) in [(0, false), (0, true), (1, false), (1, true), (0, false)] {
            let named = caller.named(&lines[at], &head("/", &["a.test"]), Some(Scheme::Http)).unwrap();
            assert!(Arc::ptr_eq(&named.line, &lines[at]));
            let same = last.replace(Arc::clone(&named)).is_some_and(|last| Arc::ptr_eq(&last, &named));
            assert_eq!(same, is_kept, "of line {at}");
        }
        caller.rests();
        let named = caller.named(&lines[0], &head("/", &["a.test"]), Some(Scheme::Http)).unwrap();
        assert!(last.is_some_and(|last| !Arc::ptr_eq(&last, &named)), "nothing is kept while it rests");
    }
}
