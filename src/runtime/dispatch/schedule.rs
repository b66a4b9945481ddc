//! When a request that was not taken is tried again.

use std::time::Duration;

use crate::base::UnixMillis;

/// A request that is too old is given up only after this number of failed attempts,
const ATTEMPTS: u32 = 3;
/// and only by a process that has been running for this long, or for the whole time after which it gives up.
const RUNNING: Duration = Duration::from_secs(3600);

/// Doubles from `first` up to `longest`, half of it left to chance, so that what failed together does not come back
/// together. `failures` counts from 1; `chance` is from 0 to 1.
pub fn pause(first: Duration, longest: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|times| first.checked_mul(times));
    let whole = doubled.unwrap_or(longest).min(longest);
    whole / 2 + (whole / 2).mul_f64(chance.clamp(0.0, 1.0))
}

/// The instant of the next attempt. What the server asks for counts where it is later, up to the longest wait.
pub fn due(now: UnixMillis, pause: Duration, retry_after: Duration, longest: Duration) -> UnixMillis {
    now.plus(pause.max(retry_after.min(longest)))
}

/// Whether a request that failed `failures` times is too old. Age alone does not say so: while this process did not run nobody was
/// asked, and the upstream may come up a moment after it.
pub fn is_too_old(age: Duration, give_up_after: Duration, failures: u32, running: Duration) -> bool {
    age >= give_up_after && failures >= ATTEMPTS && running >= RUNNING.min(give_up_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn it_doubles_up_to_the_longest_and_half_of_it_is_chance() {
        for (failures, whole) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (40, 60), (u32::MAX, 60)] {
            let whole = Duration::from_secs(whole);
            assert_eq!(pause(SECOND, LONGEST, failures, 0.0), whole / 2, "{failures}");
            assert_eq!(pause(SECOND, LONGEST, failures, 1.0), whole, "{failures}");
        }
        assert_eq!(pause(LONGEST, SECOND, 1, 1.0), SECOND);
        assert_eq!(pause(SECOND, LONGEST, 0, 1.0), SECOND);
    }

    #[test]
    fn a_servers_retry_after_counts_where_it_is_later_and_has_a_bound() {
        let now = UnixMillis::from_secs(1000);
        let due = |pause, retry_after| due(now, pause, retry_after, LONGEST);
        assert_eq!(due(SECOND, Duration::ZERO), now.plus(SECOND));
        assert_eq!(due(SECOND, SECOND * 5), now.plus(SECOND * 5));
        assert_eq!(due(SECOND * 9, SECOND), now.plus(SECOND * 9));
        assert_eq!(due(SECOND, Duration::from_secs(1_000_000)), now.plus(LONGEST));
    }

    #[test]
    fn age_alone_gives_nothing_up() {
        let (day, hour) = (Duration::from_secs(24 * 3600), Duration::from_secs(3600));
        assert!(is_too_old(day * 4, day * 3, 3, hour));
        assert!(!is_too_old(day * 2, day * 3, 300, day * 2), "not old");
        assert!(!is_too_old(day * 4, day * 3, 2, day), "hardly tried");
        assert!(!is_too_old(day * 4, day * 3, 30, SECOND * 10), "the relay has only just started");
        assert!(is_too_old(SECOND * 10, SECOND * 10, 3, SECOND * 10), "a short patience needs no hour");
    }
}
