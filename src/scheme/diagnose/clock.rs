//! Why a time was refused: written in another unit or format, a clock that is wrong, a time zone.

use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::Refusal;
use crate::scheme::compiled::TimeSpec;
use crate::scheme::examine::span;
use crate::scheme::timestamp::TimeFormat;
use crate::scheme::words;

/// A difference that is this near to whole half hours looks like a time zone.
const ZONE: Duration = Duration::from_secs(90);

/// What is worth knowing of a time that was refused.
pub(super) fn findings(time: &TimeSpec, text: Option<&[u8]>, now: UnixMillis) -> Vec<String> {
    let place = words::time_place(time);
    let (Some(window), Some(text)) = (time.window, text) else {
        return vec![format!("the sender must put its time into {place}")];
    };
    let fits = |at: &UnixMillis| window.check(*at, now).is_ok();
    let trimmed = text.trim_ascii();
    for format in TimeFormat::ALL.into_iter().filter(|format| *format != time.format) {
        if format.read(trimmed).as_ref().is_some_and(fits) {
            return vec![format!(
                "{place} is written as {} where the scheme has {}: read so it would be inside the window; set the \
                 scheme's format, or have the sender write it so",
                format.as_str(),
                time.format.as_str()
            )];
        }
    }
    let Some(at) = time.format.read(text) else {
        let other = TimeFormat::ALL.into_iter().find(|format| format.read(trimmed).is_some());
        return vec![match other {
            Some(other) => {
                format!("{place} is written as {} where the scheme has {}", other.as_str(), time.format.as_str())
            }
            None if time.format.read(trimmed).is_some() => {
                format!("there are blanks around {place}: have the sender leave them out")
            }
            None => format!("{place} is a time in none of the known formats"),
        }];
    };
    let apart = Duration::from_millis(at.0.abs_diff(now.0));
    let half_hours = apart.as_secs() % 1800;
    let zone = half_hours.min(1800 - half_hours) <= ZONE.as_secs() && (1700..=15 * 3600).contains(&apart.as_secs());
    let over = |room: Duration| (span(apart.saturating_sub(room)), span(apart));
    let mut found = Vec::new();
    match window.check(at, now) {
        Err(Refusal::TimestampStale) => {
            let (over, apart) = over(window.back);
            found.push(format!(
                "it is {over} too old: a retry that says the time of its first attempt, a request that was held up on its \
                 way, or a sender's clock that is {apart} behind ours"
            ));
            if zone {
                found.push(format!(
                    "only if every request of this sender is {apart} old: it may send a local time as UTC"
                ));
            }
        }
        Err(Refusal::TimestampAhead) => {
            let (over, apart) = over(window.ahead);
            found.push(format!(
                "it is {over} too far ahead: the sender's clock, or ours, is wrong by about {apart}; compare both with a \
                 time server"
            ));
            if zone {
                found.push(
                    "the difference is close to whole half hours: a local time may have been sent as UTC".to_owned(),
                );
            }
        }
        _ => {}
    }
    found
}
