//! The time a request carries: its formats and its window.

use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::Refusal;

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// Seconds since the epoch, digits only.
    Unix,
    /// Milliseconds since the epoch, digits only.
    UnixMillis,
    /// RFC 3339, any offset, any fraction.
    Rfc3339,
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    HttpDate,
}

impl TimeFormat {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 4] = [Self::Unix, Self::UnixMillis, Self::Rfc3339, Self::HttpDate];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::UnixMillis => "unix-ms",
            Self::Rfc3339 => "rfc3339",
            Self::HttpDate => "http-date",
        }
    }

    /// The time in a text, or nothing: signs, fractions, spaces and leading zeros are no digits of an epoch time.
    pub(crate) fn read(self, text: &[u8]) -> Option<UnixMillis> {
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Self::Unix => digits(text, 11).map(UnixMillis::from_secs),
            Self::UnixMillis => digits(text, 14).map(UnixMillis),
            Self::Rfc3339 => rfc3339(text),
            Self::HttpDate => http_date(text),
        }
    }

    /// The text of a time.
    pub(crate) fn write(self, at: UnixMillis) -> String {
        let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        match self {
            Self::Unix => at.secs().to_string(),
            Self::UnixMillis => at.0.to_string(),
            Self::Rfc3339 => stamp.to_string(),
            Self::HttpDate => {
                jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&stamp).unwrap_or_default()
            }
        }
    }
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if fits && canonical { text.parse().ok() } else { None }
}

/// jiff reads more than RFC 3339 allows, so the frame is checked first: date, `T`, time, and `Z` or an offset.
fn rfc3339(text: &str) -> Option<UnixMillis> {
    let frame = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let framed = (20..=40).contains(&bytes.len())
        && frame.iter().zip(bytes).all(|(wanted, found)| match wanted {
            b'd' => found.is_ascii_digit(),
            other => other == found,
        })
        && bytes.iter().skip(frame.len()).all(|byte| byte.is_ascii_digit() || b".Z+-:".contains(byte));
    if !framed {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(|stamp| UnixMillis(stamp.as_millisecond()))
}

/// Only the form that RFC 9110 lets senders generate.
fn http_date(text: &str) -> Option<UnixMillis> {
    if text.len() != 29 || !text.ends_with(" GMT") {
        return None;
    }
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UnixMillis(stamp.as_millisecond()))
}

/// How far a time may be from the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) back: Duration,
    pub(crate) ahead: Duration,
}

impl Window {
    /// Whether a time is inside; both ends belong to the window.
    pub(crate) fn check(self, at: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
        if at < now.minus(self.back) {
            Err(Refusal::TimestampStale)
        } else if at > now.plus(self.ahead) {
            Err(Refusal::TimestampAhead)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(784_111_777_000);

    #[test]
    fn each_format_reads_what_it_writes() {
        for format in TimeFormat::ALL {
            assert_eq!(format.read(format.write(AT).as_bytes()), Some(AT), "{format:?}");
        }
        assert_eq!(TimeFormat::HttpDate.write(AT), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn rfc3339_takes_offsets_and_fractions() {
        let read = |text: &str| TimeFormat::Rfc3339.read(text.as_bytes());
        assert_eq!(read("1994-11-06T09:49:37.000999999+01:00"), Some(AT));
        assert_eq!(read("1994-11-06T08:49:37Z"), Some(AT));
        for text in ["1994-11-06 08:49:37Z", "1994-11-06T08:49:37", "1994-11-06T08:49:37[UTC]", "1994-13-06T08:49:37Z"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn odd_numbers_are_refused() {
        for text in ["", "-1", "+1", "1.0", " 1", "1 ", "01", "1e9", "0x1", "99999999999999999999", "１"] {
            assert_eq!(TimeFormat::Unix.read(text.as_bytes()), None, "{text}");
            assert_eq!(TimeFormat::UnixMillis.read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(TimeFormat::Unix.read(b"\xff"), None);
        assert_eq!(TimeFormat::HttpDate.read(b"Sunday, 06-Nov-94 08:49:37 GMT"), None);
    }

    #[test]
    fn the_window_has_two_sides() {
        let window = Window { back: Duration::from_secs(300), ahead: Duration::from_secs(60) };
        let at = |secs: i64| window.check(UnixMillis::from_secs(1000), UnixMillis::from_secs(1000 + secs));
        assert_eq!(at(300), Ok(()));
        assert_eq!(at(301), Err(Refusal::TimestampStale));
        assert_eq!(at(-60), Ok(()));
        assert_eq!(at(-61), Err(Refusal::TimestampAhead));
        assert_eq!(window.check(UnixMillis(i64::MAX), UnixMillis(i64::MIN)), Err(Refusal::TimestampAhead));
        assert_eq!(window.check(UnixMillis(i64::MIN), UnixMillis(i64::MAX)), Err(Refusal::TimestampStale));
    }
}
