//! SIGKILL at random instants under load: what was acknowledged arrives, duplicates are marked, order is kept.

use std::io::Write;
use std::time::Duration;

use crate::faults::{Action, Fault, Kind, Layer};
use crate::inside::Manner;
use crate::power::Unsynced;
use crate::relay::Relay;
use crate::scene::{Scene, rounds, seed};
use crate::senders::CONCURRENCY;
use crate::verdict::Verdict;

/// When the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after it was started, whatever it is doing.
    Starting(Duration),
    /// After so many acknowledgements.
    Acknowledged(u32),
    /// So long after it listens.
    Time(Duration),
    /// Before or after the n-th write to or sync of the disk since it was started.
    Operation(Fault),
}

const CHANGES: &[Kind] = &[Kind::Write, Kind::Sync, Kind::Truncate, Kind::Open];

impl Moment {
    fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(..10) {
            0 => Self::Starting(Duration::from_micros(random.u64(..200_000))),
            1..4 => Self::Acknowledged(random.u32(..60)),
            4..6 => Self::Time(Duration::from_micros(random.u64(..150_000))),
            _ => {
                let action = if random.bool() { Action::KillBefore } else { Action::KillAfter };
                Self::Operation(Fault::once(CHANGES, random.u64(1..240), action))
            }
        }
    }
}

/// One life of the relay, from its start to its sudden end.
fn live(scene: &mut Scene, layer: &Layer, moment: Moment) -> Relay {
    if let Moment::Operation(fault) = moment {
        layer.arm(fault);
    }
    let mut relay = scene.installation.spawn(Some(layer));
    if let Moment::Starting(after) = moment {
        relay.ends_within(after);
        relay.kill();
        return relay;
    }
    let Some(address) = relay.address() else {
        assert!(matches!(moment, Moment::Operation(_)), "it ended by itself:\n{}", relay.log());
        assert_eq!(layer.hits(), 1, "{}", relay.log());
        return relay;
    };
    let killed = &mut relay;
    scene.under_load(&address, |account| {
        let most = Duration::from_millis(250);
        match moment {
            Moment::Acknowledged(more) => account.until(account.acknowledged() + more, most),
            Moment::Time(after) => killed.ends_within(after),
            Moment::Operation(_) | Moment::Starting(_) => killed.ends_within(most),
        };
        killed.kill();
    });
    relay
}

fn manner(random: &mut fastrand::Rng) -> Manner {
    *random.choice(&[Manner::WELL, Manner::FLAPS, Manner::FLAPS, Manner::DOWN]).unwrap()
}

fn show(what: &str, rounds: u32, verdict: &Verdict) {
    // Past the test harness, which shows only what fails.
    let _ = writeln!(std::io::stderr(), "{what}: {rounds} rounds, {verdict}");
}

/// Duplicates come of what was on its way inward at a kill, of senders that had no answer, and of answers that never came.
fn bounded(verdict: &Verdict, rounds: u32, senders: usize) {
    let most = rounds as usize * (CONCURRENCY + senders) + verdict.hung_up;
    assert!(verdict.duplicates <= most, "{} duplicates of at most {most}", verdict.duplicates);
}

#[test]
fn nothing_acknowledged_is_lost_by_sigkill() {
    let (rounds, seed) = (rounds(200), seed());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::new(seed);
    for round in 1..=rounds {
        scene.inside.behave(manner(&mut random));
        let layer = scene.installation.layer();
        let relay = live(&mut scene, &layer, Moment::any(&mut random));
        relay.did_not_panic();
        scene.inside.hung_up();
        if round % 25 == 0 || round == rounds {
            scene.drain();
        }
    }
    let verdict = scene.verdict();
    show("SIGKILL", rounds, &verdict);
    bounded(&verdict, rounds, scene.senders.len());
    assert!(verdict.others.is_empty(), "a healthy disk, and a sender was refused: {:?}", verdict.others);
    assert!(verdict.acknowledged > rounds as usize, "too little happened: {verdict:?}");
}

/// As above, and the disk keeps only what was synced, or that and any part of the rest.
///
/// This is what "durable" means, and what a SIGKILL alone cannot show: the page cache outlives a process. Seen to fail with
/// `synchronous=OFF`, with `synchronous=NORMAL`, and with the acknowledgement before the COMMIT (docs/testing.md).
#[test]
fn nothing_acknowledged_is_lost_by_a_power_loss() {
    let (rounds, seed) = (rounds(60), seed());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::new(seed);
    for round in 1..=rounds {
        power_round(&mut scene, &mut random, false);
        if round % 10 == 0 || round == rounds {
            scene.drain();
        }
    }
    let verdict = scene.verdict();
    show("power loss", rounds, &verdict);
    bounded(&verdict, rounds, scene.senders.len());
    assert!(verdict.others.is_empty(), "a healthy disk, and a sender was refused: {:?}", verdict.others);
    assert!(verdict.acknowledged > rounds as usize, "too little happened: {verdict:?}");
}

fn power_round(scene: &mut Scene, random: &mut fastrand::Rng, lies: bool) {
    scene.inside.behave(manner(random));
    let (layer, disk) = scene.journalled();
    // A slow disk: the time between a write and its sync is where an early answer would come from.
    layer.slow(random.u64(..8_000));
    if lies {
        layer.lie();
    }
    let unsynced = if random.bool() { Unsynced::Lost } else { Unsynced::Any };
    let mut relay = live(scene, &layer, Moment::any(random));
    relay.did_not_panic();
    scene.lose_power(&mut relay, disk, unsynced, random);
}

/// The test above can fail: with syncs that do nothing, requests are lost, or the store is damaged.
#[test]
fn a_disk_that_lies_is_found_out() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::new(seed);
    scene.inside.behave(Manner::DOWN);
    for _ in 0..3 {
        let (layer, disk) = scene.journalled();
        layer.lie();
        let mut relay = live(&mut scene, &layer, Moment::Acknowledged(30));
        scene.lose_power(&mut relay, disk, Unsynced::Lost, &mut random);
    }
    scene.inside.behave(Manner::WELL);
    let relay = scene.installation.spawn(None);
    let served = relay.address().is_some();
    let patience = Duration::from_secs(1);
    assert!(!served || !crate::verdict::lost(&scene.account, &scene.inside, patience).is_empty());
}
