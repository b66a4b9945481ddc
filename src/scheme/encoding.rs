//! How a signature or a key is written as text. Every decoder is strict: one value has one spelling.

use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, DecodeError, HEXLOWER, HEXLOWER_PERMISSIVE, HEXUPPER,
};

use super::algorithm::{MAX_TAG, Tag};

/// A text form of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal; upper-case digits are refused.
    Hex,
    /// Upper-case hexadecimal.
    HexUpper,
    /// Hexadecimal in any mix of cases.
    HexAny,
    /// RFC 4648 section 4, padded.
    Base64,
    /// RFC 4648 section 4 without padding.
    Base64Unpadded,
    /// RFC 4648 section 5, padded.
    Base64Url,
    /// RFC 4648 section 5 without padding.
    Base64UrlUnpadded,
    /// Base64 of the lower-case hexadecimal text.
    Base64OfHex,
}

impl Encoding {
    /// Every one, in the order in which documentation lists them.
    pub const ALL: [Self; 8] = [
        Self::Hex,
        Self::HexUpper,
        Self::HexAny,
        Self::Base64,
        Self::Base64Unpadded,
        Self::Base64Url,
        Self::Base64UrlUnpadded,
        Self::Base64OfHex,
    ];

    /// From its name in a recipe.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.as_str() == name)
    }

    /// Its name in a recipe.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::HexUpper => "hex-upper",
            Self::HexAny => "hex-any",
            Self::Base64 => "base64",
            Self::Base64Unpadded => "base64-unpadded",
            Self::Base64Url => "base64url",
            Self::Base64UrlUnpadded => "base64url-unpadded",
            Self::Base64OfHex => "base64-of-hex",
        }
    }

    /// The alphabet of the outer layer.
    fn alphabet(self) -> data_encoding::Encoding {
        match self {
            Self::Hex => HEXLOWER,
            Self::HexUpper => HEXUPPER,
            Self::HexAny => HEXLOWER_PERMISSIVE,
            Self::Base64 | Self::Base64OfHex => BASE64,
            Self::Base64Unpadded => BASE64_NOPAD,
            Self::Base64Url => BASE64URL,
            Self::Base64UrlUnpadded => BASE64URL_NOPAD,
        }
    }

    /// A value of exactly `len` bytes, or nothing. Allocates nothing.
    pub(crate) fn decode_tag(self, text: &[u8], len: usize) -> Option<Tag> {
        if self == Self::Base64OfHex {
            let mut buffer = [0; 2 * MAX_TAG + 4];
            return Self::Hex.decode_tag(decode_into(&BASE64, text, 2 * len, &mut buffer)?, len);
        }
        match self {
            Self::Hex => return hexadecimal(text, len, |digit| value(digit, b'a')),
            Self::HexUpper => return hexadecimal(text, len, |digit| value(digit, b'A')),
            Self::HexAny => return hexadecimal(text, len, |digit| value(digit, b'a').min(value(digit, b'A'))),
            _ => {}
        }
        let mut buffer = [0; MAX_TAG + 4];
        Tag::new(decode_into(&self.alphabet(), text, len, &mut buffer)?)
    }

    /// Bytes of any length: for keys, when a configuration is read.
    pub(crate) fn decode(self, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let bytes = self.alphabet().decode(text)?;
        if self == Self::Base64OfHex { HEXLOWER.decode(&bytes) } else { Ok(bytes) }
    }

    /// The text of some bytes.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64OfHex => BASE64.encode(HEXLOWER.encode(bytes).as_bytes()),
            _ => self.alphabet().encode(bytes),
        }
    }
}

/// Most signatures are hexadecimal, and for these the library's decoder takes twice the instructions: it is for alphabets of all kinds.
fn hexadecimal(text: &[u8], len: usize, value: impl Fn(u8) -> u8) -> Option<Tag> {
    if text.len() != 2 * len {
        return None;
    }
    let mut buffer = [0; MAX_TAG];
    let bytes = buffer.get_mut(..len)?;
    // Looked at once all are there, so that the compiler does many at a time.
    let mut all = 0;
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = digits.map(&value);
        all |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    if all & 0xf0 == 0 { Tag::new(bytes) } else { None }
}

const NO_DIGIT: u8 = 0xff;

/// What a digit stands for, whose letters begin at `a`.
fn value(digit: u8, a: u8) -> u8 {
    let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(a));
    match () {
        () if number < 10 => number,
        () if letter < 6 => letter + 10,
        () => NO_DIGIT,
    }
}

/// Decodes into the front of `buffer`. The text's length must be the one that `len` bytes have, so that nothing longer
/// is ever looked at.
fn decode_into<'b>(
    alphabet: &data_encoding::Encoding,
    text: &[u8],
    len: usize,
    buffer: &'b mut [u8],
) -> Option<&'b [u8]> {
    if text.len() != alphabet.encode_len(len) {
        return None;
    }
    let room = buffer.get_mut(..alphabet.decode_len(text.len()).ok()?)?;
    let written = alphabet.decode_mut(text, room).ok()?;
    if written == len { room.get(..len) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_spellings_are_refused() {
        let value = [0xfb; 32];
        let refused = |encoding: Encoding, text: &str| assert!(encoding.decode_tag(text.as_bytes(), 32).is_none());
        refused(Encoding::Hex, &HEXUPPER.encode(&value));
        refused(Encoding::HexUpper, &HEXLOWER.encode(&value));
        refused(Encoding::Base64, &BASE64URL.encode(&value));
        refused(Encoding::Base64, &BASE64_NOPAD.encode(&value));
        refused(Encoding::Base64Url, &BASE64.encode(&value));
        refused(Encoding::Base64UrlUnpadded, &BASE64URL.encode(&value));
        refused(Encoding::Base64OfHex, &BASE64.encode(HEXUPPER.encode(&value).as_bytes()));
        refused(Encoding::Base64, &HEXLOWER.encode(&value));
        refused(Encoding::Hex, &BASE64.encode(&value));
        refused(Encoding::Hex, &format!("0x{}", HEXLOWER.encode(&value)));
        refused(Encoding::Hex, "");
    }

    /// 32 bytes leave four unused bits in the last character; another last character with the same upper bits is
    /// another spelling of the same value.
    #[test]
    fn base64_with_trailing_bits_is_refused() {
        let text = BASE64.encode(&[0; 32]);
        assert!(Encoding::Base64.decode_tag(text.as_bytes(), 32).is_some());
        let other = text.replace("A=", "B=");
        assert_ne!(text, other);
        assert!(Encoding::Base64.decode_tag(other.as_bytes(), 32).is_none());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 1..=64), at in 0usize..8) {
            let encoding = Encoding::ALL[at];
            let text = encoding.encode(&bytes);
            prop_assert_eq!(encoding.decode(text.as_bytes()).unwrap(), bytes.clone());
            let tag = encoding.decode_tag(text.as_bytes(), bytes.len()).unwrap();
            prop_assert_eq!(tag.as_bytes(), &bytes[..]);
        }

        /// Strict: whatever decodes is the one spelling of its value (`hex-any` allows two letters per digit).
        #[test]
        fn what_is_decoded_is_spelled_in_one_way(text in "[ -~]{0,130}", at in 0usize..8, len in 0usize..=64) {
            let encoding = Encoding::ALL[at];
            if let Some(tag) = encoding.decode_tag(text.as_bytes(), len) {
                prop_assert_eq!(tag.as_bytes().len(), len);
                let again = encoding.encode(tag.as_bytes());
                prop_assert!(again == text || (encoding == Encoding::HexAny && again.eq_ignore_ascii_case(&text)));
            }
        }
    }
}
