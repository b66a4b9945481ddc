//! Whether two field names are the same name: letters in any case, eight bytes at a time. Every look-up asks.

/// Whether they are; like `eq_ignore_ascii_case`, for the lengths that names have.
pub(in crate::domain) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // The last eight of a name overlap those before them, so no name of eight letters or more has a rest.
    match (one.last_chunk(), other.last_chunk()) {
        (Some(one_end), Some(other_end)) => {
            same_word(*one_end, *other_end)
                && one.as_chunks().0.iter().zip(other.as_chunks().0).all(|(one, other)| same_word(*one, *other))
        }
        _ => one.eq_ignore_ascii_case(other),
    }
}

fn same_word(one: [u8; 8], other: [u8; 8]) -> bool {
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let (one, other) = (u64::from_ne_bytes(one), u64::from_ne_bytes(other));
    let differs = one ^ other;
    if differs & !each(0x20) != 0 {
        return false;
    }
    // Where only the bit of the case differs, there has to be a letter. Its high bit is handled apart, so that no sum reaches the
    // next byte.
    let small = (one | each(0x20)) & each(0x7f);
    let is_letter = (small + each(0x80 - b'a')) & !(small + each(0x7f - b'z')) & !one & each(0x80);
    (differs << 2) & !is_letter == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of bytes, at every place of a word and in a name of every length.
    #[test]
    fn as_the_standard_library_has_it() {
        for (one, other) in (0..=u8::MAX).flat_map(|one| (0..=u8::MAX).map(move |other| (one, other))) {
            for length in [1, 7, 8, 9, 16, 19] {
                let mut names = [vec![b'-'; length], vec![b'-'; length]];
                let at = usize::from(one ^ other) % length;
                names[0][at] = one;
                names[1][at] = other;
                assert_eq!(same(&names[0], &names[1]), one.eq_ignore_ascii_case(&other), "{one} {other} {length}");
            }
        }
        assert!(same(b"X-Hub-Signature-256", b"x-hub-signature-256") && same(b"", b"") && !same(b"a", b"ab"));
    }
}
