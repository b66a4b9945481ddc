//! What a part of a request that a scheme relies on must look like.

use std::fmt;

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
    /// 1 to 2048 bytes of one line: no control character.
    Line,
}

impl Shape {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 5] = [Self::Uuid, Self::Token, Self::Digits, Self::Base64, Self::Line];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Token => "token",
            Self::Digits => "digits",
            Self::Base64 => "base64",
            Self::Line => "line",
        }
    }

    /// Whether a value of this shape may have this byte.
    pub(crate) fn allows(self, byte: u8) -> bool {
        match self {
            Self::Uuid => byte.is_ascii_hexdigit() || byte == b'-',
            Self::Token => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Self::Digits => byte.is_ascii_digit(),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte),
            Self::Line => !byte.is_ascii_control(),
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
            Self::Line => (1..=2048).contains(&value.len()) && value.iter().all(|byte| self.allows(*byte)),
        }
    }
}

/// A shape, or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Of(Shape),
    Like(Pattern),
}

impl Look {
    /// Whether a value looks so.
    pub(crate) fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Of(shape) => shape.fits(value),
            Self::Like(pattern) => pattern.fits(value),
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(shape) => f.write_str(shape.as_str()),
            Self::Like(pattern) => f.write_str(&pattern.0.join("|")),
        }
    }
}

/// Texts in which a `*` stands for 1 to 128 of `A-Z a-z 0-9 _ -`, several of them with `|` between: enough for addresses. Behind a `*`
/// stands something else than these characters, so a value is walked through once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Box<[Box<str>]>);

/// What a `*` may stand for.
const MAX_STAR: usize = 128;

impl Pattern {
    /// `https://sns.*.amazonaws.com/*.pem`. `None`: it has no `*`, or one before what it could stand for.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sound = |one: &str| {
            let mut pieces = one.split('*');
            let first = pieces.next().unwrap_or_default();
            let mut rest = pieces.peekable();
            let has_star = rest.peek().is_some();
            let apart = rest.all(|piece| piece.bytes().next().is_some_and(|byte| !Shape::Token.allows(byte)));
            has_star && apart && !first.is_empty() && one.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let all: Vec<Box<str>> = text.split('|').map(Box::from).collect();
        (all.len() <= 8 && all.iter().all(|one| sound(one))).then(|| Self(all.into()))
    }

    fn fits(&self, value: &[u8]) -> bool {
        self.0.iter().any(|one| {
            let mut pieces = one.split('*');
            let first = pieces.next().unwrap_or_default();
            let Some(mut rest) = value.strip_prefix(first.as_bytes()) else { return false };
            for piece in pieces {
                let star = rest.iter().take_while(|byte| Shape::Token.allows(**byte)).count();
                let behind = rest.get(star..).and_then(|behind| behind.strip_prefix(piece.as_bytes()));
                match behind {
                    Some(behind) if (1..=MAX_STAR).contains(&star) => rest = behind,
                    _ => return false,
                }
            }
            rest.is_empty()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        let pattern = Pattern::parse("https://sns.*.amazonaws.com/*.pem|https://sns.*.amazonaws.com.cn/*.pem").unwrap();
        for good in [
            "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0aB.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
        ] {
            assert!(pattern.fits(good.as_bytes()), "{good}");
        }
        let long = format!("https://sns.{}.amazonaws.com/x.pem", "a".repeat(129));
        for bad in [
            "",
            "http://sns.us-west-2.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
            "https://sns.us-west-2.amazonaws.com/a/x.pem",
            "https://sns.us-west-2.amazonaws.com/x.pem?y",
            "https://evil.example/?https://sns.us-west-2.amazonaws.com/x.pem",
            "https://sns.us-west-2.amazonaws.com@evil.example/x.pem",
            &long,
        ] {
            assert!(!pattern.fits(bad.as_bytes()), "{bad}");
        }
        for unsound in ["", "a", "*", "*a", "a*b", "a**", "a.*", "a*.b|c", "a b*."] {
            assert!(Pattern::parse(unsound).is_none(), "{unsound}");
        }
    }

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
        assert!(Shape::Line.fits("é a".as_bytes()) && Shape::Line.fits(&[b'a'; 2048]));
        for bad in [&b""[..], b"a\n", b"\ra", b"a\tb", b"\0", b"\x7f", &[b'a'; 2049]] {
            assert!(!Shape::Line.fits(bad));
        }
        for bad in [&b""[..], b"{}", b"\"a\"", b"[1]", b"a=1&b", b"a b", &[b'a'; 257]] {
            assert!(!Shape::Base64.fits(bad));
        }
    }
}
