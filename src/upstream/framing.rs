//! Which answers are fit to be passed on. hyper has parsed them; what it lets pass and others would read in another way
//! is made plain here, or refused.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// Makes the framing of a response head plain.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check<B>(response: &mut Response<B>) -> Result<(), &'static str> {
    let status = response.status();
    if status.as_u16() >= 600 {
        return Err("has a status that does not exist");
    }
    let (version, headers) = (response.version(), response.headers_mut());
    if headers.contains_key(TRANSFER_ENCODING) {
        check_coding(version, headers)?;
    }
    if headers.contains_key(CONTENT_LENGTH) {
        check_length(headers)?;
    }
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
    }
    Ok(())
}

/// Nothing but `chunked` may be there: we have asked for no other coding and could not take it off. A length beside it
/// means nothing and must not go on (RFC 9112 §6.3).
fn check_coding(version: Version, headers: &mut HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() || version != Version::HTTP_11 {
        return Err("has a Transfer-Encoding that nobody asked for");
    }
    headers.remove(CONTENT_LENGTH);
    Ok(())
}

/// Whether there is one line of nothing but digits: what nearly every answer has.
fn is_one_number(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let is_number = |line: &HeaderValue| !line.is_empty() && line.as_bytes().iter().all(u8::is_ascii_digit);
    lines.next().is_some_and(is_number) && lines.next().is_none()
}

/// One length, said once (RFC 9110 §8.6).
fn check_length(headers: &mut HeaderMap) -> Result<(), &'static str> {
    const PROBLEM: &str = "has a Content-Length that is none, or several";
    if is_one_number(headers) {
        return Ok(());
    }
    let lines: Vec<&[u8]> = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes).collect();
    let mut lengths = lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let first = lengths.next().unwrap_or_default();
    let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !digits || lengths.any(|length| length != first) {
        return Err(PROBLEM);
    }
    if lines != [first] {
        let plain = HeaderValue::from_bytes(first).map_err(|_| PROBLEM)?;
        headers.insert(CONTENT_LENGTH, plain);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    /// What is left of these lines, or what is wrong.
    fn checked(status: u16, version: Version, lines: &[(&str, &str)]) -> Result<Vec<String>, &'static str> {
        let mut response = Response::builder().status(status).version(version).body(()).unwrap();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            response.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        check(&mut response)?;
        Ok(response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
    }

    #[test]
    fn a_length_is_said_once_or_it_is_none() {
        let length = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("content-length", *line)).collect();
            checked(200, Version::HTTP_11, &lines)
        };
        for same in [&["2"][..], &["2, 2"], &["2", "2"], &["2,2 ,\t2", "2"]] {
            assert_eq!(length(same), Ok(vec!["content-length: 2".to_owned()]), "{same:?}");
        }
        for wrong in [&["2, 3"][..], &["2", "3"], &[""], &["+2"], &["2,"], &["0x2"], &["2 2"], &["2;"], &["-1"]] {
            assert!(length(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn no_coding_but_chunked_is_passed_on_and_no_length_beside_it() {
        let both = [("content-length", "2"), ("transfer-encoding", "chunked")];
        assert_eq!(checked(200, Version::HTTP_11, &both), Ok(vec!["transfer-encoding: chunked".to_owned()]));
        assert!(checked(200, Version::HTTP_10, &both[1..]).is_err());
        assert!(checked(200, Version::HTTP_11, &[both[1], both[1]]).is_err());
        for wrong in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "", "xchunked", "chunked;q=1"] {
            assert!(checked(200, Version::HTTP_11, &[("transfer-encoding", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_body_there_is_no_length_but_of_the_body_that_would_be() {
        let length = [("content-length", "5")];
        assert_eq!(checked(204, Version::HTTP_11, &length), Ok(vec![]));
        assert_eq!(checked(101, Version::HTTP_11, &length), Ok(vec![]));
        assert_eq!(checked(304, Version::HTTP_11, &length), Ok(vec!["content-length: 5".to_owned()]));
    }

    #[test]
    fn statuses_that_do_not_exist_are_refused() {
        assert!(checked(999, Version::HTTP_11, &[]).is_err() && checked(600, Version::HTTP_11, &[]).is_err());
        assert!(checked(599, Version::HTTP_11, &[]).is_ok());
    }
}
