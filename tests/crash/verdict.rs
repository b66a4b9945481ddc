//! What must hold between what senders were told and what the inside got.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::inside::{Arrival, Inside};
use crate::senders::{Account, System, Told};

/// Counts of one whole test.
#[derive(Debug, Default)]
pub struct Verdict {
    pub sent: usize,
    pub acknowledged: usize,
    /// Events that arrived at all.
    pub delivered: usize,
    /// Arrivals beyond the first that was taken, but for those that an operator asked for.
    pub duplicates: usize,
    /// Taken by an application that then hung up.
    pub hung_up: usize,
    /// Of events that their sender sent again because it had no answer.
    pub sent_again: usize,
    /// What a sender was answered beside 200.
    pub others: BTreeMap<u16, usize>,
    pub longest: Duration,
    /// Acknowledged, and never taken.
    pub lost: Vec<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} acknowledged of {} sent ({} again, for want of an answer), {} delivered, {} duplicates, {} lost; other \
             answers {:?}, the longest took {:?}",
            self.acknowledged,
            self.sent,
            self.sent_again,
            self.delivered,
            self.duplicates,
            self.lost.len(),
            self.others,
            self.longest
        )
    }
}

/// The marks of everything acknowledged that has not been taken yet.
pub fn missing(told: &[Told], arrivals: &[Arrival]) -> Vec<String> {
    let taken: std::collections::BTreeSet<_> =
        arrivals.iter().filter(|arrival| arrival.taken).map(|arrival| arrival.mark.as_str()).collect();
    told.iter()
        .filter(|told| told.acknowledged && !taken.contains(told.mark.as_str()))
        .map(|told| told.mark.clone())
        .collect()
}

/// Waits until everything acknowledged was taken; what is missing after `patience` is lost.
pub fn lost(account: &Account, inside: &Inside, patience: Duration) -> Vec<String> {
    let told = account.told();
    inside.until(patience, |arrivals| missing(&told, arrivals).is_empty());
    missing(&told, &inside.arrivals())
}

/// Judges everything that ever happened between these senders and this inside. What fails here panics; only losses and
/// counts are given back.
pub fn judge(account: &Account, inside: &Inside) -> Verdict {
    let (told, arrivals) = (account.told(), inside.arrivals());
    let hung_up = arrivals.iter().filter(|arrival| arrival.taken && arrival.hung_up).count();
    let mut verdict = Verdict { sent: told.len(), hung_up, lost: missing(&told, &arrivals), ..Verdict::default() };
    let mut by_mark: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
    for arrival in &arrivals {
        by_mark.entry(arrival.mark.as_str()).or_default().push(arrival);
    }
    for told in &told {
        verdict.acknowledged += usize::from(told.acknowledged);
        verdict.longest = verdict.longest.max(told.took);
        for status in &told.others {
            *verdict.others.entry(*status).or_default() += 1;
        }
        let Some(arrivals) = by_mark.remove(told.mark.as_str()) else { continue };
        verdict.delivered += 1;
        verdict.sent_again += usize::from(told.sent > 1);
        verdict.duplicates +=
            arrivals.iter().filter(|arrival| arrival.taken && !arrival.redelivery).count().saturating_sub(1);
        marked(told, &arrivals);
    }
    assert!(by_mark.is_empty(), "arrived, and was never sent: {:?}", by_mark.keys());
    in_order(&arrivals);
    verdict
}

/// Every arrival of a request after its first has a higher attempt number, and so is marked as a possible duplicate.
fn marked(told: &Told, arrivals: &[&Arrival]) {
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for arrival in arrivals {
        let before = last.insert(&arrival.request_id, arrival.attempt).unwrap_or(0);
        assert!(arrival.attempt > before, "attempt {} after {before}: {told:?} {arrivals:#?}", arrival.attempt);
    }
    // A request that was stored and whose answer was lost is known when it is sent again, and one that was answered 503
    // may have been stored all the same. With failover the inside may have it before it is stored, and then nobody knows
    // it after a crash: its sender's repetition is a new request. So is that of a sender who gives its events no id.
    if told.system == System::Oktave {
        assert!(last.len() <= 1 + told.others.len(), "taken as several requests: {told:?} {arrivals:#?}");
    }
    assert!(last.len() <= told.sent as usize, "more requests than were sent: {told:?} {arrivals:#?}");
}

/// Of the ordered route: each sender waits for its answer, so its numbers never go down.
fn in_order(arrivals: &[Arrival]) {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.route == "octolis" && !arrival.redelivery) {
        let (sender, number) = arrival.mark.rsplit_once('-').unwrap();
        let before = last.insert(sender, number).unwrap_or("");
        assert!(before <= number, "{sender}: {number} after {before}");
    }
}
