//! SIGKILL again and again in the middle of deliveries: what our own end interrupted is nobody's failure.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::inside::Manner;
use crate::relay::LONG;
use crate::scene::{Scene, rounds, seed};
use crate::senders::ROUTES;

/// How long a relay lives.
const LIFE: Duration = Duration::from_millis(300);

/// Senders are there in one round of so many.
const LOADED: u32 = 10;

/// The application reads and never answers while the relay is killed every 300 ms, so that each request is interrupted more often
/// than its route allows attempts; then it refuses for a moment, and is healthy. Back-off would take ten minutes.
#[test]
fn interrupted_deliveries_are_neither_lost_nor_dead_nor_late() {
    let (rounds, seed) = (rounds(100), seed());
    let short = "retry = { first = \"10ms\", max = \"40ms\" }";
    assert!(ROUTES.contains(short));
    let routes = ROUTES.replace(short, "retry = { first = \"10m\", max = \"10m\", attempts = 5 }");
    let mut scene = Scene::with(seed, &routes, "").small();
    scene.inside.behave(Manner::HELD);
    for round in 0..rounds.max(6) {
        let mut relay = scene.installation.start(None);
        let address = relay.address().unwrap();
        let killed = &mut relay;
        let mut end = || {
            killed.ends_within(LIFE);
            killed.kill();
        };
        // What waits is interrupted in every round; what comes is bounded, so that a busy machine delivers it in the end.
        if round % LOADED == 0 {
            scene.under_load(&address, |_| end())
        } else {
            end()
        }
        relay.did_not_panic();
    }
    assert!(scene.account.acknowledged() > 0, "too little happened");
    scene.inside.behave(Manner::DOWN);
    let mut relay = scene.installation.start(None);
    relay.tells(&["breaker_opened"]);
    scene.inside.behave(Manner::WELL);
    let healthy = Instant::now();
    let lost = crate::verdict::lost(&scene.account, &scene.inside, LONG);
    assert!(lost.is_empty(), "acknowledged and late: {lost:?}\n{}", relay.log());
    let began = Instant::now();
    let spool = loop {
        let (_, status, _) = scene.installation.command(&["status", "--format", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        let spool = status["store"]["spool"].clone();
        if spool["waiting"] == 0 || began.elapsed() > LONG {
            break spool;
        }
    };
    // Shown with --nocapture. How long it takes is the machine's; ten minutes is what back-off would make of it.
    println!(
        "{} acknowledged; all delivered {:?} after the application was well",
        scene.account.acknowledged(),
        healthy.elapsed()
    );
    assert_eq!((&spool["waiting"], &spool["dead"]), (&0.into(), &0.into()), "{}", relay.log());
    relay.did_not_panic();
    relay.stop();
    assert!(scene.verdict().others.keys().all(|status| *status >= 500));
}
