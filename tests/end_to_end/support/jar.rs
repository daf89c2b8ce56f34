//! A browser's cookie jar: RFC 6265bis as far as a session cookie meets it (prefixes, `Secure` with trustworthy
//! loopback, `Domain`, `Path`, `Max-Age`, `Expires`).

use std::time::{Duration, SystemTime};

/// What browsers allow at most.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

/// Where a request goes, as far as cookies care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
}

impl Site<'_> {
    fn is_trustworthy(&self) -> bool {
        self.scheme == "https"
            || self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.host == "127.0.0.1"
    }
}

/// A parsed `Set-Cookie` line.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    attributes: Vec<(String, String)>,
    domain: String,
    host_only: bool,
    path: String,
    expires: Option<SystemTime>,
}

impl Cookie {
    pub(crate) fn parse(line: &str) -> Self {
        let mut parts = line.split(';');
        let (name, value) = split(parts.next().unwrap_or_default());
        let attributes = parts.map(split).map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        Self { name, value, attributes, domain: String::new(), host_only: true, path: String::new(), expires: None }
    }

    /// The value of an attribute (lower case); empty for a flag; the last of several counts.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn expiry(&self, now: SystemTime) -> Option<SystemTime> {
        if let Some(seconds) = self.attribute("max-age").and_then(|seconds| seconds.parse::<i64>().ok()) {
            let kept = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST);
            return Some(now + kept);
        }
        httpdate::parse_http_date(self.attribute("expires")?).ok().map(|at| at.min(now + LONGEST))
    }

    fn matches(&self, site: Site<'_>) -> bool {
        let below = |host: &str| host.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.'));
        let host = site.host == self.domain || (!self.host_only && below(site.host));
        let path = site.path.strip_prefix(&self.path);
        let path = path.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'));
        host && path && (site.is_trustworthy() || self.attribute("secure").is_none())
    }

    /// Why a browser would not keep it.
    fn refusal(&self, site: Site<'_>) -> Option<&'static str> {
        let secure = self.attribute("secure").is_some();
        let lowered = self.name.to_ascii_lowercase();
        let host_prefix = lowered.starts_with("__host-");
        let below = || site.host.strip_suffix(&self.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if self.name.is_empty() && self.value.is_empty() {
            Some("empty")
        } else if self.name.len() + self.value.len() > 4096 {
            Some("too long")
        } else if !below() {
            Some("domain of somebody else")
        } else if secure && !site.is_trustworthy() {
            Some("Secure over plain http")
        } else if host_prefix && !(secure && self.host_only && self.attribute("path") == Some("/")) {
            Some("__Host- without Secure and Path=/, or with Domain")
        } else if lowered.starts_with("__secure-") && !secure {
            Some("__Secure- without Secure")
        } else if self.attribute("samesite").is_some_and(|value| value.eq_ignore_ascii_case("none")) && !secure {
            Some("SameSite=None without Secure")
        } else {
            None
        }
    }
}

fn split(part: &str) -> (String, String) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name.trim().to_owned(), value.trim().to_owned())
}

/// The cookies of one browser.
#[derive(Clone, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Applies one `Set-Cookie` line; says why if a browser would refuse it.
    pub(crate) fn store(&mut self, line: &str, site: Site<'_>) -> Result<(), &'static str> {
        let mut cookie = Cookie::parse(line);
        let now = SystemTime::now();
        let domain = cookie.attribute("domain").map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        let domain = domain.filter(|domain| !domain.is_empty());
        cookie.host_only = domain.is_none();
        cookie.domain = domain.unwrap_or_else(|| site.host.to_owned());
        let folder = || site.path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty());
        let given = cookie.attribute("path").filter(|path| path.starts_with('/'));
        cookie.path = given.or_else(folder).unwrap_or("/").to_owned();
        cookie.expires = cookie.expiry(now);
        if let Some(reason) = cookie.refusal(site) {
            return Err(reason);
        }
        let same = |other: &Cookie| {
            (&other.name, &other.domain, other.host_only, &other.path)
                == (&cookie.name, &cookie.domain, cookie.host_only, &cookie.path)
        };
        let place = self.cookies.iter().position(same);
        let gone = cookie.expires.is_some_and(|at| at <= now);
        match place {
            Some(at) if gone => drop(self.cookies.remove(at)),
            Some(at) => self.cookies[at] = cookie,
            None if gone => {}
            None => self.cookies.push(cookie),
        }
        Ok(())
    }

    /// The `Cookie` header for a request: longest path first, then oldest.
    pub(crate) fn header(&self, site: Site<'_>) -> Option<String> {
        let now = SystemTime::now();
        let kept = |cookie: &&Cookie| cookie.expires.is_none_or(|at| at > now) && cookie.matches(site);
        let mut chosen: Vec<_> = self.cookies.iter().filter(kept).collect();
        chosen.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = chosen.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The cookie of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Cookie> {
        self.cookies.iter().find(|cookie| cookie.name == name)
    }

    /// Closes the browser: what has no expiry is gone.
    pub(crate) fn close(&mut self) {
        self.cookies.retain(|cookie| cookie.expires.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Site<'_> = Site { scheme: "http", host: "localhost", path: "/a/b" };
    const PLAIN: Site<'_> = Site { scheme: "http", host: "shop.example", path: "/" };
    const SECURE: Site<'_> = Site { scheme: "https", host: "shop.example", path: "/" };

    #[test]
    fn a_host_cookie_must_be_secure_for_the_root_and_without_domain() {
        let mut jar = Jar::default();
        assert!(jar.store("__Host-s=1; Path=/; Secure", HERE).is_ok());
        for line in
            ["__Host-s=1; Path=/", "__Host-s=1; Path=/a; Secure", "__Host-s=1; Path=/; Secure; Domain=localhost"]
        {
            assert!(jar.store(line, HERE).is_err(), "{line}");
        }
        assert!(jar.store("__Host-s=1; Path=/; Secure", PLAIN).is_err());
        assert_eq!(jar.header(HERE).as_deref(), Some("__Host-s=1"));
    }

    #[test]
    fn a_deletion_needs_the_same_name_path_and_domain() {
        let mut jar = Jar::default();
        jar.store("s=1; Path=/", HERE).expect("kept");
        jar.store("s=; Path=/a; Max-Age=0", HERE).expect("carried out");
        assert_eq!(jar.header(HERE).as_deref(), Some("s=1"));
        jar.store("s=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", HERE).expect("carried out");
        assert_eq!(jar.header(HERE), None);
    }

    #[test]
    fn cookies_keep_to_their_host_path_and_scheme() {
        let mut jar = Jar::default();
        jar.store("s=1; Path=/cart; Secure; Max-Age=60", SECURE).expect("kept");
        jar.store("d=1; Path=/; Domain=example", SECURE).expect("kept");
        assert_eq!(jar.header(Site { path: "/cart/1", ..SECURE }).as_deref(), Some("s=1; d=1"));
        assert_eq!(jar.header(Site { path: "/cartoon", ..SECURE }).as_deref(), Some("d=1"));
        assert_eq!(jar.header(Site { path: "/cart", ..PLAIN }).as_deref(), Some("d=1"));
        assert_eq!(jar.header(Site { host: "other.example", ..SECURE }).as_deref(), Some("d=1"));
        assert!(jar.store("e=1; Domain=other.example", SECURE).is_err());
        jar.close();
        assert!(jar.find("d").is_none() && jar.find("s").is_some());
    }
}
