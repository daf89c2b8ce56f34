//! Who may ask for what. Everything but health and metrics is for operators: they show the token, or come over the Unix
//! socket that only this user may open. A page of another site must not act through an operator's browser, whatever name it
//! has made to lead here.

use std::net::IpAddr;

use http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HOST, HeaderName, ORIGIN},
    request::Parts,
};

use super::{Refusal, Settings, Token};
use crate::socket::Address;

/// What a part of the listener is kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Probes and scrapers, which come by any name.
    Everybody,
    /// The page, which holds nothing: whoever asks this host for it.
    Page,
    /// Operators.
    Operators,
}

/// Who is an operator.
#[derive(Debug)]
pub enum Guard {
    /// Whoever may open the Unix socket.
    Socket,
    /// Whoever shows this.
    Token(Token),
    /// Nobody: there is no token.
    Closed,
}

impl Guard {
    /// The guard of a listener.
    pub fn of(settings: &Settings) -> Self {
        match (&settings.address, &settings.token) {
            (Address::Unix(_), _) => Self::Socket,
            (Address::Tcp(_), Some(token)) => Self::Token(token.clone()),
            (Address::Tcp(_), None) => Self::Closed,
        }
    }

    pub(super) fn admit(&self, access: Access, head: &Parts) -> Result<(), Refusal> {
        check_origin(&head.headers)?;
        if access == Access::Everybody {
            return Ok(());
        }
        check_host(&head.uri, &head.headers)?;
        match (self, access) {
            (Self::Closed, _) => Err(Refusal::Closed),
            (Self::Socket, _) | (_, Access::Page | Access::Everybody) => Ok(()),
            (Self::Token(token), Access::Operators) => check_token(token, &head.headers),
        }
    }
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = only(headers, &AUTHORIZATION).ok().flatten().ok_or(Refusal::Unauthorized)?;
    let (scheme, given) = given.split_once(' ').ok_or(Refusal::Unauthorized)?;
    let fits = scheme.eq_ignore_ascii_case("bearer") && token.matches(given.trim().as_bytes());
    if fits { Ok(()) } else { Err(Refusal::Unauthorized) }
}

/// Browsers name the origin of a page that sends something, or asks for something of another origin.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let origin = only(headers, &ORIGIN).map_err(|_| Refusal::ForeignOrigin)?;
    let Some(origin) = origin else { return Ok(()) };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = only(headers, &HOST).ok().flatten();
    let same = authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
    if same { Ok(()) } else { Err(Refusal::ForeignOrigin) }
}

/// A request that was sent for another host came by a name that somebody has made to lead here.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = only(headers, &HOST).ok().flatten().ok_or(Refusal::ForeignHost)?;
    let named = uri.authority().map(|authority| authority.as_str());
    if is_own(host) && named.is_none_or(is_own) { Ok(()) } else { Err(Refusal::ForeignHost) }
}

/// Names that nobody else can give: addresses, `localhost`, and names without a dot (of this machine, or of a container).
fn is_own(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    if let Some(literal) = host.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|literal| literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()));
    }
    let host = host.to_ascii_lowercase();
    let is_plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    is_plain(&host)
        || host.strip_suffix(".localhost").is_some_and(|rest| rest.split('.').all(is_plain))
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
}

/// The only value of a header; more than one is a fault, and so is one that is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admitted(guard: &Guard, access: Access, target: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let request = headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        guard.admit(access, &head).map_err(|refusal| format!("{refusal:?}"))
    }

    fn token() -> Guard {
        Guard::Token(Token::new("secret".to_owned()).unwrap())
    }

    #[test]
    fn hosts_that_nobody_else_can_name_are_own() {
        for host in [
            "localhost",
            "LOCALHOST:9901",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.1:9901",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9901",
            "[2001:db8::1]",
            "cloakroom",
            "cloakroom:9901",
            "cloak_room-1",
        ] {
            assert!(is_own(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "example.com",
            "example.com:9901",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "localhost.",
            "example.com.",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "::1",
            "a@localhost",
            "localhost:80:80",
            ".localhost",
            "user:pass@127.0.0.1",
            "127.0.0.1/",
            "münchen",
        ] {
            assert!(!is_own(host), "{host}");
        }
    }

    #[test]
    fn operators_show_the_token_and_nothing_else_will_do() {
        let host = ("host", "localhost");
        let ask = |value: &str| admitted(&token(), Access::Operators, "/", &[host, ("authorization", value)]);
        for value in ["Bearer secret", "bearer secret", "BEARER  secret "] {
            assert_eq!(ask(value), Ok(()), "{value}");
        }
        for value in
            ["", "secret", "Basic secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Bearersecret"]
        {
            assert_eq!(ask(value), Err("Unauthorized".to_owned()), "{value}");
        }
        let twice = [host, ("authorization", "Bearer secret"), ("authorization", "Bearer secret")];
        assert_eq!(admitted(&token(), Access::Operators, "/", &twice), Err("Unauthorized".to_owned()));
        assert_eq!(admitted(&token(), Access::Operators, "/", &[host]), Err("Unauthorized".to_owned()));
    }

    #[test]
    fn without_a_token_all_but_health_is_closed_and_over_the_socket_nothing_is() {
        let host = [("host", "localhost")];
        for access in [Access::Page, Access::Operators] {
            assert_eq!(admitted(&Guard::Closed, access, "/", &host), Err("Closed".to_owned()));
            assert_eq!(admitted(&Guard::Socket, access, "/", &host), Ok(()));
        }
        assert_eq!(admitted(&token(), Access::Page, "/", &host), Ok(()));
        assert_eq!(admitted(&Guard::Closed, Access::Everybody, "/", &[]), Ok(()));
    }

    #[test]
    fn a_foreign_host_is_refused_whoever_asks_but_for_health() {
        let foreign = Err("ForeignHost".to_owned());
        for guard in [Guard::Socket, Guard::Closed, token()] {
            for headers in [&[][..], &[("host", "evil.example")], &[("host", "localhost"), ("host", "localhost")]] {
                assert_eq!(admitted(&guard, Access::Operators, "/", headers), foreign);
                assert_eq!(admitted(&guard, Access::Page, "/", headers), foreign);
                assert_eq!(admitted(&guard, Access::Everybody, "/", headers), Ok(()));
            }
            let own = [("host", "localhost")];
            assert_eq!(admitted(&guard, Access::Operators, "http://evil.example/", &own), foreign);
        }
    }

    #[test]
    fn a_foreign_origin_is_refused_everywhere() {
        let ask = |origins: &[&str]| {
            let origins = origins.iter().map(|origin| ("origin", *origin));
            let headers: Vec<_> = std::iter::once(("host", "127.0.0.1:9901")).chain(origins).collect();
            admitted(&Guard::Socket, Access::Everybody, "/", &headers)
        };
        assert_eq!(ask(&[]), Ok(()));
        assert_eq!(ask(&["http://127.0.0.1:9901"]), Ok(()));
        for origins in [
            &["null"][..],
            &["http://127.0.0.1:9902"],
            &["http://127.0.0.1"],
            &["http://evil.example"],
            &[""],
            &["file://127.0.0.1:9901"],
            &["http://127.0.0.1:9901", "http://127.0.0.1:9901"],
        ] {
            assert_eq!(ask(origins), Err("ForeignOrigin".to_owned()), "{origins:?}");
        }
    }
}
