//! `Max-Forwards` (RFC 9110 §7.6.2): how many more proxies an `OPTIONS` may pass.

use http::header::MAX_FORWARDS;
use http::{HeaderMap, HeaderValue};

/// Whether a request must be answered here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// It goes on.
    Further,
    /// Nobody after us may see it.
    Here,
}

/// Counts one pass of an `OPTIONS`. Values that are no number are left alone.
pub fn count_forward(headers: &mut HeaderMap) -> Reach {
    let mut lines = headers.get_all(MAX_FORWARDS).into_iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Reach::Further };
    let digits = line.as_bytes().iter().all(u8::is_ascii_digit);
    let left: Option<u32> = line.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
    match left {
        None => Reach::Further,
        Some(0) => Reach::Here,
        Some(left) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            Reach::Further
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, map};
    use super::*;

    #[test]
    fn options_counts_down_and_ends_at_zero() {
        for (sent, reach, left) in [
            ("0", Reach::Here, "0"),
            ("000", Reach::Here, "000"),
            ("1", Reach::Further, "0"),
            ("10", Reach::Further, "9"),
            ("+1", Reach::Further, "+1"),
            ("-1", Reach::Further, "-1"),
            ("", Reach::Further, ""),
            ("99999999999", Reach::Further, "99999999999"),
        ] {
            let mut headers = map(&[("max-forwards", sent)]);
            assert_eq!(count_forward(&mut headers), reach, "{sent:?}");
            assert_eq!(lines(&headers, "max-forwards"), [left]);
        }
    }

    #[test]
    fn where_nothing_is_said_it_goes_on() {
        assert_eq!(count_forward(&mut HeaderMap::new()), Reach::Further);
    }
}
