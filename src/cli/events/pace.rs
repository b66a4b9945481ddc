//! How fast a bulk job goes.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A rate, and when the next step may be taken.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `10/s`, `30/m`, `100/h`; a bare number is per second.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no rate; expected something like 10/s, 30/m or 100/h");
        let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
        let span = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        let count = count.parse().ok().filter(|count: &u32| (1..=100_000).contains(count)).ok_or_else(wrong)?;
        Ok(Self { interval: Duration::from_secs(span) / count, next: None })
    }

    /// Waits for the next step's time.
    pub(super) async fn step(&mut self) {
        let at = self.slot(Instant::now());
        sleep_until(at).await;
    }

    /// When a step that is ready now may be taken. Steps that were late are not made up for: a slow answer must not be
    /// followed by a burst.
    fn slot(&mut self, now: Instant) -> Instant {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + self.interval);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_evenly_spaced_and_never_in_a_burst() {
        let begin = Instant::now();
        let mut pace = Pace::parse("10/s").unwrap();
        let ms = |at: Instant| at.duration_since(begin).as_millis();
        // All are ready at once: one each tenth of a second.
        let slots: Vec<_> = (0..5).map(|_| ms(pace.slot(begin))).collect();
        assert_eq!(slots, [0, 100, 200, 300, 400]);
        // The next is ready only after two seconds: it goes at once, and the one behind it waits its turn.
        let late = begin + Duration::from_secs(2);
        assert_eq!(ms(pace.slot(late)), 2000);
        assert_eq!(ms(pace.slot(late)), 2100);
    }

    #[test]
    fn rates_have_a_unit() {
        let interval = |text: &str| Pace::parse(text).map(|pace| pace.interval);
        assert_eq!(interval("10/s"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("4"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("30/m"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("1/h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "0/s", "x", "1/d", "-1", "1.5/s", "1/", "/s", "1000000/s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
