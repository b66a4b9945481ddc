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
}

impl Shape {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 3] = [Self::Uuid, Self::Token, Self::Digits];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Token => "token",
            Self::Digits => "digits",
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
            Self::Token => {
                (1..=256).contains(&value.len())
                    && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
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
    }
}
