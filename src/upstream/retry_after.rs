//! `Retry-After` of an answer (RFC 9110 section 10.2.3): seconds, or a date.

use std::time::Duration;

use crate::base::UnixMillis;

/// When a server wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long after its answer.
    After(Duration),
    /// Not before this instant of its clock.
    At(UnixMillis),
}

impl RetryAfter {
    /// `None` for anything else: a field that cannot be read asks for nothing. Of the three forms of a date only the one that
    /// may still be sent is read.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        if !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(|seconds| Self::After(Duration::from_secs(seconds)));
        }
        // An HTTP date is a date of mail in universal time.
        if text.len() > 40 || !text.ends_with("GMT") {
            return None;
        }
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Self::At(UnixMillis(date.as_millisecond())))
    }

    /// How long to wait from now on; zero for what has passed.
    pub fn from(self, now: UnixMillis) -> Duration {
        match self {
            Self::After(wait) => wait,
            Self::At(at) => Duration::from_millis(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        let after = |seconds| Some(RetryAfter::After(Duration::from_secs(seconds)));
        assert_eq!(RetryAfter::parse(b"120"), after(120));
        assert_eq!(RetryAfter::parse(b" 0 "), after(0));
        assert_eq!(RetryAfter::parse(b"9999999999"), after(9_999_999_999));
        let date = RetryAfter::parse(b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(RetryAfter::At(UnixMillis::from_secs(784_111_777))));
        for odd in
            ["", "-1", "1.5", "soon", "12345678901", "Sun, 06 Nov 1994 08:49:37", "1994-11-06T08:49:37Z", "\u{fc}"]
        {
            assert_eq!(RetryAfter::parse(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn a_date_is_a_wait_from_now() {
        let at = RetryAfter::At(UnixMillis::from_secs(100));
        assert_eq!(at.from(UnixMillis::from_secs(90)), Duration::from_secs(10));
        assert_eq!(at.from(UnixMillis::from_secs(101)), Duration::ZERO);
    }
}
