//! When the sender receives success, and what becomes of a request that was stored.

use std::time::Duration;

use toml::Spanned;

use super::super::recipes::Suggested;
use super::super::values::{Between, join, millis, number, shown};
use super::super::{Compiler, Named};
use crate::config::near::nearest;
use crate::config::quantity::{self, write_duration};
use crate::config::raw::{RawAnswer, RawQuantity, RawRetry, RawRoute};
use crate::runtime::snapshot::{Delivery, InactivityAlert, Retry, Verification};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Below this a quarter of the deadline, which is what the store has, is less than a busy disk may need.
const SHORT: Duration = Duration::from_secs(1);
const INACTIVE_FOR: Between<Duration> = millis(DAY, MINUTE, 365 * DAY);
const INACTIVITY_ALERT: &str = "write \"baseline\", \"off\", or a duration such as \"6h\"";
/// This many failures are remembered: a larger budget would never be spent.
const MOST_FAILURES: u64 = 1000;
const ADD_STORE: &str = "add [store] with sqlite = { path = \"…\" }, or remove it";

/// Everything that a route says of delivery.
pub(super) struct Deliveries {
    pub(super) delivery: Delivery,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    pub(super) ordered: bool,
    pub(super) keep_body: bool,
    pub(super) error_budget: Option<u32>,
    pub(super) inactivity_alert: InactivityAlert,
}

impl Compiler<'_> {
    pub(super) fn deliveries(&mut self, raw: &RawRoute, key: &str, named: &Named, suggested: &Suggested) -> Deliveries {
        let words = [("direct", Delivery::Direct), ("failover", Delivery::Failover), ("queue", Delivery::Queue)];
        let default = if named.has_store { Delivery::Failover } else { Delivery::Direct };
        let delivery = self.word(&raw.delivery, &join(key, "delivery"), &words, default);
        let ordered = raw.ordered.as_ref().is_some_and(|ordered| *ordered.get_ref());
        let concurrency = self.concurrency(raw, key, ordered);
        let retry = self.retry(raw.retry.as_ref().map(Spanned::get_ref), &join(key, "retry"));
        let own = raw.error_budget.as_ref().map(|_| {
            let range = number(1, 1, MOST_FAILURES);
            let count = self.count_with(&raw.error_budget, &join(key, "error_budget"), range, "leave it out for none");
            u32::try_from(count).unwrap_or(u32::MAX)
        });
        let error_budget = own.or(suggested.error_budget);
        let error_budget = error_budget.map(|budget| budget.min(u32::try_from(MOST_FAILURES).unwrap_or(budget)));
        let keep_body = raw.keep_body.as_ref().is_some_and(|keep| *keep.get_ref());
        let inactivity_alert = self.inactivity_alert(raw, key, named);
        if named.has_store {
            self.only_stored(raw, key, delivery, error_budget);
        } else {
            self.needs_store(raw, key, delivery);
        }
        Deliveries { delivery, retry, concurrency, ordered, keep_body, error_budget, inactivity_alert }
    }

    /// Rules between delivery and the rest of the route.
    pub(super) fn delivery_together(
        &mut self,
        raw: &RawRoute,
        key: &str,
        deliveries: &Deliveries,
        deadline: Duration,
        verify: Option<&Verification>,
    ) {
        let delivery = deliveries.delivery;
        if let Some(at) = &raw.answer
            && delivery == Delivery::Queue
            && matches!(at.get_ref(), RawAnswer::Word(word) if word == "upstream")
        {
            let what = "the sender is answered before the upstream is asked, so no answer of the upstream can go out";
            let help = "remove answer, or write delivery = \"failover\"";
            self.reject(at, &join(key, "answer"), what, help);
        }
        if let Some(at) = &raw.deadline
            && delivery == Delivery::Failover
            && deadline < SHORT
        {
            let what =
                format!("leaves {} for the store, and a busy disk may need longer", write_duration(deadline / 4));
            let help = "give it 1s or more; what is not stored in time is answered 503";
            self.warn(at, &join(key, "deadline"), what, help);
        }
        if let Some(at) = &raw.delivery
            && delivery != Delivery::Direct
            && matches!(verify, Some(Verification::DangerouslyNone))
        {
            let what = "nothing proves that requests are genuine, so whoever reaches the route can fill the store";
            self.warn(at, &join(key, "delivery"), what, "give the route an address list and a rate");
        }
    }

    fn concurrency(&mut self, raw: &RawRoute, key: &str, ordered: bool) -> usize {
        let key = join(key, "concurrency");
        let count = self.count(&raw.concurrency, &key, number(16, 1, 1024));
        if let Some(at) = raw.concurrency.as_ref().filter(|_| ordered && count > 1) {
            let what = "requests in order are delivered one after the other";
            self.reject(at, &key, what, "remove concurrency, or remove ordered");
        }
        if ordered { 1 } else { usize::try_from(count).unwrap_or(1) }
    }

    fn retry(&mut self, raw: Option<&RawRetry>, key: &str) -> Retry {
        let nothing = RawRetry::default();
        let raw = raw.unwrap_or(&nothing);
        let first = self.duration(&raw.first, &join(key, "first"), millis(1000, 10, HOUR));
        let max = self.duration(&raw.max, &join(key, "max"), millis(10 * MINUTE, 10, DAY));
        let give_up_after =
            self.duration(&raw.give_up_after, &join(key, "give_up_after"), millis(3 * DAY, 1000, 365 * DAY));
        let timeout = self.duration(&raw.timeout, &join(key, "timeout"), millis(30_000, 100, HOUR));
        let attempts = raw.attempts.as_ref().map(|_| {
            let help = "leave it out: only time decides";
            let count = self.count_with(&raw.attempts, &join(key, "attempts"), number(1, 1, 1_000_000), help);
            u32::try_from(count).unwrap_or(u32::MAX)
        });
        if first > max
            && let Some((name, at)) =
                [("first", &raw.first), ("max", &raw.max)].into_iter().find_map(|(name, at)| Some((name, at.as_ref()?)))
        {
            let what = format!(
                "the first wait ({}) is longer than the longest ({})",
                write_duration(first),
                write_duration(max)
            );
            self.reject(at, &join(key, name), what, "lower first or raise max");
        }
        Retry { first, max, give_up_after, attempts, timeout }
    }

    fn inactivity_alert(&mut self, raw: &RawRoute, key: &str, named: &Named) -> InactivityAlert {
        let default = if named.has_store { InactivityAlert::Baseline } else { InactivityAlert::Off };
        let Some(at) = &raw.inactivity_alert else { return default };
        let key = join(key, "inactivity_alert");
        let RawQuantity::Text(text) = at.get_ref() else {
            self.reject(at, &key, "a number without a unit", INACTIVITY_ALERT);
            return default;
        };
        match text.as_str() {
            "off" => return InactivityAlert::Off,
            "baseline" if named.has_store => return InactivityAlert::Baseline,
            "baseline" => {
                let what = "\"baseline\" needs the store, which remembers when requests came";
                self.reject(at, &key, what, "add [store], or write a duration such as \"6h\"");
            }
            _ => match quantity::duration(text) {
                Ok(after) if (INACTIVE_FOR.min..=INACTIVE_FOR.max).contains(&after) => {
                    return InactivityAlert::After(after);
                }
                Ok(_) => {
                    let (min, max) = (write_duration(INACTIVE_FOR.min), write_duration(INACTIVE_FOR.max));
                    self.reject(at, &key, format!("expected {min} to {max}, found \"{text}\""), INACTIVITY_ALERT);
                }
                Err(_) => {
                    let what = format!("\"{}\" is neither a duration nor known here", shown(text));
                    let help = match nearest(text, ["baseline", "off"]) {
                        Some(word) => format!("did you mean \"{word}\"? {INACTIVITY_ALERT}"),
                        None => INACTIVITY_ALERT.to_owned(),
                    };
                    self.reject(at, &key, what, help);
                }
            },
        }
        default
    }

    /// What a route without `[store]` cannot have.
    fn needs_store(&mut self, raw: &RawRoute, key: &str, delivery: Delivery) {
        if let Some(at) = raw.delivery.as_ref().filter(|_| delivery != Delivery::Direct) {
            let what = format!("\"{}\" needs the store, and there is no [store]", delivery.as_str());
            self.reject(
                at,
                &join(key, "delivery"),
                what,
                "add [store] with sqlite = { path = \"…\" }, or write \"direct\"",
            );
        }
        let what = "needs the store, and there is no [store]";
        for (name, span) in
            stored_only(raw).into_iter().chain([("keep_body", raw.keep_body.as_ref().map(Spanned::span))])
        {
            if let Some(span) = span {
                self.problems.add(Some(span), join(key, name), what, Some(ADD_STORE.to_owned()));
            }
        }
    }

    /// A direct route stores only what its provider's error budget makes it store.
    fn only_stored(&mut self, raw: &RawRoute, key: &str, delivery: Delivery, error_budget: Option<u32>) {
        if delivery != Delivery::Direct || error_budget.is_some() {
            return;
        }
        for (name, span) in stored_only(raw) {
            if let Some(span) = span {
                let what = "says nothing here: delivery is direct, and no error budget ever makes it use the store";
                let help = "remove it, or write delivery = \"failover\"";
                self.problems.warn(Some(span), join(key, name), what, Some(help.to_owned()));
            }
        }
    }
}

type Span = std::ops::Range<usize>;

/// Settings of what was stored, where they stand.
fn stored_only(raw: &RawRoute) -> [(&'static str, Option<Span>); 3] {
    [
        ("ordered", raw.ordered.as_ref().map(Spanned::span)),
        ("concurrency", raw.concurrency.as_ref().map(Spanned::span)),
        ("retry", raw.retry.as_ref().map(Spanned::span)),
    ]
}
