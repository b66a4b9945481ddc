use super::*;

const NOW: UnixMillis = UnixMillis(1_795_341_600_000);
const HOUR: Duration = Duration::from_hours(1);

#[test]
fn the_last_safe_failure_does_not_happen() {
    let budget = Budget::default();
    for count in 1..=4 {
        assert!(!budget.last_safe(5, NOW), "after {}", count - 1);
        budget.spend(Failure::Certain, 5, NOW);
        let spent = budget.spent(5, NOW);
        assert_eq!((spent, spent.is_low()), (Spent { count, left: 5 - count }, count == 4));
    }
    assert!(budget.last_safe(5, NOW));
    assert_eq!(budget.afford(5, NOW), None);
    assert_eq!(budget.failures(5, NOW), 4, "what was not afforded was not counted");
}

#[test]
fn where_there_is_no_other_way_it_is_overspent_and_says_so() {
    let budget = Budget::default();
    for _ in 0..9 {
        budget.spend(Failure::Certain, 5, NOW);
    }
    assert_eq!(budget.spent(5, NOW), Spent { count: 9, left: 0 });
}

#[test]
fn a_failure_counts_for_a_day() {
    let budget = Budget::default();
    budget.spend(Failure::Certain, 2, NOW);
    assert!(budget.last_safe(2, NOW.plus(23 * HOUR)));
    assert!(!budget.last_safe(2, NOW.plus(24 * HOUR)));
    assert_eq!(budget.failures(5, NOW.plus(24 * HOUR)), 0);
}

#[test]
fn a_clock_that_was_set_back_keeps_a_failure_for_a_day_and_not_for_years() {
    let budget = Budget::default();
    budget.spend(Failure::Certain, 5, NOW);
    let back = NOW.minus(10_000 * HOUR);
    assert_eq!(budget.failures(5, back), 1);
    assert_eq!(budget.failures(5, back.plus(23 * HOUR)), 1);
    assert_eq!(budget.failures(5, back.plus(24 * HOUR)), 0);
}

#[test]
fn requests_that_fail_at_once_share_the_places_that_are_left() {
    let budget = Budget::default();
    let afforded: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..100).filter(|_| budget.afford(5, NOW).is_some()).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((afforded, budget.failures(5, NOW)), (4, 4));
}

#[test]
fn the_news_are_told_once_for_each_time() {
    let budget = Budget::default();
    assert_eq!(budget.news(1, NOW), None, "nothing failed yet");
    budget.spend(Failure::Certain, 3, NOW);
    assert_eq!(budget.news(3, NOW), None);
    budget.spend(Failure::Certain, 3, NOW.plus(HOUR));
    assert_eq!(budget.news(3, NOW.plus(HOUR)), Some(Spent { count: 2, left: 1 }));
    budget.spend(Failure::Certain, 3, NOW.plus(HOUR));
    assert_eq!(budget.news(3, NOW.plus(HOUR)), None, "told already");
    assert_eq!(budget.news(3, NOW.plus(30 * HOUR)), None);
    budget.spend(Failure::Certain, 3, NOW.plus(31 * HOUR));
    budget.spend(Failure::Certain, 3, NOW.plus(31 * HOUR));
    assert!(budget.news(3, NOW.plus(31 * HOUR)).is_some(), "it had recovered in between");
}

#[test]
fn a_restart_forgets_nothing_and_tells_nothing_twice() {
    let budget = Budget::default();
    assert_eq!(budget.changed(), None);
    for _ in 0..4 {
        budget.spend(Failure::Certain, 5, NOW);
    }
    assert!(budget.news(5, NOW).is_some());
    let kept = budget.changed().unwrap();
    assert_eq!(budget.changed(), None, "nothing new");
    let after = Budget::default();
    after.restore(&kept, NOW.plus(HOUR));
    assert!(after.last_safe(5, NOW.plus(HOUR)));
    assert_eq!(after.news(5, NOW.plus(HOUR)), None);
    assert_eq!(after.failures(5, NOW.plus(24 * HOUR)), 0);
    for odd in [&[][..], &[9], &[0, 1, 2, 3]] {
        after.restore(odd, NOW);
        assert_eq!(after.failures(5, NOW), 0);
    }
}

#[test]
fn memory_is_bounded() {
    let budget = Budget::default();
    for _ in 0..FAILURES_MAX * 2 {
        budget.spend(Failure::Certain, 5, NOW);
    }
    assert_eq!(budget.failures(5, NOW) as usize, FAILURES_MAX);
    assert!(budget.lock().certain.len() <= FAILURES_MAX);
    assert!(budget.changed().unwrap().len() <= 4096);
}

/// Strangers that are turned away before anything is known of them, as often as they like.
#[test]
fn what_may_have_been_genuine_counts_and_never_spends_the_budget() {
    for budget in [1, 2, 3, 5, 10, 1000] {
        let failures = Budget::default();
        for minute in 0..10_000 {
            failures.spend(Failure::Possible, budget, NOW.plus(Duration::from_secs(minute % 600)));
        }
        let later = NOW.plus(Duration::from_mins(10));
        let spent = failures.spent(budget, later);
        assert_eq!(spent.count, (budget - 1) / 2, "of {budget}");
        assert!(budget == 1 || !spent.is_low(), "{budget}: {spent:?}");
        assert_eq!(failures.news(budget, later), None, "of {budget}");
        // A genuine failure counts beside them.
        failures.spend(Failure::Certain, budget, later);
        assert_eq!(failures.spent(budget, later).count, (budget - 1) / 2 + 1);
    }
}

#[test]
fn what_may_have_been_genuine_is_forgotten_after_a_day_and_not_by_a_restart() {
    let first = Budget::default();
    first.spend(Failure::Possible, 5, NOW);
    first.spend(Failure::Certain, 5, NOW.plus(HOUR));
    let kept = first.changed().unwrap();
    let second = Budget::default();
    second.restore(&kept, NOW.plus(HOUR));
    assert_eq!(second.spent(5, NOW.plus(HOUR)).count, 2);
    assert_eq!(second.spent(2, NOW.plus(HOUR)).count, 1, "of a small budget possible failures spend nothing");
    assert_eq!(second.spent(5, NOW.plus(24 * HOUR)).count, 1);
    // As an older version kept it.
    let third = Budget::default();
    let seconds = u32::try_from(NOW.secs()).unwrap().to_le_bytes();
    third.restore(&[&[1][..], &seconds, &seconds].concat(), NOW);
    assert_eq!(third.spent(5, NOW).count, 2);
}
