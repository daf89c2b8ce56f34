//! How a client that nobody vouches for is introduced to applications: the forwarding fields that say where it came from.
//!
//! All that shapes them is the peer, the host that the request names and the scheme, so one introduction serves every
//! request of a connection that names the same host.

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};

use super::forwarded::Peer;
use super::forwarded_element::{write, write_address};
use super::names::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use super::scheme::Scheme;

/// Bytes for a whole `Forwarded` element with a host of usual length.
const ROOM: usize = 96;

/// The forwarding fields of a client's requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introduction {
    scheme: Scheme,
    address: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    /// Empty: there is none.
    host: HeaderValue,
}

impl Introduction {
    /// Of this peer, whose request names this host (it may be empty). The host is kept as it is given.
    pub fn new(peer: &Peer, host: &HeaderValue, scheme: Scheme) -> Self {
        let address = peer.address();
        let mut text = Vec::with_capacity(ROOM);
        let written = address.and_then(|ip| {
            write_address(ip, &mut text);
            HeaderValue::from_bytes(&text).ok()
        });
        text.clear();
        write(address, host.as_bytes(), scheme.as_str(), &mut text);
        let forwarded = HeaderValue::from_bytes(&text).ok();
        Self { scheme, address: written, forwarded, host: host.clone() }
    }

    /// The scheme of the client's connection.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Writes the fields. Claims of the client's own must be gone.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(address) = &self.address {
            headers.insert(X_FORWARDED_FOR, address.clone());
        }
        if let Some(forwarded) = &self.forwarded {
            headers.insert(FORWARDED, forwarded.clone());
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme.as_str()));
        if !self.host.is_empty() {
            headers.insert(X_FORWARDED_HOST, self.host.clone());
        }
    }
}
