//! The code of HPACK's texts (RFC 7541 appendix B), as far as the lengths of its codes go: it is canonical, so how many codes
//! there are of each length says where in it one stands.

/// A code, with zeros behind it up to 32 bits.
pub(super) type Code = u32;

/// `#`, the first code of twelve bits.
pub(super) const NUMBER_SIGN: Code = 0xffa << 20;

/// How many codes there are of each length.
const COUNTS: [(u32, u64); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];

/// Each length, and where its codes end.
#[expect(clippy::indexing_slicing, reason = "while compiling")]
const ENDS: [(u64, u32); COUNTS.len()] = {
    let (mut ends, mut end, mut at) = ([(0, 0); COUNTS.len()], 0, 0);
    while at < COUNTS.len() {
        let (length, count) = COUNTS[at];
        end += count << (32 - length);
        ends[at] = (end, length);
        at += 1;
    }
    ends
};

/// The codes of a text, one for each of its bytes.
pub(super) fn codes(text: &[u8]) -> impl Iterator<Item = Code> {
    let mut bytes = text.iter();
    // From the left, and how many of them are there.
    let (mut bits, mut have) = (0_u64, 0_u32);
    std::iter::from_fn(move || {
        while have <= 32
            && let Some(byte) = bytes.next()
        {
            bits |= u64::from(*byte) << (56 - have);
            have += 8;
        }
        let next = bits >> 32;
        let (_, length) = ENDS.iter().find(|(end, _)| next < *end)?;
        // The rest is padding.
        if *length > have {
            return None;
        }
        let code = u32::try_from(next >> (32 - length) << (32 - length)).ok();
        bits <<= length;
        have -= length;
        code
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    }

    /// The examples of RFC 7541 appendix C.
    #[test]
    fn every_byte_of_a_text_is_one_code() {
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            (
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
            ("", ""),
        ] {
            assert_eq!(codes(&bytes(coded)).count(), text.len(), "{text}");
        }
        assert_eq!(ENDS.last().unwrap().0, 1 << 32, "the code is complete");
    }

    /// Each code of RFC 7541 that stands next to another length, and the longest.
    #[test]
    fn the_number_sign_is_told_from_its_neighbours() {
        // `/` 011000, `#` 1111_1111_1010, `>` 1111_1111_1011, `?` 1111_1111_00, `|` 1111_1111_100.
        assert!(codes(&[0x63, 0xff, 0x4f]).all(|code| code != NUMBER_SIGN));
        assert_eq!(codes(&[0xff, 0xaf]).collect::<Vec<_>>(), [NUMBER_SIGN]);
        assert_eq!(codes(&[0xff, 0xbf]).collect::<Vec<_>>(), [0xffb << 20]);
        // `/#`: 011000 1111_1111_1010, padded with ones.
        assert_eq!(codes(&[0x63, 0xfe, 0xbf]).collect::<Vec<_>>(), [0x18 << 26, NUMBER_SIGN]);
        // A line feed has thirty bits.
        assert_eq!(codes(&[0xff, 0xff, 0xff, 0xf3]).collect::<Vec<_>>(), [0x3fff_fffc << 2]);
    }
}
