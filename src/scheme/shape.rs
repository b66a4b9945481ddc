//! What a header that a scheme relies on must look like.

/// A closed set of shapes, so that no configuration brings a pattern engine into the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// 8-4-4-4-12 hexadecimal digits in any case.
    Uuid,
    /// 1 to 256 of `A-Z a-z 0-9 _ -`: nothing that a template uses as a separator.
    Token,
    /// 1 to 20 decimal digits.
    Digits,
    /// 1 to 256 of what base64 is written in, of either kind: nothing that JSON or a form begins with.
    Base64,
}

impl Shape {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 4] = [Self::Uuid, Self::Token, Self::Digits, Self::Base64];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Token => "token",
            Self::Digits => "digits",
            Self::Base64 => "base64",
        }
    }

    /// Whether a value of this shape may have this byte.
    pub(crate) fn allows(self, byte: u8) -> bool {
        match self {
            Self::Uuid => byte.is_ascii_hexdigit() || byte == b'-',
            Self::Token => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Self::Digits => byte.is_ascii_digit(),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte),
        }
    }

    /// Whether a value has this shape.
    pub(crate) fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Uuid => {
                value.len() == 36
                    && value.iter().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => *byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
            Self::Token | Self::Base64 => {
                (1..=256).contains(&value.len()) && value.iter().all(|byte| self.allows(*byte))
            }
            Self::Digits => (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_exact() {
        let uuid = b"0191e2a4-7b1c-7c3e-9f00-0123456789aB";
        assert!(Shape::Uuid.fits(uuid));
        for bad in
            [&b""[..], &uuid[..35], b"0191e2a4-7b1c-7c3e-9f00-0123456789ag", b"{0191e2a4-7b1c-7c3e-9f00-01234567}"]
        {
            assert!(!Shape::Uuid.fits(bad));
        }
        assert!(!Shape::Uuid.fits(&[uuid, &b"1"[..]].concat()));
        assert!(Shape::Token.fits(b"msg_2-a"));
        for bad in [&b""[..], b"a.b", b"a\n", b"a b", b"\xe9", b"a\0", &[b'a'; 257]] {
            assert!(!Shape::Token.fits(bad));
        }
        assert!(Shape::Digits.fits(b"0123"));
        assert!(!Shape::Digits.fits(b"-1"));
        assert!(Shape::Base64.fits(b"a+/_-9=="));
        for bad in [&b""[..], b"{}", b"\"a\"", b"[1]", b"a=1&b", b"a b", &[b'a'; 257]] {
            assert!(!Shape::Base64.fits(bad));
        }
    }
}
