//! A JSON number as it was written.
//!
//! Every digit is kept (`12345678901234567890123`, `1.10`, `1e400`, `-0`); no float is ever made of it. What a
//! number *means* is asked in one place only, the `test` of a JSON Patch, and answered by comparing decimals digit
//! by digit, never by writing out what an exponent stands for.

/// A number of a JSON document: its source text, which is a number by RFC 8259 section 6.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(Box<str>);

impl Number {
    /// Takes a text that a JSON parser found to be a number.
    pub(super) fn from_source(text: &str) -> Number {
        Number(text.into())
    }

    /// The number as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same number, however they are written: `10`, `1e1` and `10.0` are (RFC 6902 section 4.6).
    ///
    /// Exact. Exponents of more than 38 digits are compared as they are written.
    pub fn equals(&self, other: &Number) -> bool {
        let (one, two) = (Decimal::of(&self.0), Decimal::of(&other.0));
        match (one.digits().next(), two.digits().next()) {
            (None, None) => true,
            _ => one.negative == two.negative && one.same_scale(&two) && one.digits().eq(two.digits()),
        }
    }
}

/// A number as `0.digits × 10^(point + exponent)`, its digits without zeros on either end.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    point: i128,
    exponent: &'a str,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Decimal<'a> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let leading = whole.bytes().chain(fraction.bytes()).take_while(|digit| *digit == b'0').count();
        let point = whole.len() as i128 - leading as i128;
        let fraction = fraction.trim_end_matches('0');
        let whole = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        Decimal { negative, whole, fraction, point, exponent }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes()).skip_while(|digit| *digit == b'0')
    }

    fn same_scale(&self, other: &Decimal<'_>) -> bool {
        match (self.scale(), other.scale()) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.point == other.point && plain(self.exponent) == plain(other.exponent),
            _ => false,
        }
    }

    fn scale(&self) -> Option<i128> {
        self.exponent.parse::<i128>().ok()?.checked_add(self.point)
    }
}

/// An exponent's sign and digits, without what does not change its value.
fn plain(exponent: &str) -> (bool, &str) {
    (exponent.starts_with('-'), exponent.trim_start_matches(['+', '-']).trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equals(one: &str, two: &str) -> bool {
        let (one, two) = (Number::from_source(one), Number::from_source(two));
        let answer = one.equals(&two);
        assert_eq!(answer, two.equals(&one), "equality has no direction");
        answer
    }

    #[test]
    fn numbers_are_equal_by_value_however_they_are_written() {
        for (one, two) in [
            ("1", "1"),
            ("1.0", "1.00"),
            ("1", "1e0"),
            ("10", "1e1"),
            ("10", "1E+1"),
            ("100", "1e+02"),
            ("0.1", "1e-1"),
            ("0.10", "100e-3"),
            ("-0", "0"),
            ("0e5", "-0.000"),
            ("0", "0e99999999999999999999999999999999999999999999"),
            ("1e400", "10e399"),
            ("1e400", "0.01e402"),
            ("12345678901234567890123", "12345678901234567890123.0"),
            ("-1.5", "-15e-1"),
            ("1e999999999999", "10e999999999998"),
            ("1e-999999999999", "0.1e-999999999998"),
            ("1e99999999999999999999999999999999999999999999", "1.0e+099999999999999999999999999999999999999999999"),
        ] {
            assert!(equals(one, two), "{one} is {two}");
        }
    }

    #[test]
    fn numbers_that_differ_in_any_digit_sign_or_exponent_are_not_equal() {
        for (one, two) in [
            ("1", "2"),
            ("1", "-1"),
            ("1", "10"),
            ("1", "0"),
            ("0.1", "0.01"),
            ("101", "11"),
            ("1e400", "1e401"),
            ("1e1", "1e-1"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("0.1", "0.1000000000000000000000000001"),
            ("1e999999999999", "1e999999999998"),
            ("1e99999999999999999999999999999999999999999999", "1e-99999999999999999999999999999999999999999999"),
            ("1e99999999999999999999999999999999999999999999", "1e9999999999999999999999999999999999999999999"),
            ("1e170141183460469231731687303715884105727", "1e170141183460469231731687303715884105726"),
        ] {
            assert!(!equals(one, two), "{one} is not {two}");
        }
    }
}
