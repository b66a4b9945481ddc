use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// Monday, 2026-11-16T00:00:00Z.
const MONDAY: UnixMillis = UnixMillis(1_794_787_200_000);

/// Lets time pass minute by minute, with a request in each minute since Monday that `calls`, and gives every turn with its
/// time.
fn pass(
    baseline: &TrafficBaseline,
    from: UnixMillis,
    hours: u32,
    calls: impl Fn(u32) -> bool,
) -> Vec<(UnixMillis, Change)> {
    let before = u32::try_from((from.0 - MONDAY.0) / 60_000).unwrap_or_default();
    let minutes = (0..hours * 60).map(|minute| (before + minute, from.plus(MINUTE * minute)));
    let turn = |(minute, now)| {
        if calls(minute) {
            baseline.heard(now);
        }
        baseline.turn(Limit::Baseline, now).map(|turn| (now, turn))
    };
    minutes.filter_map(turn).collect()
}

/// Every ten minutes from 8 to 18 o'clock, Monday to Friday.
fn office(minute: u32) -> bool {
    let (hour, day) = (minute / 60 % 24, minute / 60 / 24 % 7);
    minute.is_multiple_of(10) && (8..18).contains(&hour) && day < 5
}

fn after_two_weeks() -> (TrafficBaseline, UnixMillis) {
    let baseline = TrafficBaseline::default();
    pass(&baseline, MONDAY, 7 * 24 + 9, office);
    let turns = pass(&baseline, MONDAY.plus((7 * 24 + 9) * HOUR), 7 * 24, office);
    assert_eq!(turns, [], "nights and a weekend are baseline by now");
    (baseline, MONDAY.plus((14 * 24 + 9) * HOUR))
}

#[test]
fn nights_and_weekends_do_not_alarm_after_a_week() {
    after_two_weeks();
}

#[test]
fn a_new_quiet_does() {
    let (baseline, monday_morning) = after_two_weeks();
    // The weekend had 62 hours and 10 minutes between its two requests.
    let turns = pass(&baseline, monday_morning, 7 * 24, |_| false);
    let [(at, Change::Inactive { quiet, usual })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!(usual, 62 * HOUR + 10 * MINUTE);
    assert_eq!(quiet, usual * 3 / 2 + MINUTE);
    assert!(at > monday_morning && baseline.is_inactive());
    // Back, once.
    let later = monday_morning.plus(8 * 24 * HOUR);
    let turns = pass(&baseline, later, 1, |_| true);
    let [(_, Change::Active { quiet })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!(quiet, 8 * 24 * HOUR + 10 * MINUTE);
    assert!(!baseline.is_inactive());
}

#[test]
fn a_busy_provider_is_missed_soon_but_never_within_a_quarter_of_an_hour() {
    let baseline = TrafficBaseline::default();
    assert_eq!(pass(&baseline, MONDAY, 2, |_| true), []);
    let turns = pass(&baseline, MONDAY.plus(2 * HOUR), 1, |_| false);
    let [(_, Change::Inactive { quiet, usual })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((quiet, usual), (16 * MINUTE, MINUTE));
}

#[test]
fn few_requests_are_no_habit() {
    let baseline = TrafficBaseline::default();
    assert_eq!(pass(&baseline, MONDAY, 71, |minute| minute < 30), []);
    let baseline = TrafficBaseline::default();
    assert_eq!(pass(&baseline, MONDAY, 200, |minute| minute == 0), [], "one request has no pause");
    let baseline = TrafficBaseline::default();
    let turns = pass(&baseline, MONDAY, 90, |minute| minute < 30);
    assert!(matches!(turns[..], [(_, Change::Inactive { .. })]), "three days are: {turns:?}");
}

#[test]
fn a_pause_is_forgotten_after_two_weeks() {
    let baseline = TrafficBaseline::default();
    let often = |minute: u32| !(60..=600).contains(&minute);
    pass(&baseline, MONDAY, 24, often);
    assert_eq!(baseline.lock().usual(), 9 * HOUR + 2 * MINUTE);
    pass(&baseline, MONDAY.plus(24 * HOUR), 13 * 24 - 1, |_| true);
    assert_eq!(baseline.lock().usual(), 9 * HOUR + 2 * MINUTE);
    pass(&baseline, MONDAY.plus((14 * 24 - 1) * HOUR), 2, |_| true);
    assert_eq!(baseline.lock().usual(), MINUTE);
    assert!(baseline.lock().days.len() <= DAYS);
}

#[test]
fn nothing_is_forgotten_while_it_is_quiet() {
    let baseline = TrafficBaseline::default();
    let days = |count: u32| 24 * count;
    let turns = pass(&baseline, MONDAY, days(31), |minute| minute.is_multiple_of(10 * 24 * 60));
    assert_eq!(turns, [], "every ten days is a baseline too");
    let turns = pass(&baseline, MONDAY.plus(days(31) * HOUR), days(30), |_| false);
    let [(at, Change::Inactive { usual, .. })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((usual, at), (days(10) * HOUR, MONDAY.plus(days(45) * HOUR + MINUTE)));
}

#[test]
fn a_clock_that_jumps_back_is_harmless() {
    let (baseline, now) = after_two_weeks();
    for back in [HOUR, 30 * HOUR, 24 * 365 * HOUR] {
        let then = now.minus(back);
        assert_eq!(baseline.turn(Limit::Baseline, then), None, "{back:?}");
        assert_eq!(pass(&baseline, then, 60, |_| false), [], "still usual");
        assert_eq!(baseline.lock().usual(), 62 * HOUR + 10 * MINUTE, "the baseline is kept");
        baseline.heard(then.plus(60 * HOUR));
    }
    // Between two looks of upkeep, with requests on both sides.
    let baseline = TrafficBaseline::default();
    baseline.heard(MONDAY.plus(HOUR));
    baseline.heard(MONDAY);
    baseline.heard(MONDAY.plus(MINUTE));
    baseline.turn(Limit::Baseline, MONDAY.plus(MINUTE));
    assert_eq!(baseline.lock().usual(), MINUTE);
}

#[test]
fn a_clock_that_was_years_ahead_leaves_no_pause_of_years() {
    let baseline = TrafficBaseline::default();
    baseline.heard(MONDAY);
    baseline.heard(MONDAY.plus(24 * 1000 * HOUR));
    baseline.turn(Limit::Baseline, MONDAY);
    assert_eq!(baseline.lock().usual(), Duration::ZERO);
}

#[test]
fn a_restart_does_not_reset() {
    let (baseline, now) = after_two_weeks();
    pass(&baseline, now, 40, |_| false);
    let now = now.plus(40 * HOUR);
    let kept = baseline.keep(now);
    let after = TrafficBaseline::default();
    // Ten days in which no relay was running.
    let now = now.plus(240 * HOUR);
    after.restore(&kept, now);
    assert_eq!(after.last(), baseline.last());
    assert_eq!(pass(&after, now, 52, |_| false), [], "40 and 52 hours of quiet are still usual");
    assert!(
        matches!(pass(&after, now.plus(52 * HOUR), 2, |_| false)[..], [(_, Change::Inactive { .. })]),
        "94 are not"
    );

    // An alarm is not given twice, and the time without a relay is no pause.
    let twice = TrafficBaseline::default();
    twice.restore(&after.keep(now.plus(54 * HOUR)), now.plus(60 * HOUR));
    assert!(twice.is_inactive());
    assert_eq!(twice.turn(Limit::Baseline, now.plus(60 * HOUR)), None);
    twice.heard(now.plus(60 * HOUR));
    assert!(matches!(twice.turn(Limit::Baseline, now.plus(60 * HOUR)), Some(Change::Active { .. })));
    assert_eq!(twice.lock().usual(), (40 + 54) * HOUR + 10 * MINUTE);
}

#[test]
fn what_is_no_habit_restores_nothing() {
    let baseline = TrafficBaseline::default();
    for kept in ["", "at=x", "last=5 count=99", "at=1 7:x :: = count=-1 downtime=-9"] {
        baseline.restore(kept, MONDAY);
        assert_eq!((baseline.last(), baseline.is_inactive()), (None, false), "{kept}");
    }
}

#[test]
fn a_fixed_time_holds_from_the_beginning() {
    let baseline = TrafficBaseline::default();
    let limit = Limit::After(HOUR);
    assert_eq!(baseline.turn(limit, MONDAY), None);
    assert_eq!(baseline.turn(limit, MONDAY.plus(HOUR)), None);
    let now = MONDAY.plus(HOUR + MINUTE);
    assert_eq!(baseline.turn(limit, now), Some(Change::Inactive { quiet: HOUR + MINUTE, usual: HOUR }));
    assert_eq!(baseline.turn(limit, now), None);
    baseline.heard(now);
    assert!(matches!(baseline.turn(limit, now), Some(Change::Active { .. })));
    assert_eq!(baseline.turn(limit, now.plus(HOUR)), None);
    assert_eq!(baseline.turn(Limit::Never, now.plus(9 * HOUR)), None);
    assert!(!baseline.is_inactive());
}

#[test]
fn a_reload_that_allows_more_ends_the_alarm() {
    let baseline = TrafficBaseline::default();
    baseline.heard(MONDAY);
    assert!(baseline.turn(Limit::After(HOUR), MONDAY.plus(2 * HOUR)).is_some());
    assert_eq!(baseline.turn(Limit::After(3 * HOUR), MONDAY.plus(2 * HOUR)), None);
    assert!(!baseline.is_inactive());
}
