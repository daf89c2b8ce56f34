//! Who is at the other end of a connection, and which host its last request named: most name the same again, and then
//! nothing of what follows from it is worked out anew.
//!
//! Kept while the connection is busy, in memory of its own: nothing of a request's bytes.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Version, request::Parts};

use crate::{
    headers::{Authority, HostFault, Peer, Scheme, append_via, authority_of, introduce, is_loopback_host},
    upstream::Preface,
};

/// The other end of a connection.
pub struct Caller {
    peer: Peer,
    last: Mutex<Option<Arc<Named>>>,
}

/// A host that a request names, and how the request is introduced to applications.
pub(super) struct Named {
    pub(super) authority: Authority,
    /// Whether it is the browser's own machine.
    pub(super) is_loopback: bool,
    /// `None`: somebody vouches for the client, and it is introduced by what that one says.
    introduction: Option<(Scheme, Version, Arc<Preface>)>,
}

impl Caller {
    /// This one, which has asked for nothing yet.
    pub fn new(peer: Peer) -> Self {
        Self { peer, last: Mutex::default() }
    }

    /// Keeps nothing while the connection rests.
    pub fn rests(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Its address.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The host that a request names. `scheme`: what the request is introduced with, if it is.
    ///
    /// # Errors
    /// It names none that all servers would agree on.
    pub(super) fn named(&self, head: &Parts, scheme: Option<Scheme>) -> Result<Arc<Named>, HostFault> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.is_of(head, scheme)) {
            return Ok(Arc::clone(last));
        }
        let authority = authority_of(&head.uri, head.version, &head.headers)?.detached();
        let introduction = scheme.map(|scheme| {
            let mut fields = HeaderMap::new();
            introduce(&mut fields, &self.peer, authority.header(), scheme);
            append_via(&mut fields, head.version);
            (scheme, head.version, Arc::new(Preface::new(fields)))
        });
        let is_loopback = is_loopback_host(authority.host());
        let named = Arc::new(Named { authority, is_loopback, introduction });
        *last = Some(Arc::clone(&named));
        Ok(named)
    }
}

impl Named {
    /// How the client is introduced, if nobody vouches for it: its scheme, and the header lines that say so. `Via` is one
    /// of them.
    pub(super) fn introduction(&self) -> Option<(Scheme, &Arc<Preface>)> {
        self.introduction.as_ref().map(|(scheme, _, preface)| (*scheme, preface))
    }

    fn is_of(&self, head: &Parts, scheme: Option<Scheme>) -> bool {
        self.introduction.as_ref().map(|(scheme, version, _)| (*scheme, *version)) == scheme.zip(Some(head.version))
            && self.authority.is_of(&head.uri, head.version, &head.headers)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(target: &str, hosts: &[&str]) -> Parts {
        let request = hosts.iter().fold(Request::get(target), |request, host| request.header("host", *host));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_request_is_for_the_host_that_it_names_whatever_came_before() {
        let caller = Caller::new(Peer { addr: None, tls: false });
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
                let named = caller.named(&head(target, hosts), scheme).ok();
                let found = named.as_ref().map(|named| named.authority.host());
                assert_eq!(found, wanted, "{target} {hosts:?}");
                let introduced = named.and_then(|named| named.introduction().map(|(scheme, _)| scheme));
                assert_eq!(introduced, scheme.filter(|_| wanted.is_some()), "{target} {hosts:?}");
            }
        }
    }
}
