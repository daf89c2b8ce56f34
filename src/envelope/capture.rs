//! Response headers of an unmodified application that are kept in the session (contract section 6).
//!
//! Of several lines of one header the last counts. A value is UTF-8 or the change is refused, as an update would be: to
//! guess another encoding would store what nobody said.

use http::{HeaderMap, HeaderName};

use super::OpenError;
use crate::session::{capture::Capture, document::Pointer};

/// One line of `[routes.capture]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The response header.
    pub name: HeaderName,
    /// Where its value goes; never the whole data.
    pub place: Pointer,
}

/// What a response says in these headers, in the order of the configuration.
///
/// # Errors
/// [`OpenError::Capture`] names the header whose value is not UTF-8.
pub fn captured(headers: &HeaderMap, captured: &[Captured]) -> Result<Vec<Capture>, OpenError> {
    let mut captures = Vec::new();
    for Captured { name, place } in captured {
        let Some(line) = headers.get_all(name).into_iter().next_back() else { continue };
        let text = std::str::from_utf8(line.as_bytes()).map_err(|_| OpenError::Capture(name.clone()))?;
        captures.push(Capture { place: place.clone(), text: text.trim_matches([' ', '\t']).into() });
    }
    Ok(captures)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(lines: &[(&str, &[u8])]) -> Result<Vec<(String, String)>, OpenError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let rule = |name: &str, place| Captured { name: name.parse().unwrap(), place: Pointer::parse(place).unwrap() };
        let rules = [rule("x-auth-user", "/user/name"), rule("x-auth-role", "/user/role")];
        let captures = captured(&headers, &rules)?;
        Ok(captures.into_iter().map(|capture| (capture.place.to_string(), capture.text.into())).collect())
    }

    #[test]
    fn headers_are_found_in_the_order_of_the_configuration_and_the_last_line_counts() {
        let pair = |place: &str, text: &str| (place.to_owned(), text.to_owned());
        for (lines, wanted) in [
            (&[][..], vec![]),
            (&[("x-auth-user", &b"ada"[..])], vec![pair("/user/name", "ada")]),
            (&[("x-auth-user", b"")], vec![pair("/user/name", "")]),
            (&[("x-auth-user", b" ada\t")], vec![pair("/user/name", "ada")]),
            (
                &[("x-auth-role", b"r"), ("X-Auth-User", "é".as_bytes())],
                vec![pair("/user/name", "é"), pair("/user/role", "r")],
            ),
            (&[("x-auth-user", b"ada"), ("x-auth-user", b"eve")], vec![pair("/user/name", "eve")]),
            (&[("x_auth_user", b"ada")], vec![]),
        ] {
            assert_eq!(found(lines).unwrap(), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused_without_saying_what_it_was() {
        let error = found(&[("x-auth-user", b"canary J\xfcrgen")]).unwrap_err();
        assert!(error.to_string().contains("x-auth-user") && !format!("{error} {error:?}").contains("canary"));
    }
}
