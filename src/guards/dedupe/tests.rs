//! Keys that are reserved, committed and forgotten.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

fn at(seconds: u32) -> Moment {
    Moment { wall: UnixMillis::from_secs(seconds.into()), steady: seconds }
}

fn key(id: &str) -> DedupeKey {
    DedupeKey::new("route", "secret", id)
}

/// The share of the only route.
fn share() -> Share {
    Share::UNKNOWN
}

fn kept(key: DedupeKey, until: Moment) -> Kept {
    Kept { key, until, route: None }
}

#[test]
fn a_committed_key_is_a_duplicate_until_its_window_has_passed() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    memory.reserve(key("a"), share(), now).unwrap().commit(now.plus(WINDOW));
    assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
    assert_eq!(
        memory.reserve(key("a"), share(), now.plus(WINDOW - Duration::from_secs(1))).unwrap_err(),
        Seen::Committed
    );
    assert!(memory.reserve(key("a"), share(), now.plus(WINDOW)).is_ok());
}

#[test]
fn a_failed_delivery_leaves_no_trace() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    let first = memory.reserve(key("a"), share(), now).unwrap();
    assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::InFlight);
    drop(first);
    assert!(memory.is_empty());
    assert!(memory.reserve(key("a"), share(), now).is_ok());
}

#[test]
fn a_reservation_in_other_hands_is_the_same_one() {
    let memory = Arc::new(DedupeMemory::new(10));
    let now = at(1000);
    let ours = memory.reserve(key("a"), share(), now).unwrap().hand_over(Arc::clone(&memory));
    assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::InFlight);
    drop(ours);
    assert!(memory.is_empty());
    memory.reserve(key("a"), share(), now).unwrap().hand_over(Arc::clone(&memory)).commit(now.plus(WINDOW));
    assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
    assert_eq!(memory.len(), 1);
}

#[test]
fn what_an_earlier_process_committed_is_a_duplicate_even_beyond_the_bound() {
    let memory = DedupeMemory::new(1);
    let now = at(1000);
    let until = now.plus(WINDOW);
    memory.restore([kept(key("a"), until), kept(key("b"), until), kept(key("a"), now.plus(WINDOW / 2))]);
    assert_eq!(memory.len(), 2);
    for id in ["a", "b"] {
        assert_eq!(memory.reserve(key(id), share(), now).unwrap_err(), Seen::Committed);
    }
    assert_eq!(memory.reserve(key("c"), share(), now).unwrap_err(), Seen::Full);
    assert!(memory.reserve(key("a"), share(), until).is_ok());
}

/// Forward by a day, where everything seems old, and back; by one clock after the other.
#[test]
fn a_clock_that_is_set_makes_nothing_forgotten() {
    let memory = DedupeMemory::new(2);
    let now = at(1000);
    memory.reserve(key("a"), share(), now).unwrap().commit(now.plus(WINDOW));
    memory.restore([kept(key("b"), now.plus(WINDOW))]);
    for set in [86_400, -900] {
        let wall = UnixMillis(now.wall.0 + set * 1000);
        assert_eq!(memory.reserve(key("c"), share(), Moment { wall, ..now }).unwrap_err(), Seen::Full);
        assert_eq!(memory.reserve(key("a"), share(), Moment { wall, ..now }).unwrap_err(), Seen::Committed);
    }
    let long_after = Moment { steady: 9000, ..now };
    for id in ["a", "b"] {
        assert_eq!(memory.reserve(key(id), share(), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.reserve(key(id), share(), long_after).unwrap_err(), Seen::Committed);
    }
    assert!(memory.reserve(key("a"), share(), now.plus(WINDOW)).is_ok());
    assert!(memory.reserve(key("c"), share(), now.plus(WINDOW)).is_ok());
}

#[test]
fn the_same_id_on_two_routes_or_under_two_secrets_is_two_requests() {
    let key = DedupeKey::new("a", "b", "c");
    for (route, secret, id) in [("ab", "", "c"), ("a", "bc", ""), ("a", "", "bc"), ("x", "b", "c"), ("a", "x", "c")] {
        assert_ne!(DedupeKey::new(route, secret, id), key, "{route} {secret} {id}");
    }
}

#[test]
fn a_full_memory_refuses_rather_than_forgets() {
    let memory = DedupeMemory::new(2);
    let now = at(1000);
    for id in ["a", "b"] {
        memory.reserve(key(id), share(), now).unwrap().commit(now.plus(WINDOW));
    }
    assert_eq!(memory.reserve(key("c"), share(), now).unwrap_err(), Seen::Full);
    assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
    assert_eq!(memory.len(), 2);
    let later = now.plus(WINDOW);
    assert!(memory.reserve(key("c"), share(), later).is_ok());
}

/// A flood on one route, with as many ids as it likes; across a restart, too.
#[test]
fn no_route_takes_the_room_of_another() {
    let memory = DedupeMemory::new(1000);
    memory.share_among(3, 1000);
    let [flooded, quiet, other] = ["flooded", "quiet", "other"].map(|route| memory.share(&route.into()));
    let (now, until) = (at(1000), at(1000).plus(WINDOW));
    let fill = |memory: &DedupeMemory, share: Share, name: &str| {
        let take = |id: &u32| match memory.reserve(DedupeKey::new(name, "secret", &id.to_string()), share, now) {
            Ok(reservation) => {
                reservation.commit(until);
                true
            }
            Err(seen) => {
                assert_eq!(seen, Seen::Full);
                false
            }
        };
        (0..2000).filter(take).count()
    };
    let taken = fill(&memory, flooded, "flooded");
    assert!((166..1000 / 2).contains(&taken), "{taken}");
    assert!(fill(&memory, quiet, "quiet") >= 166);
    assert!(fill(&memory, other, "other") >= 166);
    assert!(memory.len() <= 1000, "{}", memory.len());

    let later = DedupeMemory::new(1000);
    later.share_among(3, 1000);
    let keys = (0..1000).map(|id| Kept {
        key: DedupeKey::new("flooded", "secret", &id.to_string()),
        until,
        route: Some("flooded".into()),
    });
    later.restore(keys);
    let [flooded, quiet] = ["flooded", "quiet"].map(|route| later.share(&route.into()));
    assert_eq!(later.reserve(DedupeKey::new("flooded", "secret", "new"), flooded, now).unwrap_err(), Seen::Full);
    assert_eq!(fill(&later, quiet, "quiet"), 166, "its guaranteed share");
    // What is over is given back to the route that held it.
    assert!(later.reserve(DedupeKey::new("flooded", "secret", "new"), flooded, until).is_ok());
    assert_eq!(later.len(), 0);
}

#[test]
fn keys_of_a_route_that_nobody_knows_are_duplicates_all_the_same() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    memory.restore([kept(key("a"), now.plus(WINDOW))]);
    let share = memory.share(&"route".into());
    assert_eq!(memory.reserve(key("a"), share, now).unwrap_err(), Seen::Committed);
    assert_eq!(memory.len(), 1);
    assert!(memory.reserve(key("a"), share, now.plus(WINDOW)).is_ok());
}

#[test]
fn many_threads_give_one_reservation_each_key() {
    let memory = DedupeMemory::new(100_000);
    let now = at(1000);
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for id in 0..1000 {
                    if let Ok(reservation) = memory.reserve(key(&id.to_string()), share(), now) {
                        taken.fetch_add(1, Ordering::Relaxed);
                        reservation.commit(now.plus(WINDOW));
                    }
                }
            });
        }
    });
    assert_eq!(taken.load(Ordering::Relaxed), 1000);
    assert_eq!(memory.len(), 1000);
}

/// What a request is known by where nobody signs its id.
fn under(id: &str, words: &str) -> Known {
    Known { key: key(&format!("{id} {words}")), words: Some(key(words)) }
}

#[test]
fn the_same_words_under_other_ids_have_one_place_and_a_few_ids() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    let commit = |id: &str| {
        let reservation = memory.reserve(under(id, "w"), share(), now).unwrap();
        let is_repeat = reservation.is_repeat();
        reservation.commit(now.plus(WINDOW));
        is_repeat
    };
    assert!(!commit("0"));
    assert!((1..100).all(|id| commit(&id.to_string())));
    assert_eq!(memory.len(), 2, "the first id, and the words");
    let again = |id: &str| memory.reserve(under(id, "w"), share(), now).map(drop);
    assert_eq!(again("0"), Err(Seen::Committed), "the first is kept as any other");
    assert_eq!(again("99"), Err(Seen::Committed));
    assert_eq!(again("84"), Err(Seen::Committed));
    assert_eq!(again("50"), Ok(()), "the oldest of the others made room");
    assert!(!memory.reserve(under("99", "other"), share(), now).unwrap().is_repeat());
    assert!(memory.reserve(under("new", "w"), share(), now.plus(WINDOW)).is_ok_and(|one| !one.is_repeat()));
    assert!(memory.reserve(under("0", "w"), share(), now.plus(WINDOW)).is_ok());
    assert_eq!(memory.len(), 0, "the window is over, and the last reservations were dropped");
}

#[test]
fn copies_of_a_repeat_are_told_as_any_other() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    let first = memory.reserve(under("a", "w"), share(), now).unwrap();
    assert_eq!(memory.reserve(under("a", "w"), share(), now).unwrap_err(), Seen::InFlight);
    let second = memory.reserve(under("b", "w"), share(), now).unwrap();
    assert!(second.is_repeat());
    assert_eq!(memory.reserve(under("b", "w"), share(), now).unwrap_err(), Seen::InFlight);
    drop(first);
    assert!(memory.reserve(under("a", "w"), share(), now).is_ok(), "a failed delivery leaves no trace");
    second.commit(now.plus(WINDOW));
    assert_eq!(memory.reserve(under("b", "w"), share(), now).unwrap_err(), Seen::Committed);
    let many: Vec<_> = (0..15).map(|id| memory.reserve(under(&format!("n{id}"), "w"), share(), now).unwrap()).collect();
    let one_more = memory.reserve(under("n15", "w"), share(), now).unwrap();
    assert_eq!(memory.reserve(under("n16", "w"), share(), now).unwrap_err(), Seen::InFlight, "all are on their way");
    drop((many, one_more));
}

#[test]
fn what_an_earlier_process_committed_is_known_whatever_its_words() {
    let memory = DedupeMemory::new(10);
    let now = at(1000);
    memory.restore([kept(under("a", "w").key, now.plus(WINDOW)), kept(under("b", "w").key, now.plus(WINDOW))]);
    assert_eq!(memory.reserve(under("a", "w"), share(), now).unwrap_err(), Seen::Committed);
    memory.reserve(under("c", "w"), share(), now).unwrap().commit(now.plus(WINDOW));
    assert_eq!(memory.reserve(under("b", "w"), share(), now).unwrap_err(), Seen::Committed);
}

#[test]
fn a_full_memory_has_no_place_for_words_either() {
    let memory = DedupeMemory::new(3);
    let now = at(1000);
    memory.reserve(under("a", "w"), share(), now).unwrap().commit(now.plus(WINDOW));
    assert_eq!(memory.reserve(under("b", "v"), share(), now).unwrap_err(), Seen::Full);
    assert_eq!(memory.len(), 2, "nothing is left of one that found no place");
    assert!(memory.reserve(under("c", "w"), share(), now).is_ok_and(|one| one.is_repeat()), "which needs none");
}
