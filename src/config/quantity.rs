//! Durations and sizes as people write them: `250ms`, `1h30m`, `14d`; `512B`, `64KiB`, `1MiB`.
//!
//! A bare number is refused: every quantity names its unit. Fractions are refused too (`1h30m`, not `1.5h`), so that
//! what is written is what is meant. Own code, because it is small and because its messages are part of the report.

use std::fmt;
use std::time::Duration;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmeasured {
    /// Nothing is there.
    Empty,
    /// No number where one must be.
    NoNumber,
    /// A number, and nothing after it.
    NoUnit,
    /// A unit that is not known.
    UnknownUnit(String),
    /// Units must go from large to small, each once.
    Order,
    /// Does not fit.
    TooLarge,
}

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::NoNumber => f.write_str("it does not start with a whole number"),
            Self::NoUnit => f.write_str("it has no unit"),
            Self::UnknownUnit(unit) => write!(f, "\"{unit}\" is not a unit"),
            Self::Order => f.write_str("units must go from large to small, each once"),
            Self::TooLarge => f.write_str("it is too large"),
        }
    }
}

const TIME: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const SIZE: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

/// `1h30m` and the like, down to milliseconds.
pub fn duration(text: &str) -> Result<Duration, Unmeasured> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(Unmeasured::Empty);
    }
    while !rest.is_empty() {
        let (number, unit, after) = step(rest)?;
        let factor = factor(unit, &TIME)?;
        if factor >= last {
            return Err(Unmeasured::Order);
        }
        last = factor;
        let part = number.checked_mul(factor).ok_or(Unmeasured::TooLarge)?;
        total = total.checked_add(part).ok_or(Unmeasured::TooLarge)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// `64KiB` and the like, in bytes.
pub fn size(text: &str) -> Result<u64, Unmeasured> {
    if text.is_empty() {
        return Err(Unmeasured::Empty);
    }
    let (number, unit, after) = step(text)?;
    let factor = factor(unit, &SIZE)?;
    if !after.is_empty() {
        return Err(Unmeasured::Order);
    }
    number.checked_mul(factor).ok_or(Unmeasured::TooLarge)
}

/// A duration as [`duration`] reads it, with as few parts as it needs.
pub fn write_duration(value: Duration) -> String {
    let mut left = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in TIME {
        if left >= factor {
            out.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// A size as [`size`] reads it, in the largest binary unit that divides it.
pub fn write_size(value: u64) -> String {
    let (unit, factor) = SIZE
        .into_iter()
        .filter(|(_, factor)| factor.is_power_of_two())
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .unwrap_or(("B", 1));
    format!("{}{unit}", value / factor)
}

/// What an author probably meant by a duration that [`duration`] refuses: `5 min`, `1.5 hours`, `2 weeks`.
pub fn meant_duration(text: &str) -> Option<Duration> {
    let (number, unit) = meant(text)?;
    let factor = match unit.as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "wk" | "wks" | "week" | "weeks" => 604_800_000.0,
        _ => return None,
    };
    whole(number * factor).map(Duration::from_millis)
}

/// The same of a size: `1 GB`, `64k`, `1.5 MiB`. What is written without an `i` is taken for the binary unit, as most mean it.
pub fn meant_size(text: &str) -> Option<u64> {
    let (number, unit) = meant(text)?;
    let factor = match unit.as_str() {
        "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    whole(number * f64::from(2_u32).powi(factor))
}

/// A number and the word behind it, in lower case.
fn meant(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit.trim().to_ascii_lowercase()))
}

/// Nothing that a float cannot say exactly is proposed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative and below 2^53")]
fn whole(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&value)).then_some(value as u64)
}

/// Splits off one number and its unit.
fn step(text: &str) -> Result<(u64, &str, &str), Unmeasured> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(Unmeasured::NoNumber);
    }
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    if unit.is_empty() {
        return Err(Unmeasured::NoUnit);
    }
    Ok((number.parse().map_err(|_| Unmeasured::TooLarge)?, unit, after))
}

fn factor(unit: &str, units: &[(&str, u64)]) -> Result<u64, Unmeasured> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| Unmeasured::UnknownUnit(unit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_recognised() {
        for (text, meant) in [
            ("5 min", "5m"),
            ("5minutes", "5m"),
            ("30 days", "30d"),
            ("1.5h", "1h30m"),
            ("2 weeks", "14d"),
            ("5 S", "5s"),
            ("100 msec", "100ms"),
        ] {
            assert_eq!(meant_duration(text).map(write_duration).as_deref(), Some(meant), "{text}");
        }
        for (text, meant) in [("1 GB", "1GiB"), ("64k", "64KiB"), ("1.5 MiB", "1536KiB"), ("10 bytes", "10B")] {
            assert_eq!(meant_size(text).map(write_size).as_deref(), Some(meant), "{text}");
        }
        for text in ["", "5", "soon", "1.2.3s", "-5 min", "5 parsecs", "1e9h", "99999999999999999999 s", "0.0001s"] {
            assert_eq!(meant_duration(text), None, "{text}");
            assert_eq!(meant_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_read_as_written() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration(""), Err(Unmeasured::Empty));
        assert_eq!(duration("5"), Err(Unmeasured::NoUnit));
        assert_eq!(duration("s"), Err(Unmeasured::NoNumber));
        assert_eq!(duration("-5s"), Err(Unmeasured::NoNumber));
        assert_eq!(duration("1.5h"), Err(Unmeasured::UnknownUnit(".".to_owned())));
        assert_eq!(duration("5 s"), Err(Unmeasured::UnknownUnit(" s".to_owned())));
        assert_eq!(duration("30m1h"), Err(Unmeasured::Order));
        assert_eq!(duration("1s1s"), Err(Unmeasured::Order));
        assert_eq!(duration("99999999999999999999s"), Err(Unmeasured::TooLarge));
        assert_eq!(duration("18446744073709551615d"), Err(Unmeasured::TooLarge));
    }

    #[test]
    fn sizes_read_as_written() {
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("25MB"), Ok(25_000_000));
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(size("1mib"), Err(Unmeasured::UnknownUnit("mib".to_owned())));
        assert_eq!(size("10"), Err(Unmeasured::NoUnit));
        assert_eq!(size("18446744073709551615GiB"), Err(Unmeasured::TooLarge));
    }

    #[test]
    fn what_is_written_reads_back() {
        for millis in [0, 1, 999, 1000, 5_400_000, 86_400_001] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&write_duration(value)), Ok(value));
        }
        for bytes in [0, 1, 1024, 1025, 1 << 20, 3 << 30] {
            assert_eq!(size(&write_size(bytes)), Ok(bytes));
        }
    }
}
