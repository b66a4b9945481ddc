//! 68: the wall clock is set, by somebody or by a time server, while requests are on their way.
//!
//! What asks for the time of day judges by the new one at once: the windows of signatures. What asks how long ago something was
//! does not notice: deadlines, idle connections, and how long a delivered request is remembered.

use std::time::Duration;

use dmz_relay::base::UnixMillis;
use dmz_relay::domain::Doubt;
use dmz_relay::domain::Refusal::{TimestampAhead, TimestampStale};

use crate::harness::{BOTH, Call, Ending, NOW, Oktave, Protocol, Rig, Setup};
use crate::table::{ROUTES, SECRET, setup};

const HOUR: i64 = 3600;

fn with_oktave() -> Setup {
    let routes = "[routes.oktave]\npath = \"/hooks/oktave\"\nprovider = \"oktave\"\n\
                  secrets = [{ file = \"secrets/oktave\" }]\nupstream = \"app\"\n";
    Setup { rest: format!("{ROUTES}{routes}"), ..setup() }.file("secrets/oktave", SECRET)
}

fn event(number: u32, at: i64) -> Call {
    Oktave::event(SECRET, number).at(at).call("/hooks/oktave")
}

fn set(rig: &Rig, to: i64) {
    rig.clock.set(UnixMillis::from_secs(to));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_cuts_no_request() {
    let rig = Rig::start(with_oktave()).await;
    for by in [HOUR, -HOUR, 24 * HOUR, -24 * HOUR] {
        set(&rig, NOW);
        let call = Call::post("/hooks/plain").body("a body in two parts");
        let (head, whole) = (call.h1_head(), call.h1());
        let mut idle = rig.connect().await;
        idle.send(&whole).await;
        assert_eq!(idle.answer().await.status, 200);
        let mut in_head = rig.connect().await;
        in_head.send(&whole[..10]).await;
        let mut in_body = rig.connect().await;
        in_body.send(&whole[..head.len() + 5]).await;

        set(&rig, NOW + by);
        in_head.send(&whole[10..]).await;
        in_body.send(&whole[head.len() + 5..]).await;
        idle.send(&whole).await;
        for wire in [&mut in_head, &mut in_body, &mut idle] {
            let answer = wire.answer().await;
            assert!(answer.status == 200 && !answer.closes(), "{by} s: {answer:?}");
        }
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_follow_the_wall_clock() {
    let rig = Rig::start(with_oktave()).await;
    for (number, protocol) in (0..).step_by(10).zip(BOTH) {
        set(&rig, NOW + 2 * HOUR);
        rig.refused(TimestampStale, rig.send(protocol, &event(number, NOW))).await;
        rig.delivers(protocol, &event(number + 1, NOW + 2 * HOUR)).await;
        set(&rig, NOW - 2 * HOUR);
        rig.refused(TimestampAhead, rig.send(protocol, &event(number + 2, NOW))).await;
        rig.delivers(protocol, &event(number + 3, NOW - 2 * HOUR)).await;
        // A clock that nobody could mean.
        for odd in [0, -1, i64::from(u32::MAX) * 1000] {
            set(&rig, odd);
            // Before this program was made there is no time to judge by.
            let ending: Ending = if odd < NOW { Doubt::ClockUnset.into() } else { TimestampStale.into() };
            rig.refused(ending, rig.send(protocol, &event(number + 4, NOW))).await;
        }
    }
    rig.finish().await;
}

/// Set forward, where every window has passed, and back: what was recorded is fresh once more, and is known all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_and_back_does_not_let_a_replay_in() {
    let rig = Rig::start(with_oktave()).await;
    let recorded = event(0, NOW);
    rig.delivers(Protocol::H1, &recorded).await;
    set(&rig, NOW + 48 * HOUR);
    rig.refused(TimestampStale, rig.send(Protocol::H1, &recorded)).await;
    // Enough to touch every part of dedupe memory, which looks for what has passed whenever it is asked.
    let mut sender = rig.h2().await;
    for number in 1..600 {
        assert_eq!(sender.send(&event(number, NOW + 48 * HOUR)).await.status, 200);
    }
    set(&rig, NOW);
    let inside = rig.app.seen().len();
    for protocol in BOTH {
        let answer = rig.send(protocol, &recorded).await;
        assert_eq!((answer.status, rig.log.of(answer.id()).await["outcome"].as_str()), (200, Some("duplicate")));
    }
    assert_eq!(rig.app.seen().len(), inside);
    // When its time has really passed, it is forgotten, and stale.
    rig.clock.advance(Duration::from_secs(72 * 3600));
    rig.refused(TimestampStale, rig.send(Protocol::H1, &recorded)).await;
    rig.finish().await;
}
