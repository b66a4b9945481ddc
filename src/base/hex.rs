//! Hexadecimal for what every request has: eight digits at once, and no allocation.

/// The lower-case digits of a number: each half-byte in a byte of its own, and 39 more for those that are letters.
pub fn digits(number: u32) -> [u8; 8] {
    let mut digits = u64::from(number);
    digits = (digits << 16 | digits) & 0x0000_ffff_0000_ffff;
    digits = (digits << 8 | digits) & 0x00ff_00ff_00ff_00ff;
    digits = (digits << 4 | digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_has_it() {
        for number in (0..=u32::MAX).step_by(65_537 * 3).chain([0x0123_4567, 0x89ab_cdef, u32::MAX]) {
            assert_eq!(digits(number), format!("{number:08x}").as_bytes());
        }
    }
}
