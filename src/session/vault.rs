//! The vault: an unmodified application's own cookies, kept in the session and never in the browser (contract section 6).
//!
//! What RFC 6265bis says of a user agent's store holds here, without what is the browser's business (domains, `Secure`,
//! `HttpOnly`, `SameSite`): a cookie is known by its name and path (§5.7), is sent to paths at or below its own, the
//! longest first (§5.8.3), and is over when it expires. Cookies of several applications do not mix. Names and values are
//! bytes as they were sent. Values are in no log.

mod names;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use names::{Glob, GlobFault, Names};

use super::Timestamp;

/// A cookie that an application has set.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Row")]
struct Kept {
    upstream: Box<str>,
    name: Octets,
    path: Octets,
    value: Octets,
    expires: Option<Timestamp>,
}

/// How a cookie is written down: upstream, name, path, value, end.
type Row = (Box<str>, Octets, Octets, Octets, Option<Timestamp>);

/// The cookies of one session, in the order in which they were first set. Clones share them until one is changed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Kept>")]
pub struct Jar {
    /// `None`: there are none.
    cookies: Option<Arc<Vec<Kept>>>,
}

/// One `Set-Cookie` line of an application whose name is vaulted.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Whose cookie it is.
    pub upstream: Box<str>,
    /// Its name, as it was sent.
    pub name: Box<[u8]>,
    /// Its own path, or the default path of the request.
    pub path: Box<[u8]>,
    /// Its value, as it was sent; `None`: it is over.
    pub value: Option<Box<[u8]>>,
    /// When it will be over; `None`: with the session.
    pub expires: Option<Timestamp>,
    /// What another value than before means.
    pub renewal: Renewal,
}

/// What another value of a cookie means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Somebody may have logged in: the session is rotated.
    Rotates,
    /// Nothing (`volatile`).
    Ignored,
}

impl Jar {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.cookies.is_none()
    }

    /// How many cookies there are that are not over.
    pub fn len(&self, now: Timestamp) -> usize {
        self.all().iter().filter(|kept| kept.is_live(now)).count()
    }

    /// Does what an application says. A cookie that is there already keeps its place.
    pub fn take(&mut self, offer: &Offer) {
        let place = self.all().iter().position(|kept| kept.is_of(offer));
        self.change(|cookies| match (place, &offer.value) {
            (Some(place), None) => drop(cookies.remove(place)),
            (None, None) => {}
            (Some(place), Some(value)) => {
                let kept = &mut cookies[place];
                (kept.value, kept.expires) = (Octets(value.clone()), offer.expires);
            }
            (None, Some(value)) => cookies.push(Kept {
                upstream: offer.upstream.clone(),
                name: Octets(offer.name.clone()),
                path: Octets(offer.path.clone()),
                value: Octets(value.clone()),
                expires: offer.expires,
            }),
        });
    }

    /// Whether an application could have set all of it, each cookie once.
    pub(super) fn is_sound(&self) -> bool {
        let all = self.all();
        let same = |one: &Kept, two: &Kept| {
            (&one.upstream, &one.name.0, &one.path.0) == (&two.upstream, &two.name.0, &two.path.0)
        };
        let again = |(at, kept): (usize, &Kept)| all[..at].iter().any(|other| same(other, kept));
        all.iter().all(Kept::is_sound) && !all.iter().enumerate().any(again)
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now: Timestamp) {
        if !self.all().iter().all(|kept| kept.is_live(now)) {
            self.change(|cookies| cookies.retain(|kept| kept.is_live(now)));
        }
    }

    /// Names and values for a request to this path, in the order in which browsers send them: longer paths first, then
    /// as they were set.
    pub fn cookies(&self, upstream: &str, path: &[u8], names: &Names, now: Timestamp) -> Vec<(&[u8], &[u8])> {
        let is_sent = |kept: &&Kept| {
            *kept.upstream == *upstream
                && kept.is_live(now)
                && matches(&kept.path.0, path)
                && names.covers(&kept.name.0)
        };
        let mut sent: Vec<&Kept> = self.all().iter().filter(is_sent).collect();
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path.0.len()));
        sent.into_iter().map(|kept| (&*kept.name.0, &*kept.value.0)).collect()
    }

    /// How many bytes it has when it is written down: stores bound what they read by what a session may weigh.
    pub fn weight(&self, now: Timestamp) -> usize {
        let live = self.all().iter().filter(|kept| kept.is_live(now));
        live.map(|kept| serde_json::to_string(kept).map_or(usize::MAX, |text| text.len() + 1))
            .fold(0, usize::saturating_add)
    }

    /// Whether the cookie of this offer has another value here than in `before`, and that means something. A first value
    /// is another one: an application may set its cookie at the log-in and no sooner.
    pub(super) fn renews(&self, before: &Jar, offer: &Offer, now: Timestamp) -> bool {
        let value = |jar: &Jar| jar.find(offer).filter(|kept| kept.is_live(now)).map(|kept| kept.value.clone());
        let (now_there, was_there) = (value(self), value(before));
        offer.renewal == Renewal::Rotates && now_there.is_some() && now_there != was_there
    }

    /// When the cookie of this offer will be over, if it has an end.
    pub(super) fn expiry(&self, offer: &Offer) -> Option<Timestamp> {
        self.find(offer)?.expires
    }

    fn find(&self, offer: &Offer) -> Option<&Kept> {
        self.all().iter().find(|kept| kept.is_of(offer))
    }

    fn all(&self) -> &[Kept] {
        self.cookies.as_ref().map_or(&[], |cookies| cookies)
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Kept>)) {
        let mut cookies = self.cookies.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        change(&mut cookies);
        *self = Self::from(cookies);
    }
}

impl Kept {
    fn is_of(&self, offer: &Offer) -> bool {
        self.name.0 == offer.name && self.path.0 == offer.path && self.upstream == offer.upstream
    }

    fn is_sound(&self) -> bool {
        let plain =
            |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f && *byte != b';'));
        let name = !self.name.0.is_empty() && !self.name.0.contains(&b'=');
        name && self.path.0.starts_with(b"/") && [&self.name, &self.path, &self.value].iter().all(|part| plain(&part.0))
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

impl From<Vec<Kept>> for Jar {
    fn from(cookies: Vec<Kept>) -> Self {
        Self { cookies: (!cookies.is_empty()).then(|| Arc::new(cookies)) }
    }
}

impl Serialize for Jar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all())
    }
}

impl From<Row> for Kept {
    fn from((upstream, name, path, value, expires): Row) -> Self {
        Self { upstream, name, path, value, expires }
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.upstream, &self.name, &self.path, &self.value, &self.expires).serialize(serializer)
    }
}

/// The path of a cookie that has none of its own (RFC 6265bis §5.1.4).
pub fn default_path(request: &str) -> &str {
    match request.rfind('/') {
        Some(slash) if slash > 0 && request.starts_with('/') => &request[..slash],
        Some(_) | None => "/",
    }
}

/// Whether a request's path is at or below a cookie's (RFC 6265bis §5.1.4).
fn matches(cookie: &[u8], request: &[u8]) -> bool {
    let Some(rest) = request.strip_prefix(cookie) else { return false };
    rest.is_empty() || cookie.ends_with(b"/") || rest.starts_with(b"/")
}

/// Bytes; written down as text in which every byte is the character of its number.
#[derive(Clone, PartialEq, Eq)]
struct Octets(Box<[u8]>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.iter().map(|byte| char::from(*byte)).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = String::deserialize(deserializer)?.chars().map(u8::try_from).collect::<Result<_, _>>();
        bytes.map(Octets).map_err(|_| serde::de::Error::custom("a character that is no byte"))
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jar({} cookies)", self.all().len())
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.value.is_some() { "sets" } else { "deletes" };
        write!(f, "Offer({} {verb} {})", self.upstream, String::from_utf8_lossy(&self.name))
    }
}

#[cfg(test)]
mod tests;
