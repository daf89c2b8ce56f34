//! Numbers in hexadecimal digits. Every request has some, so they go without the formatter and without a loop.

/// Eight lower-case digits at once: each byte of a word takes one of them.
#[inline]
pub fn hexadecimal(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((digits + 6 * EACH) >> 4) & EACH;
    (digits + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Sixteen of them.
#[inline]
pub(super) fn sixteen(number: u64) -> [u8; 16] {
    let (high, low) = (hexadecimal((number >> 32) as u32), hexadecimal(number as u32));
    (u128::from(u64::from_be_bytes(high)) << 64 | u128::from(u64::from_be_bytes(low))).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_its_digits() {
        let numbers = [0, 1, 9, 10, 15, 16, 0x1234_5678, 0x9abc_def0, 0x0f0f_a9a9, u32::MAX];
        for number in numbers.into_iter().chain((0..32).map(|bit| 1 << bit)) {
            assert_eq!(hexadecimal(number), *format!("{number:08x}").as_bytes(), "{number:x}");
            let both = u64::from(number) << 32 | u64::from(!number);
            assert_eq!(sixteen(both), *format!("{both:016x}").as_bytes(), "{both:x}");
        }
    }
}
