//! How far a certificate's life has gone.
//!
//! By share of its life and never by days: a certificate of six days is as ordinary as one of a year. Whoever renews by itself
//! does so at two thirds, so the last third says that nobody did.

/// From when to when it is good, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The first second.
    pub not_before: i64,
    /// The last one.
    pub not_after: i64,
}

/// Where in its life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not good yet.
    NotYet,
    /// There is time.
    Good,
    /// It should have been renewed.
    LastThird,
    /// It is good no longer.
    Expired,
}

impl Lifetime {
    /// The phase at this moment, in seconds since the epoch.
    pub fn phase(self, now: i64) -> Phase {
        let life = self.not_after.saturating_sub(self.not_before);
        match self.left(now) {
            i64::MIN..0 => Phase::Expired,
            _ if now < self.not_before => Phase::NotYet,
            left if left < life / 3 => Phase::LastThird,
            _ => Phase::Good,
        }
    }

    /// Seconds until it ends; negative once it has.
    pub fn left(self, now: i64) -> i64 {
        self.not_after.saturating_sub(now)
    }
}

/// `5 days`, or hours where it is less than two days.
pub fn in_words(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    let (count, unit) = if seconds < 2 * DAY { (seconds / HOUR, "hour") } else { (seconds / DAY, "day") };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_any_length_is_in_its_last_third_at_two_thirds() {
        const DAY: i64 = 86_400;
        for (days, hours, expected) in [
            (366, 0, Phase::Good),
            (366, 24 * 243, Phase::Good),
            (366, 24 * 245, Phase::LastThird),
            (366, 24 * 366, Phase::LastThird),
            (366, 24 * 366 + 1, Phase::Expired),
            (90, 24 * 59, Phase::Good),
            (90, 24 * 61, Phase::LastThird),
            (6, 24 * 3, Phase::Good),
            (6, 24 * 4 + 1, Phase::LastThird),
            (6, -1, Phase::NotYet),
        ] {
            let lifetime = Lifetime { not_before: 0, not_after: days * DAY };
            assert_eq!(lifetime.phase(hours * 3600), expected, "{days} days, after {hours} h");
        }
        let whole = Lifetime { not_before: i64::MIN, not_after: i64::MAX };
        assert_eq!(whole.phase(0), Phase::Good);
    }

    #[test]
    fn what_is_left_is_said_in_hours_near_the_end() {
        let said = [3 * 86_400 + 5, 2 * 86_400, 2 * 86_400 - 1, 3600, 5].map(in_words);
        assert_eq!(said, ["3 days", "2 days", "47 hours", "1 hour", "0 hours"]);
    }
}
