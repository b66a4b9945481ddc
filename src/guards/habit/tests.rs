use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// Monday, 2026-11-16T00:00:00Z.
const MONDAY: UnixMillis = UnixMillis(1_794_787_200_000);

/// Lets time pass minute by minute, with a request in each minute since Monday that `calls`, and gives every turn with its
/// time.
fn pass(habit: &Habit, from: UnixMillis, hours: u32, calls: impl Fn(u32) -> bool) -> Vec<(UnixMillis, Turn)> {
    let before = u32::try_from((from.0 - MONDAY.0) / 60_000).unwrap_or_default();
    let minutes = (0..hours * 60).map(|minute| (before + minute, from.plus(MINUTE * minute)));
    let turn = |(minute, now)| {
        if calls(minute) {
            habit.heard(now);
        }
        habit.turn(Limit::Habit, now).map(|turn| (now, turn))
    };
    minutes.filter_map(turn).collect()
}

/// Every ten minutes from 8 to 18 o'clock, Monday to Friday.
fn office(minute: u32) -> bool {
    let (hour, day) = (minute / 60 % 24, minute / 60 / 24 % 7);
    minute.is_multiple_of(10) && (8..18).contains(&hour) && day < 5
}

fn after_two_weeks() -> (Habit, UnixMillis) {
    let habit = Habit::default();
    pass(&habit, MONDAY, 7 * 24 + 9, office);
    let turns = pass(&habit, MONDAY.plus((7 * 24 + 9) * HOUR), 7 * 24, office);
    assert_eq!(turns, [], "nights and a weekend are habit by now");
    (habit, MONDAY.plus((14 * 24 + 9) * HOUR))
}

#[test]
fn nights_and_weekends_do_not_alarm_after_a_week() {
    after_two_weeks();
}

#[test]
fn a_new_quiet_does() {
    let (habit, monday_morning) = after_two_weeks();
    // The weekend had 62 hours and 10 minutes between its two requests.
    let turns = pass(&habit, monday_morning, 7 * 24, |_| false);
    let [(at, Turn::Silent { quiet, usual })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!(usual, 62 * HOUR + 10 * MINUTE);
    assert_eq!(quiet, usual * 3 / 2 + MINUTE);
    assert!(at > monday_morning && habit.is_silent());
    // Back, once.
    let later = monday_morning.plus(8 * 24 * HOUR);
    let turns = pass(&habit, later, 1, |_| true);
    let [(_, Turn::Heard { quiet })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!(quiet, 8 * 24 * HOUR + 10 * MINUTE);
    assert!(!habit.is_silent());
}

#[test]
fn a_busy_provider_is_missed_soon_but_never_within_a_quarter_of_an_hour() {
    let habit = Habit::default();
    assert_eq!(pass(&habit, MONDAY, 2, |_| true), []);
    let turns = pass(&habit, MONDAY.plus(2 * HOUR), 1, |_| false);
    let [(_, Turn::Silent { quiet, usual })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((quiet, usual), (16 * MINUTE, MINUTE));
}

#[test]
fn few_requests_are_no_habit() {
    let habit = Habit::default();
    assert_eq!(pass(&habit, MONDAY, 71, |minute| minute < 30), []);
    let habit = Habit::default();
    assert_eq!(pass(&habit, MONDAY, 200, |minute| minute == 0), [], "one request has no pause");
    let habit = Habit::default();
    let turns = pass(&habit, MONDAY, 90, |minute| minute < 30);
    assert!(matches!(turns[..], [(_, Turn::Silent { .. })]), "three days are: {turns:?}");
}

#[test]
fn a_pause_is_forgotten_after_two_weeks() {
    let habit = Habit::default();
    let often = |minute: u32| !(60..=600).contains(&minute);
    pass(&habit, MONDAY, 24, often);
    assert_eq!(habit.lock().usual(), 9 * HOUR + 2 * MINUTE);
    pass(&habit, MONDAY.plus(24 * HOUR), 13 * 24 - 1, |_| true);
    assert_eq!(habit.lock().usual(), 9 * HOUR + 2 * MINUTE);
    pass(&habit, MONDAY.plus((14 * 24 - 1) * HOUR), 2, |_| true);
    assert_eq!(habit.lock().usual(), MINUTE);
    assert!(habit.lock().days.len() <= DAYS);
}

#[test]
fn nothing_is_forgotten_while_it_is_quiet() {
    let habit = Habit::default();
    let days = |count: u32| 24 * count;
    let turns = pass(&habit, MONDAY, days(31), |minute| minute.is_multiple_of(10 * 24 * 60));
    assert_eq!(turns, [], "every ten days is a habit too");
    let turns = pass(&habit, MONDAY.plus(days(31) * HOUR), days(30), |_| false);
    let [(at, Turn::Silent { usual, .. })] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((usual, at), (days(10) * HOUR, MONDAY.plus(days(45) * HOUR + MINUTE)));
}

#[test]
fn a_clock_that_jumps_back_is_harmless() {
    let (habit, now) = after_two_weeks();
    for back in [HOUR, 30 * HOUR, 24 * 365 * HOUR] {
        let then = now.minus(back);
        assert_eq!(habit.turn(Limit::Habit, then), None, "{back:?}");
        assert_eq!(pass(&habit, then, 60, |_| false), [], "still usual");
        assert_eq!(habit.lock().usual(), 62 * HOUR + 10 * MINUTE, "the habit is kept");
        habit.heard(then.plus(60 * HOUR));
    }
    // Between two looks of upkeep, with requests on both sides.
    let habit = Habit::default();
    habit.heard(MONDAY.plus(HOUR));
    habit.heard(MONDAY);
    habit.heard(MONDAY.plus(MINUTE));
    habit.turn(Limit::Habit, MONDAY.plus(MINUTE));
    assert_eq!(habit.lock().usual(), MINUTE);
}

#[test]
fn a_clock_that_was_years_ahead_leaves_no_pause_of_years() {
    let habit = Habit::default();
    habit.heard(MONDAY);
    habit.heard(MONDAY.plus(24 * 1000 * HOUR));
    habit.turn(Limit::Habit, MONDAY);
    assert_eq!(habit.lock().usual(), Duration::ZERO);
}

#[test]
fn a_restart_does_not_reset() {
    let (habit, now) = after_two_weeks();
    pass(&habit, now, 40, |_| false);
    let now = now.plus(40 * HOUR);
    let kept = habit.keep(now);
    let after = Habit::default();
    // Ten days in which no relay was running.
    let now = now.plus(240 * HOUR);
    after.restore(&kept, now);
    assert_eq!(after.last(), habit.last());
    assert_eq!(pass(&after, now, 52, |_| false), [], "40 and 52 hours of quiet are still usual");
    assert!(matches!(pass(&after, now.plus(52 * HOUR), 2, |_| false)[..], [(_, Turn::Silent { .. })]), "94 are not");

    // An alarm is not given twice, and the time without a relay is no pause.
    let twice = Habit::default();
    twice.restore(&after.keep(now.plus(54 * HOUR)), now.plus(60 * HOUR));
    assert!(twice.is_silent());
    assert_eq!(twice.turn(Limit::Habit, now.plus(60 * HOUR)), None);
    twice.heard(now.plus(60 * HOUR));
    assert!(matches!(twice.turn(Limit::Habit, now.plus(60 * HOUR)), Some(Turn::Heard { .. })));
    assert_eq!(twice.lock().usual(), (40 + 54) * HOUR + 10 * MINUTE);
}

#[test]
fn what_is_no_habit_restores_nothing() {
    let habit = Habit::default();
    for kept in ["", "at=x", "last=5 count=99", "at=1 7:x :: = count=-1 deaf=-9"] {
        habit.restore(kept, MONDAY);
        assert_eq!((habit.last(), habit.is_silent()), (None, false), "{kept}");
    }
}

#[test]
fn a_fixed_time_holds_from_the_beginning() {
    let habit = Habit::default();
    let limit = Limit::After(HOUR);
    assert_eq!(habit.turn(limit, MONDAY), None);
    assert_eq!(habit.turn(limit, MONDAY.plus(HOUR)), None);
    let now = MONDAY.plus(HOUR + MINUTE);
    assert_eq!(habit.turn(limit, now), Some(Turn::Silent { quiet: HOUR + MINUTE, usual: HOUR }));
    assert_eq!(habit.turn(limit, now), None);
    habit.heard(now);
    assert!(matches!(habit.turn(limit, now), Some(Turn::Heard { .. })));
    assert_eq!(habit.turn(limit, now.plus(HOUR)), None);
    assert_eq!(habit.turn(Limit::Never, now.plus(9 * HOUR)), None);
    assert!(!habit.is_silent());
}

#[test]
fn a_reload_that_allows_more_ends_the_alarm() {
    let habit = Habit::default();
    habit.heard(MONDAY);
    assert!(habit.turn(Limit::After(HOUR), MONDAY.plus(2 * HOUR)).is_some());
    assert_eq!(habit.turn(Limit::After(3 * HOUR), MONDAY.plus(2 * HOUR)), None);
    assert!(!habit.is_silent());
}
