//! When a request that was not taken is tried again.

use std::time::Duration;

use crate::base::UnixMillis;

/// The longest time that a server may ask for with `Retry-After`, whatever the route's own longest wait is.
pub const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Doubles from `first` up to `longest`, half of it left to chance, so that what failed together does not come back
/// together. `failures` counts from 1; `chance` is from 0 to 1.
pub fn pause(first: Duration, longest: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|times| first.checked_mul(times));
    let whole = doubled.unwrap_or(longest).min(longest);
    whole / 2 + (whole / 2).mul_f64(chance.clamp(0.0, 1.0))
}

/// The instant of the next attempt. What the server asks for counts where it is later.
pub fn due(now: UnixMillis, pause: Duration, wish: Duration) -> UnixMillis {
    now.plus(pause.max(wish.min(LONGEST_WISH)))
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
    fn a_servers_wish_counts_where_it_is_later_and_has_a_bound() {
        let now = UnixMillis::from_secs(1000);
        assert_eq!(due(now, SECOND, Duration::ZERO), now.plus(SECOND));
        assert_eq!(due(now, SECOND, LONGEST), now.plus(LONGEST));
        assert_eq!(due(now, LONGEST, SECOND), now.plus(LONGEST));
        assert_eq!(due(now, SECOND, Duration::from_secs(1_000_000)), now.plus(LONGEST_WISH));
    }
}
