//! A baseline as words, so that a restart does not reset it.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::UnixMillis;

use super::{KNOWN_BY, Slow, TrafficBaseline};

impl TrafficBaseline {
    /// What a restart must not forget, as of now.
    pub fn keep(&self, now: UnixMillis) -> String {
        let mut slow = self.lock();
        self.fold(&mut slow, now);
        let mut kept = format!("at={} count={}", now.0, self.count.load(Relaxed));
        let mut word = |name: &str, value: Option<UnixMillis>| {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(kept, " {name}={}", value.0);
            }
        };
        word("last", self.last());
        word("downtime", Some(UnixMillis(self.downtime.load(Relaxed))));
        word("born", slow.born);
        word("first", slow.first);
        word("silent", slow.silent);
        for (day, pause) in &slow.days {
            let _ = write!(kept, " {day}:{pause}");
        }
        kept
    }

    /// Takes up what [`TrafficBaseline::keep`] gave to an earlier process. The time between the two counts as neither pause nor
    /// quiet: no relay was running. Words it does not know are passed over.
    pub fn restore(&self, kept: &str, now: UnixMillis) {
        let number = |name: &str| {
            let mut words = kept.split(' ').filter_map(|word| word.split_once('='));
            words.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse::<i64>().ok())
        };
        let time = |name: &str| number(name).map(UnixMillis);
        let Some(at) = number("at") else { return };
        let mut slow = self.lock();
        let days = kept.split(' ').filter_map(|word| word.split_once(':'));
        *slow = Slow {
            days: days.filter_map(|(day, pause)| Some((day.parse().ok()?, pause.parse().ok()?))).collect(),
            born: time("born"),
            first: time("first"),
            silent: time("silent"),
        };
        let downtime = now.0.saturating_sub(at).max(0).saturating_add(number("downtime").unwrap_or_default().max(0));
        self.downtime.store(downtime, Relaxed);
        self.last.store(number("last").unwrap_or_default(), Relaxed);
        let count = number("count").and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
        self.count.store(count.min(KNOWN_BY), Relaxed);
        self.fold(&mut slow, now);
    }
}
