//! What was typed ([`Parts`]) and what it means ([`Settings`]): the combinations that browsers refuse are faults.
//!
//! Rules from RFC 6265bis §4.1 and §5.7, contract section 2, threats C-05. Every fault is found, not the first only.

use std::net::IpAddr;

/// The setting `cookie.same_site`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SameSite {
    /// Never sent from another site.
    Strict,
    /// Sent from another site with navigations only.
    #[default]
    Lax,
    /// Always sent; needs `Secure`.
    None,
}

/// Where a cookie is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// The name starts with `__Host-`: secure, path `/`, this host only.
    Host {
        /// Whether each embedding site has its own.
        partitioned: bool,
    },
    /// Over HTTPS only.
    Secure {
        /// `Path`, starting with `/`.
        path: String,
        /// `Domain`, lower case.
        domain: Option<String>,
        /// Whether each embedding site has its own.
        partitioned: bool,
    },
    /// Over HTTP too.
    Plain {
        /// `Path`, starting with `/`.
        path: String,
        /// `Domain`, lower case.
        domain: Option<String>,
    },
}

impl Scope {
    /// `Path`.
    pub fn path(&self) -> &str {
        match self {
            Scope::Host { .. } => "/",
            Scope::Secure { path, .. } | Scope::Plain { path, .. } => path,
        }
    }

    /// `Domain`.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Scope::Host { .. } => None,
            Scope::Secure { domain, .. } | Scope::Plain { domain, .. } => domain.as_deref(),
        }
    }

    /// Whether browsers take and send it over HTTPS only.
    pub fn is_secure(&self) -> bool {
        !matches!(self, Scope::Plain { .. })
    }

    /// `Partitioned`.
    pub fn is_partitioned(&self) -> bool {
        matches!(self, Scope::Host { partitioned: true } | Scope::Secure { partitioned: true, .. })
    }
}

/// The cookie's settings; made by [`Settings::new`] only, so that browsers accept every one of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    name: String,
    scope: Scope,
    http_only: bool,
    same_site: SameSite,
    strip: bool,
}

/// The table `[cookie]` as it was typed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are the keys of the configuration file")]
pub struct Parts {
    pub name: String,
    pub path: String,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: SameSite,
    pub strip: bool,
    pub domain: Option<String>,
    pub partitioned: bool,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            name: "__Host-session".to_owned(),
            path: "/".to_owned(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            strip: true,
            domain: None,
            partitioned: false,
        }
    }
}

/// One thing that is wrong with `[cookie]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The key within `[cookie]`.
    pub field: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub cure: String,
}

impl Settings {
    /// Gives the parts their meaning.
    ///
    /// # Errors
    /// Every [`Fault`] at once.
    pub fn new(parts: Parts) -> Result<Settings, Vec<Fault>> {
        let mut faults = Faults::default();
        check_name(&parts, &mut faults);
        check_path(&parts.path, &mut faults);
        if let Some(domain) = &parts.domain {
            check_domain(domain, &mut faults);
        }
        check_combinations(&parts, &mut faults);
        if faults.0.is_empty() { Ok(Settings::from_sound(parts)) } else { Err(faults.0) }
    }

    fn from_sound(parts: Parts) -> Settings {
        let Parts { name, path, secure, http_only, same_site, strip, domain, partitioned } = parts;
        let domain = domain.map(|domain| domain.to_ascii_lowercase());
        let scope = match (has_prefix(&name, "__host-"), secure) {
            (true, _) => Scope::Host { partitioned },
            (false, true) => Scope::Secure { path, domain, partitioned },
            (false, false) => Scope::Plain { path, domain },
        };
        Settings { name, scope, http_only, same_site, strip }
    }

    /// The cookie's name; compared exactly, case counts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is valid.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether scripts cannot read it.
    pub fn http_only(&self) -> bool {
        self.http_only
    }

    /// When other sites send it.
    pub fn same_site(&self) -> SameSite {
        self.same_site
    }

    /// Whether upstreams do not see it.
    pub fn strip(&self) -> bool {
        self.strip
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, field: &'static str, problem: impl Into<String>, cure: impl Into<String>) {
        self.0.push(Fault { field, problem: problem.into(), cure: cure.into() });
    }
}

/// Browsers compare name prefixes without case (RFC 6265bis §4.1.3).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}

fn check_name(parts: &Parts, faults: &mut Faults) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if parts.name.is_empty() || !parts.name.bytes().all(is_token) {
        let problem = format!("{:?} is not a cookie name", parts.name);
        faults.add("name", problem, "use letters, digits, `-` and `_`, for example \"__Host-session\"");
    }
}

fn check_path(path: &str, faults: &mut Faults) {
    if !path.starts_with('/') {
        faults.add("path", format!("{path:?} does not start with `/`"), "write \"/\"");
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
        let problem = format!("{path:?} has `;`, white space, control or non-ASCII characters");
        faults.add("path", problem, "percent-encode them, or write \"/\"");
    } else if path.len() > 1024 {
        faults.add("path", "browsers ignore a path of more than 1024 bytes", "write \"/\"");
    }
}

fn check_domain(domain: &str, faults: &mut Faults) {
    if let Some(bare) = domain.strip_prefix('.') {
        let cure = format!("write {bare:?}: subdomains are included anyway");
        return faults.add("domain", format!("{domain:?} starts with a dot"), cure);
    }
    let unbracketed = domain.trim_start_matches('[').trim_end_matches(']');
    if unbracketed.parse::<IpAddr>().is_ok() {
        let problem = format!("{domain:?} is an IP address, which browsers accept from that address alone");
        return faults.add("domain", problem, "remove `domain`");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if domain.len() > 253 || last_is_number || !domain.split('.').all(is_label) {
        let problem = format!("{domain:?} is not a host name");
        faults.add("domain", problem, "write a name like \"example.com\", without scheme, port, path or final dot");
    }
}

fn check_combinations(parts: &Parts, faults: &mut Faults) {
    if has_prefix(&parts.name, "__host-") {
        check_host_prefix(parts, faults);
    } else if has_prefix(&parts.name, "__secure-") && !parts.secure {
        faults.add(
            "secure",
            "browsers refuse a `__Secure-` cookie without it",
            "write `secure = true`, or use another name",
        );
    }
    if (has_prefix(&parts.name, "__http-") || has_prefix(&parts.name, "__host-http-"))
        && !(parts.http_only && parts.secure)
    {
        let cure = "write `http_only = true` and `secure = true`, or use another name";
        faults.add("http_only", "browsers refuse this name's prefix without `HttpOnly` and `Secure`", cure);
    }
    if parts.same_site == SameSite::None && !parts.secure {
        faults.add(
            "same_site",
            "browsers refuse `SameSite=None` without `Secure`",
            "write `secure = true`, or \"lax\"",
        );
    }
    if parts.partitioned && !parts.secure {
        faults.add(
            "partitioned",
            "browsers refuse `Partitioned` without `Secure`",
            "write `secure = true`, or remove it",
        );
    }
}

fn check_host_prefix(parts: &Parts, faults: &mut Faults) {
    let cure = |key: &str| format!("{key}, or use a name without `__Host-`");
    if parts.domain.is_some() {
        faults.add("domain", "browsers refuse a `__Host-` cookie with a domain", cure("remove `domain`"));
    }
    if parts.path != "/" {
        faults.add(
            "path",
            "browsers refuse a `__Host-` cookie with another path than `/`",
            cure("write `path = \"/\"`"),
        );
    }
    if !parts.secure {
        faults.add("secure", "browsers refuse a `__Host-` cookie without it", cure("write `secure = true`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut Parts)) -> Vec<&'static str> {
        let mut parts = Parts::default();
        change(&mut parts);
        let Err(faults) = Settings::new(parts) else { return Vec::new() };
        assert!(faults.iter().all(|fault| !fault.problem.is_empty() && !fault.cure.is_empty()));
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn the_defaults_are_a_host_cookie() {
        let settings = Settings::new(Parts::default()).unwrap();
        assert_eq!(settings.name(), "__Host-session");
        assert_eq!(settings.scope(), &Scope::Host { partitioned: false });
        assert!(settings.http_only() && settings.strip() && settings.scope().is_secure());
    }

    #[test]
    fn a_host_cookie_has_no_domain_no_other_path_and_is_secure() {
        assert_eq!(faults(|p| p.domain = Some("example.com".into())), ["domain"]);
        assert_eq!(faults(|p| p.path = "/app".into()), ["path"]);
        assert_eq!(faults(|p| p.secure = false), ["secure"]);
    }

    #[test]
    fn prefixes_are_compared_without_case() {
        for name in ["__host-x", "__HOST-x"] {
            assert_eq!(faults(|p| (p.name, p.path) = (name.into(), "/app".into())), ["path"], "{name}");
        }
        assert_eq!(faults(|p| (p.name, p.secure) = ("__secure-x".into(), false)), ["secure"]);
    }

    #[test]
    fn what_needs_secure_is_refused_without_it() {
        let plain = |p: &mut Parts| (p.name, p.secure) = ("s".into(), false);
        assert_eq!(faults(plain), [""; 0]);
        assert_eq!(
            faults(|p| {
                plain(p);
                p.same_site = SameSite::None
            }),
            ["same_site"]
        );
        assert_eq!(
            faults(|p| {
                plain(p);
                p.partitioned = true
            }),
            ["partitioned"]
        );
        assert_eq!(faults(|p| (p.name, p.http_only) = ("__Host-Http-s".into(), false)), ["http_only"]);
    }

    #[test]
    fn all_faults_come_at_once() {
        let all = faults(|p| {
            p.secure = false;
            p.path = "x;".into();
            p.domain = Some(".example.com".into());
            p.same_site = SameSite::None;
            p.partitioned = true;
        });
        assert_eq!(all, ["path", "domain", "domain", "path", "secure", "same_site", "partitioned"]);
    }

    #[test]
    fn a_name_is_a_token() {
        for name in ["", "bad name", "a;b", "a=b", "a,b", "caf\u{e9}", "a\tb", "\"a\""] {
            assert_eq!(faults(|p| p.name = name.into()), ["name"], "{name:?}");
        }
    }

    #[test]
    fn a_path_starts_with_a_slash_and_ends_no_attribute() {
        for path in ["", "app", "/a;b", "/a\u{7}", "/a b", "/caf\u{e9}"] {
            assert_eq!(faults(|p| (p.name, p.path) = ("s".into(), path.into())), ["path"], "{path:?}");
        }
    }

    #[test]
    fn a_domain_is_a_host_name() {
        let with = |domain: &str| faults(|p| (p.name, p.domain) = ("s".into(), Some(domain.into())));
        for domain in [
            "",
            ".example.com",
            "example.com.",
            "192.0.2.1",
            "::1",
            "[::1]",
            "1.2.3",
            "a..b",
            "a b",
            "a:80",
            "http://a",
            "-a.b",
            "a_b.c",
            "b\u{fc}cher.de",
        ] {
            assert_eq!(with(domain), ["domain"], "{domain:?}");
        }
        assert_eq!(with("Example.com"), [""; 0]);
        assert_eq!(with("localhost"), [""; 0]);
    }

    #[test]
    fn the_scope_follows_from_name_and_secure() {
        let scope = |name: &str, secure: bool| {
            let parts = Parts {
                name: name.into(),
                secure,
                path: "/a".into(),
                domain: Some("Example.com".into()),
                ..Parts::default()
            };
            Settings::new(parts).unwrap().scope().clone()
        };
        let (path, domain) = ("/a".to_owned(), Some("example.com".to_owned()));
        let secure = Scope::Secure { path: path.clone(), domain: domain.clone(), partitioned: false };
        assert_eq!(scope("s", true), secure);
        assert_eq!(scope("s", false), Scope::Plain { path, domain });
    }
}
